//! Finding free pages to give back to the kernel, from the top of the address space down. Answers to Go's mgcscavenge.go
//! (scavengeIndex, findScavengeCandidate, scavengeOne).
//!
//! The heap grows from the bottom up, so what is free at the top is least likely to be wanted soon. A chunk that is nearly
//! full is left alone unless it is urgent: its few free pages will be taken again, and releasing them breaks a huge page.
//!
//! Life of a page that is given back; only the thread that took it may touch it in between:
//!
//! ```text
//! free -- take_for_scavenge --> in use -- madvise without the lock, then scavenged --> free, with the kernel
//! ```
//!
//! Invariants: `in_use` and `dirty` are exact; a chunk with a run that can be given back has its bit in `wanted`,
//! unless the OS refused a run of it since more of it was freed; no chunk at
//! or above `top` has.
//!
//! Rejected: Go's two marked search addresses and generations. A bit for each chunk is exact, and 64 of them are a word.
//!
//! On kernels with pages above 8 KiB a free page stays while another page of the same kernel page is with the kernel already
//! (as in Go): it goes with its neighbours, when all of them have been used and freed.

use super::OutOfMemory;
use super::bitmap::CHUNK_PAGES;
use super::palloc::PageAlloc;
use super::table::{Table, Zeroable};
use crate::base::{Bytes, PageIdx, PageRange, Pages};
use crate::sys::Os;

/// From this many pages in use on a chunk is nearly full (Go's scavChunkHiOccPages: 31/32).
const NEARLY_FULL: usize = CHUNK_PAGES / 32 * 31;
const GROUP: usize = 64;

/// How full a chunk is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub(super) struct Counts {
    /// Pages in use.
    pub(super) in_use: u16,
    /// Free pages that have frames.
    pub(super) dirty: u16,
}

/// What the index knows of 64 chunks.
#[repr(C)]
struct Group {
    /// Chunks that may have something to give back.
    wanted: u64,
    /// Chunks that are nearly full.
    full: u64,
    /// Chunks of which the OS refused a run, and which are left alone until more of them is freed.
    refused: u64,
    counts: [Counts; GROUP],
}

#[expect(unsafe_code, reason = "promises that zeros are a value")]
// SAFETY: numbers. All zero says that chunks are empty and have nothing to give back, as new ones are.
unsafe impl Zeroable for Group {}

/// Which chunks have pages to give back.
pub(super) struct ScavengeIndex<O: Os> {
    groups: Table<Group, O>,
    /// No group at or above this one has a bit in `wanted`. Raised by frees, lowered by searches that find nothing.
    top: usize,
    /// The same for chunks that are not nearly full.
    top_sparse: usize,
}

impl<O: Os> ScavengeIndex<O> {
    /// Reserves an index of `chunks` chunks; `None` when the OS refuses.
    pub(super) fn new(os: O, chunks: usize) -> Option<Self> {
        let groups = Table::new(os, chunks.div_ceil(GROUP), c"gort: scavenge index")?;
        Some(Self { groups, top: 0, top_sparse: 0 })
    }

    /// Commits what the first `chunks` chunks need.
    pub(super) fn prepare(&self, chunks: usize) -> Result<(), OutOfMemory> {
        self.groups.grow_to(chunks.div_ceil(GROUP))
    }

    pub(super) fn committed_bytes(&self) -> Bytes {
        self.groups.committed_bytes()
    }

    /// Books that `n` pages of chunk `c` were taken, of which `scavenged` had no frames.
    #[inline]
    pub(super) fn took(&mut self, c: usize, n: usize, scavenged: usize) {
        let (g, bit) = (self.groups.at_mut(c / GROUP), 1 << (c % GROUP));
        let counts = &mut g.counts[c % GROUP];
        counts.in_use += n as u16;
        counts.dirty -= (n - scavenged) as u16;
        if counts.dirty == 0 {
            g.wanted &= !bit;
        }
        if counts.in_use as usize >= NEARLY_FULL {
            g.full |= bit;
        }
    }

    /// Books that `n` pages of chunk `c` came back, of which `scavenged` have no frames.
    #[inline]
    pub(super) fn gave(&mut self, c: usize, n: usize, scavenged: usize) {
        let (g, bit) = (self.groups.at_mut(c / GROUP), 1 << (c % GROUP));
        let counts = &mut g.counts[c % GROUP];
        counts.in_use -= n as u16;
        counts.dirty += (n - scavenged) as u16;
        if n > scavenged {
            g.wanted |= bit;
            g.refused &= !bit;
            self.top = self.top.max(c / GROUP + 1);
        }
        if (counts.in_use as usize) < NEARLY_FULL {
            g.full &= !bit;
            if g.wanted & bit != 0 {
                self.top_sparse = self.top_sparse.max(c / GROUP + 1);
            }
        }
    }

    /// Books that chunk `c` has no run to give back, until more of it is freed.
    fn nothing_in(&mut self, c: usize) {
        self.groups.at_mut(c / GROUP).wanted &= !(1 << (c % GROUP));
    }

    /// Books that the OS refused a run of chunk `c`.
    fn refused_in(&mut self, c: usize) {
        self.nothing_in(c);
        self.groups.at_mut(c / GROUP).refused |= 1 << (c % GROUP);
    }

    /// Forgets what the OS refused in the first `chunks` chunks.
    fn forget_refusals(&mut self, chunks: usize) {
        for i in 0..chunks.div_ceil(GROUP) {
            let g = self.groups.at_mut(i);
            let refused = core::mem::take(&mut g.refused);
            if refused == 0 {
                continue;
            }
            // Those of which all that was refused has been taken since have nothing.
            let dirty = (0..GROUP).filter(|&c| g.counts[c].dirty > 0).fold(0, |bits, c| bits | 1 << c);
            g.wanted |= refused & dirty;
            self.top = self.top.max(i + 1);
            self.top_sparse = self.top_sparse.max(i + 1);
        }
    }

    /// The highest chunk that may have something to give back; with `force` also among the nearly full ones.
    fn highest(&mut self, force: bool) -> Option<usize> {
        let top = if force { &mut self.top } else { &mut self.top_sparse };
        while *top > 0 {
            let g = self.groups.at(*top - 1);
            let found = g.wanted & if force { u64::MAX } else { !g.full };
            if found != 0 {
                return Some((*top - 1) * GROUP + found.ilog2() as usize);
            }
            *top -= 1;
        }
        None
    }

    /// The counts of chunk `c`.
    #[cfg(any(test, feature = "invariants"))]
    pub(super) fn counts(&self, c: usize) -> Counts {
        self.groups.at(c / GROUP).counts[c % GROUP]
    }

    /// Ends the process unless the bits of chunk `c` agree with its counts. `has_run`: it has a run to give back.
    #[cfg(any(test, feature = "invariants"))]
    pub(super) fn check_invariants(&self, c: usize, has_run: bool) {
        use crate::throw::check;
        let (g, n) = (self.groups.at(c / GROUP), self.counts(c));
        let (wanted, full) = (g.wanted >> (c % GROUP) & 1 == 1, g.full >> (c % GROUP) & 1 == 1);
        check!(full == (n.in_use as usize >= NEARLY_FULL); chunk = c; counts = n);
        let refused = g.refused >> (c % GROUP) & 1 == 1;
        check!(!has_run || wanted || refused; chunk = c; counts = n);
        check!(!wanted || n.dirty > 0; chunk = c; counts = n);
        check!(!wanted || c / GROUP < self.top; chunk = c; top = self.top);
        check!(!wanted || full || c / GROUP < self.top_sparse; chunk = c; top = self.top_sparse);
    }
}

impl<O: Os> PageAlloc<O> {
    /// A run of free pages that have frames, from the highest chunk that has one: aligned to kernel pages and a multiple of
    /// them, at most `max` pages (but at least a kernel page) and never more than a chunk. Nearly full chunks only with
    /// `force`. The pages are in use until [`PageAlloc::scavenged`] (or [`PageAlloc::free`], when the kernel refused) gives
    /// them back.
    #[doc(alias = "scavengeOne")]
    pub(crate) fn take_for_scavenge(&mut self, max: Pages, force: bool) -> Option<PageRange> {
        debug_assert!(max.0 > 0);
        while let Some(c) = self.index.highest(force) {
            if let Some((i, n)) = self.chunks.at(c).scavengeable(max.0, self.scavenge_align) {
                let range = PageRange { start: PageIdx(c * CHUNK_PAGES + i), len: Pages(n) };
                self.take(range);
                return Some(range);
            }
            self.index.nothing_in(c);
        }
        None
    }

    /// Gives pages back that `take_for_scavenge` took and the kernel refused (the program locked them). The chunk is left alone
    /// until more of it is freed.
    pub(crate) fn refused(&mut self, r: PageRange) {
        self.free(r);
        self.index.refused_in(r.start.0 / CHUNK_PAGES);
    }

    /// Makes the chunks that are left alone since the kernel refused them worth a try again.
    pub(crate) fn retry_refused(&mut self) {
        self.index.forget_refusals(self.end.0 / CHUNK_PAGES);
    }

    /// Gives pages back that `take_for_scavenge` took and the kernel now has.
    pub(crate) fn scavenged(&mut self, r: PageRange) {
        self.free_scavenged(r);
    }
}
