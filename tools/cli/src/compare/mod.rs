//! `gort compare`: gort and other allocators on the same work in the same run, in turns, in time and in memory.

mod build;
mod chart;
mod child;
mod judged;
mod libraries;
mod measure;
mod over_time;
mod peers;
mod progress;
mod report;
mod results;
mod schedule;
mod statistics;
mod tables;
mod workloads;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::failure::{Failure, bad_input, failed};
use crate::machine;
use peers::{PREFIX, Peer};
use results::{Allocator, Kind, Machine, Results, Settings};
use tables::Form;
use workloads::Workload;

/// Run workloads on gort and on other allocators, in turns, and compare time and memory
///
/// Builds one program per allocator from the source tree, each as its users build it, and runs every workload with every seed on
/// every allocator, in rounds and in turns. Each run is a process of its own. Time is that of the work itself; memory is the
/// process's peak as the kernel counts it. All runs of a workload and a seed must come to the same checksum.
///
/// Exit code 1 if an allocator crashed or a checksum differs; slower is no failure.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct Args {
    /// Only these workloads, or groups of workloads
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    workload: Vec<String>,
    /// Only these allocators; gort always runs
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    allocators: Vec<String>,
    /// How often each allocator runs each workload with each seed [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// What the workloads draw their sizes and orders from [default: 1,2]
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = seed)]
    seeds: Vec<u64>,
    /// A glance: three rounds, one seed, a quarter of the work
    #[arg(long)]
    quick: bool,
    /// Do so many times the work
    #[arg(long, value_name = "F", value_parser = scale)]
    scale: Option<f64>,
    /// Set a workload's parameter; may be given again
    #[arg(long, value_name = "PARAMETER=VALUE", value_parser = setting)]
    set: Vec<String>,
    /// Compare libraries instead: gort's and those of Debian's packages, preloaded into the program of glibc
    #[arg(long)]
    preload: bool,
    /// Instead: what each process holds while a load of many small objects comes, and after it has gone
    #[arg(long, conflicts_with_all = ["workload", "rounds", "scale", "details", "from", "list", "preload"])]
    over_time: bool,
    /// Show every figure of every allocator as well: user and system time, page faults
    #[arg(long)]
    details: bool,
    /// Write what is printed to a file as well, as Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write the figures of every run to a file, with versions and machine
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw a chart into a file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Show what an earlier run has written with --json; nothing is run
    #[arg(long, value_name = "FILE", conflicts_with_all = ["workload", "allocators", "rounds", "seeds", "quick", "scale", "set", "preload",
          "list", "source", "binaries"])]
    from: Option<PathBuf>,
    /// Print the allocators and the workloads; nothing is run
    #[arg(long)]
    list: bool,
    /// The checkout of gort to build from [default: the one around this directory]
    #[arg(long, value_name = "DIR")]
    source: Option<PathBuf>,
    /// Run the programs work-NAME of this directory; nothing is built
    #[arg(long, value_name = "DIR", conflicts_with = "source")]
    binaries: Option<PathBuf>,
    /// What a single run may take; one that takes longer counts as crashed
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = clap::value_parser!(u64).range(1..=86400))]
    limit: u64,
}

const EXAMPLES: &str = "\
Examples:
  gort compare --quick
  gort compare --list
  gort compare --markdown compare.md --json compare.json --svg compare.svg
  gort compare --workload larson,xmalloc --allocators mimalloc3,jemalloc --rounds 15
  gort compare --workload larson --set threads=8 --seeds 1,2,3
  gort compare --preload --quick
  gort compare --over-time --svg memory.svg
  gort compare --from compare.json --details";

/// What `--quick` means, where nothing else is said.
const QUICK: (u32, f64, &[u64]) = (3, 0.25, &[1]);
const USUAL: (u32, f64, &[u64]) = (5, 1.0, &[1, 2]);

/// Variables that change what allocators do begin with these.
const ALLOCATOR_VARIABLES: [&str; 10] = [
    "GLIBC_TUNABLES",
    "GODEBUG",
    "GOGC",
    "GOMEMLIMIT",
    "GORT_",
    "MALLOC_",
    "MIMALLOC_",
    "_RJEM_MALLOC_CONF",
    "SNMALLOC_",
    "TCMALLOC_",
];

fn seed(s: &str) -> Result<u64, String> {
    s.parse().map_err(|_| "not a whole number from 0 on".to_owned())
}

fn scale(s: &str) -> Result<f64, String> {
    let parsed = s.parse().ok().filter(|f: &f64| (1e-6..=1e6).contains(f));
    parsed.ok_or_else(|| "not a number above zero (0.5, 2)".to_owned())
}

fn setting(s: &str) -> Result<String, String> {
    match s.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok(s.to_owned()),
        _ => Err("not PARAMETER=VALUE".to_owned()),
    }
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    // Found out before minutes are spent on what would go into it.
    for file in [&args.markdown, &args.json, &args.svg].into_iter().flatten() {
        can_be_written(file)?;
    }
    if let Some(file) = &args.from {
        return show(args, &read(file)?);
    }
    let peers = if args.preload { preloaded(args)? } else { linked(args)? };
    let Some(first) = peers.first() else { return Err(bad_input("there is no allocator to run")) };
    let all: Vec<Workload> = first.ask("list")?;
    if args.over_time {
        return watch(args, peers, all);
    }
    let workloads = workloads::choose(all, &args.workload)?;
    if args.list {
        return list(&peers, &workloads);
    }
    workloads::check_parameters(&workloads, &args.set)?;
    let settings = settings(args);
    let machine = this_machine();
    let rows = measure::run(&peers, &workloads, &settings, Duration::from_secs(args.limit))?;
    let results = Results {
        kind: if args.preload { Kind::Preload } else { Kind::Workloads },
        gort: env!("CARGO_PKG_VERSION").to_owned(),
        machine,
        settings,
        allocators: peers.into_iter().map(|peer| peer.info).collect(),
        rows,
    };
    show(args, &results)
}

/// `--over-time`.
fn watch(args: &Args, mut peers: Vec<Peer>, all: Vec<Workload>) -> Result<(), Failure> {
    let spike = workloads::choose(all, &[over_time::WORKLOAD.to_owned()])?;
    let set = over_time::settings(args.quick, &args.set);
    workloads::check_parameters(&spike, &set)?;
    if let Some(ours) = peers.iter().position(|peer| peer.info.ours) {
        peers.insert(ours + 1, peers[ours].with(over_time::BACKGROUND));
    }
    let seed = args.seeds.first().copied().unwrap_or(USUAL.2[0]);
    let limit = Duration::from_secs(args.limit);
    let seen = over_time::run(&peers, this_machine(), seed, set, limit);
    write_out(args, |form| report::over_time(&seen, form), &seen, || chart::lines(&seen))?;
    match seen.failures().count() {
        0 => Ok(()),
        n => Err(failed(format!("{n} of {} allocators crashed", seen.series.len()))),
    }
}

/// Prints the results and writes the files.
fn show(args: &Args, results: &Results) -> Result<(), Failure> {
    let report = |form| report::write(results, args.details, form);
    write_out(args, report, results, || chart::dots(results))?;
    match results.failures().count() {
        0 => Ok(()),
        1 => Err(failed("one allocator crashed on one row")),
        n => Err(failed(format!("allocators crashed on {n} rows"))),
    }
}

fn write_out(
    args: &Args,
    report: impl Fn(Form) -> String,
    figures: &impl Serialize,
    chart: impl Fn() -> Result<String, String>,
) -> Result<(), Failure> {
    io::stdout().write_all(report(Form::Terminal).as_bytes())?;
    if let Some(file) = &args.markdown {
        save(file, &report(Form::Markdown))?;
    }
    if let Some(file) = &args.json {
        let text =
            serde_json::to_string_pretty(figures).map_err(|e| failed(format!("cannot write JSON: {e}")))?;
        save(file, &(text + "\n"))?;
    }
    if let Some(file) = &args.svg {
        save(file, &chart().map_err(|e| failed(format!("cannot draw the chart: {e}")))?)?;
    }
    Ok(())
}

/// One program for each allocator, built or found.
fn linked(args: &Args) -> Result<Vec<Peer>, Failure> {
    let names = |all: &[String]| peers::choose(all.to_vec(), &args.allocators, peers::OURS);
    if let Some(dir) = &args.binaries {
        let found = peers::in_directory(dir)?;
        let all: Vec<String> = found.iter().map(|(name, _)| name.clone()).collect();
        let chosen = names(&all)?;
        return found
            .into_iter()
            .filter(|(name, _)| chosen.contains(name))
            .map(|(name, program)| Peer::linked(&name, program))
            .collect();
    }
    let source = build::Source::find(args.source.as_deref())?;
    let targets = source.targets()?;
    let all: Vec<String> = targets.iter().map(|target| target.name.clone()).collect();
    let chosen = names(&all)?;
    let targets: Vec<_> = targets.into_iter().filter(|target| chosen.contains(&target.name)).collect();
    let mut peers = Vec::with_capacity(targets.len());
    for (number, target) in targets.iter().enumerate() {
        let what = format!("building {PREFIX}{} ({} of {})", target.name, number + 1, targets.len());
        let others: Vec<&str> = chosen
            .iter()
            .map(String::as_str)
            .filter(|name| *name != target.name && *name != peers::OURS)
            .collect();
        let leave_out = match target.name.as_str() {
            peers::OURS => "nothing can be compared without it".to_owned(),
            _ => format!("--allocators {} leaves it out", others.join(",")),
        };
        let program = source.build(target, &what, &leave_out)?;
        peers.push(Peer::linked(&target.name, program)?);
    }
    Ok(peers)
}

/// The program of glibc under each library.
fn preloaded(args: &Args) -> Result<Vec<Peer>, Failure> {
    let names = peers::choose(libraries::names(), &args.allocators, libraries::OURS)?;
    let installed: Vec<(String, Option<(Allocator, PathBuf)>)> = names
        .into_iter()
        .map(|name| match name.as_str() {
            libraries::OURS | libraries::NONE => Ok((name, None)),
            _ => libraries::installed(&name).map(|found| (name, Some(found))),
        })
        .collect::<Result<_, _>>()?;
    let (program, library) = match &args.binaries {
        Some(dir) => (dir.join(format!("{PREFIX}{}", libraries::NONE)), dir.join("libgort.so")),
        None => {
            let source = build::Source::find(args.source.as_deref())?;
            let target = source.targets()?.into_iter().find(|target| target.name == libraries::NONE);
            let target =
                target.ok_or_else(|| failed(format!("{} has no {PREFIX}glibc", source.path().display())))?;
            let program =
                source.build(&target, "building work-glibc", "nothing can be compared without it")?;
            (program, source.build_library("building libgort.so")?)
        }
    };
    libraries::at_work(&library)?;
    installed
        .into_iter()
        .map(|(name, found)| match found {
            None if name == libraries::NONE => Peer::linked(&name, program.clone()),
            None => {
                let version = env!("CARGO_PKG_VERSION").to_owned();
                let build = "release, preloaded".to_owned();
                let info = Allocator { name, version, build, ours: true };
                Peer::preloaded(info, program.clone(), library.clone())
            }
            Some((info, library)) => Peer::preloaded(info, program.clone(), library),
        })
        .collect()
}

fn settings(args: &Args) -> Settings {
    let (rounds, scale, seeds) = if args.quick { QUICK } else { USUAL };
    let is_allocators = |name: &str| ALLOCATOR_VARIABLES.iter().any(|prefix| name.starts_with(prefix));
    let environment: BTreeMap<String, String> = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| is_allocators(name))
        .collect();
    Settings {
        quick: args.quick,
        rounds: args.rounds.unwrap_or(rounds),
        seeds: if args.seeds.is_empty() { seeds.to_vec() } else { args.seeds.clone() },
        scale: args.scale.unwrap_or(scale),
        set: args.set.clone(),
        environment,
    }
}

fn this_machine() -> Machine {
    let unknown = || "unknown".to_owned();
    Machine {
        processor: machine::cpu().unwrap_or_else(unknown),
        cores: machine::processors(),
        memory_bytes: machine::physical_memory().unwrap_or(0) as u64,
        kernel: machine::kernel().unwrap_or_else(unknown),
        huge_pages: machine::huge_pages().unwrap_or_else(unknown),
        load: machine::load().unwrap_or(0.0),
    }
}

fn list(peers: &[Peer], workloads: &[Workload]) -> Result<(), Failure> {
    let mut out = io::stdout();
    writeln!(out, "Allocators:")?;
    for peer in peers {
        writeln!(out, "  {:<12} {}, {}", peer.name(), peer.info.version, peer.info.build)?;
    }
    let mut group = "";
    for workload in workloads {
        if workload.group != group {
            group = &workload.group;
            writeln!(out, "\n{group}:")?;
        }
        writeln!(out, "  {:<20} {}", workload.name, workload.about)?;
        let parameters: Vec<&str> = workload.parameters.iter().map(|p| p.name.as_str()).collect();
        if !parameters.is_empty() {
            writeln!(out, "  {:<20} parameters: {}", "", parameters.join(", "))?;
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<Results, Failure> {
    let text = fs::read_to_string(file)
        .map_err(|e| bad_input(format!("--from: cannot read {}: {e}", file.display())))?;
    let results: Results = serde_json::from_str(&text).map_err(|e| {
        bad_input(format!("--from: {} was not written by gort compare --json: {e}", file.display()))
    })?;
    if results.rows.iter().any(|row| row.cells.len() != results.allocators.len()) {
        return Err(bad_input(format!(
            "--from: {} does not have every allocator in every row",
            file.display()
        )));
    }
    Ok(results)
}

fn can_be_written(file: &Path) -> Result<(), Failure> {
    // Neither cut short nor left behind: there may be results of an earlier run in it.
    let there = file.exists();
    fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)
        .map_err(|e| bad_input(format!("cannot write {}: {e}", file.display())))?;
    if !there {
        let _ = fs::remove_file(file);
    }
    Ok(())
}

fn save(file: &Path, text: &str) -> Result<(), Failure> {
    fs::write(file, text).map_err(|e| failed(format!("cannot write {}: {e}", file.display())))
}
