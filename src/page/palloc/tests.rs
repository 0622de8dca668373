//! The whole page allocator against a plain array of page states, step by step, on small, large and two-root heaps.

extern crate std;

use super::*;
use crate::base::{Class, Random};
use crate::page::PageCache;
use crate::page::testing::{FakeOs, PAGE_SIZES};
use std::vec::Vec;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Page {
    InUse,
    Dirty,
    Scavenged,
}

/// The slow twin: everything by scanning.
struct Model {
    pages: Vec<Page>,
}

impl Model {
    fn is_free(&self, r: PageRange) -> bool {
        r.end().0 <= self.pages.len() && self.pages[r.start.0..r.end().0].iter().all(|&p| p != Page::InUse)
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

fn range(start: usize, len: usize) -> PageRange {
    PageRange { start: PageIdx(start), len: Pages(len) }
}

/// The allocator, its twin, and everything that is out at the moment.
struct Pair {
    real: PageAlloc<FakeOs>,
    model: Model,
    os_align: usize,
    live: Vec<PageRange>,
    /// Windows out, with the runs that have been handed out of each.
    caches: Vec<PageCache>,
    scavenging: Vec<PageRange>,
}

impl Pair {
    fn new(os_page: usize, max: usize) -> Self {
        let real = PageAlloc::new(FakeOs::new(os_page), Pages(max)).unwrap();
        let os_align = (os_page / 8192).max(1);
        Self {
            real,
            model: Model { pages: Vec::new() },
            os_align,
            live: Vec::new(),
            caches: Vec::new(),
            scavenging: Vec::new(),
        }
    }

    fn grow(&mut self, chunks: usize) {
        let r = range(self.model.pages.len(), chunks * 512);
        self.real.grow(r).unwrap();
        self.model.pages.resize(r.end().0, Page::Scavenged);
    }

    fn alloc(&mut self, n: usize) {
        // Both doors take the same pages; one also tells up to where they hold something.
        let got = if n.is_multiple_of(2) {
            self.real.alloc(Pages(n))
        } else {
            let got = self.real.alloc_with_dirt(Pages(n), Pages(1));
            got.map(|(start, scavenged, dirt)| {
                let pages = &self.model.pages[start.0..start.0 + n];
                let last = pages.iter().rposition(|&p| p != Page::Scavenged);
                assert_eq!(dirt.0, last.map_or(0, |i| i + 1), "dirt of {n} pages at {start:?}");
                (start, scavenged)
            })
        };
        assert_eq!(got.map(|g| g.0.0), self.model.first_fit(n, 1), "alloc {n}");
        self.booked(got, n);
    }

    fn booked(&mut self, got: Option<(PageIdx, Pages)>, n: usize) {
        if let Some((start, scavenged)) = got {
            let r = PageRange { start, len: Pages(n) };
            assert_eq!(scavenged.0, self.model.take(r), "scavenged of {r:?}");
            self.live.push(r);
        }
    }

    fn alloc_aligned(&mut self, n: usize, align: usize) {
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

    fn alloc_at(&mut self, r: PageRange) {
        let got = self.real.alloc_at(r);
        assert_eq!(self.model.is_free(r), got.is_some(), "alloc_at {r:?}");
        self.booked(got.map(|s| (r.start, s)), r.len.0);
    }

    fn free(&mut self, r: PageRange, scavenged: bool) {
        if scavenged {
            self.real.free_scavenged(r);
        } else {
            self.real.free(r);
        }
        self.model.set(r, if scavenged { Page::Scavenged } else { Page::Dirty });
    }

    /// Frees a live range, whole or one end of it.
    fn free_any(&mut self, rng: &mut Random) {
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

    fn fill_cache(&mut self) {
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
        let got = self.real.alloc_to_cache().unwrap();
        assert_eq!(got.free_pages().0, copy.len());
        for (p, _) in copy {
            self.model.pages[p.0] = Page::InUse;
        }
        self.caches.push(got);
    }

    fn flush_any(&mut self, rng: &mut Random) {
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

    fn alloc_from_cache(&mut self, n: usize, rng: &mut Random) {
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

    fn scavenge(&mut self, max: usize, force: bool) {
        let want = self.model.scavengeable(max, self.os_align, force);
        assert_eq!(self.real.take_for_scavenge(Pages(max), force), want, "scavenge {max} {force}");
        if let Some(r) = want {
            self.model.take(r);
            self.scavenging.push(r);
        }
    }

    fn finish_scavenging(&mut self, refused: bool) {
        if let Some(r) = self.scavenging.pop() {
            if refused {
                self.real.free(r);
            } else {
                self.real.scavenged(r);
            }
            self.model.set(r, if refused { Page::Dirty } else { Page::Scavenged });
        }
    }

    fn check(&self) {
        self.real.check_invariants();
        let all = range(0, self.model.pages.len());
        assert_eq!(self.real.usable_pages(), all.len);
        assert_eq!(self.real.free_unscavenged().0, self.model.count(all, Page::Dirty));
        assert_eq!(self.real.free_pages().0, all.len.0 - self.model.count(all, Page::InUse));
    }

    /// One random operation; `filling` leans it towards allocations.
    fn step(&mut self, rng: &mut Random, filling: bool, longest: usize) {
        let usable = self.model.pages.len();
        match rng.below(16) {
            0..=4 if filling => self.alloc(if rng.one_in(2) { rng.size(longest) } else { 1 + rng.below(12) }),
            0..=4 => self.free_any(rng),
            5 | 6 => self.free_any(rng),
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
    fn wind_down(&mut self, rng: &mut Random) {
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

fn run(
    case: u64,
    os_page: usize,
    chunks: usize,
    at_first: usize,
    steps: usize,
    longest: usize,
    check_every: usize,
) {
    let mut rng = Random::from_env("page allocator", case);
    let mut p = Pair::new(os_page, chunks * 512);
    p.grow(at_first);
    for i in 0..steps {
        p.step(&mut rng, (i / (steps / 8).max(50)).is_multiple_of(2), longest);
        if rng.one_in(150) && p.model.pages.len() + 512 <= chunks * 512 {
            let left = chunks - p.model.pages.len() / 512;
            p.grow(1 + rng.below(left));
        }
        if i % check_every == 0 {
            p.check();
        }
    }
    p.wind_down(&mut rng);
}

#[test]
fn small_heaps_match_the_model_after_every_step() {
    for (i, os_page) in PAGE_SIZES.into_iter().enumerate() {
        for round in 0..4 {
            run(100 + 10 * i as u64 + round, os_page, 9, 1, 2_500, 40 << (2 * round), 1);
        }
    }
}

#[test]
fn a_heap_of_several_families_matches_the_model() {
    run(200, 4096, 700, 70, 1_500, 4_000, 1);
    run(201, 4096, 700, 650, 1_000, 90_000, 1);
}

#[test]
fn a_heap_of_two_roots_matches_the_model() {
    run(300, 4096, 5_000, 4_095, 150, 1_500_000, 10);
}

/// The sizes of spans, as the heap above asks for them: short runs through a cache, freed in any order.
#[test]
fn span_sized_runs_through_a_cache() {
    let mut rng = Random::from_env("span_sized_runs_through_a_cache", 400);
    let mut p = Pair::new(4096, 32 * 512);
    p.grow(16);
    let sizes: Vec<usize> = Class::all().map(|c| c.pages().0).collect();
    for i in 0..6_000 {
        if rng.below(100) < [70, 40][i / 1_000 % 2] {
            let n = sizes[rng.below(sizes.len())];
            if p.caches.is_empty() {
                p.fill_cache();
            }
            if let Some(c) = p.caches.first_mut() {
                match c.alloc(Pages(n)) {
                    Some((start, _)) => p.live.push(PageRange { start, len: Pages(n) }),
                    None => {
                        p.flush_any(&mut rng);
                        p.alloc(n);
                    }
                }
            }
        } else if !p.live.is_empty() {
            let r = p.live.swap_remove(rng.below(p.live.len()));
            p.free(r, false);
        }
        if i % 16 == 0 {
            p.check();
        }
    }
    p.wind_down(&mut rng);
}

#[test]
fn aligned_search_does_not_walk_through_all_unfit_runs() {
    let mut p = Pair::new(4096, 16 * 512);
    p.grow(16);
    // Holes of four pages that begin one page too late everywhere, one that fits far behind, and a long run at the end.
    p.alloc(15 * 512);
    p.live.clear();
    for i in 0..14 * 64 {
        p.free(range(i * 8 + 1, 4), false);
    }
    p.free(range(14 * 512, 4), false);
    p.alloc_aligned(4, 4);
    assert_eq!(p.live.pop(), Some(range(15 * 512, 4)), "settles for the long run");
    p.alloc(512 - 4);
    p.alloc_aligned(4, 4);
    assert_eq!(p.live.pop(), Some(range(14 * 512, 4)), "goes on when there is no long run");
    p.alloc_aligned(4, 4);
    assert_eq!(p.live, [range(15 * 512 + 4, 508)]);
    p.check();
}

#[test]
fn nearly_full_chunks_are_scavenged_only_by_force() {
    let mut p = Pair::new(4096, 3 * 512);
    p.grow(3);
    p.alloc(3 * 512);
    p.free(range(512, 16), false);
    assert_eq!(p.real.take_for_scavenge(Pages(8), false), None);
    p.check();
    p.free(range(600, 1), false);
    p.scavenge(8, false);
    assert_eq!(p.scavenging, [range(600, 1)]);
    p.check();
    // Now it is nearly full again, and higher up there is nothing.
    p.scavenge(8, false);
    p.scavenge(9, true);
    assert_eq!(p.scavenging, [range(600, 1), range(519, 9)]);
    p.check();
}

/// A page that the program locked must not keep the rest from being given back.
#[test]
fn a_chunk_that_the_os_refuses_does_not_hold_up_the_others() {
    let mut p = Pair::new(4096, 4 * 512);
    p.grow(4);
    p.alloc(4 * 512);
    let mut real = p.real;
    real.free(range(100, 1900));
    let top = real.take_for_scavenge(Pages(16), true).unwrap();
    assert_eq!(top, range(2000 - 16, 16));
    real.refused(top);
    real.check_invariants();
    let next = real.take_for_scavenge(Pages(16), true).unwrap();
    assert_eq!(next, range(3 * 512 - 16, 16), "the chunk below has its turn");
    real.scavenged(next);
    real.free(range(2000, 4));
    assert_eq!(
        real.take_for_scavenge(Pages(16), true),
        Some(range(2004 - 16, 16)),
        "freeing more makes it worth a try"
    );
    real.check_invariants();
}

#[test]
fn requests_that_cannot_be_met() {
    let mut p = Pair::new(4096, 2 * 512);
    assert_eq!(p.real.alloc(Pages(1)), None);
    assert!(p.real.alloc_to_cache().is_none());
    assert_eq!(p.real.take_for_scavenge(Pages(1), true), None);
    assert!(!p.real.is_free(range(0, 1)));
    p.check();
    p.grow(1);
    assert_eq!(p.real.alloc(Pages(513)), None);
    assert_eq!(p.real.alloc(Pages(usize::MAX)), None);
    assert_eq!(p.real.alloc_aligned(Pages(1), Pages(1 << 40)), Some((PageIdx(0), Pages(1))));
    assert_eq!(p.real.alloc_aligned(Pages(1), Pages(1 << 40)), None);
    assert_eq!(p.real.alloc_at(range(511, 2)), None);
    assert_eq!(p.real.alloc_at(range(512, 1)), None);
    assert_eq!(p.real.alloc_at(range(511, 1)), Some(Pages(1)));
    assert!(p.real.is_free(range(5, 0)));
    assert_eq!(p.real.grow(range(512, 1024)), Err(OutOfMemory));
    assert_eq!(p.real.usable_pages(), Pages(512));
    p.real.check_invariants();
    p.real.grow(range(512, 512)).unwrap();
    p.real.check_invariants();
}

/// Every call to the operating system is refused in turn; what failed works when it is tried again, and what stood before
/// is as it was.
#[test]
fn each_refused_call_leaves_an_allocator_that_works_on() {
    const ARENA: usize = 16 * 512;
    let mut refusals = 0;
    for nth in 0.. {
        let os = FakeOs::new(4096);
        os.refuse(nth, 1);
        let mut seen = 0;
        let mut p = loop {
            match PageAlloc::new(os, Pages(516 * ARENA)) {
                Some(p) => break p,
                None => {
                    os.assert_all_given_back();
                    seen += 1;
                    assert!(seen <= 1, "one call was refused, more failed");
                }
            }
        };
        for arenas in 1..=200 {
            let r = range(p.usable_pages().0, ARENA * if arenas % 50 == 0 { 80 } else { 1 });
            let before = (p.usable_pages(), p.free_pages(), p.free_unscavenged());
            while p.grow(r).is_err() {
                seen += 1;
                assert!(seen <= 1, "one call was refused, more failed");
                assert_eq!((p.usable_pages(), p.free_pages(), p.free_unscavenged()), before);
                p.check_invariants();
                // Without the new pages it still serves from what it has.
                if let Some((start, scavenged)) = p.alloc(Pages(3)) {
                    assert_eq!(scavenged, Pages(3));
                    p.free_scavenged(PageRange { start, len: Pages(3) });
                }
            }
            if arenas % 50 == 0 {
                p.check_invariants();
            }
            p.alloc(Pages(ARENA)).unwrap();
        }
        drop(p);
        os.assert_all_given_back();
        if seen == 0 {
            break;
        }
        refusals += 1;
    }
    assert!(refusals > 6, "reservations and commits were refused: {refusals}");
}
