//! What goes through a central store, counted. The counts are written under the store's lock, which is held anyway, with plain stores;
//! only a new span is counted with an atomic addition, as it is cut up without the lock.

use crate::sync::atomic::{AtomicU64, Relaxed};
use crate::sync::{LockCounts, add};

/// The counts of one store, but for its lock's. Read by anyone.
pub(super) struct Moved {
    batches_in: AtomicU64,
    objects_in: AtomicU64,
    batches_out: AtomicU64,
    objects_out: AtomicU64,
    from_spans: AtomicU64,
    to_spans: AtomicU64,
    spans_freed: AtomicU64,
    /// Written without the lock, and so is the next.
    spans_made: AtomicU64,
    from_new_spans: AtomicU64,
}

/// What went through a central store, or through all of them together. The counts only grow.
///
/// Read while threads go on, they may miss a part of what is under way: `objects_in - objects_out` is what the transfer cache holds,
/// and `objects_from_spans - objects_to_spans` what is outside of spans, once nobody is at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CentralCounts {
    /// The lock of the store. A thread takes it to refill or to empty a part of its own cache, and to trim the store.
    pub lock: LockCounts,
    /// Batches that threads put into the transfer cache, at least in part.
    pub batches_in: u64,
    /// Objects put into it.
    pub objects_in: u64,
    /// Batches that were copied out of the transfer cache, by a thread that needs objects or by one that trims the store.
    pub batches_out: u64,
    /// Objects in those.
    pub objects_out: u64,
    /// Objects taken out of spans.
    pub objects_from_spans: u64,
    /// Objects returned to their spans.
    pub objects_to_spans: u64,
    /// Spans made.
    pub spans_made: u64,
    /// Spans that went back to the page heap because all of their objects had come back.
    pub spans_freed: u64,
}

impl CentralCounts {
    /// Before anything was counted.
    pub(crate) const ZERO: Self = Self {
        lock: LockCounts::ZERO,
        batches_in: 0,
        objects_in: 0,
        batches_out: 0,
        objects_out: 0,
        objects_from_spans: 0,
        objects_to_spans: 0,
        spans_made: 0,
        spans_freed: 0,
    };

    /// The sums of both.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            lock: self.lock.plus(other.lock),
            batches_in: self.batches_in + other.batches_in,
            objects_in: self.objects_in + other.objects_in,
            batches_out: self.batches_out + other.batches_out,
            objects_out: self.objects_out + other.objects_out,
            objects_from_spans: self.objects_from_spans + other.objects_from_spans,
            objects_to_spans: self.objects_to_spans + other.objects_to_spans,
            spans_made: self.spans_made + other.spans_made,
            spans_freed: self.spans_freed + other.spans_freed,
        }
    }
}

impl Moved {
    pub(super) const fn new() -> Self {
        Self {
            batches_in: AtomicU64::new(0),
            objects_in: AtomicU64::new(0),
            batches_out: AtomicU64::new(0),
            objects_out: AtomicU64::new(0),
            from_spans: AtomicU64::new(0),
            to_spans: AtomicU64::new(0),
            spans_freed: AtomicU64::new(0),
            spans_made: AtomicU64::new(0),
            from_new_spans: AtomicU64::new(0),
        }
    }

    /// Under the store's lock, as all but `made_span`.
    pub(super) fn put_in_transfer(&self, objects: usize) {
        if objects > 0 {
            add(&self.batches_in, 1);
            add(&self.objects_in, objects as u64);
        }
    }

    pub(super) fn took_from_transfer(&self, objects: usize) {
        add(&self.batches_out, 1);
        add(&self.objects_out, objects as u64);
    }

    pub(super) fn took_from_spans(&self, objects: usize) {
        add(&self.from_spans, objects as u64);
    }

    pub(super) fn put_in_spans(&self, objects: usize, freed: u64) {
        add(&self.to_spans, objects as u64);
        add(&self.spans_freed, freed);
    }

    /// A new span of which the thread took so many objects at once.
    pub(super) fn made_span(&self, objects: usize) {
        self.spans_made.fetch_add(1, Relaxed);
        self.from_new_spans.fetch_add(objects as u64, Relaxed);
    }

    /// All of it, with the lock's.
    pub(super) fn counts(&self, lock: LockCounts) -> CentralCounts {
        CentralCounts {
            lock,
            batches_in: self.batches_in.load(Relaxed),
            objects_in: self.objects_in.load(Relaxed),
            batches_out: self.batches_out.load(Relaxed),
            objects_out: self.objects_out.load(Relaxed),
            objects_from_spans: self.from_spans.load(Relaxed) + self.from_new_spans.load(Relaxed),
            objects_to_spans: self.to_spans.load(Relaxed),
            spans_made: self.spans_made.load(Relaxed),
            spans_freed: self.spans_freed.load(Relaxed),
        }
    }
}
