//! Transparent huge pages: what the heap advises the kernel. Answers to Go's sysHugePage and sysNoHugePage (mem_linux.go), which
//! Go's own heap has not used since 1.21.4.
//!
//! A page of 2 MiB saves 511 page faults and most misses of the address cache, and costs memory where only a part of it is ever
//! touched. Pages are handed out in address order, so a heap of a few huge pages wastes at most the rest of its last one, and of those
//! around large objects that nobody fills. Hence: none in the first [`FROM`] bytes, so that a small program stays small even where the
//! kernel hands them out unasked; above, everywhere. Once a heap has grown that far, its first bytes may have them as well: they are
//! in use by then, and the kernel's own thread puts them together.
//!
//! Huge objects ask for them when they are resized: what grows is filled. A new one may be meant to stay mostly untouched.
#![expect(unsafe_code, reason = "advises on the heap's own pages")]

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::mheap::Heap;
use crate::base::{PAGE_SIZE, PageIdx, PageRange, Pages};
use crate::sys::{Linux, Os};

/// Bytes of heap without huge pages.
const FROM: usize = 4 << 20;
/// Above this size of the kernel's page its huge pages have 32 MiB and more: too coarse to advise anything.
const COARSEST_PAGE: usize = 4 << 10;

/// The policy.
pub(super) struct Thp {
    /// Bytes of heap without huge pages; `usize::MAX` = no huge pages at all. Set by options.
    from: AtomicUsize,
}

impl Thp {
    pub(super) const fn new() -> Self {
        Self { from: AtomicUsize::new(FROM) }
    }

    fn are_wanted(&self) -> bool {
        self.from.load(Relaxed) != usize::MAX
    }

    fn advise(at: NonNull<u8>, bytes: usize, yes: bool) {
        if Linux.page_size() <= COARSEST_PAGE {
            // SAFETY: callers pass mappings of the heap.
            unsafe { Linux.advise_huge_pages(at, bytes, yes) };
        }
    }

    /// Advises on a huge object: new, or `resized`.
    pub(super) fn mapped(&self, at: NonNull<u8>, bytes: usize, resized: bool) {
        if resized || !self.are_wanted() {
            Self::advise(at, bytes, self.are_wanted());
        }
    }
}

impl Heap {
    /// Sets how many bytes of heap have no huge pages; `usize::MAX` = none has, and that stays so. Before the first allocation.
    pub(crate) fn set_huge_pages_from(&self, bytes: usize) {
        if self.thp.are_wanted() {
            self.thp.from.store(bytes, Relaxed);
        }
    }

    /// Advises on pages that have just become usable.
    pub(super) fn grown(&self, range: PageRange) {
        let from = PageIdx(self.thp.from.load(Relaxed) / PAGE_SIZE);
        let yes = range.end() > from;
        // The first range that may have them takes those below along.
        let start = if yes && range.start <= from { PageIdx(0) } else { range.start };
        let len = Pages(range.end().0 - start.0);
        if let Some(at) = NonNull::new(ptr::with_exposed_provenance_mut(self.address_of(start))) {
            Thp::advise(at, len.bytes().0, yes);
        }
    }
}
