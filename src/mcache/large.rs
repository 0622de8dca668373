//! A few recently freed large spans that stay with the thread, so that a loop that allocates and frees 64 KiB or 1 MiB never
//! reaches the page heap.
//!
//! Spans of up to 1 MiB are kept by length, last in first out, chained through their headers. Of the longer ones the last is kept, until
//! the thread needs pages for something else: they are then the first to go, so that what it keeps does not add to its peak. Only lengths
//! that the thread has asked for are kept: an object that grew to its length in place would otherwise leave its place to nobody, and
//! the next one grow in another, cold one.
//!
//! All of this happens in the mcache's gate: the owner's plain loads and stores, or another thread that looks once a second after
//! those that have not used theirs.

use core::cell::Cell;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::base::Pages;
use crate::heap::Span;

/// Longest span, in pages, that is kept by its length: 1 MiB.
const LONGEST: usize = 128;
/// Pages that those may have together: 4 MiB.
const MAX_PAGES: usize = 512;

/// The cache; all zeros is empty. Only for who is in the gate, unless said otherwise.
pub(super) struct LargeCache {
    by_length: [Cell<Option<Span>>; LONGEST + 1],
    /// The last that is longer.
    long: Cell<Option<Span>>,
    /// A bit for each length in pages that was asked for; and the last of the longer ones.
    asked: [Cell<u64>; LONGEST / 64 + 1],
    asked_long: Cell<usize>,
    /// Pages in `by_length`.
    held: Cell<usize>,
    /// Spans in all. Read by anyone.
    count: AtomicUsize,
    /// Times a span was used again, and when it was last asked: no change is no use.
    hits: Cell<u32>,
    seen: Cell<u32>,
}

impl LargeCache {
    pub(super) const fn new() -> Self {
        Self {
            by_length: [const { Cell::new(None) }; LONGEST + 1],
            long: Cell::new(None),
            asked: [const { Cell::new(0) }; LONGEST / 64 + 1],
            asked_long: Cell::new(0),
            held: Cell::new(0),
            count: AtomicUsize::new(0),
            hits: Cell::new(0),
            seen: Cell::new(0),
        }
    }

    /// Whether a span of `n` pages is kept only until its pages are needed.
    #[inline(always)]
    pub(super) fn is_long(n: Pages) -> bool {
        n.0 > LONGEST
    }

    /// Whether it holds nothing, or did a moment ago. Anyone, without the gate.
    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Relaxed) == 0
    }

    /// Whether it keeps a span that is only kept until its pages are needed.
    #[inline(always)]
    pub(super) fn has_long(&self) -> bool {
        self.long.get().is_some()
    }

    /// Takes a span of exactly `n` pages.
    #[inline(always)]
    pub(super) fn take(&self, n: Pages) -> Option<Span> {
        let span = match self.by_length.get(n.0) {
            Some(first) => {
                let span = first.get()?;
                first.set(span.chained());
                self.held.set(self.held.get() - n.0);
                span
            }
            None => {
                let span = self.long.get().filter(|span| span.npages() == n)?;
                self.long.set(None);
                span
            }
        };
        self.hits.set(self.hits.get().wrapping_add(1));
        self.add(-1);
        Some(span)
    }

    /// Notes that a span of `n` pages was asked for, and there was none.
    pub(super) fn ask(&self, n: Pages) {
        match self.asked.get(n.0 / 64).filter(|_| !Self::is_long(n)) {
            Some(bits) => bits.set(bits.get() | 1 << (n.0 % 64)),
            None => self.asked_long.set(n.0),
        }
    }

    /// Whether spans of `n` pages were asked for.
    #[inline(always)]
    pub(super) fn is_asked(&self, n: Pages) -> bool {
        match self.asked.get(n.0 / 64).filter(|_| !Self::is_long(n)) {
            Some(bits) => bits.get() >> (n.0 % 64) & 1 == 1,
            None => self.asked_long.get() == n.0,
        }
    }

    /// Keeps a span, unless there is no room, or no use for it: `false`.
    #[inline(always)]
    #[must_use]
    pub(super) fn put(&self, span: Span) -> bool {
        if !self.is_asked(span.npages()) {
            return false;
        }
        let n = span.npages().0;
        match self.by_length.get(n) {
            Some(first) if self.held.get() + n <= MAX_PAGES => {
                span.chain(first.get());
                first.set(Some(span));
                self.held.set(self.held.get() + n);
            }
            None if self.long.get().is_none() => {
                span.chain(None);
                self.long.set(Some(span));
            }
            _ => return false,
        }
        self.add(1);
        true
    }

    #[inline(always)]
    fn add(&self, n: isize) {
        self.count.store(self.count.load(Relaxed).wrapping_add_signed(n), Relaxed);
    }

    /// Takes the span out that is kept until its pages are needed.
    pub(super) fn take_long(&self) -> Option<Span> {
        let span = self.long.take()?;
        self.add(-1);
        Some(span)
    }

    /// Takes all spans out, chained to one another.
    pub(super) fn take_all(&self) -> Option<Span> {
        let mut all = self.long.take();
        for first in &self.by_length {
            while let Some(span) = first.get() {
                first.set(span.chained());
                span.chain(all);
                all = Some(span);
            }
        }
        self.held.set(0);
        self.count.store(0, Relaxed);
        all
    }

    /// Takes all spans out, and forgets what was asked for, if the thread has used none since the last call.
    pub(super) fn take_idle(&self) -> Option<Span> {
        if self.seen.replace(self.hits.get()) != self.hits.get() {
            return None;
        }
        self.asked.iter().for_each(|bits| bits.set(0));
        self.take_all()
    }
}
