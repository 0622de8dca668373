//! What the tests of this layer share: an operating system that checks its callers and can refuse, and shapes of random
//! numbers.
#![expect(unsafe_code, reason = "stands in for the operating system")]

extern crate std;

use core::ffi::CStr;
use core::ptr::NonNull;
use std::boxed::Box;
use std::sync::Mutex;
use std::vec::Vec;

use crate::sys::{Linux, Os};

/// Sizes of kernel pages that are in use somewhere.
pub(super) const PAGE_SIZES: [usize; 3] = [4 << 10, 16 << 10, 64 << 10];

#[derive(Default)]
struct State {
    page: usize,
    /// Address, length and committed runs of each reservation.
    reservations: Vec<(usize, usize)>,
    committed: Vec<(usize, usize)>,
    /// Calls made since the last `refuse`, and which of them are refused.
    calls: usize,
    refuse_from: usize,
    refuse_count: usize,
    /// Largest reservation that is granted (a `ulimit -v`).
    limit: usize,
    /// Commits of at most this many bytes take a while.
    slow: usize,
}

/// Linux with another page size. Checks that every range is what the trait asks for, and refuses calls on request.
#[derive(Clone, Copy)]
pub(super) struct FakeOs(&'static Mutex<State>);

impl FakeOs {
    pub(super) fn new(page: usize) -> Self {
        let os = Self(Box::leak(Box::default()));
        os.renew(page);
        os
    }

    fn state(self) -> std::sync::MutexGuard<'static, State> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// As new, with another page size.
    pub(super) fn renew(self, page: usize) {
        *self.state() = State { page, refuse_from: usize::MAX, limit: usize::MAX, ..State::default() };
    }

    pub(super) fn assert_all_given_back(self) {
        assert_eq!(self.state().reservations, []);
    }
}

#[cfg(test)]
impl FakeOs {
    /// Refuses `count` calls after the next `after`. Returns how many calls were made since it was last asked.
    pub(super) fn refuse(self, after: usize, count: usize) -> usize {
        let mut s = self.state();
        (s.refuse_from, s.refuse_count) = (after, count);
        std::mem::take(&mut s.calls)
    }

    /// Grants at most this many bytes in one reservation and in all together.
    pub(super) fn limit(self, bytes: usize) {
        self.state().limit = bytes;
    }

    /// Makes commits of at most this many bytes take a while.
    pub(super) fn slow(self, bytes: usize) {
        self.state().slow = bytes;
    }

    pub(super) fn reserved(self) -> usize {
        self.state().reservations.iter().map(|r| r.1).sum()
    }
}

impl State {
    fn refused(&mut self) -> bool {
        let n = self.calls;
        self.calls += 1;
        n >= self.refuse_from && n - self.refuse_from < self.refuse_count
    }

    fn check_range(&self, addr: NonNull<u8>, bytes: usize) {
        let a = addr.as_ptr().addr();
        assert!(
            bytes > 0 && a.is_multiple_of(self.page) && bytes.is_multiple_of(self.page),
            "{a:#x} {bytes:#x}"
        );
        assert!(
            self.reservations.iter().any(|r| r.0 <= a && a + bytes <= r.0 + r.1),
            "outside of every reservation"
        );
    }
}

impl Os for FakeOs {
    fn page_size(self) -> usize {
        self.state().page
    }

    fn reserve(self, bytes: usize, align: usize, name: &'static CStr) -> Option<NonNull<u8>> {
        let mut s = self.state();
        let held: usize = s.reservations.iter().map(|r| r.1).sum();
        if s.refused() || bytes > s.limit.saturating_sub(held) {
            return None;
        }
        assert!(bytes > 0 && bytes.is_multiple_of(s.page) && align.is_power_of_two());
        let p = Linux.reserve(bytes, align.max(s.page), name)?;
        s.reservations.push((p.as_ptr().addr(), bytes));
        Some(p)
    }

    unsafe fn unreserve(self, addr: NonNull<u8>, bytes: usize) {
        let mut s = self.state();
        let r = (addr.as_ptr().addr(), bytes);
        let i = s.reservations.iter().position(|&x| x == r).expect("exactly one reservation");
        s.reservations.swap_remove(i);
        s.committed.retain(|c| c.0 < r.0 || c.0 >= r.0 + r.1);
        // SAFETY: it is one of Linux's reservations, as was just checked.
        unsafe { Linux.unreserve(addr, bytes) };
    }

    unsafe fn commit(self, addr: NonNull<u8>, bytes: usize) -> bool {
        let mut s = self.state();
        s.check_range(addr, bytes);
        if s.refused() {
            return false;
        }
        s.committed.push((addr.as_ptr().addr(), bytes));
        let slow = bytes <= s.slow;
        drop(s);
        // SAFETY: passed on unchanged.
        let ok = unsafe { Linux.commit(addr, bytes) };
        if slow {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        ok
    }

    unsafe fn release(self, addr: NonNull<u8>, bytes: usize) -> bool {
        let mut s = self.state();
        s.check_range(addr, bytes);
        let a = addr.as_ptr().addr();
        let inside = |p: usize| s.committed.iter().any(|c| c.0 <= p && p < c.0 + c.1);
        assert!((a..a + bytes).step_by(s.page).all(inside), "released before it was committed");
        if s.refused() {
            return false;
        }
        // SAFETY: passed on unchanged.
        unsafe { Linux.release(addr, bytes) }
    }

    unsafe fn forbid(self, addr: NonNull<u8>, bytes: usize) -> bool {
        let mut s = self.state();
        s.check_range(addr, bytes);
        if s.refused() {
            return false;
        }
        // SAFETY: passed on unchanged.
        unsafe { Linux.forbid(addr, bytes) }
    }
}

/// Where choices come from, in shapes that page tests need.
pub(super) trait Choices {
    /// A number below `n`; 0 when `n` is 0.
    fn below(&mut self, n: usize) -> usize;

    /// A number in `1..=max`, small ones as likely as large ones.
    fn size(&mut self, max: usize) -> usize {
        let bits = self.below(max.ilog2() as usize + 1);
        (1 << bits | self.below(1 << bits)).min(max)
    }

    /// Yes, once in `n` times.
    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

#[cfg(test)]
impl Choices for crate::base::Random {
    fn below(&mut self, n: usize) -> usize {
        Self::below(self, n)
    }
}
