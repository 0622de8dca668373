//! The page allocator: which pages are free, lowest address first. Answers to Go's mpagealloc.go.
//!
//! Address order keeps the heap dense: what is in use gathers at the bottom, and what is free at the top can be given back.
//!
//! ```text
//! 0                    search                      end                         max
//! | nothing free here  | in use, free, scavenged   | reserved, not usable yet  |
//! ```
//!
//! Invariants: nothing below `search` is free; a page's bits are in its chunk's bitmaps, and summaries and counters are what
//! the bitmaps add up to; pages become usable in order, without gaps. Pages that a [`PageCache`](super::PageCache) holds or
//! that are being scavenged are in use.
//!
//! It has no lock and never touches the pages themselves. Only growing can fail.
//!
//! Rejected: a sparse two-level chunk map (Go's): the reservation is contiguous, so one array will do. Best fit: it needs an
//! order by size and spreads the heap over the address space.

use super::OutOfMemory;
use super::bitmap::{CHUNK_PAGES, Chunk, InChunk, PallocBits};
use super::scavenge::ScavengeIndex;
use super::summary::{Outcome, Search, Sum, Summaries};
use super::table::Table;
use crate::base::{Bytes, PAGE_SIZE, PageIdx, PageRange, Pages};
use crate::sys::Os;
use crate::throw::check;

#[cfg(test)]
mod tests;
#[cfg(any(test, feature = "fuzzing"))]
mod twin;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use twin::fuzz;

/// Places tried before an aligned allocation settles for a run that is long enough wherever it begins.
pub(super) const ALIGNED_TRIES: usize = 32;

/// The free pages of an address space of at most `max` pages.
pub(crate) struct PageAlloc<O: Os> {
    pub(super) chunks: Table<Chunk, O>,
    sums: Summaries<O>,
    pub(super) index: ScavengeIndex<O>,
    /// Nothing below this page is free (Go's searchAddr).
    pub(super) search: PageIdx,
    /// The page behind the last usable one.
    pub(super) end: PageIdx,
    /// Free pages.
    pub(super) free: Pages,
    /// Free pages that are with the kernel.
    free_scavenged: Pages,
    /// Pages of a kernel page, at least 1.
    pub(super) scavenge_align: usize,
}

/// A range cut at the edges of chunks: chunk, first page in it, number of pages in it.
#[inline]
fn pieces(r: PageRange) -> impl Iterator<Item = (usize, usize, usize)> {
    let end = r.end().0;
    let mut at = r.start.0;
    core::iter::from_fn(move || {
        let (c, i) = (at / CHUNK_PAGES, at % CHUNK_PAGES);
        let n = (CHUNK_PAGES - i).min(end - at);
        at += n;
        (n > 0).then_some((c, i, n))
    })
}

impl<O: Os> PageAlloc<O> {
    /// Reserves tables for `max` pages; none is usable yet. `None` when the OS refuses.
    pub(crate) fn new(os: O, max: Pages) -> Option<Self> {
        let chunks = max.0.div_ceil(CHUNK_PAGES);
        Some(Self {
            chunks: Table::new(os, chunks, c"gort: page bitmaps")?,
            sums: Summaries::new(os, chunks)?,
            index: ScavengeIndex::new(os, chunks)?,
            search: PageIdx(0),
            end: PageIdx(0),
            free: Pages(0),
            free_scavenged: Pages(0),
            scavenge_align: (os.page_size() / PAGE_SIZE).max(1),
        })
    }

    /// Commits what is needed to know about the pages of `r`, after which `grow(r)` cannot fail. On `Err` nothing changed.
    pub(crate) fn prepare(&mut self, r: PageRange) -> Result<(), OutOfMemory> {
        let chunks = r.end().0 / CHUNK_PAGES;
        self.chunks.grow_to(chunks)?;
        self.sums.prepare(chunks)?;
        self.index.prepare(chunks)
    }

    /// Makes the next pages usable: free, and with the kernel. `r` starts where the last range ended and is whole chunks.
    /// On `Err` nothing changed, and the same call may be made again.
    pub(crate) fn grow(&mut self, r: PageRange) -> Result<(), OutOfMemory> {
        check!(r.start == self.end && r.len.0.is_multiple_of(CHUNK_PAGES); r = r; end = self.end);
        self.prepare(r)?;
        if r.len.0 == 0 {
            return Ok(());
        }
        let (lo, hi) = (r.start.0 / CHUNK_PAGES, r.end().0 / CHUNK_PAGES);
        self.sums.grow(hi);
        for c in lo..hi {
            *self.chunks.at_mut(c) = Chunk { alloc: PallocBits::NONE, scavenged: PallocBits::ALL };
            self.sums.set_leaf_only(c, Sum::all_free(CHUNK_PAGES));
        }
        self.sums.update(lo, hi - 1);
        self.end = r.end();
        self.free += r.len;
        self.free_scavenged += r.len;
        Ok(())
    }

    /// The lowest `n` free pages in a row, and how many of them were scavenged.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn alloc(&mut self, n: Pages) -> Option<(PageIdx, Pages)> {
        let start = self.find_and_raise(n)?;
        let r = PageRange { start, len: n };
        if self.search == start {
            self.search = r.end();
        }
        Some((start, self.take(r)))
    }

    /// The lowest `n` free pages in a row, and with them as many times `n` of those behind them as are free and have frames, up to `most` pages
    /// in all; how many of them were scavenged; and how many, counted from the first, hold the last that was not: only those have to be
    /// zeroed by who wants zeros. With an `align` of more than a page the first page's index is a multiple of it.
    #[inline]
    pub(crate) fn alloc_with_dirt(
        &mut self,
        n: Pages,
        most: Pages,
        align: Pages,
    ) -> Option<(PageRange, Pages, Pages)> {
        let start = if align.0 == 1 { self.find_and_raise(n)? } else { self.find_aligned(n, align)? };
        let more = if most > n { self.framed_behind(start + n).0.min(most.0 - n.0) / n.0 * n.0 } else { 0 };
        let r = PageRange { start, len: Pages(n.0 + more) };
        let dirty = self.dirt(r);
        if self.search == start {
            self.search = r.end();
        }
        Some((r, self.take(r), dirty))
    }

    /// How many pages behind those that end with `end` are free and have frames, up to where the chunk of the last one ends.
    fn framed_behind(&self, end: PageIdx) -> Pages {
        let i = end.0 % CHUNK_PAGES;
        if i == 0 {
            return Pages(0);
        }
        let chunk = self.chunks.at(end.0 / CHUNK_PAGES);
        Pages(chunk.alloc.clear_from(i).min(chunk.scavenged.clear_from(i)))
    }

    /// How many of the free pages of `r`, counted from the first, hold the last that has a frame.
    fn dirt(&self, r: PageRange) -> Pages {
        // Only the last chunk with such a page matters, and most ranges lie in one or two.
        let mut end = r.end().0;
        while end > r.start.0 {
            let c = (end - 1) / CHUNK_PAGES;
            let from = r.start.0.max(c * CHUNK_PAGES);
            if let Some(i) = self.chunks.at(c).scavenged.last_clear(from % CHUNK_PAGES, end - from) {
                return PageIdx(c * CHUNK_PAGES + i + 1) - r.start;
            }
            end = from;
        }
        Pages(0)
    }

    /// `n` free pages in a row, of which the first has an index that is a multiple of `align`, a power of two; and how many of
    /// them were scavenged.
    ///
    /// The lowest such place, unless many runs before it were long enough but badly placed: then the lowest run that has such
    /// a place wherever it begins, so that a heap full of unfit runs does not cost a walk through all of them.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn alloc_aligned(&mut self, n: Pages, align: Pages) -> Option<(PageIdx, Pages)> {
        let at = self.find_aligned(n, align)?;
        Some((at, self.take(PageRange { start: at, len: n })))
    }

    /// The place for `alloc_aligned`.
    pub(super) fn find_aligned(&mut self, n: Pages, align: Pages) -> Option<PageIdx> {
        self.find_aligned_within(n, align, usize::MAX)
    }

    /// As `find_aligned`, but gives up after so many runs that are long enough and badly placed.
    pub(super) fn find_aligned_within(&mut self, n: Pages, align: Pages, most: usize) -> Option<PageIdx> {
        debug_assert!(align.0.is_power_of_two());
        let mut at = self.find_and_raise(n)?;
        let mut tries = 0;
        while at.align_up(align) != at {
            tries += 1;
            if tries > most {
                return None;
            }
            if tries == ALIGNED_TRIES
                && let Some(any) = n.0.checked_add(align.0 - 1).and_then(|m| self.find(m, self.search).0)
            {
                at = any.align_up(align);
                break;
            }
            // A fit at or after `at` is at or after the next aligned page.
            at = self.find(n.0, at.align_up(align)).0?;
        }
        Some(at)
    }

    /// Exactly the pages of `r`, if all of them are free; returns how many of them were scavenged.
    pub(crate) fn alloc_at(&mut self, r: PageRange) -> Option<Pages> {
        if !self.is_free(r) {
            return None;
        }
        if self.search == r.start {
            self.search = r.end();
        }
        Some(self.take(r))
    }

    /// Exactly the pages of `r`, if all of them are free and with the kernel: `false` if not.
    #[must_use]
    pub(crate) fn take_untouched(&mut self, r: PageRange) -> bool {
        let untouched =
            r.end() <= self.end && pieces(r).all(|(c, i, n)| self.chunks.at(c).scavenged.all(i, n));
        untouched && self.alloc_at(r).is_some()
    }

    /// Takes back pages that are in use, with whatever they contain.
    pub(crate) fn free(&mut self, r: PageRange) {
        self.give(r, false);
    }

    /// Takes back pages that are in use, are zero and have no frames.
    pub(crate) fn free_scavenged(&mut self, r: PageRange) {
        self.give(r, true);
    }

    /// Free pages, those that page caches hold not counted.
    #[cfg(any(test, feature = "invariants"))]
    pub(crate) fn free_pages(&self) -> Pages {
        self.free
    }

    /// Free pages that have frames: what scavenging could give back.
    pub(crate) fn free_unscavenged(&self) -> Pages {
        self.free - self.free_scavenged
    }

    /// Pages that `grow` has made usable.
    #[cfg(any(test, feature = "invariants"))]
    pub(crate) fn usable_pages(&self) -> Pages {
        Pages(self.end.0)
    }

    /// Bytes of the tables that can be read and written.
    pub(crate) fn committed_bytes(&self) -> Bytes {
        let tables =
            [self.chunks.committed_bytes(), self.sums.committed_bytes(), self.index.committed_bytes()];
        Bytes(tables.iter().map(|b| b.0).sum())
    }

    /// Whether all pages of `r` are usable and free.
    pub(crate) fn is_free(&self, r: PageRange) -> bool {
        r.end() <= self.end
            && pieces(r).all(|(c, i, n)| {
                let sum = self.sums.leaf(c);
                sum.max() >= n && (sum.max() == CHUNK_PAGES || !self.chunks.at(c).alloc.any(i, n))
            })
    }

    /// Whether all pages of a chunk are free.
    pub(super) fn is_chunk_free(&self, c: usize) -> bool {
        self.sums.leaf(c).max() == CHUNK_PAGES
    }

    /// The lowest free page.
    pub(super) fn lowest_free(&mut self) -> Option<PageIdx> {
        self.find_and_raise(Pages(1))
    }

    /// The lowest run of `n` free pages. Raises `search` as far as the search has shown to be right.
    #[inline]
    fn find_and_raise(&mut self, n: Pages) -> Option<PageIdx> {
        debug_assert!(n.0 > 0, "a run has pages");
        if n.0 == 0 || n > self.free {
            return None;
        }
        let (run, free) = self.find(n.0, self.search);
        self.search = free;
        run
    }

    /// The lowest run of `n` free pages at or after `from`, and a page such that nothing between `from` and it is free.
    #[inline]
    fn find(&self, n: usize, from: PageIdx) -> (Option<PageIdx>, PageIdx) {
        if from >= self.end {
            return (None, self.end);
        }
        let (c, i) = (from.0 / CHUNK_PAGES, from.0 % CHUNK_PAGES);
        let sum = self.sums.leaf(c);
        let mut s = Search { n, run: 0, free: None };
        if sum != Sum::NONE {
            // Where no run is long enough, what is free first is all there is to find.
            let has_run = sum.max() >= n;
            let InChunk { run, free } = self.chunks.at(c).alloc.find(if has_run { n } else { 1 }, i);
            s.free = free.map(|i| c * CHUNK_PAGES + i);
            if let Some(i) = run.filter(|_| has_run) {
                return (Some(PageIdx(c * CHUNK_PAGES + i)), PageIdx(s.free.unwrap_or(from.0)));
            }
            s.run = sum.end().min(CHUNK_PAGES - i);
        }
        self.find_after(c, s, from)
    }

    /// The rest of `find`: behind chunk `c`.
    fn find_after(&self, c: usize, mut s: Search, from: PageIdx) -> (Option<PageIdx>, PageIdx) {
        let run = match self.sums.search_after(c, &mut s) {
            Outcome::Run(page) => Some(page),
            Outcome::Chunk(c) => {
                let InChunk { run, free } = self.chunks.at(c).alloc.find(s.n, 0);
                s.free = s.free.or(free.map(|i| c * CHUNK_PAGES + i));
                run.map(|i| c * CHUNK_PAGES + i)
            }
            Outcome::Nothing => {
                s.free = s.free.or(Some(self.end.0));
                None
            }
        };
        (run.map(PageIdx), PageIdx(s.free.unwrap_or(from.0)))
    }

    /// Marks free pages as in use; returns how many of them were scavenged.
    #[inline]
    pub(super) fn take(&mut self, r: PageRange) -> Pages {
        let (c, i) = (r.start.0 / CHUNK_PAGES, r.start.0 % CHUNK_PAGES);
        if i + r.len.0 <= CHUNK_PAGES && r.len.0 > 0 {
            let scavenged = self.chunks.at_mut(c).alloc(i, r.len.0);
            let sum = self.sum_around(c, i, r.len.0, false);
            self.took(c, r.len.0, scavenged, sum);
            return Pages(scavenged);
        }
        self.take_across(r)
    }

    /// As `take`, for ranges over the edges of chunks.
    fn take_across(&mut self, r: PageRange) -> Pages {
        let mut total = 0;
        for (c, i, n) in pieces(r) {
            let chunk = self.chunks.at_mut(c);
            let scavenged = chunk.alloc(i, n);
            let sum = if n == CHUNK_PAGES { Sum::NONE } else { chunk.alloc.summarize() };
            self.sums.set_leaf_only(c, sum);
            self.index.took(c, n, scavenged);
            total += scavenged;
        }
        self.update_across(r);
        self.free -= r.len;
        self.free_scavenged -= Pages(total);
        Pages(total)
    }

    /// Marks pages that are in use as free.
    fn give(&mut self, r: PageRange, scavenged: bool) {
        debug_assert!(r.end() <= self.end, "pages were never usable");
        for (c, i, n) in pieces(r) {
            let chunk = self.chunks.at_mut(c);
            if scavenged {
                chunk.free_scavenged(i, n);
            } else {
                chunk.free(i, n);
            }
            if n == r.len.0 {
                let sum = self.sum_around(c, i, n, true);
                self.gave(c, n, if scavenged { n } else { 0 }, sum);
                self.search = self.search.min(r.start);
                return;
            }
            let sum = if n == CHUNK_PAGES { Sum::all_free(CHUNK_PAGES) } else { chunk.alloc.summarize() };
            self.sums.set_leaf_only(c, sum);
            self.index.gave(c, n, if scavenged { n } else { 0 });
        }
        self.update_across(r);
        self.search = self.search.min(r.start);
        self.free += r.len;
        if scavenged {
            self.free_scavenged += r.len;
        }
    }

    fn update_across(&mut self, r: PageRange) {
        if r.len.0 > 0 {
            self.sums.update(r.start.0 / CHUNK_PAGES, (r.end().0 - 1) / CHUNK_PAGES);
        }
    }

    /// The summary of chunk `c`, of which pages `i` to `i + n` have just been marked as free or as in use. Mostly the old summary and
    /// the run around those pages tell.
    #[inline]
    fn sum_around(&self, c: usize, i: usize, n: usize, free: bool) -> Sum {
        let (bits, old) = (&self.chunks.at(c).alloc, self.sums.leaf(c));
        let (below, above) = (bits.clear_below(i), bits.clear_from(i + n));
        let run = below + n + above;
        let (first, last, max) = match free {
            true => (run, run, old.max().max(run)),
            // Another run is the longest, and still is.
            false if run < old.max() => (below, above, old.max()),
            false => return bits.summarize(),
        };
        let start = if below == i { first } else { old.start() };
        let end = if i + n + above == CHUNK_PAGES { last } else { old.end() };
        Sum::new(start, max, end)
    }

    /// Books that `n` pages of chunk `c` are now marked as in use; `scavenged` of them had no frames. `sum` is the chunk's new summary.
    #[inline]
    pub(super) fn took(&mut self, c: usize, n: usize, scavenged: usize, sum: Sum) {
        self.sums.set_leaf(c, sum);
        self.index.took(c, n, scavenged);
        self.free -= Pages(n);
        self.free_scavenged -= Pages(scavenged);
    }

    /// Books that `n` pages of chunk `c` are now marked as free; `scavenged` of them have no frames. `sum` is the chunk's new summary.
    #[inline]
    pub(super) fn gave(&mut self, c: usize, n: usize, scavenged: usize, sum: Sum) {
        self.sums.set_leaf(c, sum);
        self.index.gave(c, n, scavenged);
        self.free += Pages(n);
        self.free_scavenged += Pages(scavenged);
    }

    /// Ends the process unless bitmaps, summaries, counters and `search` agree. Slow: looks at every page.
    #[cfg(any(test, feature = "invariants"))]
    pub(crate) fn check_invariants(&self) {
        let (mut free, mut scavenged) = (0, 0);
        for c in 0..self.end.0 / CHUNK_PAGES {
            let chunk = self.chunks.at(c);
            let in_use = chunk.alloc.count(0, CHUNK_PAGES);
            let released = chunk.scavenged.count(0, CHUNK_PAGES);
            for i in (0..CHUNK_PAGES).step_by(64) {
                check!(chunk.alloc.pages64(i) & chunk.scavenged.pages64(i) == 0; chunk = c; page = i);
            }
            let counts = self.index.counts(c);
            check!(counts.in_use as usize == in_use; chunk = c; counts = counts; in_use = in_use);
            check!(counts.dirty as usize == CHUNK_PAGES - in_use - released; chunk = c; counts = counts; released = released);
            self.index.check_invariants(c, chunk.scavengeable(CHUNK_PAGES, self.scavenge_align).is_some());
            free += CHUNK_PAGES - in_use;
            scavenged += released;
            if let Some(i) = chunk.alloc.find(1, 0).free {
                check!(c * CHUNK_PAGES + i >= self.search.0; chunk = c; page = i; search = self.search);
            }
        }
        check!(self.free_pages().0 == free; is = self.free; want = free);
        check!(self.free_unscavenged().0 == free - scavenged; is = self.free_scavenged; want = scavenged);
        check!(self.search <= self.end; search = self.search; end = self.end);
        self.sums.check_invariants(|c| self.chunks.at(c).alloc.summarize());
    }
}
