//! What is compared between allocators: loops of `Box` through the process's global allocator.
//!
//! One operation is one allocation together with one free. Except where it says otherwise, an operation writes to the memory
//! it got, as programs do.

use crate::Random;
use clap::ValueEnum;
use std::hint::black_box;
use std::mem::MaybeUninit;

/// How many objects the random loops keep alive.
const LIVE: u32 = 1000;

/// The sizes of the random loops.
const SMALLEST: usize = 16;
const LARGEST: usize = 512;

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// One `Box` of 8 bytes made and dropped, over and over
    Box,
    /// 1,000 boxes of 16 to 512 bytes, one of them replaced at random
    Random,
    /// The same without a write to the new box: what the allocator itself touches
    RandomUntouched,
    /// The random loop on two threads at once, each with its own boxes
    TwoThreads,
    /// 64 KiB made and dropped, not written to
    Large64k,
    /// 1 MiB made and dropped, not written to
    Large1m,
    /// One of 32 blocks of 40 to 400 KiB replaced at random, its pages written to
    LargeRandom,
    /// A `Vec` of `u64` grown to 4,096 elements by push
    Push,
}

impl Workload {
    /// What the row is called.
    pub fn label(self) -> &'static str {
        match self {
            Workload::Box => "Box of 8 B",
            Workload::Random => "random 16..512 B, 1,000 live",
            Workload::RandomUntouched => "the same, not written to",
            Workload::TwoThreads => "the same, written to, two threads",
            Workload::Large64k => "64 KiB",
            Workload::Large1m => "1 MiB",
            Workload::LargeRandom => "random 40..400 KiB, 32 live, written to",
            Workload::Push => "Vec<u64> pushed to 4,096",
        }
    }

    /// How many threads do it at the same time.
    pub fn threads(self) -> u64 {
        if self == Workload::TwoThreads { 2 } else { 1 }
    }

    /// A loop ready to run: each call does so many operations. Each thread makes its own.
    pub fn start(self, seed: u64) -> Box<dyn FnMut(u64)> {
        let mut random = Random::new(seed + 1);
        match self {
            Workload::Box => Box::new(|operations| {
                for i in 0..operations {
                    // A larger one would measure how fast the processor fills it.
                    black_box(Box::new(i));
                }
            }),
            Workload::Random | Workload::TwoThreads => {
                let mut live = live(LIVE, || block(SMALLEST));
                Box::new(move |operations| {
                    for _ in 0..operations {
                        let (at, more) = random.two(LIVE, (LARGEST - SMALLEST + 1) as u32);
                        live[at] = block(SMALLEST + more);
                        live[at][0].write(1);
                    }
                })
            }
            Workload::RandomUntouched => {
                let mut live = live(LIVE, || block(SMALLEST));
                Box::new(move |operations| {
                    for _ in 0..operations {
                        let (at, more) = random.two(LIVE, (LARGEST - SMALLEST + 1) as u32);
                        live[at] = block(SMALLEST + more);
                    }
                })
            }
            Workload::Large64k => {
                Box::new(|operations| (0..operations).for_each(|_| drop(black_box(block(64 << 10)))))
            }
            Workload::Large1m => {
                Box::new(|operations| (0..operations).for_each(|_| drop(black_box(block(1 << 20)))))
            }
            Workload::LargeRandom => {
                let mut live = live(32, || block(40 << 10));
                Box::new(move |operations| {
                    for _ in 0..operations {
                        let (at, more) = random.two(32, 360 << 10);
                        live[at] = block((40 << 10) + more);
                        live[at].iter_mut().step_by(4096).for_each(|byte| {
                            byte.write(1);
                        });
                    }
                })
            }
            Workload::Push => Box::new(|operations| {
                for _ in 0..operations {
                    let mut list = Vec::new();
                    (0..4096_u64).for_each(|i| list.push(black_box(i)));
                    black_box(list);
                }
            }),
        }
    }
}

type Memory = Box<[MaybeUninit<u8>]>;

#[inline]
fn block(size: usize) -> Memory {
    Box::new_uninit_slice(size)
}

fn live(count: u32, make: impl Fn() -> Memory) -> Vec<Memory> {
    (0..count).map(|_| make()).collect()
}
