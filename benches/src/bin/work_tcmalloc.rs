//! The workloads with Google's tcmalloc as the global allocator.

use gort_bench::peers;
use gort_bench::work::{self, Allocator};
use gort_bench::workloads::own;
use std::process::ExitCode;

#[global_allocator]
static GLOBAL: tcmalloc_better::TCMalloc = tcmalloc_better::TCMalloc;

fn main() -> ExitCode {
    let version = peers::version(peers::library("libtcmalloc-sys"), "tcmalloc-better");
    let allocator = Allocator { name: "tcmalloc", version, build: "default features" };
    work::main(&allocator, &own::rows())
}
