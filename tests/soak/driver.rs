//! The thread that says what the others do: phases of other sizes, other amounts and other numbers of threads, memory limits, forks; and
//! which looks at what comes of it.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use gort::MemStats;

use crate::bound::{self, Bound, Sample};
use crate::common::{Random, resident};
use crate::plant::Plant;
use crate::progress::Progress;
use crate::thing::Mix;
use crate::world::World;
use crate::{actor, reader};

/// Between two looks.
const TICK: Duration = Duration::from_millis(5);
/// Threads that are started at one look.
const STARTED_AT_ONCE: usize = 8;
const FEWEST_THREADS: usize = 2;
pub(crate) const MOST_THREADS: usize = 200;
const LEAST_LIVE: u64 = 16 << 20;
/// Pages that may be in use at the end and were not before: partial spans of what the standard library keeps.
const SPARE: u64 = 1 << 20;
const READERS: u64 = 2;
/// Stacks of threads: a reading is 6 KiB, and their code is shallow.
const STACK: usize = 256 << 10;

/// How long, and how much.
pub(crate) struct Plan {
    pub(crate) time: Duration,
    pub(crate) seed: u64,
    /// The most bytes that are to be alive; huge objects come on top.
    pub(crate) most_live: u64,
    pub(crate) most_threads: usize,
    pub(crate) by_hand: bool,
    pub(crate) plant: Option<Plant>,
}

impl Plan {
    /// So long by hand, or else so short.
    fn either(&self, by_hand: u64, short: u64) -> Duration {
        Duration::from_millis(if self.by_hand { by_hand } else { short })
    }
}

/// What is wanted for a while.
struct Phase {
    mix: Mix,
    live: u64,
    threads: usize,
    limit: u64,
    ends: Instant,
}

impl Phase {
    fn next(plan: &Plan, random: &mut Random) -> Self {
        let orders = (plan.most_live / LEAST_LIVE).ilog2().max(1) as usize;
        let live = (LEAST_LIVE << random.below(orders)) as usize;
        let live = (live + random.below(live)) as u64;
        let mix = Mix::any(random, (live / 16) as usize);
        let threads = FEWEST_THREADS << random.below(7);
        let threads = (threads + random.below(threads)).min(plan.most_threads);
        // Mostly none; else tight, or one that cannot be kept.
        let limit = match random.below(10) {
            0 => live / 2,
            1 => live * 2 + (32 << 20),
            2 => live * 4 + (64 << 20),
            _ => u64::MAX,
        };
        let whole = plan.either(12_000, 1_500);
        let ends = Instant::now() + whole / 4 + whole.mul_f64(random.below(1_000) as f64 / 1_000.0);
        Self { mix, live, threads, limit, ends }
    }
}

/// What comes again and again.
struct Every {
    time: Duration,
    next: Instant,
}

impl Every {
    fn new(time: Duration) -> Self {
        Self { time, next: Instant::now() + time }
    }

    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let due = now >= self.next;
        if due {
            self.next = now + self.time;
        }
        due
    }
}

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) seconds: f64,
    pub(crate) operations: u64,
    pub(crate) most_threads: usize,
    pub(crate) samples: Vec<Sample>,
    threads: u64,
    passed: u64,
    forks: u64,
    huge: u64,
    phases: u64,
    limits: u64,
    released: u64,
    readings: u64,
    rests: u64,
    /// Resident bytes at the end, and what could have been.
    end: (u64, u64),
}

impl Outcome {
    /// Of samples with much alive the most resident bytes for a live one, and how many such samples there were.
    fn worst(&self, at_rest: bool) -> (f64, usize) {
        let much = self.samples.iter().filter(|s| s.at_rest == at_rest && s.live >= bound::MUCH);
        much.fold((0.0, 0), |(most, n), s| (f64::max(most, s.resident as f64 / s.live as f64), n + 1))
    }

    /// The most that was resident of what could have been.
    fn closest(&self, at_rest: bool) -> f64 {
        let all = self.samples.iter().filter(|s| s.at_rest == at_rest);
        all.map(|s| s.resident as f64 / s.bound as f64).fold(0.0, f64::max)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "soak: {:.0} s: {} operations, {} objects freed by other threads, {} threads (at most {} at a time), {} forks, {} huge \
             objects, {} phases, {} changes of the limit, free memory given back {} times",
            self.seconds,
            self.operations,
            self.passed,
            self.threads,
            self.most_threads,
            self.forks,
            self.huge,
            self.phases,
            self.limits,
            self.released
        )?;
        let ((work, works), (rest, rests)) = (self.worst(false), self.worst(true));
        writeln!(
            f,
            "soak: {} readings between the books, {} exactly the books; resident by live bytes, from {} MiB live on: at most {work:.2} at \
             work ({works} looks), {rest:.2} at rest ({rests}); of the bound at most {:.2} and {:.2}",
            self.readings,
            self.rests,
            bound::MUCH >> 20,
            self.closest(false),
            self.closest(true)
        )?;
        let (resident, bound) = self.end;
        write!(
            f,
            "soak: passed: nothing is left alive, and {} of at most {} MiB are resident",
            resident >> 20,
            bound >> 20
        )
    }
}

/// Lets it run.
pub(crate) fn run(plan: &Plan) -> Outcome {
    // What the standard library allocates once and keeps is there before the count.
    thread::scope(|s| s.spawn(thread::yield_now).join().expect("it does nothing"));
    let seconds = plan.time.as_secs() as usize;
    let samples = Vec::with_capacity(4 * seconds + 64);
    let (bound, progress) = (Bound::new(), Progress::new(plan.by_hand));
    reader::exact();
    let before = gort::stats();
    let mut random = Random::with_seed(plan.seed, 0);
    let world = World::new(plan.seed, Mix::any(&mut random, LEAST_LIVE as usize), plan.plant);
    let mut driver = Driver {
        world: &world,
        plan,
        start: Instant::now(),
        bound,
        samples,
        started: 0,
        most_threads: 0,
        limit: u64::MAX,
        limits: 0,
        phases: 0,
        rests: 0,
    };
    thread::scope(|s| driver.drive(s, &mut random, &progress));
    world.clear();
    driver.end(&before)
}

struct Driver<'w> {
    world: &'w World,
    plan: &'w Plan,
    start: Instant,
    bound: Bound,
    samples: Vec<Sample>,
    started: u64,
    most_threads: usize,
    limit: u64,
    limits: u64,
    phases: u64,
    rests: u64,
}

impl<'w> Driver<'w> {
    fn drive<'s>(&mut self, s: &'s Scope<'s, 'w>, random: &mut Random, progress: &Progress) {
        let (world, plan) = (self.world, self.plan);
        for number in 0..READERS {
            s.spawn(move || reader::read_on(world, number));
        }
        let mut forks = Every::new(plan.either(1_000, 200));
        let mut huge = Every::new(plan.either(20_000, 6_000));
        let mut releases = Every::new(plan.either(15_000, 4_000));
        let mut samples = Every::new(plan.either(1_000, 250));
        let mut rests = Every::new(plan.either(10_000, 1_000));
        let mut threads = vec![];
        let mut phase = self.begin(Phase::next(plan, random));
        while self.start.elapsed() < plan.time {
            self.bound.note(self.start.elapsed(), world.look(), threads.len());
            if Instant::now() >= phase.ends {
                phase = self.begin(Phase::next(plan, random));
            }
            self.keep_up(s, &mut threads, phase.threads);
            let due = |due: &AtomicU32, every: &mut Every| {
                if every.is_due() {
                    due.store(1, Relaxed);
                }
            };
            due(&world.forks_due, &mut forks);
            due(&world.releases_due, &mut releases);
            if plan.most_live > 256 << 20 {
                due(&world.huge_due, &mut huge);
            }
            if samples.is_due() {
                self.sample(threads.len());
                progress.say(plan.time.saturating_sub(self.start.elapsed()), &self.samples);
            }
            if rests.is_due() {
                self.rest(threads.len());
            }
            thread::sleep(TICK);
        }
        world.stop.store(true, Relaxed);
        threads
            .into_iter()
            .for_each(|t: ScopedJoinHandle<'_, ()>| t.join().expect("who fails ends the process"));
        progress.end();
        self.set_limit(u64::MAX);
    }

    fn begin(&mut self, phase: Phase) -> Phase {
        self.phases += 1;
        *self.world.mix.write().expect("who fails ends the process") = phase.mix;
        self.world.target.store(phase.live, Relaxed);
        self.set_limit(phase.limit);
        phase
    }

    fn set_limit(&mut self, limit: u64) {
        if limit != self.limit {
            assert_eq!(gort::set_memory_limit(limit), self.limit, "the memory limit");
            self.limit = limit;
            self.limits += 1;
        }
    }

    /// Starts threads in place of those that have ended, and lets some end when there are too many.
    fn keep_up<'s>(
        &mut self,
        s: &'s Scope<'s, 'w>,
        threads: &mut Vec<ScopedJoinHandle<'s, ()>>,
        wanted: usize,
    ) {
        let mut at = 0;
        while at < threads.len() {
            if threads[at].is_finished() {
                threads.swap_remove(at).join().expect("who fails ends the process");
            } else {
                at += 1;
            }
        }
        self.world.leave.store(threads.len().saturating_sub(wanted), Relaxed);
        for _ in 0..wanted.saturating_sub(threads.len()).min(STARTED_AT_ONCE) {
            let (world, number) = (self.world, self.started);
            let thread = thread::Builder::new().stack_size(STACK);
            threads
                .push(thread.spawn_scoped(s, move || actor::live(world, number)).expect("a thread starts"));
            self.started += 1;
        }
        self.most_threads = self.most_threads.max(threads.len());
    }

    fn sample(&mut self, threads: usize) {
        let live = self.world.look();
        let now = self.start.elapsed();
        self.bound.note(now, live, threads);
        self.samples.push(self.bound.judge(now, live, threads, false));
    }

    /// Stops all others in the middle of what they do: the counts must be exact, before and after free memory is given back.
    fn rest(&mut self, threads: usize) {
        let _gate = self.world.gate.write();
        reader::exact();
        gort::free_os_memory();
        reader::exact();
        let live = self.world.look();
        let now = self.start.elapsed();
        self.bound.note(now, live, threads);
        self.samples.push(self.bound.judge(now, live, threads, true));
        self.rests += 1;
    }

    /// When no thread is left and nothing is alive.
    fn end(self, before: &MemStats) -> Outcome {
        reader::exact();
        let stats = gort::stats();
        let alive = |stats: &MemStats| (stats.heap_objects, stats.heap_alloc);
        assert_eq!(alive(&stats), alive(before), "objects and bytes alive at the end, and before");
        gort::free_os_memory();
        let in_use = gort::stats().heap_inuse;
        assert!(
            in_use <= before.heap_inuse + SPARE,
            "{in_use} bytes of pages are in use at the end, {} were before",
            before.heap_inuse
        );
        let most = self.bound.judge_end(self.most_threads);
        let totals = &self.world.totals;
        Outcome {
            seconds: self.start.elapsed().as_secs_f64(),
            operations: totals.operations.load(Relaxed),
            most_threads: self.most_threads,
            samples: self.samples,
            threads: self.started,
            passed: totals.passed.load(Relaxed),
            forks: totals.forks.load(Relaxed),
            huge: totals.huge.load(Relaxed),
            phases: self.phases,
            limits: self.limits,
            released: totals.released.load(Relaxed),
            readings: totals.readings.load(Relaxed),
            rests: self.rests,
            end: (resident() as u64, most),
        }
    }
}
