//! A lock that belongs to one thread, its owner: it enters and leaves with plain loads and stores, and anyone else pays for both.
//!
//! ```text
//! owner                              another thread, one at a time
//! busy = true                        claimed = true
//! claimed? then leave, do without    membarrier: every running thread of the process passes a full fence
//! work                               not busy? then work
//! busy = false                       claimed = false
//! ```
//!
//! Either the owner's store of `busy` comes before the fence, and the other thread sees it, or its load of `claimed` comes after the
//! fence and sees that. Nobody waits: who does not get in does without. (Dice, Moir, Scherer: Quickly Reacquirable Locks, 2002.)

use super::atomic::{Acquire, AtomicBool, Relaxed, Release, light_fence, signal_fence};

/// The lock. It guards nothing by itself.
pub(crate) struct Biased {
    busy: AtomicBool,
    claimed: AtomicBool,
}

impl Biased {
    /// Nobody is in; with `busy`, the owner is, and stays.
    pub(crate) const fn new(busy: bool) -> Self {
        Self { busy: AtomicBool::new(busy), claimed: AtomicBool::new(false) }
    }

    /// Runs `f` unless the owner is in already: then this is a signal handler that interrupted it. Others may be in at the same time.
    /// Owner only.
    #[inline(always)]
    pub(crate) fn mark<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        self.enter().then(|| self.leave_after(f))
    }

    /// As `mark`, and nobody else is in. Owner only.
    #[inline(always)]
    pub(crate) fn own<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        if !self.enter() {
            return None;
        }
        // Acquire: pairs with the Release in `forget_claim`; the owner sees what the other did.
        if self.claimed.load(Acquire) {
            self.leave();
            return None;
        }
        Some(self.leave_after(f))
    }

    #[inline(always)]
    fn enter(&self) -> bool {
        if self.busy.load(Relaxed) {
            return false;
        }
        self.busy.store(true, Relaxed);
        // Pairs with `fence_all`, called between `claim` and `unclaim_after`.
        light_fence();
        true
    }

    #[inline(always)]
    fn leave_after<R>(&self, f: impl FnOnce() -> R) -> R {
        let r = f();
        self.leave();
        r
    }

    /// Ends an entry. Also for a thread that a signal handler jumped out of it: it is never gone on with.
    #[inline(always)]
    pub(crate) fn leave(&self) {
        // What was done inside is done for a handler that finds the owner out.
        signal_fence();
        // Release: pairs with the Acquire in `claim`.
        self.busy.store(false, Release);
    }

    /// Whether the owner is in.
    #[inline(always)]
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Relaxed)
    }

    /// Keeps the owner out from its next entry on. Another thread than the owner, one at a time.
    pub(crate) fn claim(&self) {
        self.claimed.store(true, Relaxed);
    }

    /// Whether there is a claim.
    pub(crate) fn is_claimed(&self) -> bool {
        self.claimed.load(Relaxed)
    }

    /// Ends a claim: runs `f` before, unless the owner is in. `fenced`: `fence_all` was called since `claim`, and did it. The thread that
    /// claimed.
    pub(crate) fn unclaim_after<R>(&self, fenced: bool, f: impl FnOnce() -> R) -> Option<R> {
        // Acquire: pairs with the Release in `leave`; what the owner did is seen.
        let r = (fenced && !self.busy.load(Acquire)).then(f);
        self.forget_claim();
        r
    }

    /// Ends a claim, also one whose thread stayed behind in a fork's parent.
    pub(crate) fn forget_claim(&self) {
        // Release: pairs with the Acquire in `own`.
        self.claimed.store(false, Release);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::sync::atomic::{AtomicU64, fence_all};
    use std::thread as threads;

    #[test]
    fn nobody_is_in_with_another() {
        // What a lock guards: two words that are equal whenever nobody is in, changed without care.
        let (lock, words) = (Biased::new(false), [const { AtomicU64::new(0) }; 2]);
        let change = || {
            for w in &words {
                let was = w.load(Relaxed);
                core::hint::spin_loop();
                w.store(was + 1, Relaxed);
            }
        };
        let done = AtomicBool::new(false);
        let (owned, claimed) = threads::scope(|s| {
            let other = s.spawn(|| {
                let mut n = 0;
                while !done.load(Relaxed) {
                    lock.claim();
                    n += u64::from(lock.unclaim_after(fence_all(), change).is_some());
                    threads::yield_now();
                }
                n
            });
            let mut owned = 0;
            while owned < 5_000 {
                owned += u64::from(lock.own(change).is_some());
            }
            done.store(true, Relaxed);
            (owned, other.join().expect("the other thread does not panic"))
        });
        assert_eq!(words.map(|w| w.into_inner()), [owned + claimed; 2], "of which {claimed} claimed");
    }

    #[test]
    fn an_entry_within_an_entry_is_refused() {
        let lock = Biased::new(false);
        let inside = || (lock.own(|| ()), lock.mark(|| ()), lock.unclaim_after(true, || ()));
        assert_eq!(lock.own(inside), Some((None, None, None)));
        lock.claim();
        assert_eq!(lock.own(|| ()), None);
        assert_eq!(lock.mark(|| ()), Some(()));
        assert_eq!(lock.unclaim_after(false, || ()), None);
        assert_eq!(lock.own(|| 1), Some(1));
        assert_eq!(Biased::new(true).own(|| 1), None);
    }
}
