//! A bin: free objects of one class that one thread holds, as an array of pointers in metadata, and the exact counters.
//!
//! ```text
//! hdr:  | returned (32 bits) | due | allocations since `base` (15 bits) | empty | pointers held (15 bits) |
//! ```
//!
//! An allocation loads `hdr` and adds 65,535: one pointer less, one allocation more. Where the bin held none that borrows from bit 15,
//! and where it was **armed** for no more allocations it carries into bit 31; either is seen in one test, and then the allocation is the
//! slow path's. A free stores the pointer behind the last one and adds 1, unless the bin is full. Neither touches the object. Frees are not counted at all: with `net` pointers moved in by slow paths, `frees = held +
//! allocations - net - returned`. What is **returned** was counted as free before it came to the bin: only the hardened build has that.
//!
//! The slow path arms a bin anew, each time for up to 32,767 allocations: it moves what `hdr` has counted to `base`, which is beside the
//! bins. So a thread comes by the slow path at an allocation that was chosen before, at the cost of nothing in between, and that
//! is where allocations are sampled.
//!
//! In the same way frees come by the slow path where objects are guarded: a bin that is **watched** is full, whatever it holds.
//!
//! Only the owning thread writes a bin. Others read `hdr`, `net` and `base` to add up statistics.
#![expect(unsafe_code, reason = "reads and writes the array of pointers in metadata")]

use core::ptr;

use crate::base::{Class, NUM_CLASSES};
use crate::sync::atomic::{self, AtomicI64, AtomicU64, Cell, Relaxed};

/// Width of the count of held pointers, with the bit that tells that there was none.
const HELD_BITS: u32 = 16;
/// One allocation, in `hdr`.
const ALLOCATION: u64 = 1 << HELD_BITS;
/// Set by an allocation from an empty bin.
const EMPTY: u64 = 1 << (HELD_BITS - 1);
/// Set by an allocation that the bin is not armed for.
const DUE: u64 = 1 << 31;
/// One pointer whose free was counted before, in `hdr`.
const RETURNED: u64 = 1 << 32;
/// Allocations that a bin may be armed for.
pub(super) const MOST_ARMED: u64 = (DUE >> HELD_BITS) - 1;

/// The allocations in `hdr`.
fn allocations(hdr: u64) -> u64 {
    (hdr % RETURNED) >> HELD_BITS
}

/// The bins of all classes, word by word and not bin by bin: so the fast paths find a bin's words by the class alone, with nothing to
/// multiply and to add. All zeros are empty bins without arrays: every operation on them takes the slow path.
#[repr(C)]
pub(super) struct Bins {
    /// Held pointers and allocations. Written by the owner, read by anyone.
    hdr: [AtomicU64; NUM_CLASSES],
    /// The arrays, `room` pointers long; null until a slow path needs one. Owner only.
    slots: [Cell<*mut *mut u8>; NUM_CLASSES],
    /// How many pointers make a free the slow path's: `cap`, or none of a bin that is watched. Owner only.
    full: [Cell<u32>; NUM_CLASSES],
    /// Pointers that they may hold, in words as wide as an index: a watched free is an instruction shorter. Owner only.
    cap: [Cell<usize>; NUM_CLASSES],
    /// Pointers moved in minus pointers moved out by slow paths. Written by the owner, read by anyone.
    net: [AtomicI64; NUM_CLASSES],
    /// Pointers that the arrays have room for. Owner only.
    room: [Cell<u16>; NUM_CLASSES],
    /// Allocations since `base` when the bins were last looked at; `ACTIVE` when one has been armed and used since. Owner only.
    seen: [Cell<u16>; NUM_CLASSES],
}

/// The bin of one class.
#[derive(Clone, Copy)]
pub(crate) struct Bin<'a> {
    hdr: &'a AtomicU64,
    slots: &'a Cell<*mut *mut u8>,
    full: &'a Cell<u32>,
    cap: &'a Cell<usize>,
    net: &'a AtomicI64,
    room: &'a Cell<u16>,
    seen: &'a Cell<u16>,
}

/// No count of allocations since `base`.
const ACTIVE: u16 = u16::MAX;

impl Bins {
    pub(super) const fn new() -> Self {
        Self {
            hdr: [const { AtomicU64::new(0) }; NUM_CLASSES],
            slots: [const { Cell::new(ptr::null_mut()) }; NUM_CLASSES],
            full: [const { Cell::new(0) }; NUM_CLASSES],
            cap: [const { Cell::new(0) }; NUM_CLASSES],
            net: [const { AtomicI64::new(0) }; NUM_CLASSES],
            room: [const { Cell::new(0) }; NUM_CLASSES],
            seen: [const { Cell::new(0) }; NUM_CLASSES],
        }
    }

    /// The bin of a class.
    #[inline(always)]
    pub(super) fn of(&self, class: Class) -> Bin<'_> {
        fn word<T>(words: &[T; NUM_CLASSES], class: Class) -> &T {
            // SAFETY: a `Class` is below NUM_CLASSES: its constructors check it, and the tables are asserted to hold no other.
            unsafe { words.get_unchecked(class.index()) }
        }
        Bin {
            hdr: word(&self.hdr, class),
            slots: word(&self.slots, class),
            full: word(&self.full, class),
            cap: word(&self.cap, class),
            net: word(&self.net, class),
            room: word(&self.room, class),
            seen: word(&self.seen, class),
        }
    }
}

impl<'a> Bin<'a> {
    /// Takes the pointer that was put in last; none also when the bin is armed for no more allocations.
    #[inline(always)]
    pub(crate) fn pop(self) -> Option<*mut u8> {
        let hdr = self.hdr.load(Relaxed).wrapping_add(ALLOCATION - 1);
        if hdr & (EMPTY | DUE) != 0 {
            return None;
        }
        // SAFETY: held pointers are in the array, and only this thread writes it.
        let p = unsafe { *self.slots.get().wrapping_add(self.held() - 1) };
        self.hdr.store(hdr, Relaxed);
        Some(p)
    }

    /// Puts a pointer in; `false` when the bin is full, or watched.
    #[inline(always)]
    #[must_use]
    pub(crate) fn push(self, p: *mut u8) -> bool {
        self.push_below(self.full.get() as usize, p)
    }

    /// As `push`, watched or not.
    #[inline(always)]
    #[must_use]
    pub(crate) fn push_watched(self, p: *mut u8) -> bool {
        self.push_below(self.cap.get(), p)
    }

    /// Puts a pointer in if there are fewer than `full`.
    #[inline(always)]
    fn push_below(self, full: usize, p: *mut u8) -> bool {
        let held = self.held();
        if held >= full {
            return false;
        }
        // SAFETY: held < cap <= room, and only this thread writes the array.
        unsafe { *self.slots.get().wrapping_add(held) = p };
        self.hdr.store(self.hdr.load(Relaxed) + 1, Relaxed);
        true
    }

    /// Whether `p` is in it. Owner only.
    pub(crate) fn holds(self, p: *mut u8) -> bool {
        self.slots(self.held()).contains(&p)
    }

    /// Whether `p` is what the next `pop` would take.
    #[inline(always)]
    pub(crate) fn has_on_top(self, p: *mut u8) -> bool {
        let held = self.held();
        // SAFETY: held pointers are in the array, and only this thread writes it.
        held != 0 && unsafe { *self.slots.get().wrapping_add(held - 1) } == p
    }

    /// Pointers held. Owner only.
    ///
    /// A load of the half word, so that the word itself can be added to in memory: the free's fast path is two instructions shorter.
    #[inline(always)]
    pub(super) fn held(self) -> usize {
        atomic::low_bits(self.hdr).into()
    }

    /// Pointers it may hold.
    #[inline(always)]
    pub(super) fn cap(self) -> usize {
        self.cap.get()
    }

    /// Allocations and frees since the beginning. For other threads only inside the mcache's version check.
    pub(super) fn counts(self, base: &AtomicU64) -> (u64, u64) {
        let hdr = self.hdr.load(Relaxed);
        let allocs = base.load(Relaxed).wrapping_add(allocations(hdr));
        let not_freed = (self.net.load(Relaxed) as u64).wrapping_add(hdr / RETURNED);
        (allocs, allocs.wrapping_add(u64::from(hdr as u16)).wrapping_sub(not_freed))
    }

    /// Whether it is armed for no more allocations.
    pub(super) fn is_due(self) -> bool {
        allocations(self.hdr.load(Relaxed)) >= MOST_ARMED
    }

    /// Arms it for `n` allocations, up to `MOST_ARMED`. The caller has opened a new version of the mcache.
    pub(super) fn arm(self, n: u64, base: &AtomicU64) {
        debug_assert!(n <= MOST_ARMED);
        let (before, since) = (allocations(self.hdr.load(Relaxed)), MOST_ARMED - n);
        base.store(base.load(Relaxed).wrapping_add(before).wrapping_sub(since), Relaxed);
        self.count_anew(since, self.held(), 0);
        self.seen.set(if self.seen.get() == before as u16 { since as u16 } else { ACTIVE });
    }

    /// Notes that slow paths moved `net` pointers in (negative: out) and made `allocs` allocations, and that the bin now holds
    /// `held`. The caller has put the array in order and opened a new version of the mcache.
    pub(super) fn moved(self, held: usize, allocs: u64, net: isize) {
        self.count_anew(allocations(self.hdr.load(Relaxed)).wrapping_add(allocs), held, net as i64);
    }

    /// Writes `hdr`, with `allocs` allocations and `held` pointers, and what was returned into `net`, with `net` more.
    fn count_anew(self, allocs: u64, held: usize, net: i64) {
        debug_assert!(allocs < RETURNED >> HELD_BITS, "armed anew in time");
        let returned = (self.hdr.load(Relaxed) / RETURNED) as i64;
        self.hdr.store(allocs << HELD_BITS | held as u64, Relaxed);
        self.net.store(self.net.load(Relaxed).wrapping_add(net).wrapping_add(returned), Relaxed);
    }

    /// Counts a free whose object does not come to the bin yet. One word changes, so a reader never sees fewer frees than before.
    #[cfg(feature = "hardened")]
    pub(super) fn count_free(self) {
        self.net.store(self.net.load(Relaxed).wrapping_sub(1), Relaxed);
    }

    /// Puts in a pointer whose free was counted before; `false` when the bin is full. As in `count_free`, one word that is counted changes.
    #[cfg(feature = "hardened")]
    #[must_use]
    pub(super) fn push_returned(self, p: *mut u8) -> bool {
        let held = self.held();
        if held >= self.cap.get() {
            return false;
        }
        self.slots(held + 1)[held] = p;
        self.hdr.store(self.hdr.load(Relaxed) + 1 + RETURNED, Relaxed);
        true
    }

    /// The array's first `n` pointers. Only the owner calls it, and never twice at once.
    pub(super) fn slots(self, n: usize) -> &'a mut [*mut u8] {
        if n == 0 {
            return &mut [];
        }
        debug_assert!(n <= self.room.get() as usize);
        // SAFETY: the array is `room` long and initialised by `set_array`; the owner holds no other borrow of it.
        unsafe { core::slice::from_raw_parts_mut(self.slots.get(), n) }
    }

    /// The array and its length, for whoever replaces or frees it.
    pub(super) fn array(self) -> (*mut *mut u8, usize) {
        (self.slots.get(), self.room.get() as usize)
    }

    /// Gives the bin another array, which already holds its pointers.
    pub(super) fn set_array(self, slots: *mut *mut u8, room: usize) {
        self.slots.set(slots);
        self.room.set(room as u16);
    }

    /// Sets how many pointers it may hold, at least those it holds, at most what the array has room for; and whether it is watched.
    pub(super) fn set_cap(self, cap: usize, watched: bool) {
        debug_assert!(cap >= self.held() && cap <= self.room.get() as usize);
        self.cap.set(cap);
        self.full.set(if watched { 0 } else { cap as u32 });
    }

    /// Whether the thread has allocated from the bin since the last look; looking again starts anew if `look`.
    pub(super) fn is_active(self, look: bool) -> bool {
        let now = allocations(self.hdr.load(Relaxed)) as u16;
        let active = now != self.seen.get();
        if look {
            self.seen.set(now);
        }
        active
    }
}
