//! The workloads with snmalloc as the global allocator.

use gort_bench::peers;
use gort_bench::work::{self, Allocator};
use gort_bench::workloads::own;
use std::process::ExitCode;

#[global_allocator]
static GLOBAL: snmalloc_rs::SnMalloc = snmalloc_rs::SnMalloc;

fn main() -> ExitCode {
    let version = peers::version(peers::library("snmalloc-sys"), "snmalloc-rs");
    let allocator = Allocator { name: "snmalloc", version, build: "default features" };
    work::main(&allocator, &own::rows())
}
