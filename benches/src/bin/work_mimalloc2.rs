//! The workloads with mimalloc v2 as the global allocator.

use gort_bench::peers;
use gort_bench::work::{self, Allocator};
use gort_bench::workloads::own;
use std::process::ExitCode;

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let number = GLOBAL.version();
    assert_eq!(number / 10_000, 2, "this was built with another version of mimalloc");
    let library = format!("{}.{}.{}", number / 10_000, number / 100 % 100, number % 100);
    let version = peers::version(&library, "mimalloc");
    let allocator = Allocator { name: "mimalloc2", version, build: "default features, secure mode off" };
    work::main(&allocator, &own::rows())
}
