//! Memory that must be zero: who knows that the kernel has zeroed it already?

use divan::{Bencher, black_box};
use gort::GoAlloc;
use gort_bench::{Block, Subject};
use std::alloc::System;

const SIZES: [usize; 5] = [64, 4 << 10, 64 << 10, 1 << 20, 64 << 20];

fn main() {
    divan::main();
}

#[divan::bench(types = [GoAlloc, System], args = SIZES)]
fn untouched<S: Subject>(bencher: Bencher, size: usize) {
    bencher.bench_local(|| black_box(Block::<S>::zeroed(size).start()));
}

/// Written to before it is given back, so that the next one must be zeroed or new.
#[divan::bench(types = [GoAlloc, System], args = SIZES)]
fn touched<S: Subject>(bencher: Bencher, size: usize) {
    bencher.bench_local(|| {
        let mut block = Block::<S>::zeroed(size);
        block.touch();
        black_box(block.start());
    });
}
