//! The workloads with rpmalloc as the global allocator.

use gort_bench::peers;
use gort_bench::work::{self, Allocator};
use gort_bench::workloads::own;
use std::process::ExitCode;

#[global_allocator]
static GLOBAL: rpmalloc::RpMalloc = rpmalloc::RpMalloc;

fn main() -> ExitCode {
    let version = peers::version(peers::library("rpmalloc-sys"), "rpmalloc");
    let allocator = Allocator { name: "rpmalloc", version, build: "default features" };
    work::main(&allocator, &own::rows())
}
