//! Runs a workload with the system's allocator as the global allocator.

#[path = "../loops.rs"]
mod loops;

#[global_allocator]
static GLOBAL: std::alloc::System = std::alloc::System;

fn main() {
    gort_bench::probe::main(loops::start);
}
