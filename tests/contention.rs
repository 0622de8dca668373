//! What the statistics say of threads that meet, held against programs that are known to the last object.
//!
//! The test binary itself allocates from the system, and each case has a process of its own, so that every event the heap
//! counts is one of the case's.

mod common;

use common::{Case, Object, layout};
use gort::{CentralCounts, Contention, LockCounts, MemStats};
use std::sync::Barrier;
use std::thread;

const SIZE: usize = 64;

/// The counts of the class that serves `SIZE`.
fn of_size() -> CentralCounts {
    let row = gort::stats().by_size.iter().position(|row| row.size == SIZE as u32).expect("a class's size");
    gort::contention_by_size()[row]
}

fn objects(n: usize) -> Vec<Object> {
    (0..n).map(|i| Object::new(layout(SIZE, 8), i as u64)).collect()
}

/// Remote frees of each class, where there are any, and of whole pages.
fn remote(stats: &MemStats) -> (Vec<(u32, u64)>, u64) {
    let rows = stats.by_size.iter().filter(|row| row.remote_frees > 0);
    (rows.map(|row| (row.size, row.remote_frees)).collect(), stats.whole_pages.remote_frees)
}

/// A request that no heap can serve is refused at once.
#[test]
fn what_could_never_be_had_empties_no_cache() {
    Case::new("what_could_never_be_had_empties_no_cache", "it").succeeds(|| {
        drop(objects(100));
        let before = of_size();
        for size in [1 << 42, 1 << 60, isize::MAX as usize - 7] {
            assert!(Object::try_new(layout(size, 8), 1).is_none());
        }
        assert_eq!(of_size().objects_in, before.objects_in);
        drop(objects(100));
        assert_eq!(of_size(), before);
    });
}

/// One that the heap might serve is not refused before caches have been emptied.
#[test]
fn what_could_be_had_in_few_addresses_empties_caches() {
    Case::new("what_could_be_had_in_few_addresses_empties_caches", "it").address_space(1 << 30).succeeds(
        || {
            drop(objects(100));
            let before = of_size();
            let all: Vec<_> = (0..).map_while(|i| Object::try_new(layout(32 << 20, 8), i)).collect();
            assert!(all.len() > 10, "{}", all.len());
            assert!(of_size().objects_in >= before.objects_in + 100);
        },
    );
}

#[test]
fn what_one_thread_hands_to_another_is_counted_to_the_last_object() {
    Case::new("what_one_thread_hands_to_another_is_counted_to_the_last_object", "it").succeeds(|| {
        const N: usize = 10_007;
        let mut passed = objects(N);
        passed.extend((0..13).map(|i| Object::new(layout(100_000, 8), i)));
        assert_eq!(gort::stats().contention.remote_frees, 0);
        let before = of_size();
        assert_eq!((before.objects_in, before.objects_out, before.objects_to_spans), (0, 0, 0));
        assert!(before.objects_from_spans >= N as u64);
        assert!(before.spans_made > 0 && before.lock.taken > 0);

        // Joined by its handle, so that its exit hooks have run.
        thread::spawn(|| drop(passed)).join().expect("the other thread frees");
        let stats = gort::stats();
        assert_eq!(remote(&stats), (vec![(SIZE as u32, N as u64)], 13));
        assert_eq!(stats.contention.remote_frees, N as u64 + 13);
        assert_eq!(stats.contention.operations, 2 * (N as u64 + 13));
        // The thread has exited and left nothing behind: each object came to the store once.
        let counts = of_size();
        assert_eq!(counts.objects_in - counts.objects_out + counts.objects_to_spans, N as u64);
        assert_eq!(counts.objects_from_spans, before.objects_from_spans);
        assert!(counts.batches_in > 0 && counts.batches_in <= counts.objects_in);

        // What this thread's bin held goes the same way, and the spans with it.
        gort::free_os_memory();
        let counts = of_size();
        assert_eq!(counts.objects_in, counts.objects_out);
        assert_eq!(counts.objects_to_spans, counts.objects_from_spans);
        assert_eq!(counts.spans_freed, counts.spans_made);
    });
}

#[test]
fn the_sum_is_that_of_the_classes() {
    Case::new("the_sum_is_that_of_the_classes", "it").succeeds(|| {
        for size in [8, 100, 1000, 10_000, 30_000] {
            drop((0..500).map(|i| Object::new(layout(size, 8), i)).collect::<Vec<_>>());
        }
        let (all, rows) = (gort::stats().contention.central, gort::contention_by_size());
        let sum = |f: fn(&CentralCounts) -> u64| rows.iter().map(f).sum::<u64>();
        assert_eq!(all.lock.taken, sum(|c| c.lock.taken));
        assert_eq!(all.objects_from_spans, sum(|c| c.objects_from_spans));
        assert_eq!(all.spans_made, sum(|c| c.spans_made));
        assert!(rows.iter().filter(|c| c.spans_made > 0).count() >= 5, "each size has a class of its own");
        assert_eq!(rows[0], CentralCounts::default(), "no object has class 0");
    });
}

#[test]
fn a_thread_that_is_alone_waits_for_nobody_and_shares_nothing() {
    Case::new("a_thread_that_is_alone_waits_for_nobody_and_shares_nothing", "it").succeeds(|| {
        drop(objects(1));
        let before = gort::stats().contention;
        (0..100_000).for_each(|_| drop(objects(1)));
        let after = gort::stats().contention;
        assert_eq!(after, Contention { operations: before.operations + 200_000, ..before });
        drop(objects(20_000));
        let busy = gort::stats().contention;
        assert!(busy.central.lock.taken > after.central.lock.taken);
        assert!(busy.page_heap.taken > after.page_heap.taken && busy.metadata.taken > after.metadata.taken);
        for lock in [busy.central.lock, busy.page_heap, busy.metadata] {
            assert_eq!(lock, LockCounts { taken: lock.taken, waited: 0, slept: 0 });
        }
        assert_eq!(busy.remote_frees, 0);
    });
}

/// What the documentation says of remote frees: an even exchange is not seen.
#[test]
fn an_even_exchange_is_not_seen() {
    Case::new("an_even_exchange_is_not_seen", "it").succeeds(|| {
        let (mine, start) = (objects(1_000), Barrier::new(2));
        let theirs = thread::scope(|s| {
            let other = s.spawn(|| {
                let theirs = objects(1_000);
                start.wait();
                drop(mine);
                theirs
            });
            start.wait();
            other.join().expect("the other thread allocates and frees")
        });
        drop(theirs);
        let stats = gort::stats();
        assert_eq!((stats.contention.remote_frees, stats.heap_objects), (0, 0));
    });
}

#[test]
fn rates_relate_events_to_operations() {
    let none = Contention::default();
    assert_eq!(none.per_million(7).to_bits(), 0.0f64.to_bits());
    let some = Contention { operations: 4_000_000, ..none };
    assert_eq!(some.per_million(2).to_bits(), 0.5f64.to_bits());
}

/// Objects of whole pages and random lengths, one of which is replaced at a time.
fn replace_large(objects: usize, times: usize) {
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % n
    };
    let mut live: Vec<_> = (0..objects as u64).map(|i| Object::new(layout(40 << 10, 8), i)).collect();
    for i in 0..times {
        let at = random(objects);
        live[at] = Object::new(layout((40 << 10) + random(360 << 10), 8), i as u64);
    }
}

#[test]
fn large_objects_of_random_lengths_seldom_come_to_the_shared_locks() {
    Case::new("large_objects_of_random_lengths_seldom_come_to_the_shared_locks", "it").succeeds(|| {
        // So much is in use that the thread may keep its share.
        let ballast = Object::new(layout(64 << 20, 8), 0);
        replace_large(32, 1_000);
        let before = gort::stats().contention;
        replace_large(32, 10_000);
        let after = gort::stats().contention;
        let operations = after.operations - before.operations;
        let (pages, headers) =
            (after.page_heap.taken - before.page_heap.taken, after.metadata.taken - before.metadata.taken);
        assert!(operations > 20_000);
        assert!(pages < operations / 5, "{pages} of {operations}");
        assert!(headers < operations / 30, "{headers} of {operations}");
        drop(ballast);
    });
}

/// Threads of many groups, whose pages come from different allocators, pass their objects on; all of it comes back.
#[test]
fn what_threads_of_many_groups_pass_on_comes_back() {
    const THREADS: usize = 40;
    Case::new("what_threads_of_many_groups_pass_on_comes_back", "it").succeeds(|| {
        let start = Barrier::new(THREADS);
        let passed: Vec<_> = (0..THREADS).map(|_| std::sync::Mutex::new(Vec::new())).collect();
        thread::scope(|s| {
            let (start, passed) = (&start, &passed);
            let work = |number: usize| {
                s.spawn(move || {
                    for round in 0..6 {
                        // All of them are there, so that each has a cache of its own.
                        start.wait();
                        let own = (0..60).map(|i| {
                            let size = [SIZE, 3_000, 32 << 10, 50_000 + 4_096 * (i * 7 % 60)][i % 4];
                            Object::new(layout(size, 8), (number * 1_000 + i) as u64)
                        });
                        let own: Vec<_> = own.collect();
                        *passed[(number + 11 * round + 1) % THREADS].lock().expect("no panic") = own;
                        start.wait();
                        // Their contents are looked at before they are freed.
                        let got = std::mem::take(&mut *passed[number].lock().expect("no panic"));
                        got.iter().for_each(Object::check);
                        drop(got);
                    }
                })
            };
            // Joined by their handles, so that their exit hooks have run.
            let threads: Vec<_> = (0..THREADS).map(work).collect();
            threads.into_iter().for_each(|one| one.join().expect("no thread panics"));
        });
        common::check_heap();
        gort::free_os_memory();
        common::check_heap();
        let stats = gort::stats();
        assert_eq!((stats.heap_objects, stats.heap_inuse), (0, 0));
        // Windows and kept headers went back when the threads ended.
        assert_eq!(stats.heap_idle, stats.heap_released, "{stats:?}");
    });
}
