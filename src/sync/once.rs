//! Runs an initialisation once, while other threads wait for it. The initialisation may fail and be tried again.
//!
//! The word says which process runs it: in a child that was forked meanwhile the thread that ran it does not exist, and the
//! first caller there starts anew.

use super::atomic::{Acquire, AtomicU32, Release, futex, process_id};

const NEW: u32 = 0;
const DONE: u32 = 1;
/// Process numbers are below 2^22, so the sum stays clear of the others.
const RUNNING_IN: u32 = 2;

/// A gate that opens when its initialisation has succeeded.
pub(crate) struct Once(AtomicU32);

impl Once {
    /// A closed gate.
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(NEW))
    }

    /// Whether the initialisation has succeeded; what it wrote is visible then.
    #[inline(always)]
    pub(crate) fn is_done(&self) -> bool {
        // Acquire: pairs with the Release in `call`.
        self.0.load(Acquire) == DONE
    }

    /// Runs `init` if nobody has succeeded yet; `Some` tells the winner so, with what `init` returned. While one thread runs
    /// it the others sleep. If it fails the next caller tries again. `init` must not come back here: it would wait for itself.
    pub(crate) fn call<R>(&self, init: impl FnOnce() -> Option<R>) -> Option<R> {
        if !self.hold() {
            return None;
        }
        let r = init();
        self.release(if r.is_some() { DONE } else { NEW });
        r
    }

    /// Keeps others from running it until `give_up`; `false` if somebody has succeeded already. In a child that is forked meanwhile nothing
    /// has begun.
    pub(crate) fn hold(&self) -> bool {
        let mine = RUNNING_IN + process_id();
        let mut seen = NEW;
        loop {
            // Acquire: as in `is_done`.
            match self.0.compare_exchange(seen, mine, Acquire, Acquire) {
                Ok(_) => return true,
                Err(DONE) => return false,
                Err(now) if now == mine => {
                    futex::wait(&self.0, mine);
                    seen = NEW;
                }
                // New again after a failure, or begun in the process that this one was forked from.
                Err(now) => seen = now,
            }
        }
    }

    /// Ends a `hold`.
    pub(crate) fn give_up(&self) {
        self.release(NEW);
    }

    fn release(&self, word: u32) {
        // Release: publishes what `init` wrote. Pairs with the Acquires above.
        self.0.store(word, Release);
        futex::wake(&self.0, i32::MAX as u32);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::Once;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    #[test]
    fn runs_once_and_retries_after_failure() {
        let once = Once::new();
        assert_eq!(once.call(|| None::<()>), None);
        assert!(!once.is_done());
        assert_eq!(once.call(|| Some(7)), Some(7));
        assert_eq!(once.call(|| Some(8)), None);
        assert!(once.is_done());
    }

    #[test]
    fn what_is_held_does_not_begin() {
        let (once, runs) = (Once::new(), AtomicU32::new(0));
        assert!(once.hold());
        std::thread::scope(|s| {
            let other = s.spawn(|| once.call(|| Some(runs.fetch_add(1, Relaxed))));
            // Long enough for it to come there, as a rule.
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert_eq!(runs.load(Relaxed), 0);
            once.give_up();
            assert_eq!(other.join().expect("it does not panic"), Some(0));
        });
        assert!(once.is_done() && !once.hold());
    }

    #[test]
    fn racing_threads_see_one_winner() {
        let (once, runs) = (Once::new(), AtomicU32::new(0));
        std::thread::scope(|s| {
            for _ in 0..8 {
                s.spawn(|| {
                    once.call(|| Some(runs.fetch_add(1, Relaxed)));
                    assert!(once.is_done());
                });
            }
        });
        assert_eq!(runs.load(Relaxed), 1);
    }
}
