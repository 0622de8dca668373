//! The fast path: one block of one size, taken and given back.

use divan::{Bencher, black_box};
use gort::GoAlloc;
use gort_bench::{Block, Subject};
use std::alloc::System;

fn main() {
    divan::main();
}

#[divan::bench(types = [GoAlloc, System], args = [8, 64, 512, 4096])]
fn one_block<S: Subject>(bencher: Bencher, size: usize) {
    bencher.bench_local(|| black_box(Block::<S>::new(size).start()));
}

/// Four at a time, so that the bin is not always at the same place.
#[divan::bench(types = [GoAlloc, System], args = [8, 64, 512, 4096])]
fn four_blocks<S: Subject>(bencher: Bencher, size: usize) {
    bencher.counter(divan::counter::ItemsCount::new(4_usize)).bench_local(|| {
        let blocks = [(); 4].map(|()| Block::<S>::new(size));
        black_box(blocks.each_ref().map(Block::start));
    });
}
