//! The workloads with jemalloc as the global allocator.

use gort_bench::peers;
use gort_bench::work::{self, Allocator};
use gort_bench::workloads::own;
use std::process::ExitCode;

#[global_allocator]
static GLOBAL: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let version = peers::version(peers::library("tikv-jemalloc-sys"), "tikv-jemallocator");
    let allocator = Allocator { name: "jemalloc", version, build: "default features" };
    work::main(&allocator, &own::rows())
}
