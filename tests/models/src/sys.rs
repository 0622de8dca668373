//! In the place of gort's `sys`: Linux's memory as it is, given back after each execution; clocks that stand still; thread-local words of
//! the model's threads.
#![expect(unsafe_code, reason = "stands in for the operating system")]

#[path = "../../../src/sys/errno.rs"]
mod errno;
#[path = "../../../src/sys/faults.rs"]
pub(crate) mod faults;
#[path = "../../../src/sys/leftover.rs"]
mod leftover;
#[path = "../../../src/sys/linux.rs"]
mod linux;
#[path = "../../../src/sys/os.rs"]
mod os;

use core::ffi::CStr;
use core::ptr::NonNull;
use std::cell::{Cell, RefCell};

pub(crate) use linux::OBJECT_GUARD;
pub(crate) use os::Os;

thread_local! {
    /// Mappings that the execution made.
    static MADE: RefCell<Vec<(NonNull<u8>, usize)>> = const { RefCell::new(Vec::new()) };
    static REFUSES: Cell<bool> = const { Cell::new(false) };
}

/// From here on the kernel has no more addresses to reserve, in this execution.
pub(crate) fn refuse() {
    REFUSES.set(true);
}

fn made(at: NonNull<u8>, bytes: usize) {
    MADE.with_borrow_mut(|all| all.push((at, bytes)));
}

fn gone(at: NonNull<u8>) {
    MADE.with_borrow_mut(|all| all.retain(|&(other, _)| other != at));
}

/// Whether the execution mapped what is at this address.
pub(crate) fn is_made(address: usize) -> bool {
    MADE.with_borrow(|all| all.iter().any(|&(at, bytes)| address.wrapping_sub(at.addr().get()) < bytes))
}

/// Unmaps what earlier executions left, and refuses nothing.
pub(crate) fn give_all_back() {
    REFUSES.set(false);
    for (at, bytes) in MADE.take() {
        // SAFETY: no thread of that execution is left.
        unsafe { linux::Linux.unreserve(at, bytes) };
    }
}

/// The kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linux;

impl Os for Linux {
    fn page_size(self) -> usize {
        linux::Linux.page_size()
    }

    fn reserve(self, bytes: usize, align: usize, name: &'static CStr) -> Option<NonNull<u8>> {
        let at = (!REFUSES.get()).then(|| linux::Linux.reserve(bytes, align, name)).flatten()?;
        made(at, bytes);
        Some(at)
    }

    unsafe fn unreserve(self, at: NonNull<u8>, bytes: usize) {
        gone(at);
        // SAFETY: passed on unchanged.
        unsafe { linux::Linux.unreserve(at, bytes) };
    }

    unsafe fn commit(self, at: NonNull<u8>, bytes: usize) -> bool {
        // SAFETY: passed on unchanged.
        unsafe { linux::Linux.commit(at, bytes) }
    }

    unsafe fn release(self, at: NonNull<u8>, bytes: usize) -> bool {
        // SAFETY: passed on unchanged.
        unsafe { linux::Linux.release(at, bytes) }
    }

    unsafe fn forbid(self, at: NonNull<u8>, bytes: usize) -> bool {
        // SAFETY: passed on unchanged.
        unsafe { linux::Linux.forbid(at, bytes) }
    }
}

impl Linux {
    pub(crate) unsafe fn advise_huge_pages(self, _: NonNull<u8>, _: usize, _: bool) {}

    pub(crate) fn map_object(self, bytes: usize, align: usize) -> Option<NonNull<u8>> {
        let at = linux::Linux.map_object(bytes, align)?;
        made(at, bytes);
        Some(at)
    }

    pub(crate) unsafe fn unmap_object(self, at: NonNull<u8>, bytes: usize) {
        gone(at);
        // SAFETY: passed on unchanged.
        unsafe { linux::Linux.unmap_object(at, bytes) };
    }

    pub(crate) unsafe fn resize_object(self, at: NonNull<u8>, old: usize, new: usize) -> Option<NonNull<u8>> {
        // SAFETY: passed on unchanged.
        let to = unsafe { linux::Linux.resize_object(at, old, new) }?;
        gone(at);
        made(to, new);
        Some(to)
    }

    pub(crate) fn is_locked(self, _: NonNull<u8>) -> bool {
        false
    }

    pub(crate) unsafe fn move_to_object(
        self,
        from: NonNull<u8>,
        old: usize,
        new: usize,
    ) -> Option<NonNull<u8>> {
        // SAFETY: passed on unchanged.
        let to = unsafe { linux::Linux.move_to_object(from, old, new) }?;
        made(to, new);
        Some(to)
    }
}

pub(crate) fn physical_memory() -> usize {
    0
}

pub(crate) fn coarse_ns() -> u64 {
    0
}

pub(crate) fn precise_ns() -> u64 {
    0
}

pub(crate) fn random() -> u64 {
    0
}

/// A word of each thread's.
macro_rules! tls_slot {
    ($(#[$doc:meta])* $vis:vis mod $name:ident, $symbol:literal, $init:path) => {
        $vis mod $name {
            use super::*;

            pub(crate) fn get() -> *const u8 {
                crate::execution::local($symbol, (&raw const $init).cast(), None)
            }

            pub(crate) fn set(value: *const u8) {
                swap(value);
            }

            pub(crate) fn swap(value: *const u8) -> *const u8 {
                crate::execution::local($symbol, (&raw const $init).cast(), Some(value))
            }
        }
    };
}
pub(crate) use tls_slot;
