//! A lock that belongs to one thread, its owner: it enters and leaves with plain loads and stores, and anyone else pays for both.
//!
//! ```text
//! owner                              another thread
//! busy = true                        claimed = true
//! claimed? then leave, do without    membarrier: every running thread of the process passes a full fence
//! work                               busy? then give up
//! busy = false                       work; claimed = false
//! ```
//!
//! Either the owner's store of `busy` comes before the fence, and the other thread sees it, or its load of `claimed` comes after the
//! fence and sees that. Nobody waits: who does not get in does without. (Dice, Moir, Scherer: Quickly Reacquirable Locks, 2002.)

use core::sync::atomic::{
    AtomicBool,
    Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
    compiler_fence,
};

use crate::sys::thread;

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
        // Acquire: pairs with the Release in `claim`; the owner sees what the other did.
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
        // SeqCst, for the compiler only: a handler runs on this thread, and other threads make the processor obey by membarrier.
        compiler_fence(SeqCst);
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
        // SeqCst, for the compiler only, as in `enter`.
        compiler_fence(SeqCst);
        // Release: pairs with the Acquire in `claim`.
        self.busy.store(false, Release);
    }

    /// Whether the owner is in.
    #[inline(always)]
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Relaxed)
    }

    /// Runs `f` unless the owner or another thread is in. Anyone, also the owner.
    pub(crate) fn claim<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        // AcqRel: pairs with the Release below, of the last to claim.
        if self.claimed.swap(true, AcqRel) {
            return None;
        }
        // Acquire: pairs with the Release in `leave`; what the owner did is seen.
        let r = (thread::fence_all() && !self.busy.load(Acquire)).then(f);
        // Release: pairs with the Acquire in `own`.
        self.claimed.store(false, Release);
        r
    }

    /// Forgets a claim whose thread stayed behind in a fork's parent.
    pub(crate) fn forget_claim(&self) {
        self.claimed.store(false, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use core::sync::atomic::AtomicU64;
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
                    n += u64::from(lock.claim(change).is_some());
                }
                n
            });
            let mut owned = 0;
            while owned < 20_000 {
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
        assert_eq!(
            lock.own(|| (lock.own(|| ()), lock.mark(|| ()), lock.claim(|| ()))),
            Some((None, None, None))
        );
        assert_eq!(
            lock.claim(|| (lock.own(|| ()), lock.mark(|| ()), lock.claim(|| ()))),
            Some((None, Some(()), None))
        );
        assert_eq!(lock.own(|| 1), Some(1));
        assert_eq!(Biased::new(true).own(|| 1), None);
    }
}
