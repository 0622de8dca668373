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
#![cfg_attr(
    not(any(test, feature = "invariants")),
    allow(dead_code, reason = "the page layer offers more than the heap uses")
)]

// The order of these lines is the layer order, bottom first; `tests/layers.rs` holds the sources to it.
mod alloc;
mod base;
mod heap;
mod mcache;
mod mcentral;
mod page;
mod sync;
mod sys;
mod throw;

#[cfg(feature = "invariants")]
pub use alloc::check_invariants;
pub use alloc::{
    BySize, GoAlloc, Measured, MemStats, bad_variables, free_os_memory, measure, set_memory_limit, stats,
    thread_stats, usable_size,
};
#[cfg(feature = "faults")]
pub use sys::faults::refuse_after;
