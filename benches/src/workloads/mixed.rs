//! Lives of all lengths at once: what fragments a heap.

use super::{Workload, parallel, piece};
use crate::job::{Job, Outcome, Parameter, Sum, mix, parameter};
use std::mem;
use std::sync::Mutex;

pub(super) const GROUP: &str = "mixed lifetimes";

const fn odd(passes: u64, threads: u64) -> [Parameter; 4] {
    [
        parameter("passes", passes, "how often the pattern is gone through"),
        parameter("objects", 20_000, "objects of a pass"),
        parameter("largest", 1000, "bytes of the largest object"),
        parameter("threads", threads, "how many threads"),
    ]
}

pub(super) const ROWS: &[Workload] = &[
    Workload {
        name: "mstress",
        group: GROUP,
        about: "threads that keep some objects, trade others through a shared table, and end; then the next ones",
        published: "mstress",
        threads: 2,
        parameters: &[
            parameter("rounds", 30, "how often the threads are started"),
            parameter("operations", 60_000, "how many objects each makes in a round"),
            parameter("shared", 1000, "places of the shared table"),
            parameter("threads", 2, "how many threads"),
        ],
        run: mstress,
    },
    Workload {
        name: "sh6",
        group: GROUP,
        about: "bursts of sizes that go up, many small, dropped in part backwards, in part forwards, in part a pass later",
        published: "sh6bench",
        threads: 1,
        parameters: &odd(300, 1),
        run: odd_patterns,
    },
    Workload {
        name: "sh8",
        group: GROUP,
        about: "the same on threads that leave the last part to each other",
        published: "sh8bench",
        threads: 2,
        parameters: &odd(260, 2),
        run: odd_patterns,
    },
];

/// Filled with its tag, and found to be so when it is dropped.
pub(super) fn filled(bytes: usize, tag: u64) -> Vec<u64> {
    vec![tag; bytes.div_ceil(8).max(1)]
}

pub(super) fn count(sum: &mut Sum, object: &[u64]) {
    assert_eq!(object[0], object[object.len() - 1], "an object has been written to by someone else");
    sum.add(object[0] ^ object.len() as u64);
}

/// A server whose worker threads come and go while what they made is passed around: any object may be dropped by any thread,
/// also by one that started after its maker ended.
fn mstress(job: &Job) -> Outcome {
    let (rounds, operations, threads) =
        (job.times("rounds"), job.get("operations") as u64, job.get("threads") as u64);
    let shared: Vec<Mutex<Vec<u64>>> = (0..job.get("shared")).map(|_| Mutex::default()).collect();
    job.measure(rounds * threads * operations, || {
        let mut sum = Sum::default();
        for round in 0..rounds {
            sum += parallel(threads, |thread| {
                let (mut random, mut sum) = (job.random(round * threads + thread), Sum::default());
                let mut kept: Vec<Vec<u64>> = Vec::new();
                for i in 0..operations {
                    // Mostly small; one in 100 is larger, one in 1,000 much larger.
                    let bytes = match random.below(1000) {
                        0 => random.within(8 << 10..=64 << 10),
                        1..10 => random.within(512..=8 << 10),
                        _ => random.within(8..=256),
                    };
                    let mut object = filled(bytes, mix(i ^ (thread << 32)));
                    let (what, at) = random.two(4, u32::MAX);
                    match what {
                        0 => {
                            kept.push(object);
                            continue;
                        }
                        1 if !kept.is_empty() => {
                            let at = at % kept.len();
                            mem::swap(&mut kept[at], &mut object);
                        }
                        2 => {
                            let mut place = shared[at % shared.len()].lock().expect("no thread panics");
                            mem::swap(&mut *place, &mut object);
                        }
                        _ => (),
                    }
                    if !object.is_empty() {
                        count(&mut sum, &object);
                    }
                }
                kept.iter().for_each(|object| count(&mut sum, object));
                sum
            });
        }
        for place in &shared {
            let left = mem::take(&mut *place.lock().expect("no thread panics"));
            if !left.is_empty() {
                count(&mut sum, &left);
            }
        }
        sum
    })
}

/// Where a thread leaves the last part of a pass, and finds what another has left there a pass before.
fn place(thread: u64, pass: u64, threads: usize) -> usize {
    (thread + pass) as usize % threads
}

/// Orders of freeing that are neither a stack nor a queue.
fn odd_patterns(job: &Job) -> Outcome {
    let (passes, objects, threads) = (job.times("passes"), job.get("objects"), job.get("threads"));
    let largest = job.get("largest");
    let late: Vec<Mutex<Vec<Vec<u64>>>> = (0..threads).map(|_| Mutex::default()).collect();
    job.measure(passes * (objects * threads) as u64, || {
        let mut sum = parallel(threads as u64, |thread| {
            let (mut random, mut sum) = (job.random(thread), Sum::default());
            let drop_all = |sum: &mut Sum, all: Vec<Vec<u64>>| {
                all.into_iter().for_each(|object| sum.add(object[0] + object.capacity() as u64));
            };
            for pass in 0..passes {
                // Sizes go up in steps; the smaller a step's size, the more objects it has.
                let mut all = Vec::with_capacity(objects);
                let mut bytes = 8 + random.below(8);
                while all.len() < objects {
                    let some = (objects / 8 * 16 / (bytes + 16)).clamp(1, objects - all.len());
                    all.extend((0..some as u64).map(|i| piece(bytes, i)));
                    bytes = if bytes >= largest {
                        8 + random.below(8)
                    } else {
                        bytes + 8 + random.below(1 + bytes / 4)
                    };
                }
                let last = all.split_off(objects - objects / 3);
                let middle = all.split_off(objects / 3);
                drop_all(&mut sum, middle);
                while let Some(object) = all.pop() {
                    sum.add(object[0] + object.capacity() as u64);
                }
                let place = &late[place(thread, pass, threads)];
                let before = mem::replace(&mut *place.lock().expect("no thread panics"), last);
                drop_all(&mut sum, before);
            }
            sum
        });
        let left = late.iter().flat_map(|late| mem::take(&mut *late.lock().expect("no thread panics")));
        left.for_each(|object| sum.add(object[0] + object.capacity() as u64));
        sum
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_last_part_of_a_pass_is_left_to_another_thread() {
        for threads in 2..9 {
            for pass in 0..20 {
                let places = |pass| (0..threads as u64).map(move |thread| place(thread, pass, threads));
                assert_eq!(places(pass).collect::<BTreeSet<_>>().len(), threads);
                assert!(places(pass).zip(places(pass + 1)).all(|(now, next)| now != next));
            }
        }
    }
}
