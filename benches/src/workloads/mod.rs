//! The workloads: what programs do with memory, through the process's global allocator.
//!
//! Each has its numbers as parameters, makes all its choices from the seed, and gives a checksum that depends on both alone, so
//! that two allocators can be seen to have done the same. What it gets it writes to, as programs do; rows called `-untouched`
//! do not. An operation is one object made and dropped, where a row does not say otherwise.
//!
//! They are shaped like the published benchmarks that they name, and share no code with them.

pub mod own;
mod random;
mod small;

use crate::job::{Job, Outcome, Parameter};
use serde::Serialize;

/// One row of a comparison.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Workload {
    /// What the row is called.
    pub name: &'static str,
    /// Rows of a group stand together.
    pub group: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Which published benchmark has its shape.
    pub published: &'static str,
    /// How many threads it has by default.
    pub threads: u64,
    /// Its numbers.
    pub parameters: &'static [Parameter],
    /// Does it once.
    #[serde(skip)]
    pub run: fn(&Job) -> Outcome,
}

/// All rows but those that a program compiles itself ([`own`]), in the order of the table.
pub fn all() -> impl Iterator<Item = &'static Workload> {
    [small::ROWS, random::ROWS].into_iter().flatten()
}

/// The row of that name.
fn find(name: &str) -> Workload {
    *all().find(|row| row.name == name).unwrap_or_else(|| panic!("no workload is called '{name}'"))
}

/// `bytes` of memory, the first word written: a buffer that is not full.
#[inline]
fn piece(bytes: usize, tag: u64) -> Vec<u64> {
    let mut words = Vec::with_capacity(bytes.div_ceil(8));
    words.push(tag);
    words
}
