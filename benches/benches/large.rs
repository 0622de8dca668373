//! Blocks of whole pages, taken and given back, with and without a write to each page.

use divan::{Bencher, black_box};
use gort::GoAlloc;
use gort_bench::{Block, Subject};
use std::alloc::System;

const SIZES: [usize; 4] = [40 << 10, 64 << 10, 1 << 20, 16 << 20];

fn main() {
    divan::main();
}

#[divan::bench(types = [GoAlloc, System], args = SIZES)]
fn untouched<S: Subject>(bencher: Bencher, size: usize) {
    bencher.bench_local(|| black_box(Block::<S>::new(size).start()));
}

#[divan::bench(types = [GoAlloc, System], args = SIZES)]
fn touched<S: Subject>(bencher: Bencher, size: usize) {
    bencher.bench_local(|| {
        let mut block = Block::<S>::new(size);
        block.touch();
        black_box(block.start());
    });
}
