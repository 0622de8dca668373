//! `sync/mutex.rs`: one at a time, who comes later sees what was done before, nobody sleeps for ever, and the counts are exact.

use std::sync::Arc;

use super::doors::{join, spawn};
use crate::atomic::Cell;
use crate::execution::explore;
use crate::futex;
use crate::sync::futex_mutex::Mutex;

/// `threads` and the first take the lock `times` each.
fn all_add(threads: usize, times: u32) {
    let m = Arc::new(Mutex::<_, 1>::new(Cell::new(0)));
    let add = move |m: &Mutex<Cell<u32>, 1>| {
        for _ in 0..times {
            let held = m.lock();
            held.set(held.get() + 1);
        }
    };
    let others: Vec<_> = (0..threads)
        .map(|_| {
            let m = m.clone();
            spawn(move || add(&m))
        })
        .collect();
    add(&m);
    join(others);
    let all = times * (threads as u32 + 1);
    assert_eq!(m.lock().get(), all);
    let counts = m.counts();
    assert_eq!(counts.taken, u64::from(all) + 1);
    assert!(counts.waited < counts.taken && (counts.waited > 0 || counts.slept == 0));
}

/// Three threads once, and two twice.
pub(super) fn excludes_and_publishes() {
    explore(3, || all_add(2, 1));
    explore(3, || all_add(1, 2));
}

/// The kernel refuses to let anybody sleep: what is seen is seen by the word alone.
pub(super) fn without_sleep() {
    explore(3, || {
        futex::refuse();
        all_add(1, 2);
    });
}
