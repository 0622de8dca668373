//! `gort compare --programs`: the real programs of `tests/programs`, under gort's library and those of Debian's packages.
//!
//! The runner there does all the work; here its figures become rows like any other.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};

use serde::Deserialize;

use super::build::Source;
use super::libraries;
use super::results::{Allocator, Cell, Row, Run, Settings};
use crate::failure::{Failure, failed};

/// gort, as the runner calls it.
pub(super) const OURS: &str = "gort";

/// What the runner writes.
#[derive(Deserialize)]
struct Written {
    /// What it calls the libraries, in the order in which they were given.
    under: Vec<String>,
    programs: Vec<Program>,
}

#[derive(Deserialize)]
struct Program {
    name: String,
    version: String,
    failure: Option<String>,
    failures: BTreeMap<String, String>,
    rounds: Vec<BTreeMap<String, Figures>>,
}

#[derive(Deserialize)]
struct Figures {
    seconds: f64,
    cpu_seconds: f64,
    peak_kib: f64,
}

/// Names of all allocators.
pub(super) fn names() -> Vec<String> {
    libraries::names()
        .into_iter()
        .map(|name| if name == libraries::OURS { OURS.to_owned() } else { name })
        .collect()
}

/// Runs the programs, or those that are named, on the allocators.
pub(super) fn run(
    source: &Source,
    chosen: &[String],
    only: &[String],
    settings: &Settings,
) -> Result<(Vec<Allocator>, Vec<Row>), Failure> {
    let mut allocators = Vec::with_capacity(chosen.len());
    let mut under = Vec::with_capacity(chosen.len());
    for name in chosen {
        if name == libraries::NONE {
            allocators.push(glibc());
        } else if name == OURS {
            let (version, build) = (env!("CARGO_PKG_VERSION").to_owned(), "release, preloaded".to_owned());
            allocators.push(Allocator { name: name.clone(), version, build, ours: true });
            under.push(OURS.to_owned());
        } else {
            let (info, library) = libraries::installed(name)?;
            allocators.push(info);
            under.push(format!("env LD_PRELOAD={}", library.display()));
        }
    }
    let written = call(source, &under, only, settings)?;
    if written.under.len() != under.len() {
        return Err(failed("the runner of tests/programs did not run all that it was asked to"));
    }
    // The runner has names of its own, but the same order.
    let mut theirs = written.under.iter();
    let keys: Vec<&str> = allocators
        .iter()
        .map(|a| {
            if a.name == libraries::NONE { libraries::NONE } else { theirs.next().map_or("", String::as_str) }
        })
        .collect();
    let rows = written.programs.iter().map(|program| row(program, &keys)).collect();
    Ok((allocators, rows))
}

fn glibc() -> Allocator {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok();
    let said =
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let version = said.strip_prefix("glibc ").unwrap_or("unknown").to_owned();
    Allocator {
        name: libraries::NONE.to_owned(),
        version,
        build: "the system's, nothing preloaded".to_owned(),
        ours: false,
    }
}

/// Starts the runner, which tells on stderr how far it is.
fn call(source: &Source, under: &[String], only: &[String], settings: &Settings) -> Result<Written, Failure> {
    let file = FileInTemp(env::temp_dir().join(format!("gort-compare-programs-{}.json", process::id())));
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "test",
        "--release",
        "--test",
        "programs",
        "--",
        "--rounds",
        &settings.rounds.to_string(),
        "--json",
    ]);
    command.arg(&file.0).current_dir(source.path()).env("GORT_PROGRAMS", "1").env_remove("LD_PRELOAD");
    if settings.quick {
        command.args(["--load", "25"]);
    }
    for prefix in under {
        command.args(["--under", prefix]);
    }
    if !only.is_empty() {
        command.args(["--only", &only.join(",")]);
    }
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(|e| failed(format!("gort compare --programs needs cargo, which does not run: {e}")))?;
    // It fails when a program has failed, too, and then there are figures all the same.
    read(&file.0)
        .ok_or_else(|| failed(format!("the runner of tests/programs has no results ({status}): see above")))
}

fn read(file: &Path) -> Option<Written> {
    serde_json::from_str(&fs::read_to_string(file).ok()?).ok()
}

/// Removed when dropped.
struct FileInTemp(PathBuf);

impl Drop for FileInTemp {
    fn drop(&mut self) {
        // Nothing depends on it: it is in the folder for temporary files.
        let _ = fs::remove_file(&self.0);
    }
}

fn row(program: &Program, keys: &[&str]) -> Row {
    let cell = |key: &&str| {
        let runs: Vec<Run> = (1..)
            .zip(&program.rounds)
            .filter_map(|(round, figures)| Some(run_of(round, figures.get(*key)?)))
            .collect();
        // What all have in common fails for all: the program is not there, or its inputs cannot be made.
        let failure = match program.failures.get(*key) {
            None if runs.is_empty() => program.failure.as_ref(),
            own => own,
        };
        Cell { runs, failure: failure.map(|why| why.lines().next().unwrap_or_default().to_owned()) }
    };
    Row {
        name: program.name.clone(),
        group: String::new(),
        about: program.version.clone(),
        seed: None,
        checksum: None,
        operations: None,
        cells: keys.iter().map(cell).collect(),
    }
}

fn run_of(round: u32, figures: &Figures) -> Run {
    Run {
        round,
        position: None,
        seconds: figures.seconds,
        wall_seconds: figures.seconds,
        user_seconds: figures.cpu_seconds,
        system_seconds: None,
        peak_kib: figures.peak_kib,
        minor_faults: None,
        major_faults: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_become_rows() {
        let text = r#"{"under":["gort","libjemalloc"],"programs":[
            {"name":"git","version":"git 2","failure":"f","failures":{"libjemalloc":"round 1: signal: 11\n  more"},
             "rounds":[{"glibc":{"seconds":2,"cpu_seconds":1,"peak_kib":30},"gort":{"seconds":1,"cpu_seconds":1,"peak_kib":20}},
                       {"glibc":{"seconds":3,"cpu_seconds":1,"peak_kib":30},"gort":{"seconds":4,"cpu_seconds":1,"peak_kib":20}}]},
            {"name":"none","version":"","failure":"none: not installed","failures":{"glibc":"none: not installed"},"rounds":[]}]}"#;
        let written: Written = serde_json::from_str(text).unwrap();
        let rows: Vec<Row> =
            written.programs.iter().map(|p| row(p, &["gort", "glibc", "libjemalloc"])).collect();
        let seconds = |cell: &Cell| cell.runs.iter().map(|run| run.seconds).collect::<Vec<_>>();
        assert_eq!(seconds(&rows[0].cells[0]), [1.0, 4.0]);
        assert_eq!(seconds(&rows[0].cells[1]), [2.0, 3.0]);
        assert_eq!(rows[0].cells[0].failure, None);
        assert_eq!(rows[0].cells[2].failure.as_deref(), Some("round 1: signal: 11"));
        assert!(rows[1].cells.iter().all(|cell| cell.failure.as_deref() == Some("none: not installed")));
    }
}
