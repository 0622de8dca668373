//! The first thing that a process or a thread does with gort, each of its functions in turn.
//!
//! The test binary itself allocates from the system, so that a case's first operation really is the first.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};
use std::{hint, thread};

use common::{Case, Object, before_forks, fork, keeps_errno, layout, on_plain_threads, wait_for};
use gort::Measured;

const MIB: usize = 1 << 20;

/// What a first operation may need: objects that somebody else allocated.
struct Others {
    small: Object,
    large: Object,
    huge: Object,
}

impl Others {
    fn new() -> Self {
        Self {
            small: Object::new(layout(100, 8), 1),
            large: Object::new(layout(200_000, 8), 2),
            huge: Object::new(layout(3 * MIB, 8), 3),
        }
    }
}

type Operation = (&'static str, fn());
type OperationOnOthers = (&'static str, fn(Others));

fn alloc(size: usize, align: usize) {
    drop(Object::new(layout(size, align), 4));
}

/// Needs nothing: may be the first operation of the whole process.
const OPERATIONS: [Operation; 15] = [
    ("alloc_small", || alloc(1, 1)),
    ("alloc_largest_small", || alloc(32_768, 8)),
    ("alloc_large", || alloc(32_769, 8)),
    ("alloc_aligned", || alloc(1, 2 * MIB)),
    ("alloc_huge", || alloc(3 * MIB, 8)),
    ("alloc_nothing", || alloc(0, 1)),
    ("alloc_too_much", || assert!(Object::try_new(layout(isize::MAX as usize - 7, 8), 4).is_none())),
    ("alloc_zeroed_small", || drop(Object::zeroed(layout(1_000, 8), 4))),
    ("alloc_zeroed_large", || drop(Object::zeroed(layout(100_000, 8), 4))),
    ("stats", || assert!(gort::stats().mallocs < 1 << 40)),
    ("thread_stats", || assert_eq!(gort::thread_stats(), Measured::default())),
    ("measure", || {
        let (object, m) = gort::measure(|| Object::new(layout(1_000, 8), 4));
        assert_eq!(m, Measured { bytes: 1024, allocs: 1, frees: 0, bytes_freed: 0 });
        drop(object);
    }),
    ("set_memory_limit", || {
        gort::set_memory_limit(1 << 40);
        assert_eq!(gort::set_memory_limit(1 << 40), 1 << 40);
    }),
    ("free_os_memory", || {
        gort::free_os_memory();
    }),
    ("usable_size", || assert_eq!(gort::usable_size(layout(1_025, 8)), 1152)),
];

/// Needs a heap: may be the first operation of a thread.
const OPERATIONS_ON_OTHERS: [OperationOnOthers; 11] = [
    ("free_small", |others| drop(others.small)),
    ("free_large", |others| drop(others.large)),
    ("free_huge", |others| drop(others.huge)),
    ("realloc_small_to_same", |others| drop(others.small.resize(112))),
    ("realloc_small_to_small", |others| drop(others.small.resize(5_000))),
    ("realloc_small_to_large", |others| drop(others.small.resize(50_000))),
    ("realloc_large_in_place", |others| drop(others.large.resize(100_000))),
    ("realloc_large_to_small", |others| drop(others.large.resize(100))),
    ("realloc_large_to_huge", |others| drop(others.large.resize(4 * MIB))),
    ("realloc_huge_to_huge", |others| drop(others.huge.resize(6 * MIB))),
    ("realloc_huge_to_small", |others| drop(others.huge.resize(10))),
];

/// After its first operation a thread goes on like any other.
fn go_on() {
    for i in 0..300 {
        let object = Object::new(layout(1 + i * 37, 8), i as u64);
        drop(object.resize(1 + i * 53));
    }
    drop(Object::zeroed(layout(2 * MIB, 8), 5));
    let stats = gort::stats();
    assert!(stats.mallocs >= 300 && stats.heap_sys > 0, "{stats:?}");
}

/// Runs `first` in `count` fresh threads at once, each with what `prepare` made for it.
fn race<T: Send + 'static>(count: usize, first: fn(T), prepare: impl Fn() -> T) {
    let start = Arc::new(Barrier::new(count));
    let threads = (0..count).map(|_| {
        let (start, prepared) = (start.clone(), prepare());
        thread::spawn(move || {
            start.wait();
            keeps_errno("the first operation", || first(prepared));
            go_on();
        })
    });
    threads.collect::<Vec<_>>().into_iter().for_each(|t| t.join().expect("nothing was wrong"));
}

fn case(test: &str, name: &str) -> Case {
    Case::new(test, name).env("GODEBUG", "hugemin=1MiB")
}

#[test]
fn of_the_process() {
    for (name, first) in OPERATIONS {
        case("of_the_process", name).succeeds(|| {
            keeps_errno(name, first);
            go_on();
        });
    }
}

#[test]
fn of_the_process_on_many_threads_at_once() {
    for (name, first) in OPERATIONS {
        case("of_the_process_on_many_threads_at_once", name).succeeds(|| {
            let start = Arc::new(Barrier::new(8));
            let threads = (0..8).map(|_| {
                let start = start.clone();
                thread::spawn(move || {
                    start.wait();
                    keeps_errno("the first operation", first);
                    go_on();
                })
            });
            threads.collect::<Vec<_>>().into_iter().for_each(|t| t.join().expect("nothing was wrong"));
        });
    }
}

#[test]
fn of_the_process_all_different_at_once() {
    for round in ["1", "2", "3"] {
        case("of_the_process_all_different_at_once", round).succeeds(|| {
            let start = Arc::new(Barrier::new(OPERATIONS.len()));
            let threads = OPERATIONS.map(|(_, first)| {
                let start = start.clone();
                thread::spawn(move || {
                    start.wait();
                    keeps_errno("the first operation", first);
                    go_on();
                })
            });
            threads.into_iter().for_each(|t| t.join().expect("nothing was wrong"));
        });
    }
}

#[test]
fn of_a_thread() {
    case("of_a_thread", "all").succeeds(|| {
        drop(Others::new());
        for (_, first) in OPERATIONS {
            race(1, |first: fn()| first(), || first);
            race(8, |first: fn()| first(), || first);
        }
    });
}

#[test]
fn of_a_thread_on_what_others_allocated() {
    case("of_a_thread_on_what_others_allocated", "all").succeeds(|| {
        for (_, first) in OPERATIONS_ON_OTHERS {
            race(1, first, Others::new);
            race(8, first, Others::new);
        }
        gort::free_os_memory();
        let stats = gort::stats();
        assert_eq!((stats.heap_objects, stats.heap_alloc, stats.heap_inuse), (0, 0, 0));
    });
}

#[test]
fn of_a_thread_is_its_last() {
    case("of_a_thread_is_its_last", "all").succeeds(|| {
        drop(Others::new());
        for _ in 0..20 {
            for (_, only) in OPERATIONS {
                thread::spawn(only).join().expect("nothing was wrong");
            }
            for (_, only) in OPERATIONS_ON_OTHERS {
                let others = Others::new();
                thread::spawn(move || only(others)).join().expect("nothing was wrong");
            }
        }
        let stats = gort::stats();
        assert_eq!((stats.heap_objects, stats.heap_alloc), (0, 0));
    });
}

#[test]
fn of_the_process_while_it_forks() {
    // The fork falls into another moment of the start in each round, which the files that `auto` reads make longer; the child
    // goes on with what there was.
    for round in 0..60 {
        let case = Case::new("of_the_process_while_it_forks", &round.to_string());
        case.env("GOMEMLIMIT", "auto").succeeds(|| {
            let start = Arc::new(Barrier::new(3));
            let threads = [1, 2].map(|_| {
                let start = start.clone();
                thread::spawn(move || {
                    start.wait();
                    go_on();
                })
            });
            start.wait();
            let (begin, pause) = (Instant::now(), Duration::from_micros(round));
            while begin.elapsed() < pause {
                hint::spin_loop();
            }
            let pid = fork(5, || {
                go_on();
                on_plain_threads(2, |_| go_on());
                // What a start prepares for forks is prepared once.
                wait_for(fork(5, || {
                    go_on();
                    0
                }))
            });
            assert_eq!(wait_for(pid), 0);
            threads.into_iter().for_each(|t| t.join().expect("nothing was wrong"));
        });
    }
}

/// The threads that began to use gort while the hooks of a fork ran; they go on until they are told.
static BEGUN: AtomicU32 = AtomicU32::new(0);
static ENOUGH: AtomicBool = AtomicBool::new(false);

extern "C" fn threads_begin() {
    const THREADS: u32 = 4;
    for _ in 0..THREADS {
        thread::spawn(|| {
            go_on();
            BEGUN.fetch_add(1, Relaxed);
            while !ENOUGH.load(Relaxed) {
                // With the heap's lock held most of the time.
                drop(Object::zeroed(layout(MIB, 8), 5));
                gort::free_os_memory();
            }
        });
    }
    while BEGUN.load(Relaxed) < THREADS {
        thread::yield_now();
    }
}

#[test]
fn of_the_process_in_a_hook_of_a_fork() {
    // The hooks that run are those of the fork's beginning. Those that a first operation registered would come too late: what the
    // threads lock would be locked in the child.
    for round in 0..20 {
        Case::new("of_the_process_in_a_hook_of_a_fork", &round.to_string()).succeeds(|| {
            before_forks(threads_begin);
            let pid = fork(5, || {
                on_plain_threads(2, |_| go_on());
                0
            });
            ENOUGH.store(true, Relaxed);
            assert_eq!(wait_for(pid), 0);
        });
    }
}
