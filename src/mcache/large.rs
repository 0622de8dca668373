//! A few large spans that stay with the thread when they are freed, so that a loop that allocates and frees 64 KiB or 1 MiB never
//! reaches the page heap.
//!
//! Spans of up to 1 MiB are kept by length, last in first out, chained through their headers, in the mcache's gate: by the owner's plain
//! loads and stores, or another thread that looks once a second after those that have not used theirs. Of the longer ones, and of those
//! for which a small heap has no room, the process keeps one, until a thread needs pages for something else: it is then the first to go.
//! A small heap has little room, because what comes next would lie behind what is kept, in memory that no cache of the processor holds.
//!
//! A length of which none is kept is cut off the shortest span that is longer, and the rest is kept in turn. It is in the way if the
//! object is to grow in place: then it is given back, and the pages behind the object are free again. Where a new span comes from the page
//! heap, what is free behind it comes with it and is kept in the same way, so that the next ones take no lock; but only pages that have
//! frames, because others would not count as released any more, and not where zeros are wanted, of which nothing would be known then.
//!
//! Only lengths that the thread has asked for are kept: an object that grew to its length in place would otherwise leave its place to
//! nobody, and the next one grow in another, cold one. Where threads cannot be made to pass a fence, they keep nothing by length, because
//! nobody else could take it from a thread that idles.

use core::ptr::{self, NonNull};

use crate::base::{Bytes, PAGE_SIZE, Pages};
use crate::heap::Span;
use crate::sync::atomic::{AcqRel, AtomicU32, AtomicU64, AtomicUsize, Cell, Relaxed, can_fence_all, shrunk};

/// Longest span, in pages, that is kept by its length: 1 MiB.
const LONGEST: usize = shrunk(128, 3);
/// Pages that those may have together in one thread: 4 MiB ...
const MAX_PAGES: usize = 512;
/// ... and in all threads: a sixteenth of the heap in use, from 256 KiB to 64 MiB.
const SHARE: usize = 16;
const MIN_ALL_PAGES: usize = shrunk(32, 4);
const MAX_ALL_PAGES: usize = 8192;
/// Pages of the latter that a thread draws at a time: 128 KiB.
const DRAW: usize = shrunk(16, 1);
/// Pages that a new span of up to a quarter of so many takes from the page heap, with what is free behind it: 512 KiB.
const AHEAD: usize = shrunk(64, 4);
const _: () = assert!(AHEAD <= LONGEST + 1, "what is left has one of the lengths that are kept");

/// Pages that threads have drawn.
static DRAWN: AtomicUsize = AtomicUsize::new(0);

/// The cache. Only for who is in the gate, unless said otherwise.
pub(super) struct LargeCache {
    by_length: [Cell<Option<Span>>; LONGEST + 1],
    /// A bit for each length in pages that was asked for; and the last of the longer ones.
    asked: [Cell<u64>; LONGEST / 64 + 1],
    asked_long: Cell<usize>,
    /// Pages in `by_length`.
    held: Cell<usize>,
    /// How many they may be: what the thread has drawn. Read by anyone.
    limit: AtomicUsize,
    /// Pages that all threads might hold when this one last missed some, or drew.
    room: Cell<usize>,
    /// Times a span was used again, and when it was last asked: no change is no use.
    hits: Cell<u32>,
    seen: Cell<u32>,
}

impl LargeCache {
    pub(super) const fn new() -> Self {
        Self {
            by_length: [const { Cell::new(None) }; LONGEST + 1],
            asked: [const { Cell::new(0) }; LONGEST / 64 + 1],
            asked_long: Cell::new(0),
            held: Cell::new(0),
            limit: AtomicUsize::new(0),
            room: Cell::new(MIN_ALL_PAGES),
            hits: Cell::new(0),
            seen: Cell::new(0),
        }
    }

    /// Whether a span of `n` pages is kept only until its pages are needed.
    #[inline(always)]
    pub(super) fn is_long(n: Pages) -> bool {
        n.0 > LONGEST
    }

    /// Whether it has no room to hold anything, or had none a moment ago. Anyone, without the gate.
    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.limit.load(Relaxed) == 0
    }

    /// Takes a span of exactly `n` pages.
    #[inline(always)]
    pub(super) fn take(&self, n: Pages) -> Option<Span> {
        if let Some(first) = self.by_length.get(n.0)
            && let Some(span) = first.get()
        {
            first.set(span.chained());
            self.held.set(self.held.get() - n.0);
            self.used();
            return Some(span);
        }
        LONG.take(n)
    }

    /// The lengths of which there may be spans: none is longer than all are together.
    fn lengths(&self) -> &[Cell<Option<Span>>] {
        &self.by_length[..=self.held.get().min(LONGEST)]
    }

    /// Takes the shortest span of more than `n` pages, for the first `n` of them. The rest is to come back by `put_rest`.
    pub(super) fn take_longer(&self, n: Pages) -> Option<Span> {
        let first = self.lengths().get(n.0 + 1..)?.iter().find(|first| first.get().is_some())?;
        let span = first.get()?;
        first.set(span.chained());
        self.held.set(self.held.get() - span.npages().0);
        self.used();
        Some(span)
    }

    /// Keeps what is left of a span that was just taken out.
    pub(super) fn put_rest(&self, span: Span) {
        if let Some(first) = self.by_length.get(span.npages().0) {
            span.chain(first.get());
            first.set(Some(span));
            self.held.set(self.held.get() + span.npages().0);
        }
    }

    /// Takes out the span that starts at this address.
    pub(super) fn take_at(&self, base: usize) -> Option<Span> {
        // No look at the page map: another thread may be about to free what starts there.
        for first in self.lengths() {
            let mut before: Option<Span> = None;
            let mut next = first.get();
            while let Some(span) = next {
                next = span.chained();
                if span.base() == base {
                    match before {
                        Some(before) => before.chain(next),
                        None => first.set(next),
                    }
                    self.held.set(self.held.get() - span.npages().0);
                    return Some(span);
                }
                before = Some(span);
            }
        }
        None
    }

    /// Notes that a span of `n` pages was asked for, and there was none, in a heap with `in_use` bytes in use.
    pub(super) fn ask(&self, n: Pages, in_use: Bytes) {
        self.look_at_room(in_use);
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
        if let Some(first) = self.by_length.get(n)
            && self.held.get() + n <= self.limit.load(Relaxed)
        {
            span.chain(first.get());
            first.set(Some(span));
            self.held.set(self.held.get() + n);
            self.used();
            return true;
        }
        self.is_lone(span.npages()) && LONG.put(span)
    }

    /// Whether a span of `n` pages for which there is no room may be the one that the process keeps: it is no use to make room for it,
    /// because that would be most of the room that there is.
    #[inline(always)]
    pub(super) fn is_lone(&self, n: Pages) -> bool {
        n.0 > (self.room.get() / 2).min(LONGEST)
    }

    fn look_at_room(&self, in_use: Bytes) {
        self.room.set((in_use.0 / SHARE / PAGE_SIZE).clamp(MIN_ALL_PAGES, MAX_ALL_PAGES));
    }

    /// Draws room for a span of `n` pages, in a heap with `in_use` bytes in use; `false` when there is none.
    pub(super) fn draw(&self, n: Pages, in_use: Bytes) -> bool {
        self.look_at_room(in_use);
        let want = (self.held.get() + n.0).next_multiple_of(DRAW);
        let more = want.saturating_sub(self.limit.load(Relaxed));
        // Several threads in a small heap have something each.
        let all = if want <= DRAW { self.room.get().max(LONGEST) } else { self.room.get() };
        let ok = want <= MAX_PAGES
            && can_fence_all()
            && DRAWN.try_update(Relaxed, Relaxed, |d| Some(d + more).filter(|&d| d <= all)).is_ok();
        if ok {
            self.limit.store(self.limit.load(Relaxed) + more, Relaxed);
        }
        ok
    }

    /// How many pages a new span of `n` pages may have in all, if the thread is to keep those behind it, in a heap with `in_use` bytes in use.
    pub(super) fn ahead(&self, n: Pages, in_use: Bytes) -> Pages {
        if n.0 > AHEAD / 4 {
            return n;
        }
        self.look_at_room(in_use);
        let held = self.held.get() + AHEAD;
        let drawn = DRAWN.load(Relaxed) + held.saturating_sub(self.limit.load(Relaxed));
        let ok = held <= MAX_PAGES && drawn <= self.room.get() && can_fence_all();
        if ok { Pages(AHEAD) } else { n }
    }

    /// Keeps what a new span has taken with it, unless there is no room for it: `false`. Only now room is drawn: mostly nothing is free
    /// behind a new span.
    #[must_use]
    pub(super) fn put_ahead(&self, span: Span, in_use: Bytes) -> bool {
        let ok = self.draw(span.npages(), in_use);
        if ok {
            self.put_rest(span);
        }
        ok
    }

    #[inline(always)]
    fn used(&self) {
        self.hits.set(self.hits.get().wrapping_add(1));
    }

    /// Takes all spans out, chained to one another, and gives back what was drawn.
    pub(super) fn take_all(&self) -> Option<Span> {
        let mut all = None;
        // All lengths: a signal handler that jumped out of `put` may have left one that is not counted.
        for first in &self.by_length {
            while let Some(span) = first.get() {
                first.set(span.chained());
                span.chain(all);
                all = Some(span);
            }
        }
        self.held.set(0);
        DRAWN.fetch_sub(self.limit.load(Relaxed), Relaxed);
        self.limit.store(0, Relaxed);
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

/// The last span that was freed of those above `LONGEST`, or without room, of all threads: one word that is swapped, its header's
/// address (48 bits) and its pages (16 bits).
pub(super) struct Long {
    word: AtomicU64,
    /// Times it was used again, and when it was last asked.
    hits: AtomicU32,
    seen: AtomicU32,
}

pub(super) static LONG: Long =
    Long { word: AtomicU64::new(0), hits: AtomicU32::new(0), seen: AtomicU32::new(0) };

const ADDRESS_BITS: u32 = 48;

impl Long {
    fn take(&self, n: Pages) -> Option<Span> {
        let word = self.word.load(Relaxed);
        if word >> ADDRESS_BITS != n.0 as u64 {
            return None;
        }
        // AcqRel: whoever swaps the word out owns the span and sees what its last owner wrote.
        self.word.compare_exchange(word, 0, AcqRel, Relaxed).ok()?;
        // No exchange for it: where one of two is lost, the span goes a second early.
        self.hits.store(self.hits.load(Relaxed).wrapping_add(1), Relaxed);
        unpack(word)
    }

    fn put(&self, span: Span) -> bool {
        let n = span.npages().0 as u64;
        // It may have been kept by length before, chained to others, and have grown since.
        span.chain(None);
        let word = span.address().as_ptr().expose_provenance() as u64 | n << ADDRESS_BITS;
        // AcqRel: as in `take`, and publishes the span to whoever takes it.
        n >> (64 - ADDRESS_BITS) == 0 && self.word.compare_exchange(0, word, AcqRel, Relaxed).is_ok()
    }

    /// Takes it out, whatever its length.
    pub(super) fn take_any(&self) -> Option<Span> {
        if self.word.load(Relaxed) == 0 {
            return None;
        }
        // AcqRel: as in `take`.
        unpack(self.word.swap(0, AcqRel))
    }

    /// Takes it out if none was used again since the last call.
    pub(super) fn take_idle(&self) -> Option<Span> {
        let hits = self.hits.load(Relaxed);
        if self.seen.swap(hits, Relaxed) == hits { self.take_any() } else { None }
    }
}

fn unpack(word: u64) -> Option<Span> {
    let address = (word & ((1 << ADDRESS_BITS) - 1)) as usize;
    NonNull::new(ptr::with_exposed_provenance_mut(address)).map(Span::from_address)
}
