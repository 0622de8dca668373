//! Whole chunks that one page allocator lends to another, so that threads that use different ones do not meet at a lock.
//!
//! A chunk belongs to one allocator at a time. In all others its pages are in use, and stay so: nothing else of an allocator knows
//! that there are others. A chunk is lent when all of it is free, and given up when all of it is free again.

use super::OutOfMemory;
use super::bitmap::{CHUNK_PAGES, Chunk, PallocBits};
use super::palloc::{ALIGNED_TRIES, PageAlloc};
use super::summary::Sum;
use crate::base::{PageIdx, PageRange, Pages};
use crate::sys::Os;

/// A chunk of free pages that is no allocator's. Not `Copy`: it owns them.
#[derive(Debug)]
#[must_use = "its pages are lost unless an allocator adopts it"]
pub(crate) struct LentChunk {
    chunk: usize,
    /// 1 = with the kernel.
    scavenged: PallocBits,
}

impl LentChunk {
    /// Its number: that of its first page, in chunks.
    pub(crate) fn number(&self) -> usize {
        self.chunk
    }
}

/// The chunk that a page lies in.
pub(crate) fn chunk_of(page: PageIdx) -> usize {
    page.0 / CHUNK_PAGES
}

/// The longest run of pages that lies in one chunk.
pub(crate) const LONGEST_IN_CHUNK: Pages = Pages(CHUNK_PAGES);

impl<O: Os> PageAlloc<O> {
    /// Takes out the lowest chunk of which all pages are free; `None` when there is none, or none is found soon: those who borrow can do
    /// without, and others wait for the lock.
    pub(crate) fn lend_chunk(&mut self) -> Option<LentChunk> {
        let start = self.find_aligned_within(Pages(CHUNK_PAGES), Pages(CHUNK_PAGES), ALIGNED_TRIES)?;
        Some(self.take_chunk(chunk_of(start)))
    }

    /// Takes out a chunk, if all of its pages are free and as many more are.
    pub(crate) fn give_up_chunk(&mut self, chunk: usize) -> Option<LentChunk> {
        let all = self.is_chunk_free(chunk) && self.free.0 >= 2 * CHUNK_PAGES;
        all.then(|| self.take_chunk(chunk))
    }

    fn take_chunk(&mut self, chunk: usize) -> LentChunk {
        let scavenged = self.chunks.at(chunk).scavenged;
        self.take(PageRange { start: PageIdx(chunk * CHUNK_PAGES), len: Pages(CHUNK_PAGES) });
        LentChunk { chunk, scavenged }
    }

    /// Takes in a chunk that another allocator, or this one, has taken out. Hands it back when there is no memory to know about it.
    pub(crate) fn adopt_chunk(&mut self, lent: LentChunk) -> Result<(), (LentChunk, OutOfMemory)> {
        let start = PageIdx(lent.chunk * CHUNK_PAGES);
        let end = start + Pages(CHUNK_PAGES);
        if self.end < end {
            let more = PageRange { start: self.end, len: end - self.end };
            if let Err(e) = self.grow(more) {
                return Err((lent, e));
            }
            // Somebody else's.
            self.take(more);
        }
        let scavenged = lent.scavenged.count(0, CHUNK_PAGES);
        *self.chunks.at_mut(lent.chunk) = Chunk { alloc: PallocBits::NONE, scavenged: lent.scavenged };
        self.gave(lent.chunk, CHUNK_PAGES, scavenged, Sum::all_free(CHUNK_PAGES));
        self.search = self.search.min(start);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::base::Random;
    use crate::page::testing::{Choices as _, FakeOs};
    use std::{collections::BTreeMap, vec::Vec};

    #[test]
    fn a_chunk_behind_many_unfit_runs_is_not_looked_for() {
        for (unfit, lent) in [(ALIGNED_TRIES - 1, true), (ALIGNED_TRIES + 2, false)] {
            let chunks = 2 * unfit + 1;
            let max = Pages(chunks * CHUNK_PAGES);
            let mut alloc = PageAlloc::new(FakeOs::new(4096), max).expect("room for tables");
            alloc.grow(PageRange { start: PageIdx(0), len: max }).expect("memory");
            // Of each two chunks the first and the last page are in use: what is between is longer than a chunk, and none.
            for pair in 0..unfit {
                for page in [2 * pair * CHUNK_PAGES, 2 * (pair + 1) * CHUNK_PAGES - 1] {
                    assert!(alloc.alloc_at(PageRange { start: PageIdx(page), len: Pages(1) }).is_some());
                }
            }
            assert_eq!(alloc.lend_chunk().map(|chunk| chunk.number()), lent.then_some(chunks - 1));
        }
    }

    /// Allocators that lend chunks to one another, against a map from each page in use to the allocator it is from.
    #[test]
    fn no_page_is_lost_or_handed_out_twice() {
        let mut random = Random::from_env("lend", 0);
        for _ in 0..20 {
            let os = FakeOs::new(4096);
            let max = Pages(16 * CHUNK_PAGES);
            let mut all: Vec<_> = (0..3).map(|_| PageAlloc::new(os, max).expect("room for tables")).collect();
            all[0].grow(PageRange { start: PageIdx(0), len: Pages(8 * CHUNK_PAGES) }).expect("memory");
            let mut live: BTreeMap<usize, (usize, Pages)> = BTreeMap::new();
            let (mut lent, mut given) = (0, 0);
            for step in 0..600 {
                let who = random.below(3);
                if random.below(16) < if step / 100 % 2 == 0 { 11 } else { 3 } {
                    let n = Pages(random.size(200));
                    if let Some((PageRange { start, .. }, _, dirt)) = all[who].alloc_with_dirt(n, n, Pages(1))
                    {
                        assert!(dirt <= n);
                        let before = live.range(..start.0 + n.0).next_back();
                        assert!(
                            before.is_none_or(|(&at, &(_, len))| at + len.0 <= start.0),
                            "handed out twice"
                        );
                        live.insert(start.0, (who, n));
                    } else if who > 0
                        && let Some(chunk) = all[0].lend_chunk()
                    {
                        all[who].adopt_chunk(chunk).map_err(|_| "no memory").expect("memory");
                        lent += 1;
                    }
                } else if let Some(&at) = live.keys().nth(random.below(live.len().max(1))) {
                    let (from, n) = live.remove(&at).expect("it was just there");
                    let range = PageRange { start: PageIdx(at), len: n };
                    if random.one_in(3) {
                        all[from].free_scavenged(range)
                    } else {
                        all[from].free(range)
                    }
                    if from > 0
                        && let Some(chunk) = all[from].give_up_chunk(chunk_of(range.start))
                    {
                        all[0].adopt_chunk(chunk).map_err(|_| "no memory").expect("its tables are there");
                        given += 1;
                    }
                }
                all.iter().for_each(PageAlloc::check_invariants);
                let used: usize = live.values().map(|(_, n)| n.0).sum();
                let free: usize = all.iter().map(|a| a.free_pages().0).sum();
                assert_eq!(used + free, 8 * CHUNK_PAGES, "pages are lost or made up");
            }
            assert!(lent > 0 && given > 0, "{lent} lent, {given} given up");
        }
    }
}
