//! gort: Go's runtime for Rust programs, allocator first.
//!
//! ```
//! #[global_allocator]
//! static GLOBAL: gort::GoAlloc = gort::GoAlloc;
//! # fn main() {
//! let (v, m) = gort::measure(|| vec![0i64; 1024 * 1024 + 1]);
//! assert_eq!((m.bytes, m.allocs), (8_396_800, 1));
//! # drop(v);
//! # }
//! ```
//!
//! A TCMalloc-style allocator on Go's generated size classes, with Go's page allocator, scavenger, memory limit and exact
//! accounting. All metadata is out of the program's reach: nothing the allocator trusts is stored in memory it hands out.
#![no_std]

// The order of these lines is the layer order, bottom first; `tests/layers.rs` holds the sources to it.
#[cfg(test)]
#[path = "../tests/common/replay.rs"]
mod replay;
mod throw;
mod base;
mod sys;
mod sync;
mod page;
mod heap;
mod guard;
mod mcentral;
mod mcache;
mod alloc;

pub use alloc::c;
#[cfg(feature = "invariants")]
pub use alloc::check_invariants;
pub use alloc::{
    BySize, Contention, GoAlloc, Measured, MemStats, WholePages, bad_variables, contention_by_size,
    free_os_memory, measure, set_memory_limit, stats, thread_stats, usable_size,
};
pub use mcentral::CentralCounts;
pub use sync::LockCounts;
#[cfg(feature = "faults")]
pub use sys::faults::{Call, calls, refuse_after, refuse_calls};

/// What fuzz targets call: parts of the crate that no public door reaches with any input. Not an interface for programs.
#[cfg(feature = "fuzzing")]
pub mod fuzzing {
    /// Runs a program that bytes choose on a page allocator and on its slow twin; panics when they differ.
    pub fn page_allocator(bytes: &[u8]) {
        crate::page::fuzz_page_alloc(bytes);
    }

    /// Reads bytes as a memory limit, as items of `GODEBUG` and as files of control groups; panics when a slow twin reads something else.
    pub fn options(bytes: &[u8]) {
        crate::alloc::fuzz_options(bytes);
    }

    /// Whether `GOMEMLIMIT` takes this value.
    pub fn is_memory_limit(value: &[u8]) -> bool {
        crate::alloc::is_memory_limit(value)
    }
}
