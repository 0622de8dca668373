//! Transparent huge pages: what the heap advises the kernel. Answers to Go's sysHugePage and sysNoHugePage (mem_linux.go), which
//! Go's own heap has not used since 1.21.4.
//!
//! A page of 2 MiB costs a fifth of what 512 small ones do, and saves most misses of the address cache, but what is never touched stays
//! resident. So the heap makes huge pages itself, one at a time, where it knows that they will be filled: when a thread takes a window of
//! untouched pages for small objects, it takes what follows up to the next 2 MiB, touches it, and gives back what it did not want. There
//! is one such place, where the heap ends, and one in what each group of threads has borrowed, so that at most 2 MiB for each are resident in
//! advance; and that from a size of the heap on. A large object that grows, by up to 128 KiB of untouched pages, makes one as well wherever it
//! comes to 2 MiB that nobody has touched: otherwise what follows would have small pages for good. New ones that are as short do not, which may be
//! buffers that are hardly written to.
//!
//! A large object asks for the whole huge pages in it, and one that grew for those in the part by which it did, as long as it has them and
//! until eight others have asked: most are filled by then. Its ends have small pages, so of one that is written to at its beginning only,
//! nothing more is resident unless it begins where a huge page does, or is the one in sixteen that is asked for the price. Huge objects ask
//! for all of theirs. Not those that are to be zeros: who wants zeros may want them because they cost nothing. All else in the heap has small
//! pages, even where the kernel hands out huge ones unasked.
//!
//! They are not worth their price everywhere: a virtual machine that gives free memory back to its host pays for each huge page what 2 MiB
//! cost the host, 6 ms where a warm one took 0.2 ms, while single pages come from memory that is still warm (1 ms for 512). Therefore
//! each touch is timed. Where it was dear, or the kernel gave small pages, the heap goes without for a while, twice as long each
//! time in a row. Large objects touch one of theirs in sixteen times, and otherwise rely on that.
//!
//! A memory limit is about frames, and a huge page has frames for all of it. With a limit nothing is asked for; huge objects of before, all of
//! whose bytes count for it in any case, keep their advice.
//!
//! The reservation has advice against huge pages, but for a few ranges, each inside one owner's pages: the one that is touched, while it
//! is, and what the last large objects asked for. The kernel makes a mapping of each, moves no object (`mremap`) that lies in two, and joins
//! them again when the advice is the same. Advice for all of it while one is touched was wrong: what other threads touched meanwhile
//! became huge, and what of that the heap knew to be with the kernel stayed resident for good. Rejected: advice for the whole from a
//! size on: git grew by 6 %, SQLite by 17 %, objects of which only the first word is written by 80 %, and the price was asked at each
//! growth only. `MADV_COLLAPSE`: as fast here, but it needs Linux 6.1 and makes all processors empty their lists of pages.
#![expect(unsafe_code, reason = "advises on the heap's own pages, and touches them")]

use core::ops::DerefMut;
use core::ptr::{self, NonNull};
use core::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

use super::mheap::Heap;
use crate::base::{Bytes, PAGE_SIZE, PageIdx, PageRange, Pages};
use crate::page::PageAlloc;
use crate::sync::{Mutex, rank};
use crate::sys::{self, Linux, Os};

/// Above this size of the kernel's page its huge pages have 32 MiB and more: too coarse to advise anything.
const COARSEST_PAGE: usize = 4 << 10;
/// Pages of a huge page, where the kernel's have 4 KiB: 2 MiB.
const HUGE: Pages = Pages((2 << 20) / PAGE_SIZE);
/// From how many bytes in use on the heap makes huge pages, unless options say otherwise.
const FROM: usize = 4 << 20;
/// A huge page that takes longer at its first touch is dear, unless options say otherwise: what 512 small ones take.
const DEAR_NS: u64 = 1_000_000;
/// The most huge pages that the heap does without before it asks for the price again.
const MOST_SKIPPED: u32 = 64;
/// So many times large objects rely on the last one having been cheap.
const RELIED_ON: u32 = 15;

/// Most untouched pages by which an object grows that make a huge page of what they begin and others will fill: 128 KiB.
const SHORT: Pages = Pages(16);
/// For so many large objects the kernel is asked at a time.
const ASKING: usize = 8;

/// The policy.
pub(super) struct Thp {
    /// From how many bytes in use on. Set by options.
    from: AtomicUsize,
    /// They are advised against, everywhere. Set by options.
    disabled: AtomicBool,
    /// What one may take at its first touch. Set by options.
    dear_ns: AtomicU64,
    /// Where the kernel is asked for them at the first touch: in live large objects, or in parts by which they grew, as the first huge page
    /// (32 bits) and huge pages (32 bits); 0 if nowhere. Written under `price`.
    asked: [AtomicU64; ASKING],
    /// Held while one is made. Rank THP: alone, but for a fork.
    price: Mutex<Price, { rank::THP }>,
}

/// What huge pages cost of late.
#[derive(Debug, PartialEq, Eq)]
struct Price {
    /// How many the heap will do without.
    skip: u32,
    /// How many those were the last time; 0 if the last one was cheap.
    skipped: u32,
    /// How often it may still be relied on that the last one was cheap.
    relied: u32,
    /// How many large objects have asked.
    asked: usize,
}

impl Price {
    const UNKNOWN: Self = Self { skip: 0, skipped: 0, relied: 0, asked: 0 };

    /// Whether to do without the next one.
    fn skips(&mut self) -> bool {
        let skips = self.skip > 0;
        self.skip = self.skip.saturating_sub(1);
        skips
    }

    /// Notes whether one was dear.
    fn was(&mut self, dear: bool) {
        self.skipped = if dear { (self.skipped * 2).clamp(1, MOST_SKIPPED) } else { 0 };
        self.skip = self.skipped;
        self.relied = if dear { 0 } else { RELIED_ON };
    }

    /// Whether they are cheap, without a touch; not said for ever.
    fn relies(&mut self) -> bool {
        let relies = self.relied > 0;
        self.relied = self.relied.saturating_sub(1);
        relies
    }
}

/// A huge page in the making: a thread has taken some pages for itself, the first among them, and has the rest until it was touched.
#[must_use = "its rest is lost unless it is touched"]
pub(super) struct HugePage {
    first: PageIdx,
    rest: PageRange,
}

impl HugePage {
    /// The one that begins in these pages, which the caller has taken and which have no frames, if it has none behind them either.
    pub(super) fn begun(alloc: &mut PageAlloc<Linux>, untouched: PageRange) -> Option<Self> {
        let end = untouched.end();
        let first = PageIdx((untouched.start.0).next_multiple_of(HUGE.0));
        let rest = PageRange { start: end, len: Pages((first + HUGE).0.checked_sub(end.0)?) };
        (first < end && alloc.take_untouched(rest)).then_some(Self { first, rest })
    }
}

impl Thp {
    pub(super) const fn new() -> Self {
        Self {
            from: AtomicUsize::new(FROM),
            disabled: AtomicBool::new(false),
            dear_ns: AtomicU64::new(DEAR_NS),
            asked: [const { AtomicU64::new(0) }; ASKING],
            price: Mutex::new(Price::UNKNOWN),
        }
    }

    /// Takes its lock for a fork.
    pub(super) fn lock_for_fork(&self) {
        self.price.lock_for_fork();
    }

    /// Gives it back.
    ///
    /// # Safety
    /// 1. The thread that forked took it with `lock_for_fork`.
    pub(super) unsafe fn unlock_after_fork(&self, in_child: bool) {
        // SAFETY: passed on unchanged (1).
        unsafe { self.price.unlock_after_fork(in_child) };
    }
}

/// What a word of `Thp::asked` says.
fn unpack(asked: u64) -> Option<PageRange> {
    let pages = |huge: u64| huge as usize * HUGE.0;
    let (start, len) = (pages(asked >> 32), pages(asked & u64::from(u32::MAX)));
    (asked != 0).then_some(PageRange { start: PageIdx(start), len: Pages(len) })
}

fn advise(at: NonNull<u8>, bytes: usize, yes: bool) {
    if Linux.page_size() <= COARSEST_PAGE {
        // SAFETY: callers pass mappings of the heap.
        unsafe { Linux.advise_huge_pages(at, bytes, yes) };
    }
}

fn advise_at(address: usize, len: Pages, yes: bool) {
    if let Some(at) = NonNull::new(ptr::with_exposed_provenance_mut(address)) {
        advise(at, len.bytes().0, yes);
    }
}

impl Heap {
    /// Makes huge pages from so many bytes in use on. Before the first allocation.
    pub(crate) fn set_huge_pages_from(&self, bytes: usize) {
        self.thp.from.store(bytes, Relaxed);
    }

    /// Does without them where the first touch of one takes more nanoseconds. Before the first allocation.
    pub(crate) fn set_dear_huge_page(&self, ns: u64) {
        self.thp.dear_ns.store(ns, Relaxed);
    }

    /// Advises against huge pages, whatever else is set. Before the first allocation.
    pub(crate) fn disable_huge_pages(&self) {
        self.thp.disabled.store(true, Relaxed);
    }

    /// Whether nothing may be asked for.
    fn without_huge_pages(&self) -> bool {
        self.thp.disabled.load(Relaxed) || self.memory_limit() != usize::MAX
    }

    /// Advises on a new huge object.
    pub(super) fn mapped(&self, at: NonNull<u8>, bytes: usize) {
        if self.without_huge_pages() {
            advise(at, bytes, false);
        }
    }

    /// Advises on a huge object that has another length, or was a large one.
    pub(super) fn resized(&self, at: NonNull<u8>, bytes: usize) {
        if self.without_huge_pages() {
            advise(at, bytes, false);
        } else if bytes >= self.thp.from.load(Relaxed) {
            advise(at, bytes, true);
        }
    }

    /// Advises against huge pages in the whole reservation.
    pub(super) fn advise_reservation(&self) {
        self.advise_pages(PageRange { start: PageIdx(0), len: Pages(self.reserved.0 / PAGE_SIZE) }, false);
    }

    fn advise_pages(&self, range: PageRange, yes: bool) {
        advise_at(self.address_of(range.start), range.len, yes);
    }

    /// Whether untouched pages that will be filled are to be huge.
    pub(super) fn wants_huge_pages(&self) -> bool {
        self.in_use_bytes().0 >= self.thp.from.load(Relaxed)
            && !self.without_huge_pages()
            && Linux.page_size() <= COARSEST_PAGE
    }

    /// Touches a huge page, unless they are dear, and gives its rest back. Says whether all its pages have frames now; those that the caller
    /// has of it are not booked.
    pub(super) fn touch(&self, huge: HugePage) -> bool {
        let HugePage { first, rest } = huge;
        let touched = self
            .asking()
            .is_some_and(|mut price| self.touch_unless_dear(&mut price, self.address_of(first)).is_some());
        if touched {
            self.released.fetch_sub(rest.len.0, Relaxed);
        }
        self.free_pages(rest, !touched);
        touched
    }

    /// The lock, unless nothing may be asked for: settled here, because who sets a memory limit takes it afterwards.
    fn asking(&self) -> Option<impl DerefMut<Target = Price>> {
        let price = self.thp.price.lock();
        (!self.without_huge_pages()).then_some(price)
    }

    /// Asks for huge pages in a new object of `n` pages, which has no frames behind `dirty` bytes and will be filled, as far as is known;
    /// most likely if it `grows`, and is to have the content of a shorter one.
    pub(crate) fn will_be_filled(&self, p: *mut u8, n: Pages, dirty: Bytes, grows: bool) {
        let (start, end) = (p.addr() + dirty.0, p.addr() + n.bytes().0);
        if self.contains(p) {
            let untouched = PageRange { start: self.page_of(start), len: Pages((end - start) / PAGE_SIZE) };
            return if grows { self.grew_by(untouched) } else { self.ask_in(untouched) };
        }
        let first = start.next_multiple_of(HUGE.bytes().0);
        if first + HUGE.bytes().0 <= end
            && self.wants_huge_pages()
            && let Some(mut price) = self.asking()
            && self.are_cheap(&mut price, first)
        {
            advise_at(p.addr(), n, true);
        }
    }

    /// Asks for huge pages in what an object grew by, or makes the one that a few pages begin, of them and of what is behind them.
    pub(super) fn grew_by(&self, untouched: PageRange) {
        if untouched.len > SHORT {
            self.ask_in(untouched);
        } else if untouched.start.0.next_multiple_of(HUGE.0) < untouched.end().0
            && self.wants_huge_pages()
            && let Some(huge) = self.with_owner(untouched.start, |alloc| HugePage::begun(alloc, untouched))
        {
            self.touch(huge);
        }
    }

    /// Asks for huge pages in a large object that is new, or in the part by which one grew: pages that have no frames yet and will be
    /// filled.
    fn ask_in(&self, untouched: PageRange) {
        let (first, end) = (untouched.start.0.div_ceil(HUGE.0), untouched.end().0 / HUGE.0);
        if first < end
            && self.wants_huge_pages()
            && let Some(mut price) = self.asking()
            && self.are_cheap(&mut price, self.address_of(PageIdx(first * HUGE.0)))
        {
            let place = &self.thp.asked[price.asked % ASKING];
            price.asked += 1;
            self.ask_no_more(&price, place);
            let asked = (first as u64) << 32 | (end - first) as u64;
            // Release: as in `ask_no_more`, whose store this may hide.
            place.store(asked, Release);
            if let Some(range) = unpack(asked) {
                self.advise_pages(range, true);
            }
        }
    }

    /// Asks for none any more in pages of a large object that is freed, shrinks or moves.
    #[inline]
    pub(super) fn gives_up(&self, range: PageRange) {
        // The owner of the pages knows of what it has asked for in them, and nobody else asks there. Acquire: pairs with the Releases of
        // others, who may have asked for none any more in this place; then that is done.
        let asked = |place: &AtomicU64| {
            unpack(place.load(Acquire)).is_some_and(|a| a.start < range.end() && range.start < a.end())
        };
        if self.thp.asked.iter().any(asked) {
            let price = self.thp.price.lock();
            self.thp
                .asked
                .iter()
                .filter(|place| asked(place))
                .for_each(|place| self.ask_no_more(&price, place));
        }
    }

    /// Asks for none any more in large objects.
    pub(super) fn ask_nowhere(&self) {
        let price = self.thp.price.lock();
        self.thp.asked.iter().for_each(|place| self.ask_no_more(&price, place));
    }

    /// Asks for none any more where this says. `_locked` shows that the lock is held.
    fn ask_no_more(&self, _locked: &Price, place: &AtomicU64) {
        if let Some(before) = unpack(place.load(Relaxed)) {
            self.advise_pages(before, false);
            // Release: pairs with the Acquire in `gives_up`.
            place.store(0, Release);
        }
    }

    /// Whether huge pages are cheap, which may take the touch of one, as below.
    fn are_cheap(&self, price: &mut Price, at: usize) -> bool {
        price.relies() || self.touch_unless_dear(price, at) == Some(true)
    }

    /// Touches a huge page, which has no frames and is the caller's, and says whether it was cheap. `None` if it was not touched, because others
    /// were dear.
    fn touch_unless_dear(&self, price: &mut Price, at: usize) -> Option<bool> {
        if price.skips() {
            return None;
        }
        advise_at(at, HUGE, true);
        let ns = touch_all(at);
        advise_at(at, HUGE, false);
        let dear = ns > self.thp.dear_ns.load(Relaxed);
        price.was(dear);
        Some(!dear)
    }
}

/// Touches each of the kernel's pages in a huge page, and returns how many nanoseconds that took: more than any if the kernel gave none.
fn touch_all(at: usize) -> u64 {
    let touch = |from, to| {
        let start = sys::precise_ns();
        for i in from..to {
            let page: *mut u8 = ptr::with_exposed_provenance_mut(at + i * Linux.page_size());
            // SAFETY: the heap made it writable, it has no frame, or zeros, and the caller has it for itself.
            unsafe { page.write_volatile(0) };
        }
        sys::precise_ns() - start
    };
    let one = touch(0, 1);
    let others = touch(1, HUGE.bytes().0 / Linux.page_size());
    // The first touch of a huge page does what there is to do for the others.
    if others > 4 * one { u64::MAX } else { one + others }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn dear_ones_are_done_without_twice_as_long_each_time() {
        let mut price = Price::UNKNOWN;
        let mut until_asked = |dear| {
            price.was(dear);
            let skipped = (0..).take_while(|_| price.skips()).count();
            assert_eq!(price.skip, 0);
            skipped
        };
        let asked: Vec<_> = (0..10).map(|_| until_asked(true)).collect();
        assert_eq!(asked, [1, 2, 4, 8, 16, 32, 64, 64, 64, 64]);
        assert_eq!([until_asked(false), until_asked(false), until_asked(true)], [0, 0, 1]);
    }

    #[test]
    fn a_cheap_one_is_relied_on_for_a_while() {
        let mut price = Price::UNKNOWN;
        let mut times_relied = |dear: Option<bool>| {
            dear.into_iter().for_each(|dear| price.was(dear));
            (0..).take_while(|_| price.relies()).count()
        };
        let relied = [None, Some(false), None, Some(true)].map(&mut times_relied);
        assert_eq!(relied, [0, RELIED_ON as usize, 0, 0]);
    }
}
