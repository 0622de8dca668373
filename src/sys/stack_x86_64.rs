//! A stack for reports of faults: a program's stack for signals may have 8 KiB, most of which the kernel's frame takes.
//!
//! ```text
//! the caller's stack          SPACE
//! ...                         top:     return address of the call
//! frame of `on_own_stack` <-- r12      frame of `f`, downwards
//! ```
#![expect(unsafe_code, reason = "calls a function on another stack")]

use core::arch::asm;
use core::cell::UnsafeCell;

const BYTES: usize = 64 << 10;

#[repr(align(64))]
struct Space(UnsafeCell<[u8; BYTES]>);
// SAFETY: for one thread, by the contract of `on_own_stack`.
unsafe impl Sync for Space {}
static SPACE: Space = Space(UnsafeCell::new([0; BYTES]));

/// Calls `f` on a stack of its own.
///
/// # Safety
/// 1. One thread at a time, and not again from inside.
pub(crate) unsafe fn on_own_stack<F: FnOnce()>(f: F) {
    extern "C" fn call<F: FnOnce()>(f: *mut Option<F>) {
        // SAFETY: the option below, which outlives the call.
        if let Some(f) = unsafe { &mut *f }.take() {
            f();
        }
    }
    let mut f = Some(f);
    let top = SPACE.0.get().cast::<u8>().wrapping_add(BYTES);
    // SAFETY: the space is nobody else's (1), and aligned as a call demands; r12 is kept by the callee.
    unsafe {
        asm!(
            "mov r12, rsp", // Where to come back to.
            "mov rsp, {top}", // The space is empty.
            "call {call}",
            "mov rsp, r12", // As before.
            top = in(reg) top,
            call = in(reg) call::<F> as extern "C" fn(*mut Option<F>),
            in("rdi") &raw mut f,
            out("r12") _,
            clobber_abi("C"),
        );
    }
}
