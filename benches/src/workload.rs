//! What is compared between allocators, by name; `loops` has the code.

use clap::ValueEnum;

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// One `Box` of 64 bytes made, its first word written, and dropped, over and over
    Box,
    /// The same without the write: the allocator alone
    BoxUntouched,
    /// 1,000 boxes of 16 to 512 bytes, one of them replaced at random
    Random,
    /// The same without a write to the new box: what the allocator itself touches
    RandomUntouched,
    /// The random loop on two threads at once, each with its own boxes
    TwoThreads,
    /// 64 KiB made and dropped, not written to
    Large64k,
    /// 1 MiB made and dropped, not written to
    Large1m,
    /// One of 32 blocks of 40 to 400 KiB replaced at random, its pages written to
    LargeRandom,
    /// A `Vec` of `u64` grown to 4,096 elements by push
    Push,
}

impl Workload {
    /// What the row is called.
    pub fn label(self) -> &'static str {
        match self {
            Workload::Box => "Box of 64 B",
            Workload::BoxUntouched => "the same, not written to",
            Workload::Random => "random 16..512 B, 1,000 live",
            Workload::RandomUntouched => "the same, not written to",
            Workload::TwoThreads => "the same, written to, two threads",
            Workload::Large64k => "64 KiB",
            Workload::Large1m => "1 MiB",
            Workload::LargeRandom => "random 40..400 KiB, 32 live, written to",
            Workload::Push => "Vec<u64> pushed to 4,096",
        }
    }

    /// How many threads do it at the same time.
    pub fn threads(self) -> u64 {
        if self == Workload::TwoThreads { 2 } else { 1 }
    }
}
