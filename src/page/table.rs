//! Arrays in address space of their own. Answers to Go's sysReserve/sysMap use for the summaries and the chunk map
//! (mpagealloc_64bit.go).
//!
//! ```text
//! | guard: no access | committed: readable, writable, zero until written | reserved: no access | guard: no access |
//!                    ^ base                     base + committed, grows -->
//! ```
//!
//! Invariants: what is committed stays so, and the array never moves, so a reference to an element is good for as long as the
//! table lives and another thread may read while the table grows. A frame is taken when an element is first touched, so a
//! table costs what is used of it.
//!
//! Rejected: committing everything at once, which counts against strict overcommit and RLIMIT_DATA for a terabyte that may
//! never be used; filling new elements in, which would touch every frame.
#![expect(unsafe_code, reason = "turns committed memory into slices")]

use core::ffi::CStr;
use core::marker::PhantomData;
use core::mem::{align_of, size_of};
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::slice;

use super::OutOfMemory;
use crate::base::Bytes;
use crate::sync::atomic::{Acquire, AtomicU64, AtomicUsize, Relaxed, Release};
use crate::sys::Os;
use crate::throw::throw;

/// Least bytes committed at a time, and least bytes of a guard.
const STEP: usize = 64 << 10;

/// A type for which memory full of zeros is a value.
///
/// # Safety
/// 1. All bytes zero is a valid value of the type.  2. It has no drop glue that matters: tables never drop elements.
pub(crate) unsafe trait Zeroable {}

// SAFETY: zero is a number.
unsafe impl Zeroable for u64 {}
// SAFETY: as u64.
unsafe impl Zeroable for usize {}
// SAFETY: has the layout of u64.
unsafe impl Zeroable for AtomicU64 {}

/// An array of up to `max_len` elements that grows in place.
pub(crate) struct Table<T: Zeroable, O: Os> {
    os: O,
    /// Start of the reservation, where the lower guard is.
    reservation: NonNull<u8>,
    /// Length of the reservation with both guards.
    reserved: usize,
    /// Length of each guard: a multiple of the OS page.
    guard: usize,
    base: NonNull<T>,
    max_len: usize,
    /// Elements that may be touched. Written by whoever grows the table, only ever upwards; read by anyone.
    len: AtomicUsize,
    _elements: PhantomData<T>,
}

// SAFETY: the table owns its elements as a Vec does.
unsafe impl<T: Zeroable + Send, O: Os> Send for Table<T, O> {}
// SAFETY: a shared table gives out shared elements, and growing is safe from several threads (see `grow_to`).
unsafe impl<T: Zeroable + Sync, O: Os> Sync for Table<T, O> {}

impl<T: Zeroable, O: Os> Table<T, O> {
    /// Reserves room for `max_len` elements, none of which can be touched yet; `None` when the OS refuses.
    pub(crate) fn new(os: O, max_len: usize, name: &'static CStr) -> Option<Self> {
        const {
            assert!(
                size_of::<T>() > 0 && align_of::<T>() <= 4096,
                "elements have a size and fit the page's alignment"
            )
        };
        let guard = STEP.max(os.page_size());
        let room = max_len.checked_mul(size_of::<T>())?.checked_next_multiple_of(guard)?;
        let reserved = room.checked_add(2 * guard)?;
        let reservation = os.reserve(reserved, os.page_size(), name)?;
        // SAFETY: the guard is inside the reservation.
        let base = unsafe { reservation.add(guard) }.cast();
        Some(Self {
            os,
            reservation,
            reserved,
            guard,
            base,
            max_len,
            len: AtomicUsize::new(0),
            _elements: PhantomData,
        })
    }

    /// Makes at least the first `len` elements usable; new ones are zero. On `Err` nothing changed.
    ///
    /// Several threads may do it at once: they commit overlapping ranges, and committing what is committed changes nothing.
    pub(crate) fn grow_to(&self, len: usize) -> Result<(), OutOfMemory> {
        // Relaxed: a stale value only makes us commit more than needed.
        let have = self.len.load(Relaxed);
        if len <= have {
            return Ok(());
        }
        if len > self.max_len {
            return Err(OutOfMemory);
        }
        let from = self.committed_for(have);
        let to = self.committed_for(len);
        // SAFETY: `to` is at most the room between the guards.
        let at = unsafe { self.base.cast::<u8>().add(from) };
        // SAFETY: [from, to) lies inside our reservation (commit 1).
        if !unsafe { self.os.commit(at, to - from) } {
            return Err(OutOfMemory);
        }
        // Release: whoever sees the length may touch the elements. Pairs with the Acquire in `len`.
        self.len.fetch_max((to / size_of::<T>()).min(self.max_len), Release);
        Ok(())
    }

    /// Bytes that are committed when `len` elements are usable.
    fn committed_for(&self, len: usize) -> usize {
        (len * size_of::<T>()).next_multiple_of(self.guard)
    }

    /// Elements that may be touched.
    #[inline]
    fn len(&self) -> usize {
        // Acquire: pairs with the Release in `grow_to`.
        self.len.load(Acquire)
    }

    /// Bytes that can be read and written, whether or not they have frames.
    pub(crate) fn committed_bytes(&self) -> Bytes {
        Bytes(self.committed_for(self.len()))
    }

    /// Element `i`, which the caller knows to be usable: anything else is a defect of gort and ends the process.
    #[inline]
    pub(crate) fn at(&self, i: usize) -> &T {
        match self.get(i) {
            Some(e) => e,
            None => out_of_bounds(i, self.len()),
        }
    }

    /// As [`Table::at`], for writing.
    #[inline]
    pub(crate) fn at_mut(&mut self, i: usize) -> &mut T {
        let len = self.len();
        match self.get_mut(i) {
            Some(e) => e,
            None => out_of_bounds(i, len),
        }
    }
}

#[cold]
#[inline(never)]
fn out_of_bounds(i: usize, len: usize) -> ! {
    throw!("page: table index out of bounds"; index = i, len = len)
}

impl<T: Zeroable, O: Os> Deref for Table<T, O> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: `len` elements are committed for good, aligned (a page is), and valid (Zeroable 1).
        unsafe { slice::from_raw_parts(self.base.as_ptr(), self.len()) }
    }
}

impl<T: Zeroable, O: Os> DerefMut for Table<T, O> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`; `&mut self` makes it the only reference.
        unsafe { slice::from_raw_parts_mut(self.base.as_ptr(), self.len()) }
    }
}

/// Gives the address space back: for tests, and for a start that was refused half way. A heap that stands is never dropped.
impl<T: Zeroable, O: Os> Drop for Table<T, O> {
    fn drop(&mut self) {
        // SAFETY: exactly what `new` reserved, and no reference outlives the table.
        unsafe { self.os.unreserve(self.reservation, self.reserved) };
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::page::testing::{FakeOs, PAGE_SIZES};
    use std::vec::Vec;

    #[test]
    fn grows_in_place_and_reads_as_zero() {
        for page in PAGE_SIZES {
            let os = FakeOs::new(page);
            let mut t: Table<u64, _> = Table::new(os, 100_000, c"test").unwrap();
            assert!(t.is_empty());
            assert_eq!(t.committed_bytes(), Bytes(0));
            let mut model: Vec<u64> = Vec::new();
            for len in [1, 8_000, 8_192, 8_193, 50_000, 100_000] {
                t.grow_to(len).unwrap();
                assert!(t.len() >= len && t.len() <= 100_000);
                assert!(t.committed_bytes().0.is_multiple_of(page));
                assert!(t.committed_bytes().0 - len * 8 < 2 * STEP);
                model.resize(t.len(), 0);
                assert_eq!(&t[..], &model[..]);
                *t.at_mut(len - 1) = len as u64;
                model[len - 1] = len as u64;
            }
            t.grow_to(5).unwrap();
            assert_eq!(t.len(), 100_000);
            assert!(t.grow_to(100_001).is_err());
            assert_eq!((t.get(99_999), t.get(100_000)), (Some(&100_000), None));
            drop(t);
            os.assert_all_given_back();
        }
    }

    #[test]
    fn a_refused_call_changes_nothing() {
        let os = FakeOs::new(4096);
        os.refuse(0, 1);
        assert!(Table::<u64, _>::new(os, 10, c"test").is_none());
        let mut t: Table<u64, _> = Table::new(os, 20_000, c"test").unwrap();
        t.grow_to(1).unwrap();
        t[0] = 7;
        let (len, committed) = (t.len(), t.committed_bytes());
        os.refuse(0, 2);
        assert!(t.grow_to(20_000).is_err());
        assert!(t.grow_to(20_000).is_err());
        assert_eq!((t.len(), t.committed_bytes(), t[0]), (len, committed, 7));
        t.grow_to(20_000).unwrap();
        assert_eq!(t[0], 7);
    }

    #[test]
    fn a_length_that_overflows_is_refused() {
        assert!(Table::<u64, _>::new(FakeOs::new(4096), usize::MAX / 4, c"test").is_none());
    }

    #[test]
    fn a_slow_thread_does_not_shrink_what_a_fast_one_grew() {
        let os = FakeOs::new(4096);
        os.slow(STEP);
        let t: Table<u64, _> = Table::new(os, 100_000, c"test").unwrap();
        os.refuse(0, 0);
        std::thread::scope(|s| {
            s.spawn(|| t.grow_to(1).unwrap());
            while os.refuse(0, 0) == 0 {
                std::thread::yield_now();
            }
            t.grow_to(100_000).unwrap();
        });
        assert_eq!(t.len(), 100_000);
    }

    #[test]
    fn threads_read_while_the_table_grows() {
        let t: Table<AtomicU64, _> = Table::new(FakeOs::new(4096), 1 << 17, c"test").unwrap();
        std::thread::scope(|s| {
            for _ in 0..2 {
                s.spawn(|| {
                    for len in (0..=1 << 17).step_by(997) {
                        t.grow_to(len).unwrap();
                        if let Some(e) = t.last() {
                            e.store(1, Relaxed);
                        }
                    }
                });
            }
            s.spawn(|| {
                while t.len() < 130_000 {
                    assert!(t.iter().rev().take(10).all(|e| e.load(Relaxed) <= 1));
                }
            });
        });
    }
}
