//! Blocks that one thread takes and another gives back.

use divan::{Bencher, counter::ItemsCount};
use gort::GoAlloc;
use gort_bench::{Block, Random, Subject};
use std::alloc::System;
use std::sync::mpsc::sync_channel;
use std::thread;

/// How many blocks travel together, so that the channel's own cost is small beside them.
const BATCH: usize = 1_000;

fn main() {
    divan::main();
}

/// One way: this thread only allocates, the other only frees. The boxes they travel in go round and are not counted.
#[divan::bench(types = [GoAlloc, System], args = [16, 64, 512])]
fn producer_and_consumer<S: Subject>(bencher: Bencher, size: usize) {
    thread::scope(|s| {
        let (full, from) = sync_channel::<Vec<Block<S>>>(4);
        let (empty, back) = sync_channel::<Vec<Block<S>>>(8);
        (0..8).for_each(|_| empty.send(Vec::with_capacity(BATCH)).expect("there is room"));
        s.spawn(move || {
            for mut batch in from {
                batch.clear();
                // The producer has gone away with its last batch on the way.
                let _ = empty.send(batch);
            }
        });
        bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
            let mut batch = back.recv().expect("the consumer runs");
            (0..BATCH).for_each(|_| batch.push(Block::new(size)));
            full.send(batch).expect("the consumer runs");
        });
        drop((full, back));
    });
}

/// Both ways: two threads replace blocks at random and swap all they hold every so often.
#[divan::bench(types = [GoAlloc, System])]
fn swap_between_two<S: Subject>(bencher: Bencher) {
    thread::scope(|s| {
        let (to, other) = sync_channel::<Vec<Block<S>>>(1);
        let (back, from) = sync_channel::<Vec<Block<S>>>(1);
        s.spawn(move || {
            let mut random = Random::new(1);
            for mut blocks in other {
                replace(&mut blocks, &mut random);
                if back.send(blocks).is_err() {
                    break;
                }
            }
        });
        let mut random = Random::new(2);
        let mut mine: Vec<_> = (0..BATCH).map(|_| Block::new(64)).collect();
        to.send((0..BATCH).map(|_| Block::new(64)).collect()).expect("the other runs");
        bencher.counter(ItemsCount::new(2 * BATCH)).bench_local(|| {
            replace(&mut mine, &mut random);
            let theirs = from.recv().expect("the other runs");
            to.send(std::mem::replace(&mut mine, theirs)).expect("the other runs");
        });
        drop((to, from));
    });
}

fn replace<S: Subject>(blocks: &mut [Block<S>], random: &mut Random) {
    for _ in 0..BATCH {
        let (at, more) = random.two(BATCH as u32, 497);
        blocks[at] = Block::new(16 + more);
    }
}
