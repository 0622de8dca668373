//! `libgort.so` and `libgort.a`: gort under any program, as its C and C++ allocation functions.
//!
//! Thin doors into `gort::c`; nothing is decided here but what the C standard, POSIX and glibc's manual say about each function.
//! Built without std and with panics that abort, so that it depends on the C library alone.
#![no_std]
#![expect(unsafe_code, reason = "defines the symbols of the C library's allocator")]

mod c;
#[cfg(feature = "cxx")]
mod cxx;
#[cfg(all(feature = "cxx", feature = "hardened"))]
mod cxx_sized;
mod info;

/// Nothing here panics on purpose; what does is a defect, and ends the process like one.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    heap::c::abort_with(format_args!("{}", info.message()))
}

// What the unwind tables of the precompiled core name for functions that clean up. With panics that abort there is nothing to clean.
core::arch::global_asm!(
    ".weak rust_eh_personality",
    ".hidden rust_eh_personality",
    "rust_eh_personality:",
    // _URC_CONTINUE_UNWIND: a C++ exception on its way through `operator new` finds nothing to do here.
    "mov eax, 8",
    "ret",
);

// SAFETY: names the library that the symbols used here come from.
#[link(name = "c")]
unsafe extern "C" {}
