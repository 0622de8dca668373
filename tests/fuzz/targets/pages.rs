//! The page allocator beside its slow twin.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gort::fuzzing::page_allocator(data));
