//! The workloads: what programs do with memory, through the process's global allocator.
//!
//! Each has its numbers as parameters, makes all its choices from the seed, and gives a checksum that depends on both alone, so
//! that two allocators can be seen to have done the same. What it gets it writes to, as programs do; rows called `-untouched`
//! do not. An operation is one object made and dropped, where a row does not say otherwise.
//!
//! They are shaped like the published benchmarks that they name, and share no code with them.

pub mod own;
mod bignum;
mod fraction;
mod growth;
mod json;
mod large;
mod maps;
mod mixed;
mod passing;
mod phases;
mod random;
mod small;
mod spike;
mod tasks;
mod threads;
mod trees;

use crate::job::{Job, Outcome, Parameter, Sum};
use serde::Serialize;
use std::thread;

/// The group of rows that do what whole programs do.
const PROGRAMS: &str = "programs";

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
    let objects = [small::ROWS, random::ROWS, growth::ROWS, large::ROWS];
    let threads = [threads::ROWS, passing::ROWS, tasks::ROWS, mixed::ROWS, phases::ROWS, spike::ROWS];
    let programs = [fraction::ROWS, trees::ROWS, maps::ROWS, json::ROWS];
    objects.into_iter().chain(threads).chain(programs).flatten()
}

/// The row of that name.
fn find(name: &str) -> Workload {
    *all().find(|row| row.name == name).unwrap_or_else(|| panic!("no workload is called '{name}'"))
}

/// Does `work` on so many threads at once, which are told their numbers.
fn parallel(threads: u64, work: impl Fn(u64) -> Sum + Sync) -> Sum {
    let work = &work;
    thread::scope(|s| {
        let all: Vec<_> = (0..threads).map(|thread| s.spawn(move || work(thread))).collect();
        all.into_iter().map(|one| one.join().expect("a thread that does not panic")).sum()
    })
}

/// `bytes` of memory, the first word written: a buffer that is not full.
#[inline]
fn piece(bytes: usize, tag: u64) -> Vec<u64> {
    let mut words = Vec::with_capacity(bytes.div_ceil(8));
    words.push(tag);
    words
}
