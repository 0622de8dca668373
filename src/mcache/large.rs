//! A few recently freed large spans that stay with the thread, so that a loop that allocates and frees 64 KiB or 1 MiB never
//! reaches the page heap.
//!
//! Only the owner puts spans in; anyone may take them out (once a second some thread's slow path does, from threads that have
//! not used theirs), so an entry is one word that is swapped: header address (48 bits) and pages (16 bits).

use core::ptr::{self, NonNull};
use core::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Relaxed},
};

use crate::base::Pages;
use crate::heap::Span;

/// Spans a thread may keep.
const ENTRIES: usize = 8;
/// Pages that all of them may have together: 4 MiB.
const MAX_PAGES: usize = 512;
const ADDRESS_BITS: u32 = 48;

/// The cache; all zeros is empty.
pub(super) struct LargeCache {
    entries: [AtomicU64; ENTRIES],
    /// Times a span was used again; a scavenger that sees no change empties the cache.
    hits: AtomicU64,
    /// `hits` at the scavenger's last visit.
    seen: AtomicU64,
}

impl LargeCache {
    pub(super) const fn new() -> Self {
        Self {
            entries: [const { AtomicU64::new(0) }; ENTRIES],
            hits: AtomicU64::new(0),
            seen: AtomicU64::new(0),
        }
    }

    /// Takes a span of exactly `n` pages. Owner only.
    pub(super) fn take(&self, n: Pages) -> Option<Span> {
        for e in &self.entries {
            let seen = e.load(Relaxed);
            if seen != 0 && pages_of(seen) == n.0 {
                // AcqRel: whoever swaps the word out owns the span and sees what its last owner wrote.
                if let Some(span) = unpack(e.swap(0, AcqRel)) {
                    self.hits.store(self.hits.load(Relaxed) + 1, Relaxed);
                    return Some(span);
                }
            }
        }
        None
    }

    /// Keeps a span; gives back one that has to go instead: itself when it is too long, another when there is no place.
    /// Owner only.
    #[must_use]
    pub(super) fn put(&self, span: Span) -> Option<Span> {
        let n = span.npages().0;
        let held: usize = self.entries.iter().map(|e| pages_of(e.load(Relaxed))).sum();
        if n * 2 > MAX_PAGES || held + n > MAX_PAGES {
            return Some(span);
        }
        let place = self.entries.iter().find(|e| e.load(Relaxed) == 0).unwrap_or(&self.entries[n % ENTRIES]);
        let word = span.address().as_ptr().expose_provenance() as u64 | (n as u64) << ADDRESS_BITS;
        // AcqRel: as in `take`, and publishes the span to whoever takes it.
        unpack(place.swap(word, AcqRel))
    }

    /// Takes any span out. Anyone.
    pub(super) fn steal(&self) -> Option<Span> {
        // AcqRel: as in `take`.
        self.entries.iter().filter(|e| e.load(Relaxed) != 0).find_map(|e| unpack(e.swap(0, AcqRel)))
    }

    /// Whether the thread has used none of its spans since the last visit.
    pub(super) fn is_idle(&self) -> bool {
        let hits = self.hits.load(Relaxed);
        self.seen.swap(hits, Relaxed) == hits
    }
}

fn pages_of(word: u64) -> usize {
    (word >> ADDRESS_BITS) as usize
}

fn unpack(word: u64) -> Option<Span> {
    let address = (word & ((1 << ADDRESS_BITS) - 1)) as usize;
    NonNull::new(ptr::with_exposed_provenance_mut(address)).map(Span::from_address)
}
