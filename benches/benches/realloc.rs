//! Blocks that grow and shrink.

use divan::{Bencher, black_box};
use gort::GoAlloc;
use gort_bench::{Block, Subject};
use std::alloc::System;

fn main() {
    divan::main();
}

/// A block of 16 bytes doubled to `end` bytes, with `each` done to it at every length.
fn double<S: Subject>(end: usize, each: impl Fn(&mut Block<S>)) {
    let mut block = Block::<S>::new(16);
    let mut size = 16;
    while size < end {
        size *= 2;
        block = block.resized(size);
        each(&mut block);
    }
    black_box(block.start());
}

/// From 16 bytes by doubling, as a `Vec` does.
#[divan::bench(types = [GoAlloc, System], args = [1 << 10, 32 << 10, 1 << 20, 32 << 20])]
fn doubled_to<S: Subject>(bencher: Bencher, end: usize) {
    bencher.bench_local(|| double::<S>(end, |_| {}));
}

/// The same with every page written to, so that what moves is real.
#[divan::bench(types = [GoAlloc, System], args = [1 << 20, 32 << 20])]
fn doubled_and_touched_to<S: Subject>(bencher: Bencher, end: usize) {
    bencher.bench_local(|| double::<S>(end, |block| block.touch()));
}

/// By one byte and back, within a class.
#[divan::bench(types = [GoAlloc, System], args = [100, 1_000, 100_000])]
fn same_class<S: Subject>(bencher: Bencher, size: usize) {
    let mut block = Some(Block::<S>::new(size));
    bencher.bench_local(|| {
        let there = block.take().map(|b| b.resized(black_box(size + 1)));
        block = there.map(|b| b.resized(black_box(size)));
    });
}
