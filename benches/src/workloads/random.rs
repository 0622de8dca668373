//! Objects of random sizes, replaced at random.

use super::{Workload, parallel, piece};
use crate::job::{Job, Outcome, Parameter, Sum, parameter};
use std::mem::MaybeUninit;

const GROUP: &str = "random sizes";

const fn parameters(operations: u64, live: u64) -> [Parameter; 4] {
    [
        parameter("operations", operations, "how many objects are replaced"),
        parameter("live", live, "how many objects are alive"),
        parameter("smallest", 16, "bytes of the smallest object"),
        parameter("largest", 512, "bytes of the largest object"),
    ]
}

pub(super) const ROWS: &[Workload] = &[
    Workload {
        name: "random-1k",
        group: GROUP,
        about: "1,000 objects of 16 to 512 B, one of them replaced at random: a working set that fits the caches",
        published: "alloc-test",
        threads: 1,
        parameters: &parameters(22_000_000, 1000),
        run: random,
    },
    Workload {
        name: "random-1k-untouched",
        group: GROUP,
        about: "the same without a write to the new object: what the allocator itself touches",
        published: "alloc-test",
        threads: 1,
        parameters: &parameters(22_000_000, 1000),
        run: random_untouched,
    },
    Workload {
        name: "random-32k",
        group: GROUP,
        about: "the same with 32,768 objects: a working set that leaves the first caches",
        published: "alloc-test",
        threads: 1,
        parameters: &parameters(8_000_000, 32 << 10),
        run: random,
    },
    Workload {
        name: "random-1m",
        group: GROUP,
        about: "the same with 1,048,576 objects: far beyond every cache",
        published: "alloc-test",
        threads: 1,
        parameters: &parameters(500_000, 1 << 20),
        run: random,
    },
    Workload {
        name: "random-threads",
        group: GROUP,
        about: "random-1k on several threads at once, each with its own objects: does one thread slow another?",
        published: "alloc-test, threadtest",
        threads: 2,
        parameters: &{
            let [operations, live, smallest, largest] = parameters(14_000_000, 1000);
            [operations, live, smallest, largest, parameter("threads", 2, "how many threads")]
        },
        run: random_threads,
    },
];

/// What a program does in its middle life: a population of objects that changes and does not grow.
#[inline]
pub(super) fn random(job: &Job) -> Outcome {
    let (live, operations) = (job.get("live"), job.times("operations"));
    job.measure(live as u64 + operations, || replace(job, 0, live, operations))
}

/// Threads that have nothing to do with each other should not notice each other.
fn random_threads(job: &Job) -> Outcome {
    let (live, operations) = (job.get("live"), job.times("operations"));
    let threads = job.get("threads") as u64;
    job.measure((live as u64 + operations) * threads, || {
        parallel(threads, |thread| replace(job, thread, live, operations))
    })
}

#[inline]
fn replace(job: &Job, stream: u64, live: usize, operations: u64) -> Sum {
    let (smallest, largest) = (job.get("smallest"), job.get("largest"));
    let (mut random, mut sum) = (job.random(stream), Sum::default());
    let mut objects: Vec<_> = (0..live as u64).map(|i| piece(random.within(smallest..=largest), i)).collect();
    let more = largest.saturating_sub(smallest) as u32 + 1;
    for i in 0..operations {
        let (at, more) = random.two(live as u32, more);
        sum.add(objects[at][0] + objects[at].capacity() as u64);
        objects[at] = piece(smallest + more, i);
    }
    objects.iter().for_each(|object| sum.add(object[0]));
    sum
}

fn random_untouched(job: &Job) -> Outcome {
    let (live, operations) = (job.get("live"), job.times("operations"));
    let (smallest, largest) = (job.get("smallest"), job.get("largest"));
    let mut random = job.random(0);
    let mut block =
        move || Box::<[MaybeUninit<u64>]>::new_uninit_slice(random.within(smallest..=largest) / 8);
    let mut places = job.random(1);
    job.measure(live as u64 + operations, || {
        let mut sum = Sum::default();
        let mut objects: Vec<_> = (0..live).map(|_| block()).collect();
        for _ in 0..operations {
            let at = places.below(live);
            sum.add(objects[at].len() as u64);
            objects[at] = block();
        }
        sum
    })
}
