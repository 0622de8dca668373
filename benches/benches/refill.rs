//! Ten thousand blocks taken, then given back: more than any cache of a thread holds, so that bins fill and drain.

use divan::{Bencher, black_box, counter::ItemsCount};
use gort::GoAlloc;
use gort_bench::{Block, Subject};
use std::alloc::System;
use std::collections::VecDeque;

const BLOCKS: usize = 10_000;

fn main() {
    divan::main();
}

#[divan::bench(types = [GoAlloc, System], args = [16, 64, 512, 2048])]
fn last_in_first_out<S: Subject>(bencher: Bencher, size: usize) {
    let mut blocks = Vec::with_capacity(BLOCKS);
    bencher.counter(ItemsCount::new(BLOCKS)).bench_local(|| {
        (0..BLOCKS).for_each(|_| blocks.push(Block::<S>::new(size)));
        while let Some(block) = blocks.pop() {
            black_box(block.start());
        }
    });
}

#[divan::bench(types = [GoAlloc, System], args = [16, 64, 512, 2048])]
fn first_in_first_out<S: Subject>(bencher: Bencher, size: usize) {
    let mut blocks = VecDeque::with_capacity(BLOCKS);
    bencher.counter(ItemsCount::new(BLOCKS)).bench_local(|| {
        (0..BLOCKS).for_each(|_| blocks.push_back(Block::<S>::new(size)));
        while let Some(block) = blocks.pop_front() {
            black_box(block.start());
        }
    });
}
