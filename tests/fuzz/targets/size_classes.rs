//! The size-class generator, and tables of given classes.
#![no_main]

#[path = "../../../size_classes/tests/common/mod.rs"]
mod common;

libfuzzer_sys::fuzz_target!(|data: &[u8]| common::fuzz::run(data));
