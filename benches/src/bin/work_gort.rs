//! The workloads with gort as the global allocator.

use gort_bench::work::{self, Allocator};
use gort_bench::workloads::own;
use std::process::ExitCode;

#[global_allocator]
static GLOBAL: gort::GoAlloc = gort::GoAlloc;

fn main() -> ExitCode {
    let build = if cfg!(feature = "invariants") {
        "invariants checked"
    } else if cfg!(feature = "hardened") {
        "hardened"
    } else {
        "default features"
    };
    work::main(
        &Allocator { name: "gort", version: env!("CARGO_PKG_VERSION").to_owned(), build },
        &own::rows(),
    )
}
