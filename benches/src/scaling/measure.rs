//! What the parts of the model cost on this machine, measured with the heap itself. All are upper bounds: of a visit, also what the
//! thread does around it without the lock is counted.

use crate::Block;
use gort::GoAlloc;
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::Instant;

/// Each is measured so often, and the median counts.
const ROUNDS: usize = 9;
const PAIRS: usize = 2_000_000;
/// More objects than a thread's cache holds.
const OBJECTS: usize = 20_000;
/// Objects of whole pages, more than a thread keeps, and their size.
const LARGE: usize = 1_000;
const LARGE_BYTES: usize = 64 << 10;
/// Short, so that one of the rounds is not interrupted: the least of them counts here.
const TURNS: u32 = 500;
const TRIES: usize = 200;
/// Looks at a word before the other thread is let in, which may have no core.
const LOOKS: u32 = 10_000;

/// Nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct Costs {
    /// Of an operation that the thread's cache serves.
    pub(super) operation: f64,
    /// Of a visit to a central store, and of one to the page heap or the metadata.
    pub(super) central: f64,
    pub(super) page_heap: f64,
    /// Of a cache line that goes from one core to another.
    pub(super) line: f64,
}

/// Takes a second or two.
pub(super) fn costs() -> Costs {
    let operation = median(|| {
        let start = Instant::now();
        (0..PAIRS).for_each(|_| drop(black_box(Block::<GoAlloc>::new(64))));
        start.elapsed().as_nanos() as f64 / (2 * PAIRS) as f64
    });
    let mut blocks = Vec::with_capacity(OBJECTS);
    let mut burst = |objects: usize, size: usize| {
        let before = gort::stats().contention;
        let start = Instant::now();
        (0..objects).for_each(|_| blocks.push(Block::<GoAlloc>::new(size)));
        while let Some(block) = blocks.pop() {
            drop(black_box(block));
        }
        let ns = start.elapsed().as_nanos() as f64 - operation * (2 * objects) as f64;
        let after = gort::stats().contention;
        let central = after.central.lock.taken - before.central.lock.taken;
        let pages =
            after.page_heap.taken + after.metadata.taken - before.page_heap.taken - before.metadata.taken;
        (ns.max(0.0), central, pages)
    };
    // The first burst makes the spans; the others find their objects in the store, half in its array and half in spans.
    burst(OBJECTS, 64);
    let central = median(|| {
        let (ns, visits, _) = burst(OBJECTS, 64);
        ns / visits.max(1) as f64
    });
    burst(LARGE, LARGE_BYTES);
    let page_heap = median(|| {
        let (ns, _, visits) = burst(LARGE, LARGE_BYTES);
        ns / visits.max(1) as f64
    });
    Costs { operation, central, page_heap, line: (0..TRIES).map(|_| line()).fold(f64::INFINITY, f64::min) }
}

/// Two threads take turns on one word.
fn line() -> f64 {
    let word = AtomicU32::new(0);
    let take_turns = |mine: u32| {
        let mut start = Instant::now();
        for turn in 0..TURNS {
            let mut looks = 0;
            while word.load(SeqCst) != 2 * turn + mine {
                looks += 1;
                if looks % LOOKS == 0 {
                    thread::yield_now();
                }
                std::hint::spin_loop();
            }
            if turn == 0 {
                // Both are there.
                start = Instant::now();
            }
            word.store(2 * turn + mine + 1, SeqCst);
        }
        start.elapsed()
    };
    let elapsed = thread::scope(|s| {
        s.spawn(|| take_turns(0));
        take_turns(1)
    });
    elapsed.as_nanos() as f64 / f64::from(2 * (TURNS - 1))
}

fn median(mut measure: impl FnMut() -> f64) -> f64 {
    let mut values: Vec<f64> = (0..ROUNDS).map(|_| measure()).collect();
    values.sort_by(f64::total_cmp);
    values[ROUNDS / 2]
}
