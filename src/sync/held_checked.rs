//! Which ranks the thread holds, checked at each lock (debug builds). One bit per rank in a thread-local word.
#![expect(unsafe_code, reason = "declares a thread-local word in asm")]

use crate::sys::tls_slot;
use crate::throw::throw;

/// Only its address matters: the initial value of the slot, standing for "no lock held".
static NONE: u64 = 0;

tls_slot! {
    /// The ranks held, as an offset from the address of `NONE`.
    mod ranks, "__gort_held_ranks", NONE
}

fn held() -> usize {
    ranks::get() as usize - (&raw const NONE as usize)
}

fn set_held(bits: usize) {
    ranks::set((&raw const NONE).cast::<u8>().wrapping_add(bits));
}

/// Notes that the thread is about to take a lock of this rank.
pub(super) fn acquire(rank: u8) {
    if held() >> rank != 0 {
        throw!("lock order: this rank may not be taken now"; rank = rank, held_bits = held());
    }
    note(rank);
}

/// Notes that the thread has taken a lock of this rank.
pub(super) fn note(rank: u8) {
    set_held(held() | 1 << rank);
}

/// Notes that the thread has given the lock back.
pub(super) fn release(rank: u8) {
    set_held(held() & !(1 << rank));
}
