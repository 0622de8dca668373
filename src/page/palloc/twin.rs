//! The page allocator beside a slow twin, a plain array of page states: every answer is compared. For tests, and for fuzzing.

extern crate std;

use super::*;
use crate::page::PageCache;
use crate::page::testing::{Choices, FakeOs, PAGE_SIZES};
use std::vec::Vec;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Page {
    InUse,
    Dirty,
    Scavenged,
}

/// The slow twin: everything by scanning.
pub(super) struct Model {
    pub(super) pages: Vec<Page>,
}

impl Model {
    fn is_free(&self, r: PageRange) -> bool {
        r.end().0 <= self.pages.len() && self.pages[r.start.0..r.end().0].iter().all(|&p| p != Page::InUse)
    }

    /// How many pages of `r`, counted from the first, hold the last that has a frame.
    fn dirt(&self, r: PageRange) -> usize {
        let last = self.pages[r.start.0..r.end().0].iter().rposition(|&p| p != Page::Scavenged);
        last.map_or(0, |i| i + 1)
    }

    /// Every maximal free run: start and length.
    fn runs(&self) -> impl Iterator<Item = (usize, usize)> {
        let mut at = 0;
        self.pages.chunk_by(|a, b| (*a == Page::InUse) == (*b == Page::InUse)).filter_map(move |g| {
            at += g.len();
            (g[0] != Page::InUse).then_some((at - g.len(), g.len()))
        })
    }

    fn first_fit(&self, n: usize, align: usize) -> Option<usize> {
        self.runs().find_map(|(a, len)| {
            let start = a.next_multiple_of(align);
            (start + n <= a + len).then_some(start)
        })
    }

    fn count(&self, r: PageRange, kind: Page) -> usize {
        self.pages[r.start.0..r.end().0].iter().filter(|&&p| p == kind).count()
    }

    fn set(&mut self, r: PageRange, to: Page) {
        self.pages[r.start.0..r.end().0].fill(to);
    }

    fn take(&mut self, r: PageRange) -> usize {
        let scavenged = self.count(r, Page::Scavenged);
        self.set(r, Page::InUse);
        scavenged
    }

    /// Chunk by chunk from the top, in each one kernel page by kernel page from the top.
    fn scavengeable(&self, max: usize, align: usize, force: bool) -> Option<PageRange> {
        (0..self.pages.len() / 512).rev().find_map(|c| {
            let chunk = &self.pages[c * 512..(c + 1) * 512];
            if !force && chunk.iter().filter(|&&p| p == Page::InUse).count() >= 496 {
                return None;
            }
            let yes = |g: usize| chunk[g * align..(g + 1) * align].iter().all(|&p| p == Page::Dirty);
            let top = (0..512 / align).rev().find(|&g| yes(g))?;
            let mut low = top;
            while low > 0 && yes(low - 1) && (top - low + 2) * align <= max {
                low -= 1;
            }
            Some(range(c * 512 + low * align, (top - low + 1) * align))
        })
    }
}

pub(super) fn range(start: usize, len: usize) -> PageRange {
    PageRange { start: PageIdx(start), len: Pages(len) }
}

/// The allocator, its twin, and everything that is out at the moment.
pub(super) struct Pair {
    pub(super) real: PageAlloc<FakeOs>,
    pub(super) model: Model,
    os_align: usize,
    pub(super) live: Vec<PageRange>,
    /// Windows out, with the runs that have been handed out of each.
    pub(super) caches: Vec<PageCache>,
    pub(super) scavenging: Vec<PageRange>,
}

impl Pair {
    /// For at most `max` pages.
    pub(super) fn new(os: FakeOs, max: usize) -> Self {
        let real = PageAlloc::new(os, Pages(max)).unwrap();
        let os_align = (os.page_size() / 8192).max(1);
        Self {
            real,
            model: Model { pages: Vec::new() },
            os_align,
            live: Vec::new(),
            caches: Vec::new(),
            scavenging: Vec::new(),
        }
    }

    pub(super) fn grow(&mut self, chunks: usize) {
        let r = range(self.model.pages.len(), chunks * 512);
        self.real.grow(r).unwrap();
        self.model.pages.resize(r.end().0, Page::Scavenged);
    }

    pub(super) fn alloc(&mut self, n: usize) {
        // Both doors take the same pages; one also tells up to where they hold something.
        let got = if n.is_multiple_of(2) {
            self.real.alloc(Pages(n))
        } else {
            let got = self.real.alloc_with_dirt(Pages(n), Pages(n), Pages(1));
            got.map(|(r, scavenged, dirt)| {
                assert_eq!(r.len.0, n);
                assert_eq!(dirt.0, self.model.dirt(r), "dirt of {r:?}");
                (r.start, scavenged)
            })
        };
        assert_eq!(got.map(|g| g.0.0), self.model.first_fit(n, 1), "alloc {n}");
        self.booked(got, n);
    }

    /// With what is free behind and has frames, in multiples of `n`.
    pub(super) fn alloc_ahead(&mut self, n: usize, most: usize) {
        let got = self.real.alloc_with_dirt(Pages(n), Pages(most), Pages(1));
        assert_eq!(got.map(|g| g.0.start.0), self.model.first_fit(n, 1), "alloc {n} to {most}");
        if let Some((r, scavenged, dirt)) = got {
            let end = r.start.0 + n;
            let behind = self.model.pages[end..].iter().take_while(|&&p| p == Page::Dirty).count();
            // Of one chunk.
            let want = behind.min(most.saturating_sub(n)).min(end.next_multiple_of(512) - end);
            assert_eq!(r.len.0, n + want - want % n, "{n} to {most} pages at {:?}", r.start);
            assert_eq!(dirt.0, self.model.dirt(r), "dirt of {r:?}");
            self.booked(Some((r.start, scavenged)), r.len.0);
        }
    }

    pub(super) fn booked(&mut self, got: Option<(PageIdx, Pages)>, n: usize) {
        if let Some((start, scavenged)) = got {
            let r = PageRange { start, len: Pages(n) };
            assert_eq!(scavenged.0, self.model.take(r), "scavenged of {r:?}");
            self.live.push(r);
        }
    }

    pub(super) fn alloc_aligned(&mut self, n: usize, align: usize) {
        let got = self.real.alloc_aligned(Pages(n), Pages(align));
        let want = self.model.first_fit(n, align);
        if got.map(|g| g.0.0) != want {
            // Only allowed when many runs were badly placed, and then the place is the long run's.
            let unfit = self.model.runs().filter(|&(a, len)| a < want.unwrap() && len >= n).count();
            assert!(unfit >= ALIGNED_TRIES, "aligned {n} {align}: {got:?} {want:?}");
            let long = self.model.first_fit(n + align - 1, 1).map(|a| a.next_multiple_of(align));
            assert_eq!(got.map(|g| g.0.0), long, "aligned {n} {align}");
        }
        self.booked(got, n);
    }

    pub(super) fn alloc_at(&mut self, r: PageRange) {
        if r.start.0.is_multiple_of(2) {
            let untouched =
                r.end().0 <= self.model.pages.len() && self.model.count(r, Page::Scavenged) == r.len.0;
            assert_eq!(self.real.take_untouched(r), untouched, "take_untouched {r:?}");
            if untouched {
                self.booked(Some((r.start, r.len)), r.len.0);
            }
            return;
        }
        let got = self.real.alloc_at(r);
        assert_eq!(self.model.is_free(r), got.is_some(), "alloc_at {r:?}");
        self.booked(got.map(|s| (r.start, s)), r.len.0);
    }

    pub(super) fn free(&mut self, r: PageRange, scavenged: bool) {
        if scavenged {
            self.real.free_scavenged(r);
        } else {
            self.real.free(r);
        }
        self.model.set(r, if scavenged { Page::Scavenged } else { Page::Dirty });
    }

    /// Frees a live range, whole or one end of it.
    pub(super) fn free_any(&mut self, rng: &mut impl Choices) {
        if self.live.is_empty() {
            return;
        }
        let mut r = self.live.swap_remove(rng.below(self.live.len()));
        if r.len.0 > 1 && rng.one_in(4) {
            let keep = 1 + rng.below(r.len.0 - 1);
            let front = rng.one_in(2);
            let kept = range(if front { r.start.0 } else { r.end().0 - keep }, keep);
            r = range(if front { r.start.0 + keep } else { r.start.0 }, r.len.0 - keep);
            self.live.push(kept);
        }
        self.free(r, rng.one_in(6));
    }

    pub(super) fn fill_cache(&mut self) {
        let got = self.real.alloc_to_cache();
        let window = self.model.first_fit(1, 1).map(|p| p - p % 64);
        assert_eq!(got.is_some(), window.is_some());
        let (Some(mut got), Some(w)) = (got, window) else { return };
        // Empty it page by page: it must hold exactly what was free, with the right marks, in order.
        let mut copy = Vec::new();
        while let Some((p, s)) = got.alloc(Pages(1)) {
            copy.push((p, s.0 == 1));
        }
        let want: Vec<_> = (w..w + 64).filter(|&p| self.model.pages[p] != Page::InUse).collect();
        assert!(copy.iter().map(|c| c.0.0).eq(want));
        for &(p, s) in &copy {
            let kind = if s { Page::Scavenged } else { Page::Dirty };
            assert_eq!(self.model.pages[p.0], kind);
            // And back, as the cache would have given it.
            self.free(PageRange { start: p, len: Pages(1) }, s);
        }
        let mut got = self.real.alloc_to_cache().unwrap();
        assert_eq!(got.free_pages().0, copy.len());
        let scavenged = copy.iter().filter(|c| c.1).count();
        let whole = PageRange { start: PageIdx(w), len: Pages(64) };
        assert_eq!(got.untouched(), (scavenged == 64).then_some(whole));
        if w.is_multiple_of(128) {
            assert_eq!(got.got_frames().0, scavenged);
            assert!(got.held().all(|(_, scavenged)| !scavenged));
        }
        for (p, _) in copy {
            self.model.pages[p.0] = Page::InUse;
        }
        self.caches.push(got);
    }

    pub(super) fn flush_any(&mut self, rng: &mut impl Choices) {
        if self.caches.is_empty() {
            return;
        }
        let mut c = self.caches.swap_remove(rng.below(self.caches.len()));
        // What it holds shows when a copy of it is emptied; see `PageCache`'s own tests.
        let held = c.held();
        self.real.flush_cache(&mut c);
        assert!(c.is_empty());
        for (p, scavenged) in held {
            assert_eq!(self.model.pages[p.0], Page::InUse);
            self.model.pages[p.0] = if scavenged { Page::Scavenged } else { Page::Dirty };
        }
    }

    pub(super) fn alloc_from_cache(&mut self, n: usize, rng: &mut impl Choices) {
        if self.caches.is_empty() {
            return;
        }
        let i = rng.below(self.caches.len());
        if let Some((start, _)) = self.caches[i].alloc(Pages(n)) {
            let r = PageRange { start, len: Pages(n) };
            assert_eq!(self.model.count(r, Page::InUse), n);
            self.live.push(r);
        }
    }

    pub(super) fn scavenge(&mut self, max: usize, force: bool) {
        let want = self.model.scavengeable(max, self.os_align, force);
        assert_eq!(self.real.take_for_scavenge(Pages(max), force), want, "scavenge {max} {force}");
        if let Some(r) = want {
            self.model.take(r);
            self.scavenging.push(r);
        }
    }

    pub(super) fn finish_scavenging(&mut self, refused: bool) {
        if let Some(r) = self.scavenging.pop() {
            if refused {
                self.real.free(r);
            } else {
                self.real.scavenged(r);
            }
            self.model.set(r, if refused { Page::Dirty } else { Page::Scavenged });
        }
    }

    pub(super) fn check(&self) {
        self.real.check_invariants();
        let all = range(0, self.model.pages.len());
        assert_eq!(self.real.usable_pages(), all.len);
        assert_eq!(self.real.free_unscavenged().0, self.model.count(all, Page::Dirty));
        assert_eq!(self.real.free_pages().0, all.len.0 - self.model.count(all, Page::InUse));
    }

    /// One random operation; `filling` leans it towards allocations.
    pub(super) fn step(&mut self, rng: &mut impl Choices, filling: bool, longest: usize) {
        let usable = self.model.pages.len();
        match rng.below(16) {
            0..=4 if filling => self.alloc(if rng.one_in(2) { rng.size(longest) } else { 1 + rng.below(12) }),
            0..=4 => self.free_any(rng),
            5 | 6 => self.free_any(rng),
            7 if rng.one_in(2) => self.alloc_ahead(rng.size(longest.min(600)), rng.size(1200)),
            7 => self.alloc(rng.size(longest)),
            8 => self.alloc_aligned(rng.size(longest.min(600)), 1 << rng.below(10)),
            9 => {
                // Mostly right behind something live, as when an object grows in place.
                let start = if rng.one_in(4) || self.live.is_empty() {
                    rng.below(usable)
                } else {
                    self.live[rng.below(self.live.len())].end().0
                };
                self.alloc_at(range(start, rng.size(longest)));
            }
            10 => {
                let start = rng.below(usable + 10);
                let r = range(start, rng.size(longest));
                assert_eq!(self.real.is_free(r), self.model.is_free(r), "is_free {r:?}");
            }
            11 if self.caches.len() < 3 => self.fill_cache(),
            11 => self.flush_any(rng),
            12 => self.alloc_from_cache(rng.size(16), rng),
            13 | 14 => self.scavenge(if rng.one_in(2) { 8 } else { rng.size(512) }, rng.one_in(3)),
            _ => self.finish_scavenging(rng.one_in(5)),
        }
    }

    /// Everything back, everything to the kernel: it must look like new.
    pub(super) fn wind_down(&mut self, rng: &mut impl Choices) {
        while !self.caches.is_empty() {
            self.flush_any(rng);
        }
        while !self.scavenging.is_empty() {
            self.finish_scavenging(false);
        }
        while let Some(r) = self.live.pop() {
            self.free(r, false);
        }
        self.check();
        assert_eq!(self.real.free_pages(), self.real.usable_pages());
        while let Some(r) = self.real.take_for_scavenge(Pages(512), true) {
            self.real.scavenged(r);
        }
        let unreachable = if self.os_align == 1 { 0 } else { self.real.free_unscavenged().0 };
        assert_eq!(self.real.free_unscavenged().0, unreachable);
        self.real.check_invariants();
        let all = self.real.usable_pages();
        assert_eq!(self.real.alloc(all), Some((PageIdx(0), all - Pages(unreachable))));
        assert_eq!(self.real.alloc(Pages(1)), None);
        self.real.check_invariants();
    }
}

/// A random program that bytes choose: the size of the kernel's page, the size of the heap, and operations, with all checks after
/// each one.
pub(crate) fn fuzz(bytes: &[u8]) {
    /// More only makes a program longer.
    const MOST_STEPS: usize = 400;
    std::thread_local! {
        static OS: FakeOs = FakeOs::new(PAGE_SIZES[0]);
    }
    let rng = &mut Bytes(bytes);
    let os = OS.with(|os| *os);
    os.renew(PAGE_SIZES[rng.below(PAGE_SIZES.len())]);
    // Within a family of chunks, over the edge of one, and over the edge of two.
    let (max, at_first) = [(4, 1), (12, 7), (70, 60)][rng.below(3)];
    let longest = [20, 600, 4_000][rng.below(3)];
    let mut p = Pair::new(os, max * CHUNK_PAGES);
    p.grow(at_first);
    let mut filling = true;
    for _ in 0..MOST_STEPS {
        if rng.0.is_empty() {
            break;
        }
        match rng.below(64) {
            0 => filling = !filling,
            1 if p.model.pages.len() < max * CHUNK_PAGES => {
                let left = max - p.model.pages.len() / CHUNK_PAGES;
                p.grow(1 + rng.below(left));
            }
            _ => p.step(rng, filling, longest),
        }
        p.check();
    }
    p.wind_down(rng);
    drop(p);
    os.assert_all_given_back();
}

/// Choices from bytes; when they are used up all choices are the first.
struct Bytes<'a>(&'a [u8]);

impl Choices for Bytes<'_> {
    fn below(&mut self, n: usize) -> usize {
        let mut value = 0_usize;
        // As few bytes as can tell, so that a changed byte is a changed choice.
        let len = match n {
            0..=0x100 => 1,
            0x101..=0x1_0000 => 2,
            _ => 4,
        };
        for _ in 0..len {
            let (&first, rest) = self.0.split_first().unwrap_or((&0, &[]));
            self.0 = rest;
            value = value << 8 | usize::from(first);
        }
        value.checked_rem(n).unwrap_or(0)
    }
}
