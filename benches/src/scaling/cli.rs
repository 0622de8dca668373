//! The command line of `gort-scaling`.

use super::counters::{Counters, Holds, Shards};
use super::measure;
use super::model::{self, Setting};
use super::table::{self, Line};
use crate::work::one_line;
use clap::Parser;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What gort's shared locks do with more threads than this machine has, from the counts of real programs.
///
/// The table has the throughput of so many threads as a part of what as many would do that never met, then the part of their time
/// in which the most threads wait, and the lock that is held for most of it.
#[derive(Parser, Debug)]
#[command(name = "gort-scaling", version, after_help = EXAMPLES)]
struct Cli {
    /// Reports that programs wrote for GORT_STATS_JSON
    #[arg(required_unless_present = "measure", value_name = "FILE")]
    reports: Vec<PathBuf>,
    /// Measure on this machine what operations, visits and cache lines cost, print them as options, and stop
    #[arg(long, exclusive = true)]
    measure: bool,
    /// Numbers of threads, the first for comparison
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4, 8, 16, 32, 64], value_parser = clap::value_parser!(u32).range(1..=4096))]
    threads: Vec<u32>,
    /// Nanoseconds of an operation that a thread's own cache serves
    #[arg(long, default_value_t = 1.8, value_parser = nanoseconds)]
    operation: f64,
    /// Nanoseconds that a visit holds the lock of a central store for
    #[arg(long, default_value_t = 200.0, value_parser = nanoseconds)]
    central: f64,
    /// Nanoseconds that a visit holds the lock of the page heap for
    #[arg(long, default_value_t = 100.0, value_parser = nanoseconds)]
    page_heap: f64,
    /// Nanoseconds that a visit holds the lock of the metadata for
    #[arg(long, default_value_t = 100.0, value_parser = nanoseconds)]
    metadata: f64,
    /// Nanoseconds that a visit takes longer if another thread was there before: four cache lines from its core, here of another die
    #[arg(long, default_value_t = 400.0, value_parser = nanoseconds)]
    handover: f64,
    /// Nanoseconds that a waiter spins before it sleeps
    #[arg(long, default_value_t = 2000.0, value_parser = nanoseconds)]
    spin: f64,
    /// Nanoseconds that a sleeper takes to wake up
    #[arg(long, default_value_t = 5000.0, value_parser = nanoseconds)]
    wake: f64,
    /// Central stores of each class that threads share out among themselves
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    shards: u16,
    /// Page heaps: threads go to one by eights
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    page_heaps: u16,
    /// Show each program also as if all of its objects had one size class
    #[arg(long)]
    one_class: bool,
    /// Visits that each thread makes
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    visits: u32,
    /// Decides when threads come
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

const EXAMPLES: &str = "\
Examples:
  GORT_STATS_JSON=larson.json work-gort run larson   the counts of a workload, in larson.json.PID
  gort-scaling larson.json.*                         1 to 64 threads that do the same
  gort-scaling --one-class --threads 1,64 *.json.*   as if all objects had one size class, too
  gort-scaling --shards 4 larson.json.*              with four central stores for each class
  gort-scaling --measure                             what to give as --operation, --central and so on";

fn nanoseconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(ns) if (0.0..=1e9).contains(&ns) => Ok(ns),
        _ => Err("not a number of nanoseconds from 0 to 1000000000".to_owned()),
    }
}

/// The program.
pub fn main() -> ExitCode {
    let (text, code) = match Cli::try_parse() {
        Ok(cli) if cli.operation == 0.0 => (Err("--operation must be above 0".to_owned()), 2),
        Ok(cli) if cli.measure => (Ok(measured()), 1),
        Ok(cli) => (simulated(&cli), 1),
        // Help; if it cannot be written there is nobody to tell.
        Err(e) if !e.use_stderr() => {
            let _ = e.print();
            return ExitCode::SUCCESS;
        }
        Err(e) => (Err(one_line(&e)), 2),
    };
    match text {
        Ok(text) => ExitCode::from(u8::from(writeln!(io::stdout(), "{text}").is_err())),
        Err(what) => {
            let _ = writeln!(io::stderr(), "gort-scaling: {what}");
            ExitCode::from(code)
        }
    }
}

fn measured() -> String {
    let c = measure::costs();
    format!(
        "--operation {:.1} --central {:.0} --page-heap {:.0} --metadata {:.0} --handover {:.0}",
        c.operation,
        c.central,
        c.page_heap,
        c.page_heap,
        // The lock's line, the counts', and two of pointers; more of those come while the first are on their way.
        4.0 * c.line
    )
}

fn simulated(cli: &Cli) -> Result<String, String> {
    let setting = Setting {
        operation: cli.operation,
        handover: cli.handover,
        spin: cli.spin,
        wake: cli.wake,
        visits: cli.visits as usize,
        seed: Some(cli.seed),
    };
    let holds = Holds { central: cli.central, page_heap: cli.page_heap, metadata: cli.metadata };
    let shards = Shards { central: cli.shards.into(), page_heap: cli.page_heaps.into() };
    let threads: Vec<usize> = cli.threads.iter().map(|&n| n as usize).collect();
    let mut lines = vec![];
    for file in &cli.reports {
        let counters = Counters::read(file)?;
        for one_class in [false, true].into_iter().filter(|&one| cli.one_class || !one) {
            let locks = counters.locks(&holds, &shards, one_class);
            let outcomes = threads.iter().map(|&n| model::run(&locks, n, &setting)).collect();
            let program = format!("{}{}", name(file), if one_class { ", one class" } else { "" });
            lines.push(Line { program, locks, outcomes });
        }
    }
    Ok(table::write(&lines, &threads))
}

/// A report's name up to its first dot.
fn name(file: &Path) -> String {
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}
