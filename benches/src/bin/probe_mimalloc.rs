//! Runs a workload with mimalloc as the global allocator.

#[path = "../loops.rs"]
mod loops;

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    gort_bench::probe::main(loops::start);
}
