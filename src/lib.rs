//! gort: Go's runtime for Rust programs, allocator first.
#![no_std]

// The order of these lines is the layer order, bottom first; `tests/layers.rs` holds the sources to it.
mod base;
mod sys;
