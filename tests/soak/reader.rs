//! Readers of statistics, while all other threads go on and when all are at rest.

use std::thread;
use std::time::{Duration, Instant};

use gort::{Measured, MemStats};

use crate::books;
use crate::common::{Ledger, Random, assert_consistent, check_heap};
use crate::world::World;
use std::sync::atomic::Ordering::Relaxed;

/// How long the heap is waited for to come to rest.
const AT_REST: Duration = Duration::from_secs(60);

/// The last reading of a reader.
#[derive(Default)]
pub(crate) struct Reading {
    last: Option<MemStats>,
}

impl Reading {
    /// Reads the statistics, and fails unless they count all that was done, nothing that had not begun, and no less than the last time.
    pub(crate) fn check(&mut self) {
        let least = books::done();
        let stats = gort::stats();
        let most = books::begun();
        let seen = Ledger::of(&stats);
        let within = |what: &str, least: u64, seen: u64, most: u64| {
            assert!(least <= seen && seen <= most, "{what}: {seen} counted, {least} done, {most} begun");
        };
        for (class, &(allocs, frees)) in seen.classes.iter().enumerate() {
            let (least, most) = (least.classes[class], most.classes[class]);
            within(&format!("allocations of class {class}"), least.0, allocs, most.0);
            within(&format!("frees of class {class}"), least.1, frees, most.1);
        }
        within("bytes allocated", least.total.bytes, seen.total.bytes, most.total.bytes);
        within("allocations", least.total.allocs, seen.total.allocs, most.total.allocs);
        within("frees", least.total.frees, seen.total.frees, most.total.frees);
        let live =
            |allocs: &Ledger, frees: &Ledger| allocs.total.bytes.saturating_sub(frees.total.bytes_freed);
        within("live bytes", live(&least, &most), stats.heap_alloc, live(&most, &least));
        assert!(stats.heap_released <= stats.heap_sys && stats.huge_inuse <= stats.heap_sys, "{stats:?}");
        assert!(stats.heap_idle + stats.heap_inuse >= stats.heap_sys, "{stats:?}");
        if let Some(last) = &self.last {
            let counts = |s: &MemStats| {
                let waits = s.contention;
                [
                    s.total_alloc,
                    s.mallocs,
                    s.frees,
                    s.heap_inuse_peak,
                    s.whole_pages.bytes,
                    s.whole_pages.requested_bytes,
                    waits.operations,
                    waits.page_heap.taken,
                    waits.metadata.taken,
                ]
            };
            let rises = |(last, now): (u64, u64)| last <= now;
            assert!(
                counts(last).into_iter().zip(counts(&stats)).all(rises),
                "a count has fallen: {:?}, then {:?}",
                counts(last),
                counts(&stats)
            );
            for (last, now) in last.by_size.iter().zip(&stats.by_size) {
                let pairs = [
                    (last.mallocs, now.mallocs),
                    (last.frees, now.frees),
                    (last.sampled, now.sampled),
                    (last.sampled_bytes, now.sampled_bytes),
                ];
                assert!(pairs.into_iter().all(rises), "a count has fallen: {last:?}, then {now:?}");
            }
        }
        self.last = Some(stats);
    }
}

/// Reads until the end.
pub(crate) fn read_on(world: &World, number: u64) {
    let mut random = Random::with_seed(world.seed, 500 + number);
    let mut reading = Reading::default();
    while !world.stopped() {
        reading.check();
        world.totals.readings.fetch_add(1, Relaxed);
        thread::sleep(Duration::from_micros(random.magnitude(13) as u64));
    }
}

pub(crate) fn since(now: Measured, before: Measured) -> Measured {
    Measured {
        bytes: now.bytes - before.bytes,
        allocs: now.allocs - before.allocs,
        frees: now.frees - before.frees,
        bytes_freed: now.bytes_freed - before.bytes_freed,
    }
}

/// Waits until nothing is under way, and fails unless the heap's counts then are exactly the books'. Threads that are ending, and the
/// standard library for them, may still have something to do at first.
pub(crate) fn exact() {
    let start = Instant::now();
    loop {
        let done = books::done();
        let stats = gort::stats();
        if done == books::begun() {
            assert_consistent(&stats);
            assert_eq!(Ledger::of(&stats), done, "the counts at rest");
            check_heap();
            return;
        }
        assert!(start.elapsed() < AT_REST, "an operation does not end");
        thread::sleep(Duration::from_millis(1));
    }
}
