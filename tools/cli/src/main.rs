//! The `gort` command; all of it is in the library of this package, so that a fuzzer can reach what it reads.

use std::process::ExitCode;

fn main() -> ExitCode {
    gort_cli::main()
}
