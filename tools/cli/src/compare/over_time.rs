//! `gort compare --over-time`: what a process holds while a load comes and after it has gone.

use std::fs;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::child;
use super::peers::Peer;
use super::progress::Step;
use super::results::{Allocator, Machine};
use super::workloads::Report;

/// The workload, and what it is made to do: half a GiB on each of two threads, and ten seconds afterwards.
pub(super) const WORKLOAD: &str = "spike";
const USUAL: [&str; 3] = ["spikes=1", "objects=4m", "hold=10000"];
const QUICK: [&str; 3] = ["spikes=1", "objects=512k", "hold=3000"];
/// How often a process is looked at.
const EVERY: Duration = Duration::from_millis(50);
/// The variable with which gort gives memory back while the process sleeps.
pub(super) const BACKGROUND: (&str, &str) = ("GODEBUG", "scavthread=1");

/// Everything that was seen.
#[derive(Serialize, Deserialize)]
pub(super) struct OverTime {
    pub(super) gort: String,
    pub(super) machine: Machine,
    pub(super) workload: String,
    pub(super) set: Vec<String>,
    pub(super) series: Vec<Series>,
}

/// One process.
#[derive(Serialize, Deserialize)]
pub(super) struct Series {
    pub(super) allocator: Allocator,
    /// What the load took. The process began a moment before.
    pub(super) work_seconds: f64,
    /// Seconds since the start of the process, and the KiB of it that were resident.
    pub(super) points: Vec<(f64, f64)>,
    /// Why there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
}

impl OverTime {
    /// What failed.
    pub(super) fn failures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.series.iter().filter_map(|s| Some((s.allocator.name.as_str(), s.failure.as_deref()?)))
    }
}

impl Series {
    /// The points with the end of the load as second 0.
    pub(super) fn after_load(&self) -> impl Iterator<Item = (f64, f64)> {
        self.points.iter().map(|(seconds, kib)| (seconds - self.work_seconds, *kib))
    }

    pub(super) fn peak(&self) -> f64 {
        self.points.iter().map(|(_, kib)| *kib).fold(0.0, f64::max)
    }

    /// What was resident so many seconds after the load, if the process was still there.
    pub(super) fn at(&self, seconds: f64) -> Option<f64> {
        self.after_load().find(|(at, _)| *at >= seconds).map(|(_, kib)| kib)
    }

    /// The last that was seen.
    pub(super) fn last(&self) -> Option<f64> {
        self.points.last().map(|(_, kib)| *kib)
    }
}

/// What the workload is told; what is set by hand comes last and holds.
pub(super) fn settings(quick: bool, by_hand: &[String]) -> Vec<String> {
    let usual = if quick { QUICK } else { USUAL };
    usual.iter().map(|s| (*s).to_owned()).chain(by_hand.iter().cloned()).collect()
}

/// Runs the load once on each allocator.
pub(super) fn run(
    peers: &[Peer],
    machine: Machine,
    seed: u64,
    set: Vec<String>,
    limit: Duration,
) -> OverTime {
    let mut series = Vec::with_capacity(peers.len());
    for (number, peer) in peers.iter().enumerate() {
        let step = Step::new(&format!("watching {} ({} of {})", peer.name(), number + 1, peers.len()));
        let (work_seconds, points, failure) = match watch(peer, seed, &set, limit) {
            Ok((work_seconds, points)) => (work_seconds, points, None),
            Err(failure) => (0.0, Vec::new(), Some(failure)),
        };
        step.done();
        series.push(Series { allocator: peer.info.clone(), work_seconds, points, failure });
    }
    let gort = env!("CARGO_PKG_VERSION").to_owned();
    OverTime { gort, machine, workload: WORKLOAD.to_owned(), set, series }
}

/// Seconds of the load, and the points; or why there are none.
fn watch(peer: &Peer, seed: u64, set: &[String], limit: Duration) -> Result<(f64, Vec<(f64, f64)>), String> {
    let mut command = peer.command();
    command.args(["run", WORKLOAD, "--seed", &seed.to_string()]);
    for setting in set {
        command.args(["--set", setting]);
    }
    let (start, page_kib) = (Instant::now(), child::page_kib() as f64);
    let mut points = Vec::new();
    let mut look = |pid: u32| {
        // One that has just ended has no memory any more.
        if let Some(pages) = resident_pages(pid).filter(|pages| *pages > 0.0) {
            points.push((start.elapsed().as_secs_f64(), pages * page_kib));
        }
    };
    let ended = child::run(&mut command, limit, Some((EVERY, &mut look))).map_err(|e| e.to_string())?;
    if let Some(failure) = ended.failure {
        return Err(failure);
    }
    let report: Report =
        serde_json::from_str(&ended.stdout).map_err(|e| format!("its output is no report: {e}"))?;
    if points.is_empty() {
        return Err(format!("it ended within {} ms, too soon to see anything", EVERY.as_millis()));
    }
    Ok((report.seconds, points))
}

fn resident_pages(pid: u32) -> Option<f64> {
    fs::read_to_string(format!("/proc/{pid}/statm")).ok()?.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_count_from_the_end_of_the_load() {
        let allocator =
            Allocator { name: "a".to_owned(), version: String::new(), build: String::new(), ours: true };
        let points = vec![(0.5, 100.0), (1.5, 900.0), (2.5, 700.0), (3.5, 300.0)];
        let series = Series { allocator, work_seconds: 2.0, points, failure: None };
        assert_eq!((series.peak(), series.last()), (900.0, Some(300.0)));
        assert_eq!((series.at(0.0), series.at(1.0), series.at(5.0)), (Some(700.0), Some(300.0), None));
        assert_eq!(series.after_load().next(), Some((-1.5, 100.0)));
    }

    #[test]
    fn what_is_set_by_hand_comes_last() {
        assert_eq!(settings(true, &["hold=1".to_owned()]).last().map(String::as_str), Some("hold=1"));
    }
}
