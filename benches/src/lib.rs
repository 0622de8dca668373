//! What the benchmarks of gort share.
//!
//! There are two kinds, and they answer two questions.
//!
//! - **Which allocator is faster, and which needs less memory?** `gort compare` runs the same [`workloads`] under gort and its
//!   [`peers`], each the global allocator of a process of its own ([`work`]), in rounds that take turns, and prints
//!   medians, spreads and ratios as one table. Only these figures are fit to be quoted.
//! - **What does one operation cost?** The divan benchmarks call the methods of [`GlobalAlloc`](std::alloc::GlobalAlloc) on one
//!   allocator and the next through [`Block`]s; `boxes_gort` and `boxes_system` do the same with `Box` and `Vec` through the
//!   process's global allocator. They run one after the other, so a machine that changes its mood between them shows.
//!   `cargo bench -p gort-bench` runs them all.
//!
//! Beside them, `gort-scaling` ([`scaling`]) tells from the counts of real programs what gort's locks would do with 64 threads.
//!
//! No test asserts a time; those of this crate see to it that each workload does the same work under each allocator.

mod block;
mod job;
pub mod peers;
mod random;
pub mod scaling;
pub mod work;
pub mod workloads;

pub use block::{Block, Subject};
pub use job::{Job, Outcome, Parameter};
pub use random::Random;
