//! The kernel's part of a futex: a thread that sleeps on a word until another wakes it. A thread that nobody wakes is a deadlock, which
//! loom reports. Who is woken sees what the other did, as loom has no way to wake a thread without that: see `refuse`.

use std::cell::{Cell, RefCell};

use loom::thread::{Thread, current, park};

use crate::atomic::{Atomic, AtomicU32, Relaxed, peek, yield_now};

/// One lock of the kernel's for all words: a call to sleep comes before or after a call to wake.
static BUCKET: AtomicU32 = Atomic::new(0);

thread_local! {
    static SLEEPERS: RefCell<Vec<(*const AtomicU32, Thread)>> = const { RefCell::new(Vec::new()) };
    static REFUSES: Cell<bool> = const { Cell::new(false) };
    static PROCESS: Cell<u32> = const { Cell::new(1) };
}

/// Begins an execution.
pub(crate) fn begin() {
    SLEEPERS.with_borrow_mut(Vec::clear);
    REFUSES.set(false);
    PROCESS.set(1);
}

/// From here on the kernel refuses calls to sleep, or wakes for no reason: they come back at once, and nothing is seen by that.
pub(crate) fn refuse() {
    REFUSES.set(true);
}

/// The number of the process.
pub(crate) fn process_id() -> u32 {
    PROCESS.get()
}

/// Goes on as another process.
pub(crate) fn fork() {
    PROCESS.set(PROCESS.get() + 1);
}

pub(crate) fn wait(word: &AtomicU32, expected: u32) {
    if REFUSES.get() {
        return yield_now();
    }
    BUCKET.fetch_add(0, Relaxed);
    if peek(word) != expected {
        return;
    }
    let me = current().id();
    SLEEPERS.with_borrow_mut(|all| all.push((word, current())));
    while SLEEPERS.with_borrow(|all| all.iter().any(|(_, sleeper)| sleeper.id() == me)) {
        park();
    }
}

pub(crate) fn wake(word: &AtomicU32, count: u32) {
    BUCKET.fetch_add(0, Relaxed);
    SLEEPERS.with_borrow_mut(|all| {
        let mut left = count;
        all.retain(|(on, sleeper)| {
            let woken = left > 0 && std::ptr::eq(*on, word);
            if woken {
                left -= 1;
                sleeper.unpark();
            }
            !woken
        });
    });
}
