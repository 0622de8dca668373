//! The command line of the `work-*` programs, one for each allocator.
//!
//! They speak JSON, one line at a time, to whoever compares them: `list` has all workloads with their parameters, `version` the
//! allocator, and `run` does one workload once. Time, memory and faults of the process are for the parent to take.

use crate::job::{Job, Mark};
use crate::workloads::{Workload, all};
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use serde::Serialize;
use std::io::{self, Write};
use std::process::ExitCode;

/// The allocator of this process.
#[derive(Debug, Serialize)]
pub struct Allocator {
    /// What the program's name ends with.
    #[serde(rename = "allocator")]
    pub name: &'static str,
    /// The version of the allocator, and of the crate that brings it.
    pub version: String,
    /// How it was built.
    pub build: &'static str,
}

/// Does one workload once under one allocator, or says what there is to do.
#[derive(Parser, Debug)]
#[command(version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples (of work-gort; all programs take the same):
  work-gort list                                     what there is to do, as JSON
  work-gort run larson                               one line of JSON: operations, checksum, seconds
  work-gort run larson --scale 0.1 --seed 7          a tenth of the work, other choices
  work-gort run random-1m --set live=4m --set largest=64";

#[derive(Subcommand, Debug)]
enum Command {
    /// The allocator, its version and how it was built
    Version,
    /// All workloads and their parameters
    List,
    /// Do one workload once
    Run(Run),
}

#[derive(clap::Args, Debug)]
struct Run {
    /// What to do; 'list' has the names
    workload: String,
    /// Decides every random choice
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How much of the work: 1 is a third to half a second of glibc's
    #[arg(long, default_value_t = 1.0, value_parser = scale)]
    scale: f64,
    /// A parameter of the workload, as NAME=VALUE; k, m and g after a value mean 1024 and its powers
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, u64)>,
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(scale) if (1e-6..=1e6).contains(&scale) => Ok(scale),
        _ => Err("not a number from 0.000001 to 1000000".to_owned()),
    }
}

fn setting(text: &str) -> Result<(String, u64), String> {
    let (name, value) = text.split_once('=').ok_or("not NAME=VALUE")?;
    let (digits, shift) = match value.to_ascii_lowercase().chars().last() {
        Some('k') => (&value[..value.len() - 1], 10),
        Some('m') => (&value[..value.len() - 1], 20),
        Some('g') => (&value[..value.len() - 1], 30),
        _ => (value, 0),
    };
    let number: u64 = digits.parse().map_err(|_| format!("not NAME=VALUE with a number for {name}"))?;
    match number.checked_mul(1 << shift) {
        Some(value) if (0..=1 << 40).contains(&value) => Ok((name.to_owned(), value)),
        _ => Err(format!("not NAME=VALUE with a number from 0 to 1024g for {name}")),
    }
}

/// What `run` prints.
#[derive(Serialize)]
struct Report<'a> {
    workload: &'a str,
    seed: u64,
    operations: u64,
    checksum: String,
    seconds: f64,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    marks: &'a [Mark],
}

/// The `main` of a program under `allocator`, which has compiled the rows `own` itself.
pub fn main(allocator: &Allocator, own: &[Workload]) -> ExitCode {
    let rows = rows(own);
    let line = match Cli::try_parse() {
        Ok(Cli { command: Command::Version }) => json(allocator),
        Ok(Cli { command: Command::List }) => json(&rows),
        Ok(Cli { command: Command::Run(run) }) => perform(&run, &rows),
        // Help; if it cannot be written there is nobody to tell.
        Err(e) if !e.use_stderr() => {
            let _ = e.print();
            return ExitCode::SUCCESS;
        }
        Err(e) => Err(one_line(&e)),
    };
    let (written, code) = match line {
        Ok(line) => (writeln!(io::stdout(), "{line}"), 0),
        Err(what) => (writeln!(io::stderr(), "work-{}: {what}", allocator.name), 2),
    };
    ExitCode::from(if written.is_ok() { code } else { 1 })
}

/// All rows, each of the program's own at the end of its group.
fn rows(own: &[Workload]) -> Vec<Workload> {
    let mut rows: Vec<Workload> = all().copied().collect();
    for row in own {
        let end = rows.iter().rposition(|other| other.group == row.group).map_or(0, |last| last + 1);
        rows.insert(end, *row);
    }
    rows
}

fn json(what: &impl Serialize) -> Result<String, String> {
    serde_json::to_string(what).map_err(|e| e.to_string())
}

fn perform(run: &Run, rows: &[Workload]) -> Result<String, String> {
    let Some(row) = rows.iter().find(|row| row.name == run.workload) else {
        let known: Vec<_> = rows.iter().map(|row| row.name).collect();
        return Err(format!("no workload '{}'; there are {}", run.workload.escape_debug(), known.join(", ")));
    };
    let mut values: Vec<_> = row.parameters.iter().map(|p| (p.name, p.default)).collect();
    for (name, value) in &run.settings {
        let Some(parameter) = values.iter_mut().find(|(known, _)| known == name) else {
            let known: Vec<_> = row.parameters.iter().map(|p| p.name).collect();
            return Err(format!(
                "{} has no parameter '{}', but {}",
                row.name,
                name.escape_debug(),
                known.join(", ")
            ));
        };
        if *value == 0 && parameter.1 != 0 {
            return Err(format!("{name} of {} must be at least 1", row.name));
        }
        parameter.1 = *value;
    }
    let outcome = (row.run)(&Job { seed: run.seed, scale: run.scale, values });
    json(&Report {
        workload: row.name,
        seed: run.seed,
        operations: outcome.operations,
        checksum: format!("{:016x}", outcome.checksum),
        seconds: outcome.seconds,
        marks: &outcome.marks,
    })
}

/// The first line of what clap says, with the reason that clap has for it.
pub(crate) fn one_line(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "no command given; there are version, list and run, and --help has examples".to_owned();
    }
    let paragraph = error.to_string();
    let mut lines = paragraph.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default().trim_start_matches("error: ");
    match lines.next() {
        Some(second) if first.ends_with(':') => format!("{first} {second}"),
        _ => first.to_owned(),
    }
}
