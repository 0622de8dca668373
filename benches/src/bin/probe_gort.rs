//! Runs a workload with gort as the global allocator.

#[path = "../loops.rs"]
mod loops;

#[global_allocator]
static GLOBAL: gort::GoAlloc = gort::GoAlloc;

fn main() {
    gort_bench::probe::main(loops::start);
}
