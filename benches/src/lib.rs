//! What the benchmarks of gort share.
//!
//! There are two kinds, and they answer two questions.
//!
//! - **How many times faster, and is it so today?** `cargo bench -p gort-bench --bench ratios` runs the same [`workload`]s under
//!   gort, the system's allocator and mimalloc, each the global allocator of a process of its own ([`probe`]), in rounds that
//!   take turns, and prints medians, spreads and ratios as one table. Only these figures are fit to be quoted.
//! - **What does one operation cost?** The divan benchmarks call the methods of [`GlobalAlloc`](std::alloc::GlobalAlloc) on one
//!   allocator and the next through [`Block`]s; `boxes_gort` and `boxes_system` do the same with `Box` and `Vec` through the
//!   process's global allocator. They run one after the other, so a machine that changes its mood between them shows.
//!
//! All of them: `cargo bench -p gort-bench`. Nothing here is a test; no test asserts a time.

mod block;
mod loops;
pub mod probe;
mod random;
pub mod workload;

// For `loops`, which is part of this crate and of the probes.
extern crate self as gort_bench;

pub use block::{Block, Subject};
pub use random::Random;
