//! What gort's shared locks do with more threads than this machine has.

use std::process::ExitCode;

fn main() -> ExitCode {
    gort_bench::scaling::main()
}
