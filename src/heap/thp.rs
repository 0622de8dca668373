//! Transparent huge pages: what the heap advises the kernel. Answers to Go's sysHugePage and sysNoHugePage (mem_linux.go), which
//! Go's own heap has not used since 1.21.4.
//!
//! The heap advises nothing unless it is told to. A page of 2 MiB saves 511 page faults and most misses of the address cache: a random
//! walk over a million objects took half the time. But the kernel clears all of it at the first touch, which empties the caches, and what
//! is never touched stays resident: clang, perl and SQLite took 6 to 21 % longer with huge pages from 4 MiB of heap on, and git and
//! xz 7 to 18 % more memory. So it is for programs that live long and know.
//!
//! With a size to start from, the heap asks above it, and advises against them below, so that a small program stays small even where the
//! kernel hands them out unasked; once it has grown that far, its first bytes may have them as well: they are in use by then, and the
//! kernel's own thread puts them together. Huge objects ask when they are resized: what grows is filled. A new one may be meant to stay
//! mostly untouched.
#![expect(unsafe_code, reason = "advises on the heap's own pages")]

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use super::mheap::Heap;
use crate::base::{PAGE_SIZE, PageIdx, PageRange, Pages};
use crate::sys::{Linux, Os};

/// Above this size of the kernel's page its huge pages have 32 MiB and more: too coarse to advise anything.
const COARSEST_PAGE: usize = 4 << 10;

/// The policy. Set by options.
pub(super) struct Thp {
    /// From how many bytes of heap on they are asked for; `usize::MAX` = nowhere.
    from: AtomicUsize,
    /// They are advised against, everywhere.
    disabled: AtomicBool,
}

impl Thp {
    pub(super) const fn new() -> Self {
        Self { from: AtomicUsize::new(usize::MAX), disabled: AtomicBool::new(false) }
    }

    /// From how many bytes of heap on to ask; `None` where nothing is to be advised.
    fn from(&self) -> Option<usize> {
        let from = self.from.load(Relaxed);
        match self.disabled.load(Relaxed) {
            true => Some(usize::MAX),
            false => (from != usize::MAX).then_some(from),
        }
    }

    fn advise(at: NonNull<u8>, bytes: usize, yes: bool) {
        if Linux.page_size() <= COARSEST_PAGE {
            // SAFETY: callers pass mappings of the heap.
            unsafe { Linux.advise_huge_pages(at, bytes, yes) };
        }
    }

    /// Advises on a huge object: new, or `resized`.
    pub(super) fn mapped(&self, at: NonNull<u8>, bytes: usize, resized: bool) {
        match self.from() {
            Some(usize::MAX) => Self::advise(at, bytes, false),
            Some(_) if resized => Self::advise(at, bytes, true),
            _ => {}
        }
    }
}

impl Heap {
    /// Asks for huge pages from so many bytes of heap on. Before the first allocation.
    pub(crate) fn set_huge_pages_from(&self, bytes: usize) {
        self.thp.from.store(bytes, Relaxed);
    }

    /// Advises against huge pages, whatever else is set. Before the first allocation.
    pub(crate) fn disable_huge_pages(&self) {
        self.thp.disabled.store(true, Relaxed);
    }

    /// Advises on pages that have just become usable.
    pub(super) fn grown(&self, range: PageRange) {
        let Some(from) = self.thp.from() else { return };
        let from = PageIdx(from / PAGE_SIZE);
        let yes = range.end() > from;
        // The first range that may have them takes those below along.
        let start = if yes && range.start <= from { PageIdx(0) } else { range.start };
        let len = Pages(range.end().0 - start.0);
        if let Some(at) = NonNull::new(ptr::with_exposed_provenance_mut(self.address_of(start))) {
            Thp::advise(at, len.bytes().0, yes);
        }
    }
}
