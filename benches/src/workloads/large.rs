//! Large objects: whole pages, from 40 KB to 64 MB, and objects that must start where a page or a cache line does.

use super::{Workload, piece};
use crate::job::{Job, Outcome, Parameter, Sum, parameter};
use std::hint::black_box;
use std::mem::MaybeUninit;

const GROUP: &str = "large objects";

const fn one_size(bytes: u64, operations: u64) -> [Parameter; 2] {
    [parameter("bytes", bytes, "how large"), parameter("operations", operations, "how often")]
}

const fn random(smallest: u64, largest: u64, live: u64, operations: u64) -> [Parameter; 4] {
    [
        parameter("operations", operations, "how many objects are replaced"),
        parameter("live", live, "how many objects are alive"),
        parameter("smallest", smallest, "bytes of the smallest object"),
        parameter("largest", largest, "bytes of the largest object"),
    ]
}

pub(super) const ROWS: &[Workload] = &[
    Workload {
        name: "large-64k-untouched",
        group: GROUP,
        about: "64 KB made and dropped, not written to",
        published: "a burst of one in glibc's bench-malloc-simple",
        threads: 1,
        parameters: &one_size(64 << 10, 16_000_000),
        run: one,
    },
    Workload {
        name: "large-1m-untouched",
        group: GROUP,
        about: "1 MB made and dropped, not written to",
        published: "a burst of one in glibc's bench-malloc-simple",
        threads: 1,
        parameters: &one_size(1 << 20, 16_000_000),
        run: one,
    },
    Workload {
        name: "large-random",
        group: GROUP,
        about: "one of 32 objects of 40 to 400 KB replaced at random, every page written to",
        published: "mleak, rptest's larger sizes",
        threads: 1,
        parameters: &random(40 << 10, 400 << 10, 32, 120_000),
        run: touched,
    },
    Workload {
        name: "large-reused",
        group: GROUP,
        about: "one of 8 objects of 64 KB to 64 MB replaced at random, only the first word written to",
        published: "mleak",
        threads: 1,
        parameters: &random(64 << 10, 64 << 20, 8, 120_000),
        run: reused,
    },
    Workload {
        name: "large-touched",
        group: GROUP,
        about: "the same, every page written to",
        published: "mleak",
        threads: 1,
        parameters: &random(64 << 10, 64 << 20, 8, 100),
        run: touched,
    },
    Workload {
        name: "aligned",
        group: GROUP,
        about: "objects aligned to a cache line, to 512 B and to a page, replaced at random",
        published: "none",
        threads: 1,
        parameters: &[
            parameter("operations", 4_000_000, "how many objects are replaced"),
            parameter("live", 1000, "how many objects are alive"),
        ],
        run: aligned,
    },
];

/// A buffer that a function takes for itself at each call.
fn one(job: &Job) -> Outcome {
    let (words, operations) = (job.get("bytes") / 8, job.times("operations"));
    let first = job.random(0).word();
    job.measure(operations, || {
        let mut sum = Sum::default();
        for i in 0..operations {
            let block = black_box(Box::<[MaybeUninit<u64>]>::new_uninit_slice(words));
            sum.add((first ^ i).wrapping_add(block.len() as u64));
        }
        sum
    })
}

/// Files, images and answers that come and go, and are filled.
fn touched(job: &Job) -> Outcome {
    replace(job, |words, tag| {
        words.spare_capacity_mut().iter_mut().step_by(512).for_each(|w| _ = w.write(tag))
    })
}

/// The same without what only the kernel and the caches pay for.
fn reused(job: &Job) -> Outcome {
    replace(job, |_, _| ())
}

fn replace(job: &Job, fill: fn(&mut Vec<u64>, u64)) -> Outcome {
    let (smallest, largest) = (job.get("smallest"), job.get("largest"));
    let (live, operations) = (job.get("live"), job.times("operations"));
    let mut random = job.random(0);
    job.measure(operations, || {
        let mut sum = Sum::default();
        let mut objects = vec![Vec::new(); live];
        for i in 0..operations {
            let at = random.below(live);
            sum.add(objects[at].first().map_or(0, |tag| tag + objects[at].capacity() as u64));
            let mut object = piece(random.skewed(smallest..=largest), i);
            fill(&mut object, i);
            objects[at] = object;
        }
        sum
    })
}

#[repr(align(64))]
struct Line([u64; 8]);

#[repr(align(512))]
struct Block([u64; 64]);

#[repr(align(4096))]
struct Page([MaybeUninit<u64>; 512]);

enum Aligned {
    Line(Box<Line>),
    Block(Box<Block>),
    Page(Box<Page>),
}

/// Buffers for vector instructions and for direct input and output: most of them lines, one in 16 a block, one in 64 a page.
fn aligned(job: &Job) -> Outcome {
    let (live, operations) = (job.get("live"), job.times("operations"));
    let mut random = job.random(0);
    job.measure(operations, || {
        let mut sum = Sum::default();
        let mut objects: Vec<_> = (0..live).map(|_| Aligned::Line(Box::new(Line([0; 8])))).collect();
        for i in 0..operations {
            let (at, kind) = random.two(live as u32, 64);
            sum.add(match &objects[at] {
                Aligned::Line(line) => line.0[0],
                Aligned::Block(block) => block.0[0],
                Aligned::Page(page) => page.0.len() as u64,
            });
            objects[at] = match kind {
                0 => {
                    let mut page = Box::new(Page([MaybeUninit::uninit(); 512]));
                    page.0[0].write(i);
                    Aligned::Page(page)
                }
                1..5 => Aligned::Block(Box::new(Block([i; 64]))),
                _ => Aligned::Line(Box::new(Line([i; 8]))),
            };
        }
        sum
    })
}
