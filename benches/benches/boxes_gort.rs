//! Boxes with gort as the global allocator.

mod boxes;

#[global_allocator]
static GLOBAL: gort::GoAlloc = gort::GoAlloc;

fn main() {
    divan::main();
}
