//! The heap's statistics against a count that is kept beside it, made from the size-class table alone.
//!
//! The test binary itself allocates from the system, and each case has a process of its own, so that every event the heap
//! counts is one of the case's.
#![expect(unsafe_code, reason = "registers a hook with the C library")]

mod common;

use std::alloc::Layout;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Barrier};
use std::thread;

use common::{Case, Ledger, Object, PAGE, Random, assert_consistent, layout, rounded};
use gort::{Measured, MemStats};
use gort_size_classes::table::NUM_CLASSES;

const MIB: usize = 1 << 20;

fn any_size(random: &mut Random) -> usize {
    match random.below(8) {
        0..5 => random.magnitude(11),
        5 | 6 => random.magnitude(15),
        _ => random.magnitude(19),
    }
}

/// A program of operations that keeps its ledger.
struct Program {
    random: Random,
    ledger: Ledger,
    objects: Vec<Object>,
}

impl Program {
    fn new(stream: u64) -> Self {
        Self { random: Random::new(stream), ledger: Ledger::new(), objects: vec![] }
    }

    fn keep(&mut self, object: Object) {
        self.ledger.allocated(object.layout());
        self.objects.push(object);
    }

    fn free(&mut self, object: Object) {
        self.ledger.freed(object.layout());
        drop(object);
    }

    fn any(&mut self) -> Option<Object> {
        let n = self.objects.len();
        (n > 0).then(|| self.objects.swap_remove(self.random.below(n)))
    }

    fn step(&mut self) {
        let random = &mut self.random;
        match random.below(10) {
            0..4 => {
                let layout = layout(any_size(random), 1 << random.below(15));
                self.keep(Object::new(layout, 1));
            }
            4 => {
                let layout = layout(any_size(random), 8);
                self.keep(Object::zeroed(layout, 2));
            }
            5 | 6 => {
                if let Some(object) = self.any() {
                    // Half of the time to a size nearby, which is often rounded to the same.
                    let old = object.layout();
                    let size = if self.random.one_in(2) {
                        any_size(&mut self.random)
                    } else {
                        old.size() + self.random.below(20)
                    };
                    let object = object.resize(size);
                    self.ledger.resized(old, object.layout());
                    self.objects.push(object);
                }
            }
            _ => {
                if let Some(object) = self.any() {
                    self.free(object);
                }
            }
        }
        if self.objects.len() > 2_000 {
            self.free_all();
        }
    }

    fn free_all(&mut self) {
        while let Some(object) = self.objects.pop() {
            self.free(object);
        }
    }
}

fn assert_is(ledger: Ledger, stats: &MemStats) {
    assert_consistent(stats);
    assert_eq!(Ledger::of(stats), ledger);
}

#[test]
fn one_thread_is_exact_at_every_step() {
    Case::new("one_thread_is_exact_at_every_step", "it").succeeds(|| {
        assert_is(Ledger::new(), &gort::stats());
        let mut program = Program::new(1);
        for step in 0..12_000 {
            program.step();
            if step < 2_000 || step % 50 == 0 {
                assert_is(program.ledger, &gort::stats());
                assert_eq!(gort::thread_stats(), program.ledger.total);
            }
        }
        program.free_all();
        gort::free_os_memory();
        let stats = gort::stats();
        assert_is(program.ledger, &stats);
        assert_eq!((stats.heap_alloc, stats.heap_objects, stats.heap_inuse), (0, 0, 0));
    });
}

#[test]
fn huge_objects_are_counted_like_others() {
    Case::new("huge_objects_are_counted_like_others", "it").env("GODEBUG", "hugemin=256KiB").succeeds(|| {
        let mut program = Program::new(2);
        for _ in 0..3_000 {
            program.step();
            let object = Object::new(layout(256 * 1024 + program.random.magnitude(20), 8), 3);
            program.keep(object);
            if program.random.one_in(3) {
                program.free_all();
            }
        }
        assert_is(program.ledger, &gort::stats());
        let huge =
            program.objects.iter().map(|o| rounded(o.layout())).filter(|&bytes| bytes >= 256 * 1024).sum();
        let stats = gort::stats();
        // What shrank below the threshold in place is still a mapping of its own.
        assert!(stats.huge_inuse >= huge || stats.huge_inuse == 0, "{} of {huge}", stats.huge_inuse);
        program.free_all();
        assert_is(program.ledger, &gort::stats());
        assert_eq!(gort::stats().huge_inuse, 0);
    });
}

#[test]
fn realloc_counts_when_the_rounded_size_changes_and_not_otherwise() {
    Case::new("realloc_counts_when_the_rounded_size_changes_and_not_otherwise", "it").succeeds(|| {
        let sizes = [
            (1, 8, false),
            (8, 9, true),
            (1025, 1152, false),
            (1153, 1152, true),
            (32_768, 28_673, false),
            (32_768, 32_769, true),
            (32_769, 5 * PAGE, false),
            (5 * PAGE, 5 * PAGE + 1, true),
            (100 * PAGE, 99 * PAGE + 1, false),
            // In place, moved, moved without copying: they count alike.
            (100 * PAGE, 80 * PAGE, true),
            (MIB, 3 * MIB, true),
            (3 * MIB, 32_768, true),
            (70 * MIB, 90 * MIB, true),
            (90 * MIB, 70 * MIB, true),
            (70 * MIB, 70 * MIB - 1, false),
        ];
        for (from, to, counts) in sizes {
            let object = Object::new(layout(from, 8), 1);
            let _blocks_the_way = Object::new(layout(from, 8), 2);
            let (old, new) = (rounded(layout(from, 8)), rounded(layout(to, 8)));
            let (object, m) = gort::measure(|| object.resize(to));
            let expected = match counts {
                true => Measured { bytes: new, allocs: 1, frees: 1, bytes_freed: old },
                false => Measured::default(),
            };
            assert_eq!(m, expected, "{from} -> {to}");
            drop(object);
        }
    });
}

#[test]
fn measure_tells_what_one_closure_did() {
    Case::new("measure_tells_what_one_closure_did", "it").succeeds(|| {
        let ((), nothing) = gort::measure(|| ());
        assert_eq!(nothing, Measured::default());
        let mut program = Program::new(4);
        for _ in 0..300 {
            let before = program.ledger;
            let steps = program.random.below(200);
            let (inner, m) = gort::measure(|| {
                (0..steps / 2).for_each(|_| program.step());
                let middle = program.ledger;
                let ((), inner) = gort::measure(|| (0..steps / 2).for_each(|_| program.step()));
                (inner, program.ledger - middle)
            });
            assert_eq!(m, (program.ledger - before).total);
            assert_eq!(inner.0, inner.1.total, "a measurement inside another");
        }
    });
}

#[test]
fn measure_around_a_threads_first_operation() {
    Case::new("measure_around_a_threads_first_operation", "it").succeeds(|| {
        for _ in 0..3 {
            let (object, m) = gort::measure(|| Object::new(layout(1025 * 8, 8), 1));
            assert_eq!(m, Measured { bytes: 9472, allocs: 1, frees: 0, bytes_freed: 0 });
            // The next thread may get the mcache of the one before it, and counts from nothing all the same.
            thread::spawn(move || {
                let ((), m) = gort::measure(|| drop(object));
                let freed = Measured { bytes: 0, allocs: 0, frees: 1, bytes_freed: 9472 };
                assert_eq!((m, gort::thread_stats()), (freed, freed));
            })
            .join()
            .expect("the thread's counts are right");
        }
    });
}

#[test]
fn refused_allocations_count_nothing() {
    Case::new("refused_allocations_count_nothing", "it").succeeds(|| {
        let object = Object::new(layout(100_000, 8), 1);
        let before = gort::stats();
        let impossible = layout(isize::MAX as usize - 7, 8);
        assert!(Object::try_new(impossible, 0).is_none());
        assert!(Object::try_zeroed(impossible, 0).is_none());
        let object = object.try_resize(impossible.size()).err().expect("no such size");
        assert_eq!(Ledger::of(&gort::stats()), Ledger::of(&before));
        drop(object);
    });
}

/// Reads the statistics until told to stop: nothing that can only grow may ever fall.
fn watch(stop: &AtomicBool) -> u64 {
    let mut last = gort::stats();
    let mut readings = 0;
    while !stop.load(Relaxed) {
        let now = gort::stats();
        assert!(now.mallocs >= last.mallocs && now.frees >= last.frees, "{last:?} then {now:?}");
        assert!(now.total_alloc >= last.total_alloc);
        for (before, after) in last.by_size.iter().zip(&now.by_size) {
            assert!(
                after.mallocs >= before.mallocs && after.frees >= before.frees,
                "{before:?} then {after:?}"
            );
        }
        let sum = now.by_size.iter().map(|row| row.mallocs).sum::<u64>();
        assert!(sum <= now.mallocs, "classes have more than all together");
        for bytes in
            [now.heap_sys, now.heap_idle, now.heap_inuse, now.heap_released, now.huge_inuse, now.other_sys]
        {
            assert!(bytes < 1 << 46, "a count went below zero: {now:?}");
        }
        last = now;
        readings += 1;
    }
    readings
}

/// One of the threads that free what their neighbours allocate.
fn neighbour(number: u64, start: &Barrier, from: Receiver<Object>, to: Sender<Object>) -> Ledger {
    let mut program = Program::new(10 + number);
    let mut passed_on = VecDeque::new();
    start.wait();
    for step in 0..8_000 {
        program.step();
        if step % 3 == 0 {
            let layout = layout(any_size(&mut program.random), 8);
            program.ledger.allocated(layout);
            passed_on.push_back(Object::new(layout, number));
            if passed_on.len() > 20 {
                to.send(passed_on.pop_front().expect("there is one")).expect("the neighbour is there");
            }
        }
        for object in from.try_iter() {
            program.free(object);
        }
    }
    passed_on.into_iter().for_each(|object| to.send(object).expect("the neighbour is there"));
    drop(to);
    from.iter().for_each(|object| program.free(object));
    program.free_all();
    assert_eq!(gort::thread_stats(), program.ledger.total);
    program.ledger
}

#[test]
fn several_threads_are_exact_while_one_reads() {
    const THREADS: usize = 4;
    Case::new("several_threads_are_exact_while_one_reads", "it").succeeds(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let watcher = thread::spawn({
            let stop = stop.clone();
            move || watch(&stop)
        });
        let mut sum = Ledger::new();
        // Twice: the second time with the mcaches of the threads that have exited.
        for round in 0..2 {
            let start = Arc::new(Barrier::new(THREADS));
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| mpsc::channel()).unzip();
            let mut senders = VecDeque::from(senders);
            senders.rotate_left(1);
            let threads: Vec<_> = (0..)
                .zip(senders.into_iter().zip(receivers))
                .map(|(i, (to, from))| {
                    let start = start.clone();
                    thread::spawn(move || neighbour(round * 10 + i, &start, from, to))
                })
                .collect();
            for thread in threads {
                sum = sum + thread.join().expect("the thread's counts are right");
            }
            assert_is(sum, &gort::stats());
        }
        stop.store(true, Relaxed);
        assert!(watcher.join().expect("readings are in order") > 0);
        assert_eq!(sum.total.allocs, sum.total.frees);
    });
}

#[test]
fn free_os_memory_empties_the_heap_for_a_thread_that_never_allocated() {
    Case::new("free_os_memory_empties_the_heap_for_a_thread_that_never_allocated", "it").succeeds(|| {
        thread::spawn(|| {
            let mut program = Program::new(5);
            (0..5_000).for_each(|_| program.step());
            program.free_all();
        })
        .join()
        .expect("it allocates and frees");
        gort::free_os_memory();
        // What the thread left in the transfer caches came back with that: no page holds anything.
        assert_eq!(gort::stats().heap_inuse, 0);
    });
}

#[test]
fn counts_of_exited_threads_stay() {
    Case::new("counts_of_exited_threads_stay", "it").succeeds(|| {
        let mut sum = Ledger::new();
        let mut orphans = vec![];
        for i in 0..60 {
            let (ledger, left) = thread::spawn(move || {
                let mut program = Program::new(1_000 + i);
                (0..200).for_each(|_| program.step());
                assert_eq!(gort::thread_stats(), program.ledger.total);
                (program.ledger, program.objects)
            })
            .join()
            .expect("the thread's counts are right");
            sum = sum + ledger;
            assert_is(sum, &gort::stats());
            orphans.extend(left);
        }
        for object in orphans {
            sum.freed(object.layout());
            drop(object);
        }
        assert_is(sum, &gort::stats());
        assert_eq!(gort::stats().heap_objects, 0);
    });
}

/// What each hook of the next case does: a hundred small objects and one large, of which half are freed.
fn hook_layouts() -> impl Iterator<Item = (Layout, bool)> {
    (0..100).map(|i| (layout(10 + i, 8), i % 2 == 0)).chain([(layout(50_000, 8), true)])
}

unsafe extern "C" fn hook(_: *mut libc::c_void) {
    for (i, (layout, freed)) in (0..).zip(hook_layouts()) {
        let object = Object::new(layout, i);
        if freed {
            drop(object);
        } else {
            object.into_raw();
        }
    }
}

#[test]
fn what_exit_hooks_do_after_gorts_own_is_counted() {
    Case::new("what_exit_hooks_do_after_gorts_own_is_counted", "it").succeeds(|| {
        let mut ledger = Ledger::new();
        // The heap makes its key when it starts; this one comes later, and so its destructor runs later.
        ledger.allocated(layout(8, 8));
        ledger.freed(layout(8, 8));
        drop(Object::new(layout(8, 8), 1));
        let mut key = 0;
        // SAFETY: key is valid for a write; the hook has a destructor's signature.
        assert_eq!(unsafe { libc::pthread_key_create(&raw mut key, Some(hook)) }, 0);
        for _ in 0..12 {
            let start = Arc::new(Barrier::new(8));
            let threads = (0..8).map(|_| {
                let start = start.clone();
                thread::spawn(move || {
                    let object = Object::new(layout(8, 8), 1);
                    // SAFETY: the key was made above; any value but null arms it.
                    assert_eq!(unsafe { libc::pthread_setspecific(key, object.addr() as *const _) }, 0);
                    drop(object);
                    start.wait();
                })
            });
            threads.collect::<Vec<_>>().into_iter().for_each(|t| t.join().expect("nothing was wrong"));
            for _ in 0..8 {
                ledger.allocated(layout(8, 8));
                ledger.freed(layout(8, 8));
                for (layout, freed) in hook_layouts() {
                    ledger.allocated(layout);
                    if freed {
                        ledger.freed(layout);
                    }
                }
            }
            assert_is(ledger, &gort::stats());
        }
    });
}

#[test]
fn before_the_first_allocation_everything_is_zero() {
    Case::new("before_the_first_allocation_everything_is_zero", "it").succeeds(|| {
        let stats = gort::stats();
        assert_eq!((stats.sys, stats.mallocs, stats.memory_limit), (0, 0, u64::MAX));
        assert_eq!(gort::thread_stats(), Measured::default());
        assert_eq!(gort::free_os_memory(), 0);
        assert_eq!(stats.by_size.len(), NUM_CLASSES);
    });
}
