//! What the command reads: sizes of a program, scripts and programs, results of earlier runs, options.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gort_cli::fuzzing::inputs(data));
