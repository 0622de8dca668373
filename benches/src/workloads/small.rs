//! Small objects of one thread, dropped in the order in which they were made or the other way round.

use super::{Workload, piece};
use crate::job::{Job, Outcome, Sum, parameter};
use std::hint::black_box;
use std::mem::MaybeUninit;

const GROUP: &str = "small objects";

pub(super) const ROWS: &[Workload] = &[
    Workload {
        name: "box-64",
        group: GROUP,
        about: "one Box of 64 B made, its first word written, and dropped, over and over",
        published: "a burst of one in glibc's bench-malloc-simple",
        threads: 1,
        parameters: &[parameter("operations", 50_000_000, "how many boxes")],
        run: box_64,
    },
    Workload {
        name: "box-64-untouched",
        group: GROUP,
        about: "the same, not written to: the allocator alone",
        published: "a burst of one in glibc's bench-malloc-simple",
        threads: 1,
        parameters: &[parameter("operations", 50_000_000, "how many boxes")],
        run: box_64_untouched,
    },
    Workload {
        name: "lifo-burst",
        group: GROUP,
        about: "a burst of objects, dropped last first, as scopes and stacks of work do",
        published: "sh6bench's bursts, alloc-test",
        threads: 1,
        parameters: BURST,
        run: |job| burst(job, true),
    },
    Workload {
        name: "fifo-burst",
        group: GROUP,
        about: "a burst of objects, dropped first first, as queues do",
        published: "glibc's bench-malloc-simple",
        threads: 1,
        parameters: BURST,
        run: |job| burst(job, false),
    },
];

const BURST: &[crate::job::Parameter] = &[
    parameter("bursts", 12_000, "how many bursts"),
    parameter("live", 1000, "objects of a burst"),
    parameter("smallest", 16, "bytes of the smallest object"),
    parameter("largest", 256, "bytes of the largest object"),
];

/// The cheapest thing that there is: what a temporary costs.
#[inline]
pub(super) fn box_64(job: &Job) -> Outcome {
    let operations = job.times("operations");
    let first = job.random(0).word();
    job.measure(operations, || {
        let mut sum = Sum::default();
        for i in 0..operations {
            let mut words = black_box(Box::<[MaybeUninit<u64>; 8]>::new([MaybeUninit::uninit(); 8]));
            sum.add(*words[0].write(first ^ i));
            black_box(words);
        }
        sum
    })
}

fn box_64_untouched(job: &Job) -> Outcome {
    let operations = job.times("operations");
    let first = job.random(0).word();
    job.measure(operations, || {
        let mut sum = Sum::default();
        for i in 0..operations {
            black_box(Box::<[u64; 8]>::new_uninit());
            sum.add(first ^ i);
        }
        sum
    })
}

/// A burst of temporaries: it empties and fills what an allocator keeps ready.
fn burst(job: &Job, last_first: bool) -> Outcome {
    let (live, sizes) = (job.get("live"), job.get("smallest")..=job.get("largest"));
    let bursts = job.times("bursts");
    let mut random = job.random(0);
    let mut objects = Vec::with_capacity(live);
    job.measure(bursts * live as u64, || {
        let mut sum = Sum::default();
        for _ in 0..bursts {
            objects.extend((0..live as u64).map(|i| piece(random.within(sizes.clone()), i)));
            if last_first {
                while let Some(object) = objects.pop() {
                    sum.add(object[0] + object.capacity() as u64);
                }
            } else {
                objects.drain(..).for_each(|object| sum.add(object[0] + object.capacity() as u64));
            }
        }
        sum
    })
}
