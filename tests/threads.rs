//! Threads that only allocate, only free, free what others allocated, come and go: contents stay intact and the heap does not
//! grow with the number of threads.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, sync_channel};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use common::{Case, Object, PAGE, Random, fill_caches, layout};

#[global_allocator]
static GLOBAL: gort::GoAlloc = gort::GoAlloc;

const MIB: u64 = 1 << 20;

fn any_object(random: &mut Random) -> Object {
    let size = match random.below(40) {
        0 => random.magnitude(19),
        1..4 => random.magnitude(14),
        _ => random.magnitude(10),
    };
    Object::new(layout(size, 1 << random.below(6)), random.next())
}

fn inuse() -> u64 {
    gort::stats().heap_inuse
}

#[test]
fn one_thread_allocates_and_another_frees() {
    let (send, receive) = sync_channel(64);
    thread::scope(|s| {
        s.spawn(move || {
            let mut random = Random::new(1);
            for _ in 0..60_000 {
                send.send(any_object(&mut random)).expect("the consumer is there");
            }
        });
        // Dropping checks the contents.
        let freed = s.spawn(move || receive.into_iter().count());
        assert_eq!(freed.join().expect("the consumer found nothing wrong"), 60_000);
    });
}

#[test]
fn a_ring_of_threads_frees_what_its_neighbours_allocate() {
    const THREADS: usize = 4;
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| mpsc::channel::<Object>()).unzip();
    let mut senders = senders.into_iter().cycle().skip(1).take(THREADS).collect::<Vec<_>>();
    thread::scope(|s| {
        for (i, receive) in (0..).zip(receivers) {
            let send = senders.remove(0);
            s.spawn(move || {
                let mut random = Random::new(10 + i);
                for _ in 0..15_000 {
                    send.send(any_object(&mut random)).expect("the neighbour is there");
                    drop(receive.try_recv());
                }
                drop(send);
                receive.into_iter().for_each(drop);
            });
        }
    });
}

#[test]
fn objects_are_resized_by_other_threads() {
    let shared: Mutex<Vec<Object>> = Mutex::new(vec![]);
    thread::scope(|s| {
        for i in 0..4 {
            let shared = &shared;
            s.spawn(move || {
                let mut random = Random::new(20 + i);
                for _ in 0..8_000 {
                    let object = match shared.lock().expect("nobody failed").pop() {
                        Some(object) => object.resize(random.magnitude(16)),
                        None => any_object(&mut random),
                    };
                    let mut shared = shared.lock().expect("nobody failed");
                    shared.push(object);
                    if shared.len() < 100 && random.one_in(2) {
                        shared.push(any_object(&mut random));
                    }
                    let at = random.below(shared.len());
                    shared.swap(0, at);
                    if random.one_in(8) {
                        drop(shared.pop());
                    }
                }
            });
        }
    });
}

#[test]
fn threads_that_only_allocate() {
    Case::new("threads_that_only_allocate", "it").succeeds(|| {
        let objects: Vec<_> = thread::scope(|s| {
            let threads: Vec<_> = (0..4)
                .map(|i| {
                    s.spawn(move || {
                        let mut random = Random::new(30 + i);
                        (0..10_000).map(|_| any_object(&mut random)).collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|t| t.join().expect("it only allocates")).collect()
        });
        let mut ranges: Vec<_> = objects.iter().map(|o| (o.addr(), o.end())).collect();
        ranges.sort_unstable();
        assert!(ranges.windows(2).all(|w| w[0].1 <= w[1].0), "objects overlap");
        let full = inuse();
        drop(objects);
        gort::free_os_memory();
        let empty = inuse();
        assert!(empty < full / 10, "{empty} of {full} bytes are still in use");
    });
}

#[test]
fn threads_exit_while_others_free_their_objects() {
    let (send, receive) = mpsc::channel::<Vec<Object>>();
    let receive = Mutex::new(receive);
    thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                loop {
                    // The lock is given back before the objects are freed.
                    let batch = receive.lock().expect("nobody failed").recv();
                    match batch {
                        Ok(batch) => drop(batch),
                        Err(_) => break,
                    }
                }
            });
        }
        for i in 0..300 {
            let send = send.clone();
            s.spawn(move || {
                let mut random = Random::new(100 + i);
                let mut kept = vec![];
                for _ in 0..4 {
                    send.send((0..60).map(|_| any_object(&mut random)).collect())
                        .expect("the others are there");
                    kept.push(any_object(&mut random));
                }
            });
        }
        drop(send);
    });
}

#[test]
fn a_thousand_short_threads_leave_a_bounded_heap() {
    Case::new("a_thousand_short_threads_leave_a_bounded_heap", "it").succeeds(|| {
        let run = |from: u64, to: u64| {
            for i in (from..to).step_by(4) {
                let threads = (i..i + 4).map(|i| {
                    thread::spawn(move || {
                        let mut random = Random::new(1_000 + i);
                        let mut objects: Vec<_> = (0..100).map(|_| any_object(&mut random)).collect();
                        objects.truncate(random.below(100));
                        objects
                    })
                });
                // What each leaves behind is freed here, by a thread that goes on.
                threads
                    .collect::<Vec<_>>()
                    .into_iter()
                    .for_each(|t| drop(t.join().expect("it only allocates")));
            }
        };
        run(0, 100);
        let early = gort::stats();
        run(100, 1_000);
        let late = gort::stats();
        assert!(
            late.heap_inuse < early.heap_inuse + 8 * MIB,
            "{} then {}",
            early.heap_inuse,
            late.heap_inuse
        );
        assert!(late.heap_sys <= early.heap_sys + 64 * MIB, "{} then {}", early.heap_sys, late.heap_sys);
        assert!(late.other_sys < early.other_sys + MIB, "{} then {}", early.other_sys, late.other_sys);
        // Their number follows the threads that live at the same time, not all that ever lived.
        assert!(
            late.mcache_inuse <= 2 * early.mcache_inuse,
            "{} then {}",
            early.mcache_inuse,
            late.mcache_inuse
        );
    });
}

#[test]
fn a_thread_that_only_frees_hoards_nothing() {
    Case::new("a_thread_that_only_frees_hoards_nothing", "it").succeeds(|| {
        let (send, receive) = sync_channel::<Object>(256);
        let (report, done) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let floor = inuse();
        let consumer = thread::spawn(move || {
            receive.into_iter().for_each(drop);
            report.send(()).expect("the test is there");
            // It stays alive, with whatever it kept.
            let _ = released.recv();
        });
        let producer = thread::spawn(move || {
            let mut random = Random::new(7);
            for _ in 0..60_000 {
                let layout = layout(random.magnitude(12), 8);
                send.send(Object::new(layout, 1)).expect("the consumer is there");
            }
        });
        producer.join().expect("the producer only allocates");
        done.recv().expect("the consumer found nothing wrong");
        gort::free_os_memory();
        let left = inuse() - floor.min(inuse());
        assert!(left < 3 * MIB, "{left} bytes are still in use");
        drop(release);
        consumer.join().expect("the consumer only frees");
        gort::free_os_memory();
        let left = inuse() - floor.min(inuse());
        assert!(left < MIB, "{left} bytes are still in use after the thread's exit");
    });
}

#[test]
fn a_call_to_give_back_reaches_a_thread_at_its_next_slow_path() {
    Case::new("a_call_to_give_back_reaches_a_thread_at_its_next_slow_path", "it").succeeds(|| {
        let step = Arc::new(Barrier::new(2));
        let keeper = thread::spawn({
            let step = step.clone();
            move || {
                fill_caches();
                step.wait();
                step.wait();
                drop(Object::new(layout(50_000, 8), 2));
                step.wait();
                step.wait();
            }
        });
        step.wait();
        gort::free_os_memory();
        let kept = inuse();
        step.wait();
        step.wait();
        let left = inuse();
        assert!(left + MIB / 4 < kept, "{kept} bytes were in use, {left} still are");
        step.wait();
        keeper.join().expect("nothing was wrong");
    });
}

#[test]
fn memory_does_not_travel_in_circles_without_end() {
    // The classic failure: each round the memory is freed by another thread than the one that needs it next.
    Case::new("memory_does_not_travel_in_circles_without_end", "it").succeeds(|| {
        let peak_of = |rounds: usize| {
            let (mut peak, mut batch) = (0, vec![]);
            for _ in 0..rounds {
                batch = thread::spawn(move || {
                    drop(batch);
                    (0..5_000).map(|i| Object::new(layout(100 + i % 400, 8), 1)).collect::<Vec<_>>()
                })
                .join()
                .expect("it allocates and frees");
                peak = peak.max(inuse());
            }
            peak
        };
        let early = peak_of(3);
        let late = peak_of(60);
        assert!(late < early + 2 * MIB, "{early} bytes in use at first, {late} later");
    });
}

#[test]
fn caches_are_emptied_by_others_while_their_threads_use_them() {
    Case::new("caches_are_emptied_by_others_while_their_threads_use_them", "it").succeeds(|| {
        let users_left = AtomicUsize::new(3);
        thread::scope(|s| {
            for i in 0..3 {
                let users_left = &users_left;
                s.spawn(move || {
                    let mut random = Random::new(50 + i);
                    let mut objects = vec![];
                    for _ in 0..15_000 {
                        // A few sizes, so that a kept span fits soon again.
                        let size = random.pick(&[100, 5_000, 40_000, 50_000, 120_000, 300_000]);
                        objects.push(Object::new(layout(size, 8), random.next()));
                        if objects.len() > 6 {
                            objects.swap_remove(random.below(objects.len()));
                        }
                    }
                    users_left.fetch_sub(1, Relaxed);
                });
            }
            let mut round = 0;
            while users_left.load(Relaxed) > 0 {
                round += 1;
                gort::set_memory_limit(if round % 2 == 0 { u64::MAX } else { MIB });
                gort::free_os_memory();
            }
        });
        gort::set_memory_limit(u64::MAX);
    });
}

#[test]
fn large_objects_that_others_free_are_used_again() {
    Case::new("large_objects_that_others_free_are_used_again", "it").succeeds(|| {
        let (send, receive) = sync_channel::<Object>(4);
        let consumer = thread::spawn(move || receive.into_iter().for_each(drop));
        let mut peak = 0;
        for i in 0..4_000 {
            send.send(Object::new(layout((5 + i % 60) * PAGE, 8), 1)).expect("the consumer is there");
            peak = peak.max(inuse());
        }
        drop(send);
        consumer.join().expect("the consumer found nothing wrong");
        assert!(peak < 24 * MIB, "{peak} bytes for at most six objects of at most 512 KiB");
    });
}

#[test]
fn many_threads_at_once_start_together() {
    let start = Arc::new(Barrier::new(64));
    let threads = (0..64).map(|i| {
        let start = start.clone();
        thread::spawn(move || {
            let mut random = Random::new(5_000 + i);
            start.wait();
            let objects: Vec<_> = (0..200).map(|_| any_object(&mut random)).collect();
            start.wait();
            drop(objects);
        })
    });
    threads.collect::<Vec<_>>().into_iter().for_each(|t| t.join().expect("nothing was wrong"));
}
