//! The one stretch of addresses that the heap lives in. Answers to Go's arena hints and sysReserve (malloc.go).
//!
//! ```text
//! base                      next                                    base + pages           base + bytes
//! | committed arenas        | reserved: no access, not charged      | what was taken from it |
//! ```
//!
//! It is reserved once, far larger than memory is, so that the page map is one array and an address is tested with one
//! comparison; the kernel charges nothing for it. It becomes usable from the bottom up, by half of what is usable already, from
//! 4 MiB to an arena of 64 MiB at a time, and stays so: a kernel that counts every writable page against its memory
//! (`vm.overcommit_memory=2`) is not asked for an arena by a program that needs a page.
//!
//! Rejected: Go's search for a new place for each arena: it needs a two-level map.
#![expect(unsafe_code, reason = "commits parts of its own reservation")]

use core::ptr::NonNull;

use super::OutOfMemory;
use super::bitmap::CHUNK_PAGES;
use crate::base::{Bytes, PAGE_SHIFT, PAGE_SIZE, PageIdx, PageRange, Pages};
use crate::sys::Os;

/// Most bytes that become usable unasked at a time (Go's heapArenaBytes), and the alignment of the whole.
const ARENA: usize = 64 << 20;
/// Pages of an arena.
const ARENA_PAGES: usize = ARENA / PAGE_SIZE;
/// Bytes of a chunk, the least that can be reserved.
const CHUNK: usize = CHUNK_PAGES * PAGE_SIZE;
/// Least that is asked for at first.
const LEAST_WISH: usize = 64 << 30;
/// Addresses for each byte of physical memory: room for fragments, for swap and for memory that is added later.
const PER_PHYSICAL: usize = 4;
/// Most that makes sense: half of the addresses that x86-64 gives a process.
const MOST_WISH: usize = 1 << 46;

/// The reservation.
pub(crate) struct AddressSpace<O: Os> {
    os: O,
    base: NonNull<u8>,
    /// Length: whole chunks.
    bytes: usize,
    /// Whole chunks as well.
    pages: Pages,
    align: usize,
    /// First page that is not committed.
    next: PageIdx,
}

// SAFETY: the reservation belongs to the process; the pointer is not bound to a thread.
unsafe impl<O: Os> Send for AddressSpace<O> {}

impl<O: Os> AddressSpace<O> {
    /// Reserves four times the physical memory and at least 64 GiB. When the kernel does not grant that (a `ulimit -v`), it is the
    /// so many `eighths` of what it would grant; the rest is left to stacks, libraries and our own tables. `None` when it does not even
    /// grant a chunk.
    pub(crate) fn reserve(os: O, physical_memory: Bytes, eighths: usize) -> Option<Self> {
        let wish =
            physical_memory.0.saturating_mul(PER_PHYSICAL).clamp(LEAST_WISH, MOST_WISH).next_power_of_two();
        if let Some(space) = Self::reserve_exactly(os, wish, ARENA) {
            return Some(space);
        }
        let mut bytes = (Self::grantable(os, wish) / 8 * eighths).next_multiple_of(CHUNK);
        // Another thread may have taken addresses since.
        while bytes >= CHUNK {
            if let Some(space) = Self::reserve_exactly(os, bytes, CHUNK) {
                return Some(space);
            }
            bytes = bytes / 2 / CHUNK * CHUNK;
        }
        None
    }

    /// The most that the kernel grants below `wish`, in whole chunks, found by halving.
    fn grantable(os: O, wish: usize) -> usize {
        let (mut granted, mut step) = (0, wish / 2);
        while step >= CHUNK {
            if Self::reserve_exactly(os, granted + step, CHUNK).is_some() {
                granted += step;
            }
            step /= 2;
        }
        granted
    }

    fn reserve_exactly(os: O, bytes: usize, align: usize) -> Option<Self> {
        let base = os.reserve(bytes, align, c"gort: heap")?;
        let pages = Pages(bytes >> PAGE_SHIFT);
        Some(Self { os, base, bytes, pages, align, next: PageIdx(0) })
    }

    /// What its first address is a multiple of, in bytes.
    pub(crate) fn align(&self) -> usize {
        self.align
    }

    /// Its first address, exposed: pointers into it may be made from numbers.
    pub(crate) fn base(&self) -> usize {
        self.base.as_ptr().expose_provenance()
    }

    /// Its length, without what was taken from its end.
    pub(crate) fn pages(&self) -> Pages {
        self.pages
    }

    /// Takes addresses from the end for another use, above all pages that will ever be usable; `None` when they are in use, or more
    /// than an eighth of all. Nothing may be read or written there until it is committed.
    pub(crate) fn take_end(&mut self, bytes: Bytes) -> Option<NonNull<u8>> {
        let taken =
            bytes.0.checked_next_multiple_of(CHUNK).filter(|&taken| taken <= self.bytes / 8)? >> PAGE_SHIFT;
        let left = self.pages.0.checked_sub(taken).filter(|&left| left >= self.next.0)?;
        self.pages = Pages(left);
        // SAFETY: inside the reservation.
        Some(unsafe { self.base.add(left << PAGE_SHIFT) })
    }

    /// Makes the next pages readable and writable: whole chunks, at least `n` pages, and more as long as the kernel grants it.
    /// Returns what became usable. On `Err` nothing changed, and the same call may be made again.
    pub(crate) fn commit_more(&mut self, n: Pages) -> Result<PageRange, OutOfMemory> {
        let left = self.pages().0 - self.next.0;
        let least =
            n.0.max(1).checked_next_multiple_of(CHUNK_PAGES).filter(|&l| l <= left).ok_or(OutOfMemory)?;
        let wish = (self.next.0 / 2).next_multiple_of(CHUNK_PAGES).clamp(CHUNK_PAGES, ARENA_PAGES).min(left);
        self.commit(Pages(wish.max(least)))
            .or_else(|e| if wish > least { self.commit(Pages(least)) } else { Err(e) })
    }

    fn commit(&mut self, len: Pages) -> Result<PageRange, OutOfMemory> {
        // SAFETY: `next` is at most the reservation's end.
        let at = unsafe { self.base.add(self.next.0 << PAGE_SHIFT) };
        // SAFETY: the range lies inside our reservation (commit 1), as was just checked.
        if !unsafe { self.os.commit(at, len.bytes().0) } {
            return Err(OutOfMemory);
        }
        let range = PageRange { start: self.next, len };
        self.next = range.end();
        Ok(range)
    }
}

/// Gives the addresses back: for a start that was refused half way, and for tests. A heap that stands is never dropped.
impl<O: Os> Drop for AddressSpace<O> {
    fn drop(&mut self) {
        // SAFETY: exactly what `reserve` returned; whoever drops it says that nothing refers to it.
        unsafe { self.os.unreserve(self.base, self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::testing::{FakeOs, PAGE_SIZES};

    const GIB: usize = 1 << 30;

    fn reserve<O: Os>(os: O, physical_memory: Bytes) -> Option<AddressSpace<O>> {
        AddressSpace::reserve(os, physical_memory, 5)
    }

    #[test]
    fn wish_is_granted_rounded_and_aligned() {
        for (physical, want) in
            [(0, 64 * GIB), (16 * GIB, 64 * GIB), (17 * GIB, 128 * GIB), (100 * GIB, 512 * GIB)]
        {
            let os = FakeOs::new(4096);
            let s = reserve(os, Bytes(physical)).unwrap();
            assert_eq!((s.pages().bytes(), s.base() % ARENA), (Bytes(want), 0));
            drop(s);
            os.assert_all_given_back();
        }
        // A machine that reports nonsense must not overflow.
        let os = FakeOs::new(4096);
        os.limit(GIB);
        assert!(reserve(os, Bytes(usize::MAX)).is_some());
    }

    #[test]
    fn under_a_limit_a_part_is_left_to_others() {
        const MIB: usize = 1 << 20;
        for (limit, want) in [
            (33 * GIB, 33 * GIB / 8 * 5),
            (3 * GIB, 3 * GIB / 8 * 5),
            (GIB, 640 * MIB),
            (200_000 << 10, 120 * MIB),
            (64 * MIB, 40 * MIB),
            (11 * MIB, 8 * MIB),
            (4 * MIB, 4 * MIB),
        ] {
            let os = FakeOs::new(4096);
            os.limit(limit);
            let s = reserve(os, Bytes(0)).unwrap();
            assert_eq!((s.pages().bytes(), s.base() % s.align()), (Bytes(want), 0), "limit {limit}");
            assert_eq!(os.reserved(), want, "what was given up is given back");
        }
        let os = FakeOs::new(4096);
        os.limit(4 * MIB - 1);
        assert!(reserve(os, Bytes(0)).is_none());
        os.assert_all_given_back();
    }

    #[test]
    fn each_refused_call_leaves_a_smaller_space_or_none() {
        for refused in 0..12 {
            let os = FakeOs::new(4096);
            os.limit(2 * GIB);
            os.refuse(refused, 1);
            let s = reserve(os, Bytes(0)).unwrap();
            assert!(s.pages().bytes().0 >= GIB / 4);
            drop(s);
            os.refuse(0, usize::MAX);
            assert!(reserve(os, Bytes(0)).is_none());
            os.assert_all_given_back();
        }
    }

    #[test]
    fn addresses_are_taken_from_the_end_if_they_can_be_spared() {
        let os = FakeOs::new(4096);
        os.limit(GIB);
        let mut s = reserve(os, Bytes(0)).unwrap();
        assert_eq!(s.take_end(Bytes(GIB / 8 * 5 / 8 + 1)), None);
        assert_eq!(s.take_end(Bytes(usize::MAX)), None);
        let end = s.base() + s.pages().bytes().0;
        let taken = s.take_end(Bytes(CHUNK + 1)).unwrap();
        assert_eq!((taken.addr().get(), s.base() + s.pages().bytes().0), (end - 2 * CHUNK, end - 2 * CHUNK));
        // What is left can be used to its end, and what is used cannot be taken.
        let left = s.pages();
        assert_eq!(s.commit_more(Pages(left.0 + 1)), Err(OutOfMemory));
        assert_eq!(s.commit_more(left).map(PageRange::end), Ok(PageIdx(left.0)));
        assert_eq!(s.take_end(Bytes(1)), None);
        drop(s);
        os.assert_all_given_back();
    }

    #[test]
    #[expect(unsafe_code, reason = "touches the committed memory")]
    fn steps_come_in_order_until_the_end() {
        for page in PAGE_SIZES {
            let os = FakeOs::new(page);
            os.limit(512 << 20);
            let mut s = reserve(os, Bytes(0)).unwrap();
            assert_eq!(s.pages(), Pages(5 * ARENA_PAGES));
            os.refuse(0, 1);
            assert_eq!(s.commit_more(Pages(1)), Err(OutOfMemory));
            let first = s.commit_more(Pages(1)).unwrap();
            assert_eq!(first, PageRange { start: PageIdx(0), len: Pages(CHUNK_PAGES) });
            let second = s.commit_more(Pages(2 * ARENA_PAGES + 1)).unwrap();
            assert_eq!(second, PageRange { start: first.end(), len: Pages(2 * ARENA_PAGES + CHUNK_PAGES) });
            assert_eq!(s.commit_more(Pages(3 * ARENA_PAGES)), Err(OutOfMemory));
            assert_eq!(s.commit_more(Pages(usize::MAX)), Err(OutOfMemory));
            // More than is asked for, unless the kernel refuses that.
            let third = s.commit_more(Pages(0)).unwrap();
            assert_eq!(third, PageRange { start: second.end(), len: Pages(ARENA_PAGES) });
            os.refuse(0, 1);
            let fourth = s.commit_more(Pages(1)).unwrap();
            assert_eq!(fourth, PageRange { start: third.end(), len: Pages(CHUNK_PAGES) });
            s.commit_more(Pages(ARENA_PAGES)).unwrap();
            let last = s.commit_more(Pages(1)).unwrap();
            assert_eq!(last.end(), PageIdx(5 * ARENA_PAGES));
            assert_eq!(s.commit_more(Pages(1)), Err(OutOfMemory));
            for i in [0, 1, ARENA_PAGES, 5 * ARENA_PAGES - 1] {
                let p = core::ptr::with_exposed_provenance_mut::<u8>(s.base() + i * PAGE_SIZE);
                // SAFETY: the page was committed above and nobody else uses it.
                let before = unsafe { p.replace(1) };
                assert_eq!(before, 0);
            }
        }
    }
}
