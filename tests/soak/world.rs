//! What the threads of the soak share.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, RwLock};

use crate::books;
use crate::common::Random;
use crate::plant::Plant;
use crate::thing::{Mix, Thing};

/// Places through which objects are passed on.
const POOLS: usize = 32;
/// Objects in one of them.
const MOST_IN_POOL: usize = 2_000;

pub(crate) struct World {
    pub(crate) seed: u64,
    /// The sizes of the present phase.
    pub(crate) mix: RwLock<Mix>,
    /// Bytes that are to be alive in it.
    pub(crate) target: AtomicU64,
    /// Bytes that were alive a moment ago.
    pub(crate) live: AtomicU64,
    /// Threads that are to end.
    pub(crate) leave: AtomicUsize,
    pub(crate) stop: AtomicBool,
    /// Held for reading while a thread does anything; who holds it for writing has the heap at rest.
    pub(crate) gate: RwLock<()>,
    /// What some thread is to do: fork, have a huge object, give all free pages back.
    pub(crate) forks_due: AtomicU32,
    pub(crate) huge_due: AtomicU32,
    pub(crate) releases_due: AtomicU32,
    /// What is to go wrong on purpose.
    pub(crate) plant: Mutex<Option<Plant>>,
    pools: [Mutex<Vec<Thing>>; POOLS],
    /// What threads that have ended have left to the next.
    estates: Mutex<Vec<Vec<Thing>>>,
    pub(crate) totals: Totals,
}

/// What was done.
#[derive(Default)]
pub(crate) struct Totals {
    pub(crate) operations: AtomicU64,
    pub(crate) forks: AtomicU64,
    pub(crate) passed: AtomicU64,
    pub(crate) readings: AtomicU64,
    pub(crate) released: AtomicU64,
    pub(crate) huge: AtomicU64,
}

impl World {
    pub(crate) fn new(seed: u64, mix: Mix, plant: Option<Plant>) -> Self {
        Self {
            seed,
            mix: RwLock::new(mix),
            target: AtomicU64::new(0),
            live: AtomicU64::new(0),
            leave: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            gate: RwLock::new(()),
            forks_due: AtomicU32::new(0),
            huge_due: AtomicU32::new(0),
            releases_due: AtomicU32::new(0),
            plant: Mutex::new(plant),
            pools: std::array::from_fn(|_| Mutex::default()),
            estates: Mutex::default(),
            totals: Totals::default(),
        }
    }

    /// Looks what is alive.
    pub(crate) fn look(&self) -> u64 {
        let live = books::live();
        self.live.store(live, Relaxed);
        live
    }

    /// Whether more is alive than should be.
    pub(crate) fn is_full(&self) -> bool {
        self.live.load(Relaxed) > self.target.load(Relaxed)
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// Takes one of what is due.
    pub(crate) fn claim(due: &AtomicU32) -> bool {
        due.load(Relaxed) > 0 && due.try_update(Relaxed, Relaxed, |n| n.checked_sub(1)).is_ok()
    }

    /// Whether the calling thread is to end.
    pub(crate) fn is_to_leave(&self) -> bool {
        self.leave.load(Relaxed) > 0 && self.leave.try_update(Relaxed, Relaxed, |n| n.checked_sub(1)).is_ok()
    }

    /// Passes an object on; it comes back if there is no room.
    pub(crate) fn give(&self, thing: Thing, random: &mut Random) -> Option<Thing> {
        let mut pool = self.pools[random.below(POOLS)].lock().expect("who fails ends the process");
        if pool.len() >= MOST_IN_POOL {
            return Some(thing);
        }
        pool.push(thing);
        self.totals.passed.fetch_add(1, Relaxed);
        None
    }

    /// Takes an object that another thread has passed on.
    pub(crate) fn take(&self, random: &mut Random) -> Option<Thing> {
        let mut pool = self.pools[random.below(POOLS)].lock().expect("who fails ends the process");
        let n = pool.len();
        (n > 0).then(|| pool.swap_remove(random.below(n)))
    }

    /// Leaves objects to the next thread.
    pub(crate) fn bequeath(&self, things: Vec<Thing>) {
        if !things.is_empty() {
            self.estates.lock().expect("who fails ends the process").push(things);
        }
    }

    /// What a thread that has ended has left.
    pub(crate) fn inherit(&self) -> Vec<Thing> {
        self.estates.lock().expect("who fails ends the process").pop().unwrap_or_default()
    }

    /// Drops all objects that no thread has.
    pub(crate) fn clear(&self) {
        self.pools.iter().for_each(|pool| *pool.lock().expect("who fails ends the process") = Vec::new());
        *self.estates.lock().expect("who fails ends the process") = Vec::new();
    }
}
