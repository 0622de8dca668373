//! How much may be resident.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

use crate::common::resident;

/// While threads go on: so many times what was alive at its most of late. Pages wait for the scavenger, and survivors of one mix of
/// sizes hold pages that the next cannot use.
const TIMES_AT_WORK: u64 = 2;
/// At rest, after free memory was given back: of what is alive, and of what was alive at its most of late, in halves.
const HALVES_AT_REST: [u64; 2] = [3, 1];
/// For each thread of late: what the heap lets its caches keep at first, which is up to a mebibyte in the bins of all classes, 128 KiB on top of that, and
/// half a mebibyte of pages. What threads earn on top is 16 MiB or an eighth of the heap, of all together.
/// What a thread at rest keeps is its own until it comes to the heap again.
const PER_THREAD: u64 = 2 << 20;
/// The program, and what the heap is anyway.
const FIXED: u64 = 32 << 20;
/// How long ago is of late.
const OF_LATE: Duration = Duration::from_secs(60);
/// The ratio to what is alive says something from here on.
pub(crate) const MUCH: u64 = 32 << 20;
/// At the end, when nothing is alive: for each thread at its most the metadata, which is kept, and something fixed.
const END_PER_THREAD: u64 = 256 << 10;
const END_FIXED: u64 = 8 << 20;
/// The kernel may count more than the heap knows of: the program as it was at the start, and for each thread its stack.
const STACK: u64 = 64 << 10;

/// What a look has seen, in bytes but for the first three.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Sample {
    pub(crate) seconds: f64,
    pub(crate) threads: usize,
    /// Whether all threads were at rest and free memory had just been given back.
    pub(crate) at_rest: bool,
    /// In live objects, as they were asked for.
    pub(crate) live: u64,
    /// By the kernel's count.
    pub(crate) resident: u64,
    /// What may be resident.
    pub(crate) bound: u64,
    pub(crate) in_use: u64,
    pub(crate) alloc: u64,
    /// By the heap's count: with page frames.
    pub(crate) ready: u64,
    pub(crate) metadata: u64,
    pub(crate) limit: u64,
}

/// The most of something in the last while.
#[derive(Default)]
struct Recent {
    /// Falling, each with its time: what is larger and later makes the others pointless.
    falling: VecDeque<(Duration, u64)>,
}

impl Recent {
    fn note(&mut self, now: Duration, value: u64) {
        while self.falling.back().is_some_and(|&(_, earlier)| earlier <= value) {
            self.falling.pop_back();
        }
        self.falling.push_back((now, value));
        while self.falling.front().is_some_and(|&(then, _)| then + OF_LATE < now) {
            self.falling.pop_front();
        }
    }

    fn most(&self) -> u64 {
        self.falling.front().map_or(0, |&(_, value)| value)
    }
}

/// Judges what is resident.
pub(crate) struct Bound {
    /// What was resident before anything happened.
    floor: u64,
    live: Recent,
    threads: Recent,
}

impl Bound {
    pub(crate) fn new() -> Self {
        // As many as there may be looks in the time: it must not allocate while others are held against the books.
        let recent = || Recent { falling: VecDeque::with_capacity(1 << 15) };
        Self { floor: resident() as u64, live: recent(), threads: recent() }
    }

    /// To be told often.
    pub(crate) fn note(&mut self, now: Duration, live: u64, threads: usize) {
        self.live.note(now, live);
        self.threads.note(now, threads as u64);
    }

    /// Fails when more is resident than may be.
    pub(crate) fn judge(&self, now: Duration, live: u64, threads: usize, at_rest: bool) -> Sample {
        let around = self.floor + FIXED + self.threads.most() * PER_THREAD;
        let bound = if at_rest {
            (HALVES_AT_REST[0] * live + HALVES_AT_REST[1] * self.live.most()) / 2 + around
        } else {
            TIMES_AT_WORK * self.live.most() + around
        };
        let (stats, resident) = (gort::stats(), resident() as u64);
        let sample = Sample {
            seconds: now.as_secs_f64(),
            threads,
            at_rest,
            live,
            resident,
            bound,
            in_use: stats.heap_inuse,
            alloc: stats.heap_alloc,
            ready: stats.heap_sys - stats.heap_released + stats.other_sys,
            metadata: stats.other_sys,
            limit: stats.memory_limit,
        };
        let what = serde_json::to_string(&sample).expect("numbers");
        assert!(resident <= bound, "too much is resident: {what}");
        // All that the heap does not know of: the program, and stacks. Without a rest the two counts are of different moments.
        let unknown = self.floor + self.threads.most() * STACK;
        assert!(
            !at_rest || resident <= sample.ready + unknown,
            "more is resident than the heap knows of: {what}"
        );
        sample
    }

    /// Fails when too much is resident after all was freed and given back; the most that may be.
    pub(crate) fn judge_end(&self, most_threads: usize) -> u64 {
        let bound = self.floor + END_FIXED + most_threads as u64 * END_PER_THREAD;
        let resident = resident() as u64;
        assert!(
            resident <= bound,
            "{resident} bytes are resident at the end, {bound} may be: {:?}",
            gort::stats()
        );
        bound
    }
}
