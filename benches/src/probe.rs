//! The body of the probes: runs one workload under this process's global allocator for a while and prints what an operation
//! took.

use crate::loops;
use crate::workload::Workload;
use clap::Parser;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// How long one timed run of operations should take: long beside a reading of the clock, short beside a time slice, so that
/// most runs are not interrupted.
const RUN: Duration = Duration::from_micros(500);

/// Runs one workload and prints the nanoseconds of one operation.
#[derive(Parser, Debug)]
#[command(version)]
struct Args {
    /// What to do
    workload: Workload,
    /// With the loops that are part of the library, not of the program
    #[arg(long)]
    library: bool,
    /// For how many milliseconds, after a fifth of that to warm up
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    millis: u64,
}

/// Makes a loop ready to run for a workload and a seed: each call does so many operations.
pub type Start = fn(Workload, u64) -> Box<dyn FnMut(u64)>;

/// The `main` of a probe, whose own crate has the loops of `start`.
pub fn main(start: Start) {
    let args = Args::parse();
    let start = if args.library { loops::start } else { start };
    let (workload, time) = (args.workload, Duration::from_millis(args.millis));
    let together = &Barrier::new(workload.threads() as usize);
    let nanos: Vec<f64> = thread::scope(|s| {
        let threads: Vec<_> = (0..workload.threads())
            .map(|seed| s.spawn(move || one_thread(start(workload, seed), time, together)))
            .collect();
        threads.into_iter().map(|t| t.join().expect("a workload does not panic")).collect()
    });
    // Threads at the same time: their rates add up.
    println!("{:.4}", 1.0 / nanos.iter().map(|n| 1.0 / n).sum::<f64>());
}

/// The median over all timed runs, in nanoseconds of one operation.
fn one_thread(mut work: Box<dyn FnMut(u64)>, time: Duration, together: &Barrier) -> f64 {
    let mut operations = 1;
    let warm = Instant::now();
    while warm.elapsed() < time / 5 {
        let took = timed(&mut work, operations);
        operations =
            (operations as f64 * (RUN.as_secs_f64() / took.as_secs_f64().max(1e-9)).min(10.0)).ceil() as u64;
    }
    together.wait();
    let started = Instant::now();
    let mut runs = Vec::with_capacity(4096);
    while started.elapsed() < time || runs.is_empty() {
        runs.push(timed(&mut work, operations));
    }
    runs.sort();
    runs[runs.len() / 2].as_secs_f64() * 1e9 / operations as f64
}

fn timed(work: &mut impl FnMut(u64), operations: u64) -> Duration {
    let started = Instant::now();
    work(operations);
    started.elapsed()
}
