//! How many times faster: gort, the system's allocator and mimalloc in one run, each in its own process, in rounds that take
//! turns, so that whatever slows the machine slows all three.
//!
//! There are two tables: the loops as part of a program's own crate, where the compiler puts what it can of the allocator
//! into them, and the same loops as part of a library, where each operation is a call.
//!
//! A ratio is the median of the rounds' own ratios, never a quotient of figures from different moments. The spread is the middle
//! half of the rounds.
//!
//! ```text
//! cargo bench -p gort-bench --bench ratios -- --rounds 31
//! ```

use clap::{Parser, ValueEnum};
use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use gort_bench::workload::Workload;
use std::process::{Command, ExitCode};
use std::{fs, slice, thread};

/// The allocators, gort first.
const PROBES: [(&str, &str); 3] = [
    ("gort", env!("CARGO_BIN_EXE_probe-gort")),
    ("system", env!("CARGO_BIN_EXE_probe-system")),
    ("mimalloc", env!("CARGO_BIN_EXE_probe-mimalloc")),
];

/// Compare gort with the system's allocator and mimalloc
#[derive(Parser, Debug)]
#[command(version)]
struct Args {
    /// How often each allocator has its turn at each row
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    rounds: u64,
    /// How long one turn takes, in milliseconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    millis: u64,
    /// Only the table of this crate
    #[arg(long = "in")]
    place: Option<Place>,
    /// Only these rows
    #[arg(long = "row", value_delimiter = ',')]
    rows: Vec<Workload>,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// Which crate the loops are part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Place {
    /// The program's own, beside its global allocator
    Program,
    /// A library that the program depends on
    Library,
}

/// A row of one table.
type Row = (Place, Workload);

fn main() -> ExitCode {
    let args = Args::parse();
    let workloads = if args.rows.is_empty() { Workload::value_variants() } else { &args.rows[..] };
    let places = args.place.as_ref().map_or(Place::value_variants(), slice::from_ref);
    let rows: Vec<Row> = places.iter().flat_map(|p| workloads.iter().map(|w| (*p, *w))).collect();
    match measure(&rows, args.rounds, args.millis) {
        Ok(nanos) => {
            println!("{}", heading(&args));
            for (place, nanos) in places.iter().zip(nanos.chunks(workloads.len())) {
                println!("\n{}\n\n{}", title(*place), table(workloads, nanos));
            }
            ExitCode::SUCCESS
        }
        Err(what) => {
            eprintln!("ratios: {what}");
            ExitCode::FAILURE
        }
    }
}

/// The nanoseconds of one operation by row, then by round; in the order of [`PROBES`].
fn measure(rows: &[Row], rounds: u64, millis: u64) -> Result<Vec<Vec<[f64; 3]>>, String> {
    let mut nanos = vec![Vec::new(); rows.len()];
    for round in 0..rounds as usize {
        for (row, nanos) in rows.iter().zip(&mut nanos) {
            let mut turn = [0.0; 3];
            for i in 0..PROBES.len() {
                // Another one goes first in each round.
                let i = (round + i) % PROBES.len();
                turn[i] = probe(PROBES[i].1, *row, millis)?;
            }
            nanos.push(turn);
        }
        eprintln!("round {} of {rounds}", round + 1);
    }
    Ok(nanos)
}

fn probe(path: &str, (place, workload): Row, millis: u64) -> Result<f64, String> {
    let name = workload.to_possible_value().ok_or("a row without a name")?;
    let output = Command::new(path)
        .args([name.get_name(), "--millis", &millis.to_string()])
        .args((place == Place::Library).then_some("--library"))
        .output()
        .map_err(|e| format!("cannot run {path}: {e}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    match said.trim().parse() {
        Ok(nanos) if output.status.success() => Ok(nanos),
        _ => Err(format!("{path}: {}\n{said}{}", output.status, String::from_utf8_lossy(&output.stderr))),
    }
}

fn heading(args: &Args) -> String {
    format!(
        "{}, {} cores, load {}; {} rounds of {} ms; median (middle half of the rounds)",
        processor(),
        thread::available_parallelism().map_or(0, usize::from),
        fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or("unknown"),
        args.rounds,
        args.millis
    )
}

fn title(place: Place) -> &'static str {
    match place {
        Place::Program => "Loops in the program's own crate, with what the compiler inlines:",
        Place::Library => "Loops in a library, each operation a call:",
    }
}

fn table(rows: &[Workload], nanos: &[Vec<[f64; 3]>]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    let header = |(name, _): (&str, &str)| format!("{name}, ns");
    let against = |(name, _): (&str, &str)| format!("{name} / gort");
    table.set_header(
        ["one allocation and one free".to_owned()]
            .into_iter()
            .chain(PROBES.map(header))
            .chain(PROBES[1..].iter().copied().map(against)),
    );
    for (row, rounds) in rows.iter().zip(nanos) {
        let times = (0..3).map(|i| Spread::of(rounds.iter().map(|turn| turn[i])).to_string());
        let ratios = (1..3).map(|i| Spread::of(rounds.iter().map(|turn| turn[i] / turn[0])).to_string());
        table.add_row([row.label().to_owned()].into_iter().chain(times).chain(ratios));
    }
    table.column_iter_mut().skip(1).for_each(|column| {
        column.set_cell_alignment(CellAlignment::Right);
    });
    table
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or("unknown processor", |(_, name)| name).to_owned()
}

/// The median and the quartiles of some figures.
struct Spread {
    low: f64,
    middle: f64,
    high: f64,
}

impl Spread {
    fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        let at = |quarter: usize| figures[(figures.len() - 1) * quarter / 4];
        Spread { low: at(1), middle: at(2), high: at(3) }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = if self.middle < 10.0 { 2 } else { usize::from(self.middle < 1000.0) };
        write!(f, "{:.digits$} ({:.digits$} to {:.digits$})", self.middle, self.low, self.high)
    }
}
