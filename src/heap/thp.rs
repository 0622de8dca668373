//! Transparent huge pages: what the heap advises the kernel. Answers to Go's sysHugePage and sysNoHugePage (mem_linux.go), which
//! Go's own heap has not used since 1.21.4.
//!
//! A page of 2 MiB saves 511 page faults and most misses of the address cache, but what is never touched stays resident. So the heap asks
//! for them from a size on, and advises against them below, so that a small program stays small even where the kernel hands them out
//! unasked. A new object of 2 MiB and more may be meant to stay mostly untouched, as xz's are: a heap that grows for one goes without until
//! it grows for smaller ones. What is resized is filled: huge objects ask then.
//!
//! They are not worth their price everywhere: a virtual machine that gives free memory back to its host pays for each huge page what 2 MiB
//! cost the host, 4.4 ms where a warm one took 0.1 ms, while single pages come from memory that is still warm. Therefore each growth
//! touches the first page of what it got and takes the time. If that was dear, the heap goes without, now and at the next few growths,
//! twice as many each time in a row.
//!
//! A memory limit is about frames, and a huge page has frames that the heap counts as released. With a limit nothing is asked for.
//!
//! The whole reservation has the same advice, used or not. Rejected: advice by range: the kernel makes a mapping of each, keeps two that
//! were touched apart for good, and moves no object (`mremap`) that lies in both.
#![expect(unsafe_code, reason = "advises on the heap's own pages, and touches them")]

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::mheap::Heap;
use crate::base::{PAGE_SIZE, PageRange};
use crate::sys::{self, Linux, Os};

/// Above this size of the kernel's page its huge pages have 32 MiB and more: too coarse to advise anything.
const COARSEST_PAGE: usize = 4 << 10;
/// From how many bytes of heap on they are asked for, unless options say otherwise.
const FROM: usize = 32 << 20;
/// A huge page that takes longer at its first touch is dear, unless options say otherwise: what 512 small ones take.
const DEAR_NS: u64 = 500_000;
/// The most growths that do without before the price is asked again.
const MOST_SKIPPED: u32 = 64;

/// The policy.
pub(super) struct Thp {
    /// From how many bytes of heap on they are asked for. Set by options.
    from: AtomicUsize,
    /// They are advised against, everywhere. Set by options.
    disabled: AtomicBool,
    /// What one may take at its first touch. Set by options.
    dear_ns: AtomicU64,
    /// Growths that will do without, and how many those were the last time. Written under the heap's lock, as is the next.
    skip: AtomicU32,
    skipped: AtomicU32,
    /// What was last advised.
    advised: AtomicU8,
}

/// Nothing was advised yet, the pages are not wanted, they are.
const NOTHING: u8 = 0;
const NO: u8 = 1;
const YES: u8 = 2;

impl Thp {
    pub(super) const fn new() -> Self {
        Self {
            from: AtomicUsize::new(FROM),
            disabled: AtomicBool::new(false),
            dear_ns: AtomicU64::new(DEAR_NS),
            skip: AtomicU32::new(0),
            skipped: AtomicU32::new(0),
            advised: AtomicU8::new(NOTHING),
        }
    }

    /// Whether this growth is to do without, as an earlier one found huge pages dear.
    fn skips(&self) -> bool {
        let skip = self.skip.load(Relaxed);
        self.skip.store(skip.saturating_sub(1), Relaxed);
        skip > 0
    }

    /// Whether the first touch of `at` is cheap: memory of nobody that reads as zeros.
    fn is_cheap(&self, at: NonNull<u8>) -> bool {
        let start = sys::precise_ns();
        // SAFETY: the heap has just made it writable, and a zero changes nothing.
        unsafe { at.write_volatile(0) };
        let dear = sys::precise_ns() - start > self.dear_ns.load(Relaxed);
        let skip = if dear { (self.skipped.load(Relaxed) * 2).clamp(1, MOST_SKIPPED) } else { 0 };
        self.skip.store(skip, Relaxed);
        self.skipped.store(skip, Relaxed);
        !dear
    }
}

fn advise(at: NonNull<u8>, bytes: usize, yes: bool) {
    if Linux.page_size() <= COARSEST_PAGE {
        // SAFETY: callers pass mappings of the heap.
        unsafe { Linux.advise_huge_pages(at, bytes, yes) };
    }
}

impl Heap {
    /// Asks for huge pages from so many bytes of heap on. Before the first allocation.
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

    /// Advises on a huge object: new, or `resized`.
    pub(super) fn mapped(&self, at: NonNull<u8>, bytes: usize, resized: bool) {
        if self.without_huge_pages() {
            advise(at, bytes, false);
        } else if resized && bytes >= self.thp.from.load(Relaxed) {
            advise(at, bytes, true);
        }
    }

    /// Advises on the heap, of which a range has just become usable, for what will be `filled` or for an object that may not be. Under
    /// the heap's lock.
    pub(super) fn grown(&self, range: PageRange, filled: bool) {
        let wanted = filled
            && range.end().0 * PAGE_SIZE > self.thp.from.load(Relaxed)
            && !self.without_huge_pages()
            && !self.thp.skips();
        self.advise(wanted);
        let first = NonNull::new(ptr::with_exposed_provenance_mut(self.address_of(range.start)));
        if wanted && !first.is_some_and(|first| self.thp.is_cheap(first)) {
            self.advise(false);
        }
    }

    /// Advises against them where they were asked for: there is a memory limit now.
    pub(super) fn limited(&self) {
        let _growing = self.pages.lock();
        self.advise(false);
    }

    /// Under the heap's lock.
    fn advise(&self, yes: bool) {
        let (base, bytes) = self.reservation();
        let advice = if yes { YES } else { NO };
        if self.thp.advised.swap(advice, Relaxed) != advice
            && let Some(at) = NonNull::new(ptr::with_exposed_provenance_mut(base))
        {
            advise(at, bytes.0, yes);
        }
    }
}
