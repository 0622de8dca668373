//! What one thread of the soak does: a mixed load, or one half of a pair, or nothing for most of the time.

use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use crate::books;
use crate::common::{Random, fork, layout, on_plain_threads, wait_for};
use crate::plant::Plant;
use crate::reader::{self, Reading};
use crate::thing::{Mix, Thing};
use crate::world::World;

/// Steps between two looks at what is wanted of the thread.
const BATCH: usize = 64;
/// The longest life of a thread, in batches, as a power of two.
const LIFE_BITS: usize = 13;
/// Objects that one thread keeps, and those that one which idles keeps.
const MOST_THINGS: usize = 60_000;
const MOST_IDLE: usize = 300;
/// A forked child that takes longer hangs: with 200 threads beside it, it gets little of a processor.
const CHILD_SECONDS: u32 = 300;
/// From this size on, and so that it can grow and shrink, an object has a mapping of its own.
const HUGE: usize = 130 << 20;

#[derive(Clone, Copy)]
enum Role {
    /// A bit of everything.
    Mixed,
    /// Allocates what others free.
    Maker,
    /// Frees what others allocate.
    Taker,
    /// Fills its caches, and idles.
    Sleeper,
    /// Builds many objects of a kind and drops them.
    Burster,
}

const ROLES: [Role; 10] = [
    Role::Mixed,
    Role::Mixed,
    Role::Mixed,
    Role::Mixed,
    Role::Mixed,
    Role::Maker,
    Role::Taker,
    Role::Sleeper,
    Role::Sleeper,
    Role::Burster,
];

/// One thread.
struct Actor<'w> {
    world: &'w World,
    random: Random,
    role: Role,
    mix: Mix,
    things: Vec<Thing>,
    /// In a forked child others' locks may be taken for good.
    alone: bool,
}

/// The life of thread `number`.
pub(crate) fn live(world: &World, number: u64) {
    let mut random = Random::with_seed(world.seed, 1_000 + number);
    let (role, life) = (random.pick(&ROLES), random.magnitude(LIFE_BITS));
    let mix = *world.mix.read().expect("who fails ends the process");
    let mut actor = Actor { world, random, role, mix, things: vec![], alone: false };
    if actor.random.one_in(2) {
        actor.things = world.inherit();
    }
    for _ in 0..life {
        if world.stopped() || world.is_to_leave() {
            break;
        }
        actor.batch();
        if World::claim(&world.forks_due) {
            actor.fork(1);
        }
        if matches!(actor.role, Role::Sleeper) {
            thread::sleep(Duration::from_millis(10 + actor.random.below(60) as u64));
        }
    }
    let _gate = world.gate.read();
    if !world.stopped() {
        let half = actor.things.len() / 2;
        world.bequeath(actor.things.split_off(half));
    }
    actor.things.clear();
}

impl Actor<'_> {
    fn batch(&mut self) {
        let _gate = self.world.gate.read();
        self.mix = *self.world.mix.read().expect("who fails ends the process");
        for _ in 0..BATCH {
            self.step();
        }
        self.world.totals.operations.fetch_add(BATCH as u64, Relaxed);
        if self.random.one_in(64) {
            self.measured();
        }
        if World::claim(&self.world.huge_due) {
            self.huge();
        }
        if World::claim(&self.world.releases_due) {
            gort::free_os_memory();
            self.world.totals.released.fetch_add(1, Relaxed);
        }
        self.go_wrong();
    }

    fn step(&mut self) {
        if self.world.is_full() && !self.alone {
            return self.shrink();
        }
        match self.role {
            Role::Mixed => self.mixed(),
            Role::Maker => {
                let thing = self.new_thing();
                drop(self.world.give(thing, &mut self.random));
            }
            Role::Taker => match self.world.take(&mut self.random) {
                Some(thing) if self.random.one_in(4) => {
                    let thing = thing.resize(self.mix.size(&mut self.random));
                    drop(self.world.give(thing, &mut self.random));
                }
                Some(thing) => drop(thing),
                None => thread::yield_now(),
            },
            Role::Sleeper if self.things.len() < MOST_IDLE => {
                let thing = self.new_thing();
                self.things.push(thing);
            }
            Role::Sleeper => {
                let at = self.random.below(self.things.len());
                self.things[at].check();
            }
            Role::Burster => self.burst(),
        }
    }

    fn new_thing(&mut self) -> Thing {
        let size = self.mix.size(&mut self.random);
        Thing::new(size, &mut self.random)
    }

    fn any(&mut self) -> Option<Thing> {
        let n = self.things.len();
        (n > 0).then(|| self.things.swap_remove(self.random.below(n)))
    }

    fn mixed(&mut self) {
        match self.random.below(100) {
            0..45 => {
                let thing = self.new_thing();
                self.things.push(thing);
            }
            45..70 => drop(self.any()),
            70..84 => {
                if let Some(thing) = self.any() {
                    // Up and down; half of the time to a size nearby.
                    let size = match self.random.below(4) {
                        0 => thing.size() * 2,
                        1 => thing.size() / 2,
                        2 => thing.size() + self.random.below(40),
                        _ => self.mix.size(&mut self.random),
                    };
                    self.things.push(thing.resize(size.min(self.mix.largest)));
                }
            }
            84..90 if !self.alone => {
                if let Some(thing) = self.any() {
                    let back = self.world.give(thing, &mut self.random);
                    self.things.extend(back);
                }
            }
            90..96 if !self.alone => self.things.extend(self.world.take(&mut self.random)),
            _ => self.things.last().into_iter().for_each(Thing::check),
        }
        if self.things.len() > MOST_THINGS {
            drop(self.any());
        }
    }

    /// More is alive than should be.
    fn shrink(&mut self) {
        if let Some(thing) = self.any() {
            return drop(thing);
        }
        match self.world.take(&mut self.random) {
            Some(thing) => drop(thing),
            None if self.random.one_in(8) => self.things = self.world.inherit(),
            None => thread::yield_now(),
        }
    }

    fn burst(&mut self) {
        let size = self.mix.size(&mut self.random);
        let count = ((1 << 20) / size.max(1)).clamp(1, 1 + self.random.below(200));
        let mut burst: Vec<_> = (0..count).map(|i| Thing::plain(layout(size, 8), i as u64)).collect();
        match self.random.below(3) {
            0 => {}
            1 => burst.reverse(),
            _ => (1..count).for_each(|i| burst.swap(i, self.random.below(i))),
        }
        if self.things.len() < MOST_IDLE {
            self.things.extend(burst.pop());
        }
    }

    /// What the heap measures of this thread is what the books say.
    fn measured(&mut self) {
        let before = books::own();
        assert_eq!(gort::thread_stats(), before, "the counts of a thread");
        let ((), seen) = gort::measure(|| (0..10).for_each(|_| drop(self.new_thing())));
        assert_eq!(seen, reader::since(books::own(), before), "what a closure has done");
    }

    /// An object with a mapping of its own, which grows, shrinks, and moves.
    fn huge(&mut self) {
        let size = HUGE + (self.random.below(40) << 20);
        let mut thing = Thing::plain(layout(size, 8), 1);
        for percent in [130, 100, 110] {
            thing = thing.resize(size / 100 * percent);
        }
        thing.check();
        self.world.totals.huge.fetch_add(1, Relaxed);
    }

    /// Forks while others go on.
    fn fork(&mut self, generations: u32) {
        let pid = {
            let _gate = self.world.gate.read();
            fork(CHILD_SECONDS, || self.in_child(generations))
        };
        assert_eq!(wait_for(pid), 0, "a forked child");
        self.world.totals.forks.fetch_add(1, Relaxed);
    }

    /// What a child does: it finds its objects as they were, and goes on with them, on threads of its own as well. What the other threads
    /// had begun stays so.
    fn in_child(&mut self, generations: u32) -> i32 {
        self.alone = true;
        self.role = Role::Mixed;
        let mut reading = Reading::default();
        reading.check();
        self.things.iter().for_each(Thing::check);
        (0..300).for_each(|_| self.mixed());
        let (world, mix) = (self.world, self.mix);
        let of_threads = on_plain_threads(3, |i| {
            let random = Random::with_seed(world.seed, i);
            let mut actor = Actor { world, random, role: Role::Mixed, mix, things: vec![], alone: true };
            (0..200).for_each(|_| actor.mixed());
            actor.measured();
            actor.things
        });
        reading.check();
        if generations > 0 && self.random.one_in(4) {
            let pid = fork(CHILD_SECONDS, || self.in_child(0));
            assert_eq!(wait_for(pid), 0, "a child of a child");
        }
        drop(of_threads);
        self.things.clear();
        gort::free_os_memory();
        self.measured();
        reading.check();
        0
    }

    /// Does what it must not, if that is planned.
    fn go_wrong(&mut self) {
        if self.things.is_empty() || self.world.plant.lock().expect("who fails ends the process").is_none() {
            return;
        }
        let Some(thing) = self.any() else { return };
        match self.world.plant.lock().expect("who fails ends the process").take() {
            Some(Plant::Leak) => thing.lose(false),
            Some(Plant::LostFree) => thing.lose(true),
            Some(Plant::Damage) => {
                thing.damage();
                self.things.push(thing);
            }
            other => *self.world.plant.lock().expect("who fails ends the process") = other,
        }
    }
}
