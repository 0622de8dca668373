//! Vectors that grow, and zeroed memory.

use super::Workload;
use crate::job::{Job, Outcome, Parameter, Sum, parameter};
use std::hint::black_box;

const GROUP: &str = "growth";

const fn growth(bytes: u64, times: u64) -> [Parameter; 2] {
    [parameter("bytes", bytes, "how far each vector grows"), parameter("times", times, "how many vectors")]
}

const fn zeroed(times: u64, smallest: u64, largest: u64) -> [Parameter; 3] {
    [
        parameter("times", times, "how many blocks"),
        parameter("smallest", smallest, "bytes of the smallest block"),
        parameter("largest", largest, "bytes of the largest block"),
    ]
}

pub(super) const ROWS: &[Workload] = &[
    Workload {
        name: "vec-1k",
        group: GROUP,
        about: "a Vec<u64> pushed to 1 KB, over and over",
        published: "none",
        threads: 1,
        parameters: &growth(1 << 10, 2_000_000),
        run: grow,
    },
    Workload {
        name: "vec-32k",
        group: GROUP,
        about: "a Vec<u64> pushed to 32 KB, over and over",
        published: "none",
        threads: 1,
        parameters: &growth(32 << 10, 160_000),
        run: grow,
    },
    Workload {
        name: "vec-1m",
        group: GROUP,
        about: "a Vec<u64> pushed to 1 MB, over and over",
        published: "none",
        threads: 1,
        parameters: &growth(1 << 20, 5000),
        run: grow,
    },
    Workload {
        name: "vec-256m",
        group: GROUP,
        about: "a Vec<u64> pushed to 256 MB: what a move costs when there is much to move",
        published: "none",
        threads: 1,
        parameters: &growth(256 << 20, 2),
        run: grow,
    },
    Workload {
        name: "vec-interleaved",
        group: GROUP,
        about: "64 vectors that grow by turns, so that none has free memory behind it",
        published: "rptest's reallocations",
        threads: 1,
        parameters: &[
            parameter("bytes", 64 << 10, "how far each vector grows, about"),
            parameter("live", 64, "how many grow at the same time"),
            parameter("times", 100, "how often all of them grow"),
        ],
        run: interleaved,
    },
    Workload {
        name: "zeroed-small",
        group: GROUP,
        about: "vec![0; n] of 32 to 1024 B, read and written to",
        published: "mstress, which takes a part of its objects zeroed",
        threads: 1,
        parameters: &zeroed(10_000_000, 32, 1 << 10),
        run: zeroed_touched,
    },
    Workload {
        name: "zeroed-touched",
        group: GROUP,
        about: "vec![0; n] of 4 KB to 4 MB, every page read and written to",
        published: "mstress, which takes a part of its objects zeroed",
        threads: 1,
        parameters: &zeroed(20_000, 4 << 10, 4 << 20),
        run: zeroed_touched,
    },
    Workload {
        name: "zeroed-untouched",
        group: GROUP,
        about: "vec![0; n] of 4 KB to 4 MB, of which only the first word is read",
        published: "none",
        threads: 1,
        parameters: &zeroed(24_000, 4 << 10, 4 << 20),
        run: zeroed_untouched,
    },
];

/// The reader of a stream, who cannot know how long it is.
fn grow(job: &Job) -> Outcome {
    let (words, times) = (job.get("bytes") as u64 / 8, job.times("times"));
    let first = job.random(0).word();
    job.measure(times, || {
        let mut sum = Sum::default();
        for i in 0..times {
            let mut list = Vec::new();
            (0..words).for_each(|at| list.push(black_box(first ^ at)));
            sum.add(list.last().copied().unwrap_or(first).wrapping_add(i));
            black_box(list);
        }
        sum
    })
}

/// Columns of a table: each append goes to one of them, a few words at a time.
fn interleaved(job: &Job) -> Outcome {
    let (words, live, times) = (job.get("bytes") / 8, job.get("live"), job.times("times"));
    let mut random = job.random(0);
    let appends = words * live / 8;
    job.measure(times * appends as u64, || {
        let mut sum = Sum::default();
        for _ in 0..times {
            let mut columns = vec![Vec::new(); live];
            for i in 0..appends {
                let (at, more) = random.two(live as u32, 16);
                columns[at].extend((0..more).map(|m| (i ^ m) as u64));
            }
            columns.iter().for_each(|column| sum.add(column.last().map_or(0, |w| w ^ column.len() as u64)));
        }
        sum
    })
}

/// A matrix, a table, a buffer: zero at first, used throughout.
fn zeroed_touched(job: &Job) -> Outcome {
    let (smallest, largest) = (job.get("smallest"), job.get("largest"));
    let (times, mut random) = (job.times("times"), job.random(0));
    job.measure(times, || {
        let mut sum = Sum::default();
        for i in 0..times {
            let mut words = vec![0_u64; random.skewed(smallest..=largest).div_ceil(8)];
            words.iter_mut().step_by(512).for_each(|word| *word += i);
            sum.add(black_box(&mut words)[0] + words.len() as u64);
        }
        sum
    })
}

/// A table that is sparsely used: the kernel's zeroes should do.
fn zeroed_untouched(job: &Job) -> Outcome {
    let (smallest, largest) = (job.get("smallest"), job.get("largest"));
    let (times, mut random) = (job.times("times"), job.random(0));
    job.measure(times, || {
        let mut sum = Sum::default();
        for _ in 0..times {
            let words = vec![0_u64; random.skewed(smallest..=largest).div_ceil(8)];
            sum.add(black_box(&words)[0] + words.len() as u64);
        }
        sum
    })
}
