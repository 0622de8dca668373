//! `fork` in a program whose other threads are in the middle of everything: the child works, and the parent goes on.

mod common;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use common::{Case, Object, Random, fork, layout, on_plain_threads, seconds_until, wait_for};

#[global_allocator]
static GLOBAL: gort::GoAlloc = gort::GoAlloc;

const MIB: usize = 1 << 20;
/// A child that takes longer hangs.
const SECONDS: u32 = 20;

fn any_object(random: &mut Random) -> Object {
    let size = match random.below(20) {
        0 => 256 * 1024 + random.magnitude(19),
        1..4 => random.magnitude(16),
        _ => random.magnitude(11),
    };
    Object::new(layout(size, 8), random.next())
}

fn churn(random: &mut Random, objects: &mut Vec<Object>) {
    objects.push(any_object(random));
    if random.one_in(4) {
        let object = objects.swap_remove(random.below(objects.len()));
        objects.push(object.resize(random.magnitude(17)));
    }
    if objects.len() > 60 || random.one_in(3) {
        objects.swap_remove(random.below(objects.len()));
    }
    if objects.len() > 50 && random.one_in(100) {
        objects.clear();
    }
}

/// Allocates and frees until told to stop, and gives some of its objects away.
fn busy(number: u64, stop: &AtomicBool, give: &SyncSender<Object>) {
    let mut random = Random::new(100 + number);
    let mut objects = vec![];
    while !stop.load(Relaxed) {
        churn(&mut random, &mut objects);
        if random.one_in(4) {
            let _ = give.try_send(any_object(&mut random));
        }
        if random.one_in(50) {
            gort::stats();
        }
        if random.one_in(500) {
            gort::free_os_memory();
        }
    }
}

/// Starts threads that are born and exit all the time.
fn short_lived(stop: &AtomicBool) {
    let mut i = 0;
    while !stop.load(Relaxed) {
        i += 1;
        thread::spawn(move || {
            let mut random = Random::new(10_000 + i);
            drop((0..30).map(|_| any_object(&mut random)).collect::<Vec<_>>());
        })
        .join()
        .expect("nothing was wrong");
    }
}

/// What a child does: everything, with objects of its own and of threads that it does not have.
fn in_child(round: u64, others: Vec<Object>) -> i32 {
    let before = gort::stats();
    drop(others);
    let mut random = Random::new(20_000 + round);
    let mut objects = vec![];
    (0..300).for_each(|_| churn(&mut random, &mut objects));
    drop(Object::zeroed(layout(2 * MIB, 8), 1));
    let of_threads = on_plain_threads(3, |i| {
        let mut random = Random::new(30_000 + i);
        let mut objects = vec![];
        (0..200).for_each(|_| churn(&mut random, &mut objects));
        objects
    });
    objects.extend(of_threads.into_iter().flatten());
    objects.iter().for_each(Object::check);
    drop(objects);
    gort::free_os_memory();
    let after = gort::stats();
    assert!(after.mallocs > before.mallocs + 900 && after.frees > before.frees + 900);
    assert!(after.heap_sys < before.heap_sys + (256 << 20));
    0
}

fn take(from: &Receiver<Object>, least: usize) -> Vec<Object> {
    let mut taken: Vec<_> = (0..least).map(|_| from.recv().expect("the busy threads give")).collect();
    taken.extend(from.try_iter().take(50));
    taken
}

/// Forks again and again from a program with busy threads; `inner` is what a child does.
fn forks(times: u64, inner: fn(u64, Vec<Object>) -> i32) {
    let stop = Arc::new(AtomicBool::new(false));
    let (give, from) = sync_channel(200);
    let mut threads: Vec<_> = (0..3)
        .map(|i| {
            let (stop, give) = (stop.clone(), give.clone());
            thread::spawn(move || busy(i, &stop, &give))
        })
        .collect();
    threads.push(thread::spawn({
        let stop = stop.clone();
        move || short_lived(&stop)
    }));
    for round in 0..times {
        let others = take(&from, 5);
        // Each of the two processes frees its copy of them.
        let pid = fork(SECONDS, || inner(round, others));
        assert_eq!(wait_for(pid), 0);
    }
    stop.store(true, Relaxed);
    threads.into_iter().for_each(|t| t.join().expect("the parent's threads went on"));
    drop(from);
    gort::free_os_memory();
}

#[test]
fn in_a_busy_program() {
    for round in ["1", "2"] {
        Case::new("in_a_busy_program", round)
            .env("GODEBUG", "hugemin=512KiB")
            .succeeds(|| forks(25, in_child));
    }
}

#[test]
fn in_a_busy_program_with_a_memory_limit() {
    Case::new("in_a_busy_program_with_a_memory_limit", "it")
        .env("GOMEMLIMIT", "16MiB")
        .succeeds(|| forks(25, in_child));
}

#[test]
fn in_a_busy_program_with_the_background_thread() {
    Case::new("in_a_busy_program_with_the_background_thread", "it")
        .env("GODEBUG", "scavthread=1")
        .succeeds(|| forks(25, in_child));
}

#[test]
fn of_a_fork() {
    Case::new("of_a_fork", "it").succeeds(|| {
        forks(15, |round, others| {
            drop(others);
            let object = Object::new(layout(1_000, 8), round);
            let pid = fork(SECONDS, || in_child(round, vec![object]));
            assert_eq!(wait_for(pid), 0);
            in_child(round, vec![])
        });
    });
}

#[test]
fn statistics_in_a_child() {
    // Threads that do nothing but count: many forks find one of them in the middle of it.
    Case::new("statistics_in_a_child", "it").succeeds(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..2).map(|_| {
            let stop = stop.clone();
            thread::spawn(move || {
                while !stop.load(Relaxed) {
                    // Through the global allocator, which is gort; the contents are never touched.
                    (0..1_000).for_each(|_| drop(black_box(Vec::<u8>::with_capacity(40_000))));
                }
            })
        });
        let threads: Vec<_> = threads.collect();
        for _ in 0..300 {
            let before = gort::stats();
            let pid = fork(5, || {
                let after = gort::stats();
                i32::from(after.mallocs < before.mallocs || after.frees < before.frees)
            });
            assert_eq!(wait_for(pid), 0, "counts fell");
        }
        stop.store(true, Relaxed);
        threads.into_iter().for_each(|t| t.join().expect("the parent's threads went on"));
    });
}

#[test]
fn by_a_thread_that_is_not_the_main_thread() {
    Case::new("by_a_thread_that_is_not_the_main_thread", "it").succeeds(|| {
        thread::spawn(|| forks(20, in_child)).join().expect("nothing was wrong");
    });
}

#[test]
fn many_children_at_once() {
    Case::new("many_children_at_once", "it").succeeds(|| {
        let mut random = Random::new(3);
        let pids: Vec<_> = (0..20)
            .map(|round| {
                let others = (0..20).map(|_| any_object(&mut random)).collect();
                fork(SECONDS, || in_child(round, others))
            })
            .collect();
        pids.into_iter().for_each(|pid| assert_eq!(wait_for(pid), 0));
    });
}

#[test]
fn a_child_without_other_threads_shrinks_by_itself() {
    // The background thread stayed in the parent; the first thread that the child starts brings one back.
    Case::new("a_child_without_other_threads_shrinks_by_itself", "it")
        .env("GODEBUG", "scavthread=1")
        .succeeds(|| {
            drop((0..20_000).map(|i| Object::new(layout(1_000 + i % 3_000, 8), 1)).collect::<Vec<_>>());
            let pid = fork(40, || {
                thread::spawn(|| drop(Object::new(layout(100, 8), 1))).join().expect("nothing was wrong");
                let before = gort::stats().heap_released;
                let grown = seconds_until(20, || gort::stats().heap_released > before + (10 << 20));
                i32::from(grown.is_none())
            });
            assert_eq!(wait_for(pid), 0, "the child gave nothing back");
        });
}
