//! Real programs with and without gort: servers, databases, languages, compilers and tools, each under a load that allocates.
//!
//! A program is one script in `scenarios/`, whose first comment says what it does. It runs in rounds: once as it is and once
//! with gort's library preloaded, or with others as well, in turns, so that whatever slows the machine slows all. What it prints must be the same
//! every time. Time and memory are printed and never judged.
//!
//! A script is called as `NAME version`, then as `NAME prepare`, which makes the inputs in `$SHARED` and prints `note: ...` for
//! what a reader of the table must know, then as `NAME run` for each run, in an empty work directory. `$UNDER` is what it puts
//! before the program under test: nothing, or gort. `$LOAD` is how much of the load the table is made with it takes, in percent, where a script
//! can take less. Into the directory `$METRICS` it may write `seconds`, `cpu_seconds` and
//! `peak_kib`; what it does not write is measured for all of the run, and the peak is the largest process's.
//!
//! Without `GORT_PROGRAMS=1`, as in a plain `cargo test`, no program runs: only the runner itself is tried, on scripts that each
//! do one thing wrong.
//!
//! ```text
//! tests/programs/install
//! GORT_PROGRAMS=1 cargo test --release --test programs -- --only redis,sqlite
//! ```

mod library;
mod process;
mod report;
mod rounds;
mod scenario;
mod self_test;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use clap::Parser;

use library::Prefix;
use report::Progress;
use scenario::{Limits, Place, Scenario};

/// Runs real programs with and without gort and compares what they print, their time and their memory
#[derive(Parser)]
#[command(name = "programs")]
struct Options {
    /// How often each program runs without and with gort [default: 3, or 2 for a program that takes long]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// How much of its load a program gets, in percent, where it can have less
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(25..=100), value_name = "PERCENT")]
    load: u32,
    /// Only these programs
    #[arg(long, value_delimiter = ',', value_name = "NAME,NAME")]
    only: Vec<String>,
    /// Print the names of the programs and what each does
    #[arg(long)]
    list: bool,
    /// Write the table to a file as well, as markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write every run's figures to a file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Put this before a program in place of gort, for example "env LD_PRELOAD=/usr/lib/libother.so"; given again, all run in
    /// turns, and the word gort is gort
    #[arg(long, value_name = "PREFIX")]
    under: Vec<String>,
    /// Leave the directories of failed runs where they are
    #[arg(long)]
    keep: bool,
}

/// The prefix that stands for gort.
const GORT: &str = "gort";
/// A check failed.
const FAILED: u8 = 1;
/// The command line asks for what there is not.
const BAD_OPTION: u8 = 2;

fn main() -> ExitCode {
    if env::var_os("GORT_PROGRAMS").is_none_or(|v| v != "1") {
        return check_runner();
    }
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(e) if !e.use_stderr() => {
            let _ = e.print();
            return ExitCode::SUCCESS;
        }
        Err(e) => {
            let text = e.to_string();
            let line = text.lines().next().unwrap_or_default();
            eprintln!("programs: {}", line.trim_start_matches("error: "));
            return ExitCode::from(BAD_OPTION);
        }
    };
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/scenarios");
    let chosen = match Scenario::all(&dir).and_then(|all| choose(all, &options.only)) {
        Ok(chosen) => chosen,
        Err(what) => {
            eprintln!("programs: {what}");
            return ExitCode::from(BAD_OPTION);
        }
    };
    if options.list {
        for scenario in &chosen {
            println!("{:<12} {}", scenario.name, scenario.about);
        }
        return ExitCode::SUCCESS;
    }
    match run(&options, &chosen) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(what) => {
            eprintln!("programs: {what}");
            ExitCode::from(FAILED)
        }
    }
}

/// What a plain `cargo test` does: all but the programs.
fn check_runner() -> ExitCode {
    match process::prepare().map_err(|e| e.to_string()).and_then(|()| self_test::run()) {
        Ok(()) => {
            println!(
                "programs: the runner works; the programs themselves take minutes, to run them: tests/run programs"
            );
            ExitCode::SUCCESS
        }
        Err(what) => {
            eprintln!("programs: the runner does not work: {what}");
            ExitCode::from(FAILED)
        }
    }
}

/// The scenarios that `only` names, or all; in alphabetical order.
fn choose(all: Vec<Scenario>, only: &[String]) -> Result<Vec<Scenario>, String> {
    if let Some(name) = only.iter().find(|name| all.iter().all(|s| s.name != **name)) {
        let names: Vec<&str> = all.iter().map(|s| s.name.as_str()).collect();
        return Err(format!("there is no program '{}'; there are {}", name.escape_debug(), names.join(", ")));
    }
    Ok(all.into_iter().filter(|s| only.is_empty() || only.contains(&s.name)).collect())
}

/// Whether all passed.
fn run(options: &Options, chosen: &[Scenario]) -> Result<bool, String> {
    // Found out before minutes are spent on what would go into it.
    for file in [&options.markdown, &options.json].into_iter().flatten() {
        // Not cut short: there may be results of an earlier run in it.
        fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(file)
            .map_err(|e| format!("cannot write {}: {e}", file.display()))?;
    }
    let place = Place::create(options.keep, options.load, Limits::default())
        .map_err(|e| format!("cannot make a work directory: {e}"))?;
    let gort = [GORT.to_owned()];
    let under = if options.under.is_empty() { &gort } else { options.under.as_slice() };
    let prefixes: Vec<Prefix> = under
        .iter()
        .map(|words| if words == GORT { Prefix::gort(place.root()) } else { Prefix::given(words) })
        .collect::<Result<_, _>>()?;
    let names: Vec<String> = prefixes.iter().map(|prefix| prefix.name().to_owned()).collect();
    if let Some(twice) =
        names.iter().enumerate().find_map(|(i, name)| names[..i].contains(name).then_some(name))
    {
        return Err(format!("--under: {twice} is given twice"));
    }
    process::prepare().map_err(|e| format!("cannot watch over processes: {e}"))?;

    let mut progress = Progress::new(chosen.len(), names.clone());
    let mut outcomes = Vec::with_capacity(chosen.len());
    for scenario in chosen {
        let outcome = rounds::run(scenario, &place, &prefixes, options.rounds, &mut progress);
        progress.finished(&outcome);
        outcomes.push(outcome);
        if process::interrupted() {
            break;
        }
    }
    let table = report::table(&outcomes, &names);
    let heading = report::heading(&names, options.load);
    println!("{heading}\n\n{table}");
    write_files(options, &outcomes, &heading, &names)
        .map_err(|e| format!("cannot write the results: {e}"))?;
    if process::interrupted() {
        return Err("interrupted: the results are of what ran before".to_owned());
    }
    Ok(outcomes.iter().all(|o| o.failure.is_none()))
}

fn write_files(
    options: &Options,
    outcomes: &[rounds::Outcome],
    heading: &str,
    under: &[String],
) -> io::Result<()> {
    if let Some(file) = &options.markdown {
        fs::write(file, format!("{heading}\n\n{}\n", report::table(outcomes, under)))?;
    }
    if let Some(file) = &options.json {
        fs::write(file, format!("{:#}\n", report::json(outcomes, under, options.load)))?;
    }
    Ok(())
}
