//! Exact counts that others read while their owner writes.

use crate::sync::atomic::{Acquire, AtomicU32, AtomicU64, Relaxed, Release, fence, yield_now};

/// What was allocated and freed. Bytes are rounded as the heap rounds them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Objects allocated.
    pub(crate) allocs: u64,
    /// Bytes allocated.
    pub(crate) bytes: u64,
    /// Objects freed.
    pub(crate) frees: u64,
    /// Bytes freed.
    pub(crate) bytes_freed: u64,
}

impl Counts {
    /// What happened between `earlier` and this.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            allocs: self.allocs.wrapping_sub(earlier.allocs),
            bytes: self.bytes.wrapping_sub(earlier.bytes),
            frees: self.frees.wrapping_sub(earlier.frees),
            bytes_freed: self.bytes_freed.wrapping_sub(earlier.bytes_freed),
        }
    }

    /// Adds `allocs` and `frees` of objects of `size` bytes.
    pub(crate) fn add(&mut self, size: usize, allocs: u64, frees: u64) {
        self.allocs += allocs;
        self.bytes += allocs * size as u64;
        self.frees += frees;
        self.bytes_freed += frees * size as u64;
    }
}

/// A version that is odd while its owner changes several words that belong together.
pub(super) struct Version(AtomicU32);

impl Version {
    pub(super) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Changes the words that the version covers. Owner only; `change` neither waits nor calls out.
    #[inline]
    pub(super) fn write(&self, change: impl FnOnce()) {
        let v = self.0.load(Relaxed);
        self.0.store(v.wrapping_add(1), Relaxed);
        // Release: no reader sees the changes with the even version before. Pairs with the Acquire fence in `read`.
        fence(Release);
        change();
        // Release: publishes the changes with the even version after. Pairs with the Acquire load in `read`.
        self.0.store(v.wrapping_add(2), Release);
    }

    /// Reads words that belong together; tries again while the owner is changing them.
    pub(super) fn read<R>(&self, read: impl Fn() -> R) -> R {
        loop {
            // Acquire: pairs with the Release store in `write`.
            let before = self.0.load(Acquire);
            if before.is_multiple_of(2) {
                let r = read();
                // Acquire: the version is read after the words. Pairs with the Release fence in `write`.
                fence(Acquire);
                if self.0.load(Relaxed) == before {
                    return r;
                }
            }
            yield_now();
        }
    }

    /// Ends a change whose owner does not go on with it: it stayed behind in a fork's parent, or the process exits out of it.
    pub(super) fn close(&self) {
        let v = self.0.load(Relaxed);
        self.0.store(v.wrapping_add(v % 2), Relaxed);
    }
}

/// Counts of objects of whole pages. Written by the owner, and read by anyone word by word: they are outside of the mcache's version,
/// because a signal handler that interrupts the fast path, and never comes back, must not leave that open.
pub(super) struct LargeCounts {
    allocs: AtomicU64,
    bytes: AtomicU64,
    frees: AtomicU64,
    bytes_freed: AtomicU64,
    /// Bytes that were asked for, before rounding.
    requested: AtomicU64,
}

impl LargeCounts {
    pub(super) const fn new() -> Self {
        Self {
            allocs: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            frees: AtomicU64::new(0),
            bytes_freed: AtomicU64::new(0),
            requested: AtomicU64::new(0),
        }
    }

    fn bump(word: &AtomicU64, by: u64) {
        word.store(word.load(Relaxed).wrapping_add(by), Relaxed);
    }

    pub(super) fn allocated(&self, bytes: u64, requested: u64) {
        Self::bump(&self.allocs, 1);
        Self::bump(&self.bytes, bytes);
        Self::bump(&self.requested, requested);
    }

    pub(super) fn freed(&self, bytes: u64) {
        Self::bump(&self.frees, 1);
        Self::bump(&self.bytes_freed, bytes);
    }

    pub(super) fn requested(&self) -> u64 {
        self.requested.load(Relaxed)
    }

    pub(super) fn get(&self) -> Counts {
        Counts {
            allocs: self.allocs.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            frees: self.frees.load(Relaxed),
            bytes_freed: self.bytes_freed.load(Relaxed),
        }
    }
}
