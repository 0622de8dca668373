//! The workloads with the system's allocator as the global allocator, or with one that is preloaded in its place.
#![expect(unsafe_code, reason = "asks the C library for its version")]

use gort_bench::work::{self, Allocator};
use gort_bench::workloads::own;
use std::ffi::CStr;
use std::process::ExitCode;

#[global_allocator]
static GLOBAL: std::alloc::System = std::alloc::System;

fn main() -> ExitCode {
    let allocator = Allocator { name: "glibc", version: version(), build: "the system's, default tunables" };
    work::main(&allocator, &own::rows())
}

/// The version of the C library that this process runs with.
fn version() -> String {
    // SAFETY: takes nothing, and may be called at any time.
    let version = unsafe { libc::gnu_get_libc_version() };
    // SAFETY: a string that lives as long as the library.
    unsafe { CStr::from_ptr(version) }.to_string_lossy().into_owned()
}
