//! Threads that allocate at the same time, that end before what they made, and that share cache lines.

use super::{Workload, parallel, piece};
use crate::job::{Job, Outcome, Parameter, Sum, parameter};
use std::hint::black_box;
use std::sync::mpsc::{Sender, channel};
use std::thread;

const GROUP: &str = "threads";

const SHARING: &[Parameter] = &[
    parameter("rounds", 12_000, "how many objects each thread makes"),
    parameter("writes", 20_000, "how often each object is written to"),
    parameter("threads", 2, "how many threads"),
];

pub(super) const ROWS: &[Workload] = &[
    Workload {
        name: "power-law",
        group: GROUP,
        about: "random replacement of objects of 8 B to 32 KB, mostly small, on each thread",
        published: "glibc's bench-malloc-thread",
        threads: 2,
        parameters: &[
            parameter("operations", 1_500_000, "how many objects each thread replaces"),
            parameter("live", 2000, "how many objects of each thread are alive"),
            parameter("smallest", 8, "bytes of the smallest object"),
            parameter("largest", 32 << 10, "bytes of the largest object"),
            parameter("threads", 2, "how many threads"),
        ],
        run: power_law,
    },
    Workload {
        name: "larson",
        group: GROUP,
        about: "a server: each thread replaces objects at random, then hands them to a new thread and ends",
        published: "larson",
        threads: 2,
        parameters: &[
            parameter("generations", 100, "how many threads follow each other"),
            parameter("operations", 80_000, "how many objects each of them replaces"),
            parameter("live", 5000, "how many objects are handed on"),
            parameter("smallest", 8, "bytes of the smallest object"),
            parameter("largest", 1000, "bytes of the largest object"),
            parameter("threads", 2, "how many at the same time"),
        ],
        run: larson,
    },
    Workload {
        name: "short-threads",
        group: GROUP,
        about: "thousands of threads that make and drop a few objects and leave one behind",
        published: "mstress's thread churn",
        threads: 2,
        parameters: &[
            parameter("rounds", 3000, "how often the threads are started"),
            parameter("objects", 100, "how many objects each makes"),
            parameter("largest", 512, "bytes of the largest object"),
            parameter("threads", 2, "how many at the same time"),
        ],
        run: short_threads,
    },
    Workload {
        name: "cache-thrash",
        group: GROUP,
        about: "threads that write to small objects of their own: does the allocator put them on one cache line?",
        published: "cache-thrash",
        threads: 2,
        parameters: SHARING,
        run: |job| sharing(job, false),
    },
    Workload {
        name: "cache-scratch",
        group: GROUP,
        about: "the same after each has dropped an object that shared a line: does the allocator hand out the line again?",
        published: "cache-scratch",
        threads: 2,
        parameters: SHARING,
        run: |job| sharing(job, true),
    },
];

/// The sizes of real programs: most objects are small, and most bytes are in large ones.
fn power_law(job: &Job) -> Outcome {
    let (live, operations) = (job.get("live"), job.times("operations"));
    let (smallest, largest) = (job.get("smallest"), job.get("largest"));
    let threads = job.get("threads") as u64;
    job.measure(threads * operations, || {
        parallel(threads, |thread| {
            let (mut random, mut sum) = (job.random(thread), Sum::default());
            let mut objects = vec![Vec::new(); live];
            for i in 0..operations {
                let at = random.below(live);
                sum.add(objects[at].first().map_or(0, |tag| tag + objects[at].capacity() as u64));
                objects[at] = piece(random.skewed(smallest..=largest), i);
            }
            sum
        })
    })
}

/// One line of threads, each of which inherits the objects of the one before.
#[derive(Clone, Copy)]
struct Lineage {
    seed: u64,
    generations: u64,
    operations: u64,
    smallest: usize,
    largest: usize,
}

/// A server whose objects outlive the threads that made them: each thread frees what its forebears allocated.
fn larson(job: &Job) -> Outcome {
    let (threads, generations, operations) =
        (job.get("threads") as u64, job.times("generations"), job.get("operations") as u64);
    let (smallest, largest) = (job.get("smallest"), job.get("largest"));
    job.measure(threads * generations * operations, || {
        let (done, all_done) = channel();
        for i in 0..threads {
            let lineage = Lineage { seed: job.random(i).word(), generations, operations, smallest, largest };
            let objects = (0..job.get("live") as u64).map(|i| piece(smallest, i)).collect();
            lineage.go_on(0, objects, Sum::default(), done.clone());
        }
        drop(done);
        all_done.into_iter().sum()
    })
}

impl Lineage {
    fn go_on(self, generation: u64, mut objects: Vec<Vec<u64>>, mut sum: Sum, done: Sender<Sum>) {
        if generation == self.generations {
            objects.iter().for_each(|object| sum.add(object[0]));
            // Nobody waits any more only if the process has failed already.
            let _ = done.send(sum);
            return;
        }
        thread::spawn(move || {
            let mut random = crate::Random::new(self.seed ^ (generation << 32));
            let more = self.largest.saturating_sub(self.smallest) as u32 + 1;
            for i in 0..self.operations {
                let (at, more) = random.two(objects.len() as u32, more);
                sum.add(objects[at][0] + objects[at].capacity() as u64);
                objects[at] = piece(self.smallest + more, i);
            }
            self.go_on(generation + 1, objects, sum, done);
        });
    }
}

/// A thread for each request: what does it cost that a thread has memory at all?
fn short_threads(job: &Job) -> Outcome {
    let (rounds, threads) = (job.times("rounds"), job.get("threads") as u64);
    let (objects, largest) = (job.get("objects") as u64, job.get("largest"));
    job.measure(rounds * threads * objects, || {
        let mut sum = Sum::default();
        for round in 0..rounds {
            let left: Vec<String> = thread::scope(|s| {
                let work = move |thread: u64| {
                    let mut random = job.random(round * threads + thread);
                    let all: Vec<_> = (0..objects).map(|i| piece(random.within(8..=largest), i)).collect();
                    format!("{} words of {}", all.iter().map(Vec::capacity).sum::<usize>(), random.word())
                };
                let all: Vec<_> = (0..threads).map(|thread| s.spawn(move || work(thread))).collect();
                all.into_iter().map(|one| one.join().expect("a thread that does not panic")).collect()
            });
            left.iter().for_each(|text| sum.text(text));
        }
        sum
    })
}

/// Counters, one for each thread, as small as objects get.
fn sharing(job: &Job, inherited: bool) -> Outcome {
    let (rounds, writes, threads) =
        (job.times("rounds"), job.get("writes") as u64, job.get("threads") as u64);
    let first = job.random(0).word();
    job.measure(rounds * threads, || {
        // Made one after the other by one thread: neighbours, most likely.
        let given: Vec<Option<Box<u64>>> =
            (0..threads).map(|i| inherited.then(|| Box::new(first ^ i))).collect();
        thread::scope(|s| {
            let work = |thread: u64, given: Option<Box<u64>>| {
                let mut sum = Sum::default();
                sum.add(given.map_or(thread, |given| *given));
                for round in 0..rounds {
                    let mut counter = Box::new(first ^ round);
                    for _ in 0..writes {
                        *black_box(&mut *counter) += thread;
                    }
                    sum.add(*counter);
                }
                sum
            };
            let all: Vec<_> =
                (0..threads).zip(given).map(|(i, given)| s.spawn(move || work(i, given))).collect();
            all.into_iter().map(|one| one.join().expect("a thread that does not panic")).sum()
        })
    })
}
