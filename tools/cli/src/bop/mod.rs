//! `gort bop`: bytes and allocations per operation, measured as Go's testing package measures them.

mod against_go;
mod benchtime;
mod harness;
mod report;
mod slices;
mod sweep;
mod talk;

use std::io::{self, Write};

use benchtime::Benchtime;

use crate::failure::Failure;

/// Measure bytes and allocations per operation (B/op), as Go's benchmarks do
///
/// Allocates and frees a zeroed slice of 64-bit integers, in a loop that grows as in Go's testing package. B/op is the
/// growth of the allocator's own counters over the number of iterations. The output is in Go's benchmark format, which
/// benchstat reads. talk-B/op is the figure on the talk's slide, for comparison: it is not measured.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct Args {
    /// How long to run each benchmark (1s, 300ms, 1m30s), or how many times (100x)
    #[arg(long, value_name = "TIME|Nx", default_value = "1s", value_parser = Benchtime::parse, allow_hyphen_values = true)]
    benchtime: Benchtime,
    /// How many times to run each benchmark
    #[arg(long, value_name = "N", default_value = "1", value_parser = slices::parse_count)]
    count: u32,
    /// Length of the slice, in elements of 8 bytes; several with commas, or by giving --len again
    #[arg(long = "len", value_name = "N", value_delimiter = ',', value_parser = slices::parse_len,
          default_values_t = talk::LENS)]
    lens: Vec<usize>,
    /// Instead: hold what the allocator accounts to the size-class table, for sizes from 1 B to 64 MiB
    ///
    /// Allocates every size up to 33 KiB, then at each page's edge to 64 MiB, and each class at each alignment; compares the
    /// bytes accounted and the usable size with the table and, above it, with whole pages. Exit code 1 at the first
    /// difference.
    #[arg(long, conflicts_with_all = ["benchtime", "count", "lens", "against_go"])]
    sweep: bool,
    /// Run the same benchmark with the go command too and print both side by side
    #[arg(long)]
    against_go: bool,
}

const EXAMPLES: &str = "\
Examples:
  gort bop
  gort bop --len 1,100,1000 --benchtime 1000x
  gort bop --count 10 > new.txt && benchstat old.txt new.txt
  gort bop --sweep
  gort bop --against-go";

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.sweep {
        return sweep::run();
    }
    slices::check_allocatable(&args.lens)?;
    if args.against_go {
        return against_go::run(args);
    }
    let mut out = io::stdout();
    out.write_all(report::header().as_bytes())?;
    let width = args.lens.iter().map(|&len| report::name(len).len()).max().unwrap_or(0);
    for &len in &args.lens {
        for _ in 0..args.count {
            let result = slices::benchmark(len, args.benchtime);
            let line = report::line(len, width, &result, talk::figure(len));
            writeln!(out, "{line}")?;
        }
    }
    if args.lens.iter().any(|&len| talk::needs_explanation(len)) {
        writeln!(out, "\n{}", talk::EXPLANATION)?;
    }
    Ok(())
}

/// Reads bytes as options and as a line of Go's.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn fuzz(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(time) = Benchtime::parse(text) {
        assert_eq!(Benchtime::parse(&time.to_string()), Ok(time), "{text:?}");
    }
    assert!(slices::parse_count(text).is_ok() == text.parse::<u32>().is_ok_and(|n| n > 0));
    assert!(slices::parse_len(text).is_err() || text.parse::<usize>().is_ok());
    if let Some(line) = report::parse(text) {
        assert!(
            text.contains(&line.len.to_string()) || text.contains('+') || text.contains("=0"),
            "{line:?}"
        );
    }
}
