//! The environment and the files of control groups; and whether the command takes what the library takes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    gort::fuzzing::options(data);
    if let Ok(text) = std::str::from_utf8(data)
        && !text.is_empty()
    {
        assert_eq!(gort_cli::fuzzing::is_memlimit(text), gort::fuzzing::is_memory_limit(data), "{text:?}");
    }
});
