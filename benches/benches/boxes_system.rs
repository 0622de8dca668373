//! Boxes with the system's allocator as the global allocator.

mod boxes;

#[global_allocator]
static GLOBAL: std::alloc::System = std::alloc::System;

fn main() {
    divan::main();
}
