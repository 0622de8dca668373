//! A mutex on a futex with a rank. Answers to Go's lock_futex.go.
//!
//! Three states: free, locked, locked with (perhaps) sleepers. Critical sections here are tens of nanoseconds, so a waiter
//! spins briefly before it sleeps. No poisoning: nothing below `alloc/` panics.
#![expect(unsafe_code, reason = "hands out &mut T while the lock word says it is exclusive")]

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};

use super::atomic::{Acquire, AtomicU32, AtomicU64, Relaxed, Release, futex, shrunk, spin_loop};

#[cfg(debug_assertions)]
#[path = "held_checked.rs"]
mod held;
#[cfg(not(debug_assertions))]
#[path = "held_unchecked.rs"]
mod held;

const FREE: u32 = 0;
const LOCKED: u32 = 1;
const SLEEPERS: u32 = 2;
const SPINS: usize = shrunk(60, 1);

/// Data behind a lock of the given rank (see [`super::rank`]).
pub(crate) struct Mutex<T, const RANK: u8> {
    state: AtomicU32,
    /// What [`LockCounts`] says. Written by the holder, read by anyone.
    taken: AtomicU64,
    waited: AtomicU64,
    slept: AtomicU64,
    data: UnsafeCell<T>,
}

/// How often a lock was taken, and at what cost. The counts only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LockCounts {
    /// Times that a thread took it.
    pub taken: u64,
    /// Times that it was found taken, so that the thread had to wait: it spun, and perhaps slept.
    pub waited: u64,
    /// Calls of the kernel to sleep until it is free; one wait may take several.
    pub slept: u64,
}

impl LockCounts {
    /// Before anything was counted.
    pub(crate) const ZERO: Self = Self { taken: 0, waited: 0, slept: 0 };

    /// The sums of both.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            taken: self.taken + other.taken,
            waited: self.waited + other.waited,
            slept: self.slept + other.slept,
        }
    }
}

/// Adds to a count that is written under a lock and read without it.
#[inline]
pub(crate) fn add(count: &AtomicU64, n: u64) {
    count.store(count.load(Relaxed) + n, Relaxed);
}

// SAFETY: the lock hands the data to one thread at a time, so it needs Send only.
unsafe impl<T: Send, const RANK: u8> Sync for Mutex<T, RANK> {}

/// The witness that the lock is held; gives it back when dropped.
pub(crate) struct Guard<'a, T, const RANK: u8>(&'a Mutex<T, RANK>);

impl<T, const RANK: u8> Mutex<T, RANK> {
    /// A free lock.
    pub(crate) const fn new(data: T) -> Self {
        Self {
            state: AtomicU32::new(FREE),
            taken: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            slept: AtomicU64::new(0),
            data: UnsafeCell::new(data),
        }
    }

    /// Waits for the lock.
    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T, RANK> {
        held::acquire(RANK);
        self.raw_lock();
        Guard(self)
    }

    /// Takes the lock if it is free. Who only tries waits for nobody, so the order of ranks says nothing about it.
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T, RANK>> {
        // Acquire: as in `raw_lock`.
        self.state.compare_exchange(FREE, LOCKED, Acquire, Relaxed).ok()?;
        held::note(RANK);
        add(&self.taken, 1);
        Some(Guard(self))
    }

    #[inline]
    fn raw_lock(&self) {
        // Acquire: sees what the last holder wrote. Pairs with the Release in `raw_unlock`.
        if self.state.compare_exchange(FREE, LOCKED, Acquire, Relaxed).is_err() {
            self.lock_slow();
        }
        add(&self.taken, 1);
    }

    /// How often it was taken so far. Does not take it.
    pub(crate) fn counts(&self) -> LockCounts {
        LockCounts {
            taken: self.taken.load(Relaxed),
            waited: self.waited.load(Relaxed),
            slept: self.slept.load(Relaxed),
        }
    }

    #[cold]
    fn lock_slow(&self) {
        let slept = self.wait();
        add(&self.waited, 1);
        add(&self.slept, slept);
    }

    /// Takes the lock; returns how often it slept for that.
    fn wait(&self) -> u64 {
        for _ in 0..SPINS {
            // Acquire: as in `raw_lock`.
            if self.state.load(Relaxed) == FREE
                && self.state.compare_exchange(FREE, LOCKED, Acquire, Relaxed).is_ok()
            {
                return 0;
            }
            spin_loop();
        }
        let mut slept = 0;
        // Acquire: as in `raw_lock`. From here on the word says that there may be sleepers, so the holder wakes one.
        while self.state.swap(SLEEPERS, Acquire) != FREE {
            futex::wait(&self.state, SLEEPERS);
            slept += 1;
        }
        slept
    }

    #[inline]
    fn raw_unlock(&self) {
        // Release: publishes what this holder wrote. Pairs with the Acquires of the next holder.
        if self.state.swap(FREE, Release) == SLEEPERS {
            futex::wake(&self.state, 1);
        }
    }

    /// Takes the lock for the duration of a fork, in rank order but without a guard: locks of equal rank are all taken.
    pub(crate) fn lock_for_fork(&self) {
        self.raw_lock();
    }

    /// Gives the lock back after a fork. In the child nobody can be asleep on it, so nobody is woken.
    ///
    /// # Safety
    /// 1. The thread that forked took it with `lock_for_fork`.
    pub(crate) unsafe fn unlock_after_fork(&self, in_child: bool) {
        if in_child {
            self.state.store(FREE, Release);
        } else {
            self.raw_unlock();
        }
    }
}

impl<T, const RANK: u8> Deref for Guard<'_, T, RANK> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this guard's thread holds the lock, so nobody else reaches the data.
        unsafe { &*self.0.data.get() }
    }
}

impl<T, const RANK: u8> DerefMut for Guard<'_, T, RANK> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and the guard is borrowed mutably.
        unsafe { &mut *self.0.data.get() }
    }
}

impl<T, const RANK: u8> Drop for Guard<'_, T, RANK> {
    #[inline]
    fn drop(&mut self) {
        self.0.raw_unlock();
        held::release(RANK);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{LockCounts, Mutex};
    use std::{sync::Arc, thread, vec::Vec};
    #[cfg(debug_assertions)]
    use {
        crate::throw::ENDS_PROCESS,
        std::{env, format, os::unix::process::ExitStatusExt, process::Command},
    };

    #[test]
    fn increments_are_not_lost() {
        let m = Arc::new(Mutex::<u64, 1>::new(0));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let m = m.clone();
                thread::spawn(move || (0..20_000).for_each(|_| *m.lock() += 1))
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(*m.lock(), 80_000);
        let counts = m.counts();
        assert_eq!(counts.taken, 80_001);
        assert!(counts.waited <= counts.taken, "{counts:?}");
    }

    #[test]
    fn who_finds_the_lock_taken_is_counted() {
        let m = Mutex::<(), 1>::new(());
        thread::scope(|s| {
            let held = m.lock();
            let waiter = s.spawn(|| drop(m.lock()));
            // The waiter is asleep once the word says so.
            while m.state.load(super::Relaxed) != super::SLEEPERS {
                thread::yield_now();
            }
            assert_eq!(m.counts(), LockCounts { taken: 1, waited: 0, slept: 0 }, "it has not got it yet");
            drop(held);
            waiter.join().unwrap();
        });
        let counts = m.counts();
        assert_eq!((counts.taken, counts.waited), (2, 1));
        assert!(counts.slept >= 1, "{counts:?}");
    }

    #[test]
    fn ranks_may_be_taken_upwards_and_released_in_any_order() {
        let (low, high) = (Mutex::<(), 1>::new(()), Mutex::<(), 2>::new(()));
        let a = low.lock();
        let b = high.lock();
        drop(a);
        drop(b);
        drop(low.lock());
    }

    /// Two locks that may not be taken in this order end the process, in a debug build.
    #[cfg(debug_assertions)]
    #[test]
    fn ranks_may_not_be_taken_downwards_nor_twice() {
        const CASE: &str = "GORT_TEST_CASE";
        let (low, high, other) = (Mutex::<(), 1>::new(()), Mutex::<(), 2>::new(()), Mutex::<(), 2>::new(()));
        let take = |case: &str| {
            let _held = high.lock();
            match case {
                "downwards" => drop(low.lock()),
                _ => drop(other.lock()),
            }
        };
        if let Ok(case) = env::var(CASE) {
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            // SAFETY: the limit is valid for a read.
            unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
            ENDS_PROCESS.store(true, super::Relaxed);
            return take(&case);
        }
        for (case, facts) in [("downwards", "rank=1, held_bits=4"), ("twice", "rank=2, held_bits=4")] {
            let name = "sync::mutex::tests::ranks_may_not_be_taken_downwards_nor_twice";
            let mut again = Command::new(env::current_exe().unwrap());
            let out = again.args(["--exact", name, "--nocapture"]).env(CASE, case).output().unwrap();
            assert_eq!(out.status.signal(), Some(libc::SIGABRT), "{case}: {out:?}");
            let line = format!("gort: fatal: lock order: this rank may not be taken now ({facts})\n");
            assert_eq!(str::from_utf8(&out.stderr), Ok(line.as_str()), "{case}");
        }
    }
}
