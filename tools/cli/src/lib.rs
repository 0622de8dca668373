//! The `gort` command: Go's B/op benchmark on gort's own allocator, gort beside other allocators, Go's
//! size-class table, and any program on gort's heap.
//!
//! The process runs on [`gort::GoAlloc`], so whatever a command measures is the allocator that a user gets.
//!
//! Exit codes: 0 done; 1 a check failed, or the output could not be written; 2 bad input, which is one line on stderr. `gort run`
//! becomes the program, whose exit code it is then; 126 and 127 when there is none to become.

mod bop;
mod compare;
mod failure;
mod machine;
mod one_line;
mod run;
mod size_classes;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

// A fuzzer brings an allocator of its own.
#[cfg(not(feature = "fuzzing"))]
#[global_allocator]
static GLOBAL: gort::GoAlloc = gort::GoAlloc;

/// Go's memory allocator for Rust programs: measure it, run other programs on it, print the table it rounds sizes with.
#[derive(Parser)]
#[command(name = "gort", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  gort bop                     the talk's benchmark: bytes and allocations per operation
  gort bop --sweep             every size class and page edge up to 64 MiB, against the table
  gort run --stats git log     any program on gort's heap, and what its heap was like
  gort compare --quick         gort beside the other allocators, in time and memory
  gort size-classes            Go's size-class table
  gort size-classes --check    is the table that was compiled in the one the generator makes?

Environment, as in Go:
  GOMEMLIMIT=512MiB gort bop   a soft limit for the heap";

#[derive(Subcommand)]
enum Command {
    Bop(bop::Args),
    Compare(compare::Args),
    Run(run::Args),
    SizeClasses(size_classes::Args),
}

/// All of the command: reads its arguments, does what they say, and returns its exit code.
pub fn main() -> ExitCode {
    // The library has said on stderr what is wrong with each of them.
    if gort::bad_variables() > 0 {
        return ExitCode::from(failure::BAD_INPUT);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version; if they cannot be written there is nobody to tell.
        Err(e) if !e.use_stderr() => {
            let _ = e.print();
            return ExitCode::SUCCESS;
        }
        Err(e) => return failure::bad_input(one_line::explain(&e, Cli::command())).report(),
    };
    let result = match cli.command {
        Command::Bop(args) => bop::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Run(args) => run::run(args),
        Command::SizeClasses(args) => size_classes::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
