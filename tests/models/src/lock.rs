//! A mutex with the interface of gort's, made of loom's: it is a lock, and that is all that a model of what it guards need know.
#![expect(unsafe_code, reason = "hands out &mut T while the lock is held")]

use core::cell::UnsafeCell;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ops::{Deref, DerefMut};
use core::ptr;

use crate::execution::Place;
use crate::sync::LockCounts;

#[path = "../../../src/sync/held_checked.rs"]
mod held;

pub(crate) struct Mutex<T, const RANK: u8> {
    first: ManuallyDrop<T>,
    data: UnsafeCell<MaybeUninit<T>>,
    place: Place,
}

// SAFETY: the lock hands the data to one thread at a time.
unsafe impl<T: Send, const RANK: u8> Sync for Mutex<T, RANK> {}

pub(crate) struct Guard<'a, T, const RANK: u8> {
    mutex: &'a Mutex<T, RANK>,
    held: Option<loom::sync::MutexGuard<'static, ()>>,
}

impl<T, const RANK: u8> Mutex<T, RANK> {
    pub(crate) const fn new(data: T) -> Self {
        Self {
            first: ManuallyDrop::new(data),
            data: UnsafeCell::new(MaybeUninit::uninit()),
            place: Place::none(),
        }
    }

    #[track_caller]
    pub(crate) fn lock(&self) -> Guard<'_, T, RANK> {
        held::acquire(RANK);
        let is_new = self.place.is_new();
        let lock = self.place.lock();
        if is_new {
            // SAFETY: nobody has touched it in this execution. The bits are a value of T that nobody drops.
            unsafe { ptr::copy_nonoverlapping(&raw const self.first, self.data.get().cast(), 1) };
        }
        let held = lock.lock().unwrap_or_else(|_| panic!("a thread panicked"));
        Guard { mutex: self, held: Some(held) }
    }

    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T, RANK>> {
        unimplemented!("models make no faults")
    }

    pub(crate) fn counts(&self) -> LockCounts {
        LockCounts::ZERO
    }

    pub(crate) fn lock_for_fork(&self) {
        unimplemented!("models do not fork")
    }

    pub(crate) unsafe fn unlock_after_fork(&self, _: bool) {
        unimplemented!("models do not fork")
    }
}

impl<T, const RANK: u8> Deref for Guard<'_, T, RANK> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: this thread holds the lock, and `lock` has filled it in.
        unsafe { (*self.mutex.data.get()).assume_init_ref() }
    }
}

impl<T, const RANK: u8> DerefMut for Guard<'_, T, RANK> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`.
        unsafe { (*self.mutex.data.get()).assume_init_mut() }
    }
}

impl<T, const RANK: u8> Drop for Guard<'_, T, RANK> {
    fn drop(&mut self) {
        self.held = None;
        held::release(RANK);
    }
}
