//! A bin: free objects of one class that one thread holds, as an array of pointers in metadata, and the exact counters.
//!
//! ```text
//! hdr:  | allocations ever made (48 bits) | pointers held (16 bits) |
//! ```
//!
//! An allocation loads `hdr`, takes the last pointer, and adds 65,535: one pointer less, one allocation more. A free stores
//! the pointer behind the last one and adds 1. Neither touches the object. Frees are not counted at all: with `net` pointers
//! moved in by slow paths, `frees = held + allocations - net`. The count of allocations wraps after 2^48, about 78 hours of
//! one thread doing nothing but allocating one class.
//!
//! Only the owning thread writes a bin. Others read `hdr` and `net` to add up statistics.
#![expect(unsafe_code, reason = "reads and writes the array of pointers in metadata")]

use core::mem::size_of;
use core::ptr;

use crate::sync::atomic::{self, AtomicI64, AtomicU64, Cell, Relaxed};

/// Width of the count of held pointers.
const HELD_BITS: u32 = 16;
/// One allocation, in `hdr`.
const ALLOCATION: u64 = 1 << HELD_BITS;

/// The bin of one class. All zeros is an empty bin without an array: every operation on it takes the slow path.
#[repr(C)]
pub(crate) struct Bin {
    /// Held pointers and allocations. Written by the owner, read by anyone.
    hdr: AtomicU64,
    /// The array, `room` pointers long; null until the first slow path. Owner only.
    slots: Cell<*mut *mut u8>,
    /// Pointers moved in minus pointers moved out by slow paths. Written by the owner, read by anyone.
    net: AtomicI64,
    /// Pointers it may hold. Owner only.
    cap: Cell<u16>,
    /// Pointers that the array has room for. Owner only.
    room: Cell<u16>,
    /// Low half of the allocation count when the bin was last looked at. Owner only.
    seen: Cell<u32>,
}

const _: () = assert!(size_of::<Bin>() == 32 || !atomic::REAL, "two bins share a cache line");

impl Bin {
    pub(super) const fn new() -> Self {
        Self {
            hdr: AtomicU64::new(0),
            slots: Cell::new(ptr::null_mut()),
            net: AtomicI64::new(0),
            cap: Cell::new(0),
            room: Cell::new(0),
            seen: Cell::new(0),
        }
    }

    /// Takes the pointer that was put in last.
    #[inline(always)]
    pub(crate) fn pop(&self) -> Option<*mut u8> {
        let hdr = self.hdr.load(Relaxed);
        let held = hdr as u16 as usize;
        if held == 0 {
            return None;
        }
        // SAFETY: held pointers are in the array, and only this thread writes it.
        let p = unsafe { *self.slots.get().wrapping_add(held - 1) };
        self.hdr.store(hdr.wrapping_add(ALLOCATION - 1), Relaxed);
        Some(p)
    }

    /// Puts a pointer in; `false` when the bin is full.
    #[inline(always)]
    #[must_use]
    pub(crate) fn push(&self, p: *mut u8) -> bool {
        let hdr = self.hdr.load(Relaxed);
        if hdr as u16 >= self.cap.get() {
            return false;
        }
        // SAFETY: held < cap <= room, and only this thread writes the array.
        unsafe { *self.slots.get().wrapping_add(hdr as u16 as usize) = p };
        self.hdr.store(hdr + 1, Relaxed);
        true
    }

    /// As `push`; `false` also when `p` is what was put in last.
    #[inline(always)]
    #[must_use]
    pub(crate) fn push_unless_on_top(&self, p: *mut u8) -> bool {
        let hdr = self.hdr.load(Relaxed);
        let held = hdr as u16 as usize;
        if held >= self.cap() {
            return false;
        }
        let slots = self.slots.get();
        // SAFETY: held pointers are in the array, and only this thread writes it.
        if held != 0 && unsafe { *slots.wrapping_add(held - 1) } == p {
            return false;
        }
        // SAFETY: held < cap <= room, and only this thread writes the array.
        unsafe { *slots.wrapping_add(held) = p };
        self.hdr.store(hdr + 1, Relaxed);
        true
    }

    /// Whether `p` is what the next `pop` would take.
    #[inline(always)]
    pub(crate) fn has_on_top(&self, p: *mut u8) -> bool {
        let held = self.held();
        // SAFETY: held pointers are in the array, and only this thread writes it.
        held != 0 && unsafe { *self.slots.get().wrapping_add(held - 1) } == p
    }

    /// Pointers held.
    #[inline(always)]
    pub(super) fn held(&self) -> usize {
        self.hdr.load(Relaxed) as u16 as usize
    }

    /// Pointers it may hold.
    #[inline(always)]
    pub(super) fn cap(&self) -> usize {
        self.cap.get() as usize
    }

    /// Allocations and frees since the beginning, modulo 2^48. For other threads only inside the mcache's version check.
    pub(super) fn counts(&self) -> (u64, u64) {
        let hdr = self.hdr.load(Relaxed);
        let allocs = hdr >> HELD_BITS;
        let frees = allocs.wrapping_add(u64::from(hdr as u16)).wrapping_sub(self.net.load(Relaxed) as u64);
        (allocs, frees & (u64::MAX >> HELD_BITS))
    }

    /// Notes that slow paths moved `net` pointers in (negative: out) and made `allocs` allocations, and that the bin now holds
    /// `held`. The caller has put the array in order and opened a new version of the mcache.
    pub(super) fn moved(&self, held: usize, allocs: u64, net: isize) {
        let count = (self.hdr.load(Relaxed) >> HELD_BITS).wrapping_add(allocs);
        self.hdr.store(count << HELD_BITS | held as u64, Relaxed);
        self.net.store(self.net.load(Relaxed).wrapping_add(net as i64), Relaxed);
    }

    /// Notes that `n` frees (negative: fewer) are counted otherwise than by what the bin holds.
    #[cfg(feature = "hardened")]
    pub(super) fn moved_net(&self, n: i64) {
        self.net.store(self.net.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// The array's first `n` pointers.
    #[expect(clippy::mut_from_ref, reason = "only the owner calls it, and never twice at once")]
    pub(super) fn slots(&self, n: usize) -> &mut [*mut u8] {
        if n == 0 {
            return &mut [];
        }
        debug_assert!(n <= self.room.get() as usize);
        // SAFETY: the array is `room` long and initialised by `set_array`; the owner holds no other borrow of it.
        unsafe { core::slice::from_raw_parts_mut(self.slots.get(), n) }
    }

    /// The array and its length, for whoever replaces or frees it.
    pub(super) fn array(&self) -> (*mut *mut u8, usize) {
        (self.slots.get(), self.room.get() as usize)
    }

    /// Gives the bin another array, which already holds its pointers.
    pub(super) fn set_array(&self, slots: *mut *mut u8, room: usize) {
        self.slots.set(slots);
        self.room.set(room as u16);
    }

    /// Sets how many pointers it may hold: at least those it holds, at most what the array has room for.
    pub(super) fn set_cap(&self, cap: usize) {
        debug_assert!(cap >= self.held() && cap <= self.room.get() as usize);
        self.cap.set(cap as u16);
    }

    /// Whether the thread has allocated from the bin since the last look; looking again starts anew if `look`.
    pub(super) fn is_active(&self, look: bool) -> bool {
        let now = (self.hdr.load(Relaxed) >> HELD_BITS) as u32;
        let active = now != self.seen.get();
        if look {
            self.seen.set(now);
        }
        active
    }
}
