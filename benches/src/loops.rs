//! The workloads: loops of `Box` and `Vec` through the process's global allocator.
//!
//! One operation is one allocation together with one free. Except where it says otherwise, an operation writes to the memory
//! it got, as programs do.
//!
//! This file is compiled twice. In a probe it stands beside the `#[global_allocator]`, and the compiler can put an allocator
//! written in Rust right into the loops, as it does in any program's own crate. In the library it cannot: there each
//! operation is a call, as in any dependency of a program that is built without link-time optimisation.

use gort_bench::{Random, workload::Workload};
use std::hint::black_box;
use std::mem::MaybeUninit;

/// How many objects the random loops keep alive.
const LIVE: u32 = 1000;

/// The sizes of the random loops.
const SMALLEST: usize = 16;
const LARGEST: usize = 512;

/// A loop ready to run: each call does so many operations. Each thread makes its own.
pub(crate) fn start(workload: Workload, seed: u64) -> Box<dyn FnMut(u64)> {
    let mut random = Random::new(seed + 1);
    match workload {
        Workload::Box => Box::new(|operations| {
            for i in 0..operations {
                let mut words = Box::<[MaybeUninit<u64>; 8]>::new([MaybeUninit::uninit(); 8]);
                words[0].write(i);
                black_box(words);
            }
        }),
        Workload::BoxUntouched => Box::new(|operations| {
            for _ in 0..operations {
                black_box(Box::<[u64; 8]>::new_uninit());
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

type Memory = Box<[MaybeUninit<u8>]>;

#[inline]
fn block(size: usize) -> Memory {
    Box::new_uninit_slice(size)
}

fn live(count: u32, make: impl Fn() -> Memory) -> Vec<Memory> {
    (0..count).map(|_| make()).collect()
}
