//! Programs on the whole heap.
#![no_main]

#[path = "../../common/mod.rs"]
mod common;
#[path = "../heap.rs"]
mod heap;

use std::sync::Once;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static HUGE: Once = Once::new();
    // Before the heap starts, which reads it: objects that a program can afford are to be huge.
    // SAFETY: the first input runs before any other thread reads the environment.
    #[expect(unsafe_code, reason = "sets a variable")]
    HUGE.call_once(|| unsafe { std::env::set_var("GODEBUG", "hugemin=1100KiB") });
    heap::run(data);
});
