//! Blocks of 16 to 512 bytes, one of so many live ones replaced at random: the classes and the caches between them.

use divan::Bencher;
use gort::GoAlloc;
use gort_bench::{Block, Random, Subject};
use std::alloc::System;

fn main() {
    divan::main();
}

#[divan::bench(types = [GoAlloc, System], args = [100, 1_000, 100_000])]
fn replace<S: Subject>(bencher: Bencher, live: u32) {
    let mut random = Random::new(1);
    let mut blocks: Vec<_> = (0..live).map(|_| Block::<S>::new(16 + random.two(497, 1).0)).collect();
    let mut replace = || {
        let (at, more) = random.two(live, 497);
        blocks[at] = Block::new(16 + more);
    };
    // Until the heap is as mixed as it will be.
    (0..4 * live).for_each(|_| replace());
    bencher.bench_local(replace);
}

/// The same on two threads, each with its own blocks.
#[divan::bench(types = [GoAlloc, System], threads = 2)]
fn replace_on_two_threads<S: Subject>(bencher: Bencher) {
    bencher
        .with_inputs(|| (Random::new(2), Vec::new()))
        .counter(divan::counter::ItemsCount::new(10_000_usize))
        .bench_refs(|(random, blocks)| {
            blocks.resize_with(1_000, || None);
            for _ in 0..10_000 {
                let (at, more) = random.two(1_000, 497);
                blocks[at] = Some(Block::<S>::new(16 + more));
            }
        });
}
