//! `libgort.so` and `libgort.a`: gort under any program, as its C and C++ allocation functions.
//!
//! Thin doors into `gort::c`; nothing is decided here but what the C standard, POSIX and glibc's manual say about each function.
//! Built without std and with panics that abort, so that it depends on the C library alone.
#![no_std]
#![expect(unsafe_code, reason = "defines the symbols of the C library's allocator")]

mod c;
mod cxx;
mod info;

/// Nothing here panics on purpose; what does is a defect, and ends the process like one.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    heap::c::abort_with(format_args!("{}", info.message()))
}

// The precompiled core names this function in the unwind tables of functions that clean up; with panics that abort nothing calls it.
core::arch::global_asm!(
    ".weak rust_eh_personality",
    ".hidden rust_eh_personality",
    "rust_eh_personality: ud2",
);

// SAFETY: names the library that the symbols used here come from.
#[link(name = "c")]
unsafe extern "C" {}
