//! Which allocations are sampled, to be guarded: one in so many, whatever the class, the thread and the order of calls.
//!
//! The number of allocations of a class until one is sampled is drawn from the geometric distribution, in each thread for each class anew,
//! so each allocation has the same chance, the first of a thread as well. The bin is armed for those before it, in parts if they are
//! many, so nothing is counted on the fast path that is not counted anyway. Objects of whole pages have one such number for all lengths;
//! it is looked at where none that the thread has kept is used again, so it is the next one after that which is sampled.

use core::ptr;

use super::MCache;
use super::bin::MOST_ARMED;
use crate::base::{Class, NUM_CLASSES, Random};
use crate::guard;
use crate::sync::atomic::{AtomicU64, Cell};
use crate::sys;

/// As long as nothing is sampled.
const NEVER: u64 = u64::MAX;

/// What a thread counts for it.
pub(super) struct Sampling {
    /// Allocations of each class that its bin does not count any more. Written by the owner, read by anyone.
    base: [AtomicU64; NUM_CLASSES],
    /// Allocations of each class until one is sampled, beyond those that the bin is armed for. Owner only.
    left: [Cell<u64>; NUM_CLASSES],
    /// As many objects of whole pages will have been allocated when the next one is sampled. Owner only.
    next_large: Cell<u64>,
    /// One in so many is sampled; 0: none. Owner only.
    rate: Cell<u64>,
    /// The generator. Owner only.
    random: Cell<u64>,
    /// Objects from this address on may be guarded: each watched free looks, so it is at hand. Owner only.
    guarded_from: Cell<usize>,
}

impl Sampling {
    pub(super) const fn new() -> Self {
        Self {
            base: [const { AtomicU64::new(0) }; NUM_CLASSES],
            left: [const { Cell::new(NEVER) }; NUM_CLASSES],
            next_large: Cell::new(NEVER),
            rate: Cell::new(0),
            random: Cell::new(0),
            guarded_from: Cell::new(usize::MAX),
        }
    }

    /// What is added to what the bin of a class counts.
    pub(super) fn base(&self, class: Class) -> &AtomicU64 {
        &self.base[class.index()]
    }

    /// How many allocations from the next one on until one is sampled, that one included.
    fn draw(&self) -> u64 {
        if self.rate.get() == 0 {
            return NEVER;
        }
        let mut random = Random::new(self.random.get());
        let gap = random.gap(self.rate.get());
        self.random.set(random.next());
        gap
    }
}

impl MCache {
    /// Starts sampling if the process does and this mcache does not yet. Owner only.
    pub(crate) fn begin_sampling(&self) {
        let (rate, sampling) = (guard::rate(), &self.sampling);
        if rate == sampling.rate.get() {
            return;
        }
        sampling.rate.set(rate);
        sampling.guarded_from.set(guard::first_address());
        sampling.random.set(sys::precise_ns() ^ ptr::from_ref(self).addr() as u64);
        sampling.next_large.set(self.large_counts.get().allocs.saturating_add(sampling.draw() - 1));
        for class in Class::all() {
            sampling.left[class.index()].set(sampling.draw() - 1);
            self.arm(class);
            let bin = self.bin(class);
            bin.set_cap(bin.cap(), self.is_watched());
        }
    }

    /// Whether `p` may be a guarded object: all are, and an object of the heap is only where the heap had no addresses to spare. Owner
    /// only.
    #[inline(always)]
    pub(super) fn may_be_guarded(&self, p: *const u8) -> bool {
        p.addr() >= self.sampling.guarded_from.get()
    }

    /// Whether each free of the thread takes the slow path, because there are guarded objects. Owner only.
    #[inline]
    pub(super) fn is_watched(&self) -> bool {
        self.sampling.rate.get() != 0
    }

    /// Arms a bin for as many allocations as are left until one is sampled, or as there may be. Owner only.
    fn arm(&self, class: Class) {
        let left = &self.sampling.left[class.index()];
        let n = left.get().min(MOST_ARMED);
        if left.get() != NEVER {
            left.set(left.get() - n);
        }
        let bin = self.bin(class);
        self.version.write(|| bin.arm(n, self.sampling.base(class)));
    }

    /// As the bin's `pop`, and arms it anew if need be; then nothing is sampled. Owner only, not for stand-ins.
    pub(super) fn pop_armed(&self, class: Class) -> Option<*mut u8> {
        self.rearm(class);
        self.bin(class).pop()
    }

    /// Arms a bin anew if need be: it counts no more allocations than it may be armed for. Owner only, not for stand-ins.
    pub(super) fn rearm(&self, class: Class) {
        if self.bin(class).is_due() {
            let left = &self.sampling.left[class.index()];
            if left.get() == 0 {
                left.set(self.sampling.draw());
            }
            self.arm(class);
        }
    }

    /// Whether the allocation of `class` that is about to be made is to be sampled; then the next one is drawn. It is to be booked
    /// whether or not it can be. Owner only, not for stand-ins.
    pub(crate) fn is_sampled(&self, class: Class) -> bool {
        let (bin, left) = (self.bin(class), &self.sampling.left[class.index()]);
        if !bin.is_due() || left.get() != 0 {
            return false;
        }
        // It counts itself.
        left.set(self.sampling.draw());
        self.arm(class);
        true
    }

    /// As `is_sampled`, for an object of whole pages that the thread has not kept.
    pub(crate) fn is_large_sampled(&self) -> bool {
        let (made, next) = (self.large_counts.get().allocs, &self.sampling.next_large);
        let due = made >= next.get();
        if due {
            next.set(made.saturating_add(self.sampling.draw()));
        }
        due
    }

    /// Books objects of a class that were allocated and freed past the bins. Owner only.
    pub(crate) fn count_guarded(&self, class: Class, allocated: bool, freed: bool) {
        let bin = self.bin(class);
        let net = isize::from(allocated) - isize::from(freed);
        self.version.write(|| bin.moved(bin.held(), allocated.into(), net));
    }

    /// Books a free of an object of a class past the bins, for a thread without an mcache.
    pub(crate) fn free_guarded_shared(class: Class) {
        Self::shared(|m| m.count_guarded(class, false, true));
    }
}
