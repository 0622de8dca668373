//! What a developer sees: how far it is, the table at the end, and the figures for other programs to read.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};
use std::{fs, thread};

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use serde_json::{Map, Value, json};

use super::rounds::{Figures, Outcome, Round};

/// What a program is thought to take before any has shown it.
const GUESS: Duration = Duration::from_secs(25);

/// Tells on stderr how far it is.
pub(crate) struct Progress {
    programs: usize,
    done: u32,
    name: String,
    under: Vec<String>,
    start: Instant,
    /// When this program started, when its first run did, and how many runs have begun since.
    program_start: Instant,
    runs_start: Option<Instant>,
    runs: u32,
    terminal: bool,
    told: bool,
}

impl Progress {
    pub(crate) fn new(programs: usize, under: Vec<String>) -> Self {
        let now = Instant::now();
        let terminal = io::stderr().is_terminal();
        let name = String::new();
        Self {
            programs,
            done: 0,
            name,
            under,
            start: now,
            program_start: now,
            runs_start: None,
            runs: 0,
            terminal,
            told: true,
        }
    }

    /// Tells nobody.
    pub(crate) fn silent() -> Self {
        Self { told: false, ..Self::new(0, Vec::new()) }
    }

    /// The next program.
    pub(crate) fn started(&mut self, name: &str) {
        name.clone_into(&mut self.name);
        self.program_start = Instant::now();
        self.runs_start = None;
        self.runs = 0;
    }

    /// The next step of this program, and how many runs it has still to go through, this one included.
    pub(crate) fn step(&mut self, what: &str, runs_left: Option<u32>) {
        if !self.told {
            return;
        }
        let line = format!("{} {what} ... {} left", self.head(), minutes(self.left(runs_left)));
        if runs_left.is_some() {
            self.runs_start.get_or_insert_with(Instant::now);
            self.runs += 1;
        }
        if self.terminal {
            eprint!("\r\x1b[2K{line}");
            // Nobody is told about a terminal that is gone.
            let _ = io::stderr().flush();
        } else {
            eprintln!("{line}");
        }
    }

    /// Something to know of this program.
    pub(crate) fn note(&self, text: &str) {
        if self.told {
            let clear = if self.terminal { "\r\x1b[2K" } else { "" };
            eprintln!("{clear}{} {text}", self.head());
        }
    }

    /// What became of it.
    pub(crate) fn finished(&mut self, outcome: &Outcome) {
        let clear = if self.terminal { "\r\x1b[2K" } else { "" };
        match &outcome.failure {
            None => {
                let ratios = self.under.iter().enumerate().map(|(prefix, under)| {
                    format!(
                        "{under} / glibc: time {}, peak memory {}",
                        ratio(&outcome.rounds, prefix, |f| f.seconds),
                        ratio(&outcome.rounds, prefix, |f| f.peak_kib),
                    )
                });
                eprintln!("{clear}{} passed; {}", self.head(), ratios.collect::<Vec<_>>().join("; "));
            }
            Some(failure) => eprintln!("{clear}{} FAILED: {failure}", self.head()),
        }
        self.done += 1;
    }

    fn head(&self) -> String {
        format!("[{}/{}] {}:", self.done + 1, self.programs, self.name)
    }

    fn left(&self, runs_left: Option<u32>) -> Duration {
        let each = if self.done == 0 { GUESS } else { (self.program_start - self.start) / self.done };
        let this = match (self.runs_start, runs_left) {
            (Some(since), Some(left)) if self.runs > 0 => since.elapsed() / self.runs * left,
            _ => each,
        };
        this + each * (self.programs as u32 - self.done - 1)
    }
}

fn minutes(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 { format!("{seconds} s") } else { format!("{} min {} s", seconds / 60, seconds % 60) }
}

/// On what machine this is.
pub(crate) fn heading(under: &[String], load: u32) -> String {
    let under = under.join(", ");
    let load = if load < 100 {
        format!(" Under {load} % of their load, where they can have less.")
    } else {
        String::new()
    };
    format!(
        "Programs with {under} against the same programs without, {}, {} cores. Ratios are {under} / glibc: the median of the \
         rounds (least to most). CPU time and peak memory are the server's own where the program is a server.{load}",
        processor(),
        thread::available_parallelism().map_or(0, usize::from),
    )
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(|| "unknown processor".to_owned(), |(_, name)| name.trim().to_owned())
}

/// A row for each program, or for each library that it has run with.
pub(crate) fn table(outcomes: &[Outcome], under: &[String]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    let mut header = vec!["program", "version"];
    header.extend((under.len() > 1).then_some("with"));
    let words = header.len() + 1;
    header.extend([
        "passed",
        "rounds",
        "time",
        "CPU time",
        "peak memory",
        "glibc, s",
        "glibc, MiB",
        "allocations",
    ]);
    table.set_header(header.into_iter().map(str::to_owned));
    for outcome in outcomes {
        let rounds = &outcome.rounds;
        let without =
            |of: fn(&Figures) -> f64| median(rounds.iter().filter_map(|r| r.0[0].as_ref().map(of)).collect());
        let show = |n: Option<f64>, digits| n.map_or_else(String::new, |n| format!("{n:.digits$}"));
        for (prefix, name) in under.iter().enumerate() {
            let failed = if under.len() > 1 { &outcome.dropped[prefix] } else { &outcome.failure };
            let passed = failed.is_none() && rounds.iter().any(|r| r.0[prefix + 1].is_some());
            let mut row = vec![outcome.name.clone(), outcome.version.clone()];
            row.extend((under.len() > 1).then(|| name.clone()));
            row.extend([
                if passed { "yes".to_owned() } else { "NO".to_owned() },
                rounds.iter().filter(|r| r.0[prefix + 1].is_some()).count().to_string(),
                ratio(rounds, prefix, |f| f.seconds),
                ratio(rounds, prefix, |f| f.cpu_seconds),
                ratio(rounds, prefix, |f| f.peak_kib),
                show(without(|f| f.seconds), 2),
                show(without(|f| f.peak_kib / 1024.0), 1),
                allocations(rounds, prefix),
            ]);
            table.add_row(row);
        }
    }
    for number in words..words + 7 {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// How many objects the program was given, in thousands; nothing where nobody counts.
fn allocations(rounds: &[Round], prefix: usize) -> String {
    let under = rounds.iter().filter_map(|r| r.0[prefix + 1]?.allocations).collect();
    median(under).map_or_else(String::new, |n| format!("{:.0} k", n / 1e3))
}

/// The median of the rounds, and the least and the most; nothing if there were none.
fn ratio(rounds: &[Round], prefix: usize, of: fn(&Figures) -> f64) -> String {
    let ratios: Vec<f64> = rounds.iter().filter_map(|r| r.ratio(prefix, of)).collect();
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(0.0, f64::max);
    median(ratios).map_or_else(String::new, |m| format!("{m:.2} ({least:.2} to {most:.2})"))
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[half]),
        _ => Some((values[half - 1] + values[half]) / 2.0),
    }
}

/// Everything that was measured.
pub(crate) fn json(outcomes: &[Outcome], under: &[String], load: u32) -> Value {
    let figures = |f: &Figures| {
        json!({
            "seconds": f.seconds,
            "cpu_seconds": f.cpu_seconds,
            "peak_kib": f.peak_kib,
            "allocations": f.allocations,
        })
    };
    let programs: Vec<Value> = outcomes
        .iter()
        .map(|outcome| {
            let names = || std::iter::once("glibc").chain(under.iter().map(String::as_str));
            let rounds: Vec<Map<String, Value>> = outcome
                .rounds
                .iter()
                .map(|round| {
                    let ran = names().zip(&round.0).filter_map(|(name, f)| Some((name, f.as_ref()?)));
                    ran.map(|(name, f)| (name.to_owned(), figures(f))).collect()
                })
                .collect();
            let without = outcome.failure.as_ref().filter(|_| outcome.failed_without);
            let all = std::iter::once(without).chain(outcome.dropped.iter().map(Option::as_ref));
            let failed = names().zip(all).filter_map(|(name, why)| Some((name, why?)));
            let failures: Map<String, Value> =
                failed.map(|(name, why)| (name.to_owned(), json!(why))).collect();
            json!({
                "name": outcome.name,
                "version": outcome.version,
                "passed": outcome.failure.is_none(),
                "failure": outcome.failure,
                "failures": failures,
                "rounds": rounds,
            })
        })
        .collect();
    json!({
        "under": under,
        "load_percent": load,
        "processor": processor(),
        "cores": thread::available_parallelism().map_or(0, usize::from),
        "programs": programs,
    })
}
