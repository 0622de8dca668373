//! Runs the workloads on all allocators, in turns.

use std::io;
use std::time::{Duration, Instant};

use super::child;
use super::peers::Peer;
use super::progress::Progress;
use super::results::{Cell, Row, Run, Settings};
use super::schedule::{self, Turn};
use super::workloads::{Report, Workload};
use crate::failure::{Failure, failed};

/// What one row's runs have come to.
struct Sum {
    checksum: String,
    operations: u64,
    /// Whose it was.
    allocator: usize,
}

/// Runs everything. A run that fails is noted and its allocator does not run on that row again; different results are the end.
pub(super) fn run(
    peers: &[Peer],
    workloads: &[Workload],
    settings: &Settings,
    limit: Duration,
) -> Result<Vec<Row>, Failure> {
    let mut rows: Vec<Row> = workloads
        .iter()
        .flat_map(|workload| settings.seeds.iter().map(|seed| empty(workload, *seed, peers.len())))
        .collect();
    let mut sums: Vec<Option<Sum>> = rows.iter().map(|_| None).collect();
    let turns: Vec<Turn> = schedule::turns(settings.rounds, rows.len(), peers.len()).collect();
    let mut progress = Progress::new(&turns, settings.rounds, rows.len());
    for turn in turns {
        let (row, peer) = (&mut rows[turn.row], &peers[turn.allocator]);
        if row.cells[turn.allocator].failure.is_some() {
            progress.ended(turn, None);
            continue;
        }
        progress.begins(turn, &row.label(), peer.name());
        peer.unchanged()?;
        let start = Instant::now();
        let outcome = one(peer, row, turn, settings, limit)
            .map_err(|e| failed(format!("cannot run {}: {e}", peer.name())))?;
        progress.ended(turn, Some(start.elapsed()));
        match outcome {
            Ok((run, report)) => {
                agree(&mut sums[turn.row], &report, row, peers, turn).inspect_err(|_| progress.finish())?;
                row.cells[turn.allocator].runs.push(run);
            }
            Err(failure) => {
                progress.warn(&format!("{}, {}: {failure}", row.label(), peer.name()));
                row.cells[turn.allocator].failure = Some(failure);
            }
        }
    }
    progress.finish();
    for (row, sum) in rows.iter_mut().zip(sums) {
        row.operations = sum.as_ref().map(|sum| sum.operations);
        row.checksum = sum.map(|sum| sum.checksum);
    }
    Ok(rows)
}

fn empty(workload: &Workload, seed: u64, allocators: usize) -> Row {
    Row {
        name: workload.name.clone(),
        group: workload.group.clone(),
        about: workload.about.clone(),
        seed: Some(seed),
        checksum: None,
        operations: None,
        cells: (0..allocators).map(|_| Cell::default()).collect(),
    }
}

/// One run, or why it failed.
fn one(
    peer: &Peer,
    row: &Row,
    turn: Turn,
    settings: &Settings,
    limit: Duration,
) -> io::Result<Result<(Run, Report), String>> {
    let mut command = peer.command();
    let seed = row.seed.unwrap_or_default();
    command.args(["run", &row.name, "--seed", &seed.to_string(), "--scale", &settings.scale.to_string()]);
    for setting in &settings.set {
        command.args(["--set", setting]);
    }
    let ended = child::run(&mut command, limit, None)?;
    if let Some(failure) = ended.failure {
        return Ok(Err(failure));
    }
    let report: Report = match serde_json::from_str(&ended.stdout) {
        Ok(report) => report,
        Err(e) => return Ok(Err(format!("its output is no report: {e}"))),
    };
    if (report.workload.as_str(), report.seed) != (row.name.as_str(), seed) {
        return Ok(Err(format!("it reports {} with seed {}", report.workload, report.seed)));
    }
    if !report.seconds.is_finite() || report.seconds <= 0.0 {
        return Ok(Err(format!("it reports {} seconds", report.seconds)));
    }
    let usage = ended.usage;
    let run = Run {
        round: turn.round,
        position: Some(turn.position),
        seconds: report.seconds,
        wall_seconds: usage.wall_seconds,
        user_seconds: usage.user_seconds,
        system_seconds: Some(usage.system_seconds),
        peak_kib: usage.peak_kib as f64,
        minor_faults: Some(usage.minor_faults),
        major_faults: Some(usage.major_faults),
    };
    Ok(Ok((run, report)))
}

/// All runs of a row do the same work, so they must come to the same.
fn agree(
    sum: &mut Option<Sum>,
    report: &Report,
    row: &Row,
    peers: &[Peer],
    turn: Turn,
) -> Result<(), Failure> {
    let Some(first) = sum else {
        *sum = Some(Sum {
            checksum: report.checksum.clone(),
            operations: report.operations,
            allocator: turn.allocator,
        });
        return Ok(());
    };
    if (&first.checksum, first.operations) == (&report.checksum, report.operations) {
        return Ok(());
    }
    Err(failed(format!(
        "{}: {} comes to checksum {} after {} operations, and {} to {} after {}: one of them has damaged memory, or the workload \
         depends on more than its seed",
        row.label(),
        peers[first.allocator].name(),
        first.checksum.escape_debug(),
        first.operations,
        peers[turn.allocator].name(),
        report.checksum.escape_debug(),
        report.operations,
    )))
}
