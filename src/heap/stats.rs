//! What the heap knows of itself without looking at any thread.

use core::sync::atomic::Ordering::Relaxed;

use super::mheap::Heap;
use crate::base::{Bytes, Pages};
use crate::sync::LockCounts;

/// Bytes by what they are used for. Go's mstats.go: heapInUse, heapReleased and so on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeapStats {
    /// In spans, huge objects and guarded ones.
    pub(crate) in_use: Bytes,
    /// The most that `in_use` ever was.
    pub(crate) peak: Bytes,
    /// Usable: in spans, free, or released; huge objects and guarded ones.
    pub(crate) usable: Bytes,
    /// Free and with the kernel.
    pub(crate) released: Bytes,
    /// In huge objects alone.
    pub(crate) huge: Bytes,
    /// Number of huge objects.
    pub(crate) huge_objects: usize,
    /// In span headers, mcaches, pointer arrays and tables, as far as they are committed.
    pub(crate) metadata: Bytes,
}

impl Heap {
    /// Adds up the counters; exact when no other thread is allocating pages at this moment.
    pub(crate) fn stats(&self) -> HeapStats {
        let huge = self.huge_bytes.load(Relaxed);
        HeapStats {
            in_use: self.in_use_bytes(),
            peak: Bytes(self.peak.load(Relaxed)),
            usable: Bytes(Pages(self.usable.load(Relaxed)).bytes().0 + huge + self.guarded.load(Relaxed)),
            released: Pages(self.released.load(Relaxed)).bytes(),
            huge: Bytes(huge),
            huge_objects: self.huge_objects.load(Relaxed),
            metadata: self.metadata_bytes(),
        }
    }

    /// The counts of the page allocators' locks together, and of the metadata's.
    pub(crate) fn lock_counts(&self) -> (LockCounts, LockCounts) {
        (self.pages.counts().plus(self.shards.lock_counts()), self.meta.counts())
    }

    /// Bytes in spans, huge objects and guarded ones.
    pub(crate) fn in_use_bytes(&self) -> Bytes {
        let beside = self.huge_bytes.load(Relaxed) + self.guarded.load(Relaxed);
        Bytes(Pages(self.in_use.load(Relaxed)).bytes().0 + beside)
    }

    /// Notes what is in use, after it grew, if that is the most so far. Two threads that grow at the same moment may each count the
    /// other's pages or not; what is noted was in use at some moment, up to pages on their way from one to the other.
    pub(super) fn note_peak(&self) {
        let now = self.in_use_bytes().0;
        if now > self.peak.load(Relaxed) {
            self.peak.fetch_max(now, Relaxed);
        }
    }

    /// Bytes of metadata that can be read and written. Pages of the page map and of the page allocator's tables that were
    /// never touched have no frames, but are counted: the kernel may have to give them one.
    pub(super) fn metadata_bytes(&self) -> Bytes {
        Bytes(self.meta_committed.load(Relaxed) + self.tables_committed.load(Relaxed))
    }
}
