//! `gort compare`: gort and other allocators on the same work in the same run, in turns, in time and in memory.

mod build;
mod chart;
mod child;
mod judged;
mod libraries;
mod measure;
mod options;
mod over_time;
mod peers;
mod programs;
mod progress;
mod report;
mod results;
mod schedule;
mod statistics;
mod tables;
mod workloads;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, iter};

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, bad_input, failed};
use crate::machine;
pub(crate) use options::Args;
use options::{USUAL, settings};
use over_time::{OverTime, Watched};
use peers::{PREFIX, Peer};
use results::{Allocator, Kind, Machine, Results, Settings};
use tables::Form;
use workloads::Workload;

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    // Found out before minutes are spent on what would go into it.
    [&args.markdown, &args.json, &args.svg]
        .into_iter()
        .flatten()
        .try_for_each(|file| can_be_written(file))?;
    if let Some(file) = &args.from {
        return match read(file)? {
            Earlier::Comparison(results) => show(args, &results),
            Earlier::OverTime(seen) => show_over_time(args, &seen),
        };
    }
    if args.over_time && args.seeds.len() > 1 {
        return Err(bad_input("--over-time watches one load, so --seeds takes one seed there"));
    }
    if args.programs {
        return programs(args);
    }
    // Before anything is built: that is no other work.
    let machine = this_machine();
    let mut peers = if args.preload { preloaded(args)? } else { linked(args)? };
    let Some(first) = peers.next().transpose()? else {
        return Err(bad_input("there is no allocator to run"));
    };
    // What there is not is found out before the others are built, which takes minutes.
    let workloads = asked(args, &first)?;
    let peers: Vec<Peer> = iter::once(Ok(first)).chain(peers).collect::<Result<_, _>>()?;
    if args.over_time {
        return watch(args, peers, machine);
    }
    if args.list {
        return list(&peers, &workloads);
    }
    let settings = settings(args);
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

/// `--programs`.
fn programs(args: &Args) -> Result<(), Failure> {
    let chosen = peers::choose(programs::names(), &args.allocators, programs::OURS)?;
    // What all others are held against there.
    let with_glibc = |name: &String| chosen.contains(name) || name == libraries::NONE;
    let chosen: Vec<String> = programs::names().into_iter().filter(with_glibc).collect();
    let source = build::Source::find(args.source.as_deref())?;
    let settings = Settings { seeds: Vec::new(), scale: 1.0, ..settings(args) };
    let machine = this_machine();
    let (allocators, rows) = programs::run(&source, &chosen, &args.workload, &settings)?;
    let gort = env!("CARGO_PKG_VERSION").to_owned();
    show(args, &Results { kind: Kind::Programs, gort, machine, settings, allocators, rows })
}

/// The workloads that are asked for, of those that a program knows, with their parameters.
fn asked(args: &Args, peer: &Peer) -> Result<Vec<Workload>, Failure> {
    let all: Vec<Workload> = peer.ask("list")?;
    let (names, set) = if args.over_time {
        let watched = Watched::choose(&args.workload)?;
        (vec![watched.name.to_owned()], watched.settings(args.quick, &args.set))
    } else {
        (args.workload.clone(), args.set.clone())
    };
    let chosen = workloads::choose(all, &names)?;
    workloads::check_parameters(&chosen, &set)?;
    Ok(chosen)
}

/// `--over-time`.
fn watch(args: &Args, mut peers: Vec<Peer>, machine: Machine) -> Result<(), Failure> {
    let watched = Watched::choose(&args.workload)?;
    let set = watched.settings(args.quick, &args.set);
    if let Some(ours) = peers.iter().position(|peer| peer.info.ours) {
        peers.insert(ours + 1, peers[ours].with(over_time::BACKGROUND));
    }
    let seed = args.seeds.first().copied().unwrap_or(USUAL.2[0]);
    let limit = Duration::from_secs(args.limit);
    let seen = over_time::run(&peers, machine, watched, seed, set, limit);
    show_over_time(args, &seen)
}

fn show_over_time(args: &Args, seen: &OverTime) -> Result<(), Failure> {
    write_out(args, |form| report::over_time(seen, form), seen, || chart::lines(seen))?;
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
        n => Err(failed(format!("allocators crashed in {n} places of the table"))),
    }
}

fn write_out(
    args: &Args,
    report: impl Fn(Form) -> String,
    figures: &impl Serialize,
    chart: impl Fn() -> Result<String, String>,
) -> Result<(), Failure> {
    // Files first: nobody may be reading any more what is printed. One that fails keeps nothing else from being told.
    let json = || {
        let text = serde_json::to_string_pretty(figures);
        text.map(|text| text + "\n").map_err(|e| failed(format!("cannot write JSON: {e}")))
    };
    let chart = || chart().map_err(|e| failed(format!("cannot draw the chart: {e}")));
    let saved = [
        args.markdown.as_ref().map(|file| save(file, &report(Form::Markdown))),
        args.json.as_ref().map(|file| json().and_then(|text| save(file, &text))),
        args.svg.as_ref().map(|file| chart().and_then(|text| save(file, &text))),
    ];
    io::stdout().write_all(report(Form::Terminal).as_bytes())?;
    saved.into_iter().flatten().collect()
}

/// What can be run, each built only when it is asked for.
type Peers<'a> = Box<dyn Iterator<Item = Result<Peer, Failure>> + 'a>;

/// One program for each allocator, built or found.
fn linked(args: &Args) -> Result<Peers<'_>, Failure> {
    let names = |all: &[String]| peers::choose(all.to_vec(), &args.allocators, peers::OURS);
    if let Some(dir) = &args.binaries {
        let found = peers::in_directory(dir)?;
        let all: Vec<String> = found.iter().map(|(name, _)| name.clone()).collect();
        let chosen = names(&all)?;
        let found = found.into_iter().filter(move |(name, _)| chosen.contains(name));
        return Ok(Box::new(found.map(|(name, program)| Peer::linked(&name, program))));
    }
    let source = build::Source::find(args.source.as_deref())?;
    let targets = source.targets()?;
    let all: Vec<String> = targets.iter().map(|target| target.name.clone()).collect();
    let chosen = names(&all)?;
    let targets: Vec<_> = targets.into_iter().filter(|target| chosen.contains(&target.name)).collect();
    let count = targets.len();
    Ok(Box::new(targets.into_iter().enumerate().map(move |(number, target)| {
        let what = format!("building {PREFIX}{} ({} of {count})", target.name, number + 1);
        let others: Vec<&str> = chosen
            .iter()
            .map(String::as_str)
            .filter(|name| *name != target.name && *name != peers::OURS)
            .collect();
        let leave_out = match target.name.as_str() {
            peers::OURS => "nothing can be compared without it".to_owned(),
            _ if others.is_empty() => "there is no other to hold gort against".to_owned(),
            _ => format!("--allocators {} leaves it out", others.join(",")),
        };
        let program = source.build(&target, &what, &leave_out)?;
        Peer::linked(&target.name, program)
    })))
}

/// The program of glibc under each library.
fn preloaded(args: &Args) -> Result<Peers<'_>, Failure> {
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
    Ok(Box::new(installed.into_iter().map(move |(name, found)| match found {
        None if name == libraries::NONE => Peer::linked(&name, program.clone()),
        None => {
            let version = env!("CARGO_PKG_VERSION").to_owned();
            let build = "release, preloaded".to_owned();
            let info = Allocator { name, version, build, ours: true };
            Peer::preloaded(info, program.clone(), library.clone())
        }
        Some((info, library)) => Peer::preloaded(info, program.clone(), library),
    })))
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

/// What a file of `--json` may hold.
#[derive(Deserialize)]
#[serde(untagged)]
enum Earlier {
    Comparison(Results),
    OverTime(OverTime),
}

fn read(file: &Path) -> Result<Earlier, Failure> {
    let name = file.display();
    let text = fs::read_to_string(file).map_err(|e| bad_input(format!("--from: cannot read {name}: {e}")))?;
    parse(&text).map_err(|why| bad_input(format!("--from: {name} {why}")))
}

fn parse(text: &str) -> Result<Earlier, &'static str> {
    let earlier = serde_json::from_str(text).map_err(|_| "was not written by gort compare --json")?;
    match &earlier {
        Earlier::Comparison(results)
            if results.rows.iter().any(|row| row.cells.len() != results.allocators.len()) =>
        {
            Err("does not have every allocator in every row")
        }
        _ => Ok(earlier),
    }
}

/// Reads bytes as results of an earlier run, and shows them in every form.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn fuzz(bytes: &[u8]) {
    let Some(earlier) = str::from_utf8(bytes).ok().and_then(|text| parse(text).ok()) else { return };
    for form in [Form::Terminal, Form::Markdown] {
        let text = match &earlier {
            Earlier::Comparison(results) => {
                report::write(results, true, form) + &report::write(results, false, form)
            }
            Earlier::OverTime(seen) => report::over_time(seen, form),
        };
        assert!(!text.is_empty());
    }
    // A chart of odd figures may be refused, and must not end the command otherwise.
    let _ = match &earlier {
        Earlier::Comparison(results) => chart::dots(results),
        Earlier::OverTime(seen) => chart::lines(seen),
    };
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
