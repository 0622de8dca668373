//! What the protocols between threads are made of: atomics, cells, fences, and the calls that wait for another thread. One door, so
//! that `tests/models` can compile the same sources with a file of its own in the place of this one, where a model checker explores what
//! the memory model and the scheduler may do.
//!
//! Words that only count, and that nothing else is read after, are the core library's where they stand: they would be explored in vain.

use core::ptr::NonNull;

pub(crate) use core::cell::Cell;
pub(crate) use core::hint::spin_loop;
pub(crate) use core::sync::atomic::{
    AtomicBool, AtomicI64, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{self, AcqRel, Acquire, Relaxed, Release},
    fence,
};

pub(crate) use crate::sys::futex;
pub(crate) use crate::sys::thread::{can_fence_all, fence_all, process_id, yield_now};

/// The half of a fence that a thread pays nothing for: what comes before it and what comes after it stay apart for a thread that calls
/// `fence_all`, which makes the processor obey, and for signal handlers on this thread, as the compiler does.
#[inline(always)]
pub(crate) fn light_fence() {
    // SeqCst, for the compiler only: both directions.
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
}

/// As `light_fence`, for signal handlers alone.
#[inline(always)]
pub(crate) fn signal_fence() {
    // SeqCst, for the compiler only: both directions.
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
}

/// A constant that models have smaller, so that what it leads to is within their reach.
pub(crate) const fn shrunk(real: usize, _modelled: usize) -> usize {
    real
}

/// Writes a new value where it is to stay: a copy of one like it, because one that is made first is made on the stack. (Those of models are
/// known by their address.)
///
/// # Safety
/// 1. `to` is valid for a write.
/// 2. `like` is what `_new` makes: nobody writes to it.
#[expect(unsafe_code, reason = "copies a value with cells in it")]
pub(crate) unsafe fn write_new<T>(to: NonNull<T>, like: &'static T, _new: fn() -> T) {
    // SAFETY: 1 and 2.
    unsafe { to.copy_from_nonoverlapping(NonNull::from(like), 1) };
}

/// The low 16 bits of a word, loaded alone, so that the word itself can be added to in memory. For the thread that alone writes it.
#[inline(always)]
#[expect(unsafe_code, reason = "reads a part of a word")]
pub(crate) fn low_bits(word: &AtomicU64) -> u16 {
    // SAFETY: the low part of a word, in the order of bytes of x86-64. Only this thread writes it, so nothing races with a plain load.
    unsafe { word.as_ptr().cast::<u16>().read() }
}

/// Whether atomics and cells are as large as what they hold.
pub(crate) const REAL: bool = true;
