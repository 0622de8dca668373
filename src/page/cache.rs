//! A window of 64 pages that one thread may hand out from without the heap's lock. Answers to Go's mpagecache.go.
//!
//! The window is aligned to 64 pages. Its free pages are marked as in use in the page allocator while the cache has them, so
//! nobody else hands them out, and the scavenger does not see them: a thread that goes idle must flush. Invariant: scavenged
//! pages are free pages of the window. Lengths below are pages.

use super::bitmap::CHUNK_PAGES;
use super::palloc::PageAlloc;
use crate::base::{PageIdx, PageRange, Pages, first_run, ones};
use crate::sys::Os;

/// Pages of a window (Go's pageCachePages).
pub(super) const WINDOW: usize = 64;

/// Free pages of one window. Not `Copy`: it owns them, and dropping it without flushing loses them.
#[derive(Debug)]
#[must_use = "its pages are lost unless they are flushed"]
pub(crate) struct PageCache {
    /// First page of the window.
    base: PageIdx,
    /// 1 = free.
    free: u64,
    /// 1 = free and with the kernel.
    scavenged: u64,
}

impl PageCache {
    /// A cache that holds nothing.
    pub(crate) const fn empty() -> Self {
        Self { base: PageIdx(0), free: 0, scavenged: 0 }
    }

    /// Whether it holds nothing.
    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.free == 0
    }

    /// Its window, if all of it is free and with the kernel.
    pub(crate) fn untouched(&self) -> Option<PageRange> {
        (self.scavenged == u64::MAX).then_some(PageRange { start: self.base, len: Pages(WINDOW) })
    }

    /// Notes that its pages have frames. Returns how many had none.
    pub(crate) fn got_frames(&mut self) -> Pages {
        Pages(core::mem::take(&mut self.scavenged).count_ones() as usize)
    }

    /// A page of its window, or that was.
    pub(crate) const fn first_page(&self) -> PageIdx {
        self.base
    }

    /// The lowest `n` pages in a row, and how many of them were scavenged. `None` when there are none, or `n` is no length of a
    /// run in a window.
    #[inline]
    pub(crate) fn alloc(&mut self, n: Pages) -> Option<(PageIdx, Pages)> {
        if n.0 == 0 || n.0 > WINDOW {
            return None;
        }
        let i = first_run(self.free, n.0 as u32)?;
        let mask = ones(i, n.0 as u32);
        let scavenged = self.scavenged & mask;
        self.free &= !mask;
        self.scavenged &= !mask;
        Some((self.base + Pages(i as usize), Pages(scavenged.count_ones() as usize)))
    }
}

#[cfg(any(test, feature = "fuzzing"))]
impl PageCache {
    /// How many pages it holds.
    pub(super) fn free_pages(&self) -> Pages {
        Pages(self.free.count_ones() as usize)
    }

    /// The pages it holds, and which of them are scavenged.
    pub(super) fn held(&self) -> impl Iterator<Item = (PageIdx, bool)> + use<> {
        let (base, free, scavenged) = (self.base, self.free, self.scavenged);
        (0..WINDOW)
            .filter(move |i| free >> i & 1 == 1)
            .map(move |i| (base + Pages(i), scavenged >> i & 1 == 1))
    }
}

impl<O: Os> PageAlloc<O> {
    /// All free pages of the window that the lowest free page lies in; `None` when no page is free.
    #[doc(alias = "allocToCache")]
    pub(crate) fn alloc_to_cache(&mut self) -> Option<PageCache> {
        let page = self.lowest_free()?;
        let base = page.0 - page.0 % WINDOW;
        let chunk = self.chunks.at_mut(base / CHUNK_PAGES);
        let word = chunk.alloc.pages64_mut(base % CHUNK_PAGES);
        let free = !*word;
        *word = u64::MAX;
        let word = chunk.scavenged.pages64_mut(base % CHUNK_PAGES);
        let scavenged = *word;
        *word = 0;
        let sum = chunk.alloc.summarize();
        self.took(base / CHUNK_PAGES, free.count_ones() as usize, scavenged.count_ones() as usize, sum);
        // Nothing was free below the window, and nothing is in it.
        self.search = PageIdx(base + WINDOW);
        Some(PageCache { base: PageIdx(base), free, scavenged })
    }

    /// Takes back what a cache holds; it is empty afterwards.
    pub(crate) fn flush_cache(&mut self, cache: &mut PageCache) {
        let PageCache { base, free, scavenged } = core::mem::replace(cache, PageCache::empty());
        if free == 0 {
            return;
        }
        let chunk = self.chunks.at_mut(base.0 / CHUNK_PAGES);
        let word = chunk.alloc.pages64_mut(base.0 % CHUNK_PAGES);
        debug_assert!(*word & free == free, "pages are free already");
        *word &= !free;
        *chunk.scavenged.pages64_mut(base.0 % CHUNK_PAGES) |= scavenged;
        let sum = chunk.alloc.summarize();
        self.gave(base.0 / CHUNK_PAGES, free.count_ones() as usize, scavenged.count_ones() as usize, sum);
        self.search = self.search.min(base + Pages(free.trailing_zeros() as usize));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Random;
    use crate::page::testing::Choices as _;

    /// Page by page.
    fn alloc_slow(free: u64, scavenged: u64, n: usize) -> Option<(usize, usize, u64)> {
        let i = (0..=64usize.checked_sub(n)?).find(|&i| (i..i + n).all(|b| free >> b & 1 == 1))?;
        let bits = (i..i + n).map(|b| 1u64 << b).sum::<u64>();
        Some((i, (i..i + n).filter(|b| scavenged >> b & 1 == 1).count(), bits))
    }

    #[test]
    fn alloc_matches_slow_twin() {
        let mut rng = Random::from_env("alloc_matches_slow_twin", 21);
        for _ in 0..3_000 {
            let free = [rng.next(), rng.next() | rng.next() | rng.next(), u64::MAX, rng.next() & rng.next()]
                [rng.below(4)];
            let mut c = PageCache { base: PageIdx(640), free, scavenged: free & rng.next() };
            while !c.is_empty() {
                let n = if rng.one_in(8) { rng.below(70) } else { rng.size(16) };
                let (free, scavenged) = (c.free, c.scavenged);
                let want = if n == 0 { None } else { alloc_slow(free, scavenged, n) };
                let got = c.alloc(Pages(n));
                assert_eq!(got, want.map(|(i, s, _)| (PageIdx(640 + i), Pages(s))));
                let taken = want.map_or(0, |w| w.2);
                assert_eq!((c.free, c.scavenged), (free & !taken, scavenged & !taken));
                assert_eq!(c.free_pages(), Pages((free & !taken).count_ones() as usize));
                if n == 1 {
                    assert!(got.is_some());
                }
            }
            assert_eq!(c.alloc(Pages(1)), None);
        }
    }
}
