//! `gort compare --over-time`: what a process holds while a load comes and after it has gone, or while it changes.

use std::fs;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::child;
use super::peers::Peer;
use super::progress::Step;
use super::results::{Allocator, Machine};
use super::workloads::{Mark, Report};
use crate::failure::{Failure, bad_input};

/// A workload that is watched, and what it is made to do.
pub(super) struct Watched {
    pub(super) name: &'static str,
    usual: &'static [&'static str],
    quick: &'static [&'static str],
}

/// The first is watched where none is named.
pub(super) const WATCHED: [Watched; 2] = [
    // Half a GiB on each of two threads, and ten seconds afterwards.
    Watched {
        name: "spike",
        usual: &["spikes=1", "objects=4m", "hold=10000"],
        quick: &["spikes=1", "objects=512k", "hold=3000"],
    },
    // A server for most of a minute: each second another mix of sizes and another amount, and survivors of up to a dozen phases.
    Watched {
        name: "phases",
        usual: &["phases=48", "bytes=128m", "threads=2", "mixes=24", "lives=12", "pace=1000"],
        quick: &["phases=12", "bytes=32m", "threads=2", "mixes=12", "lives=4", "pace=250"],
    },
];
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
    #[serde(default)]
    pub(super) seed: u64,
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
    /// The most that was resident, by the kernel's own count: a peak may be over before the next look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    peak_kib: Option<f64>,
    /// What a workload of phases saw itself: in each phase when it was full, and when it was over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) marks: Vec<Mark>,
    /// Why there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
}

impl OverTime {
    /// Whether it is a workload of phases.
    pub(super) fn is_phases(&self) -> bool {
        self.series.iter().any(|s| !s.marks.is_empty())
    }

    /// What failed.
    pub(super) fn failures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.series.iter().filter_map(|s| Some((s.allocator.name.as_str(), s.failure.as_deref()?)))
    }
}

impl Series {
    /// The points with the start of the process as second 0, or the end of the load.
    pub(super) fn line(&self, of_phases: bool) -> impl Iterator<Item = (f64, f64)> {
        let origin = if of_phases { 0.0 } else { self.work_seconds };
        self.points.iter().map(move |(seconds, kib)| (seconds - origin, *kib))
    }

    /// The marks of full phases, and of those that were over.
    pub(super) fn phases(&self, full: bool) -> impl Iterator<Item = &Mark> {
        self.marks.iter().skip(usize::from(!full)).step_by(2)
    }

    /// What was resident on average while the load ran.
    pub(super) fn mean(&self) -> Option<f64> {
        let during: Vec<f64> =
            self.points.iter().filter(|(at, _)| *at <= self.work_seconds).map(|(_, kib)| *kib).collect();
        (!during.is_empty()).then(|| during.iter().sum::<f64>() / during.len() as f64)
    }

    pub(super) fn peak(&self) -> f64 {
        self.points.iter().map(|(_, kib)| *kib).chain(self.peak_kib).fold(0.0, f64::max)
    }

    /// What was resident so many seconds after the load, if the process was still there.
    pub(super) fn at(&self, seconds: f64) -> Option<f64> {
        self.line(false).find(|(at, _)| *at >= seconds).map(|(_, kib)| kib)
    }

    /// The last that was seen.
    pub(super) fn last(&self) -> Option<f64> {
        self.points.last().map(|(_, kib)| *kib)
    }
}

impl Watched {
    /// The one that is asked for.
    pub(super) fn choose(asked: &[String]) -> Result<&'static Self, Failure> {
        let names = || WATCHED.iter().map(|w| w.name).collect::<Vec<_>>().join(" or ");
        match asked {
            [] => Ok(&WATCHED[0]),
            [name] => WATCHED.iter().find(|w| w.name == name).ok_or_else(|| {
                bad_input(format!("--over-time watches {}, not '{}'", names(), name.escape_debug()))
            }),
            _ => Err(bad_input(format!("--over-time watches one workload, {}", names()))),
        }
    }

    /// What it is told; what is set by hand comes last and holds.
    pub(super) fn settings(&self, quick: bool, by_hand: &[String]) -> Vec<String> {
        let usual = if quick { self.quick } else { self.usual };
        usual.iter().map(|s| (*s).to_owned()).chain(by_hand.iter().cloned()).collect()
    }
}

/// Runs the load once on each allocator.
pub(super) fn run(
    peers: &[Peer],
    machine: Machine,
    workload: &Watched,
    seed: u64,
    set: Vec<String>,
    limit: Duration,
) -> OverTime {
    let mut series = Vec::with_capacity(peers.len());
    for (number, peer) in peers.iter().enumerate() {
        let step = Step::new(&format!("watching {} ({} of {})", peer.name(), number + 1, peers.len()));
        let seen = watch(peer, workload.name, seed, &set, limit);
        step.done();
        series.push(seen.unwrap_or_else(|failure| Series {
            allocator: peer.info.clone(),
            work_seconds: 0.0,
            points: Vec::new(),
            peak_kib: None,
            marks: Vec::new(),
            failure: Some(failure),
        }));
    }
    let gort = env!("CARGO_PKG_VERSION").to_owned();
    OverTime { gort, machine, workload: workload.name.to_owned(), seed, set, series }
}

/// What was seen, or why nothing was.
fn watch(peer: &Peer, workload: &str, seed: u64, set: &[String], limit: Duration) -> Result<Series, String> {
    let mut command = peer.command();
    command.args(["run", workload, "--seed", &seed.to_string()]);
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
    Ok(Series {
        allocator: peer.info.clone(),
        work_seconds: report.seconds,
        points,
        peak_kib: Some(ended.usage.peak_kib as f64),
        marks: report.marks,
        failure: None,
    })
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
        let series =
            Series { allocator, work_seconds: 2.0, points, peak_kib: None, marks: vec![], failure: None };
        assert_eq!((series.peak(), series.last()), (900.0, Some(300.0)));
        assert_eq!((series.at(0.0), series.at(1.0), series.at(5.0)), (Some(700.0), Some(300.0), None));
        assert_eq!(series.line(false).next(), Some((-1.5, 100.0)));
    }

    #[test]
    fn what_is_set_by_hand_comes_last() {
        let set = WATCHED[0].settings(true, &["hold=1".to_owned()]);
        assert_eq!(set.last().map(String::as_str), Some("hold=1"));
    }

    #[test]
    fn marks_are_of_full_phases_and_of_those_that_are_over() {
        let mark = |live| Mark { seconds: 0.0, live, resident: 2 * live };
        let allocator =
            Allocator { name: "a".to_owned(), version: String::new(), build: String::new(), ours: true };
        let marks = vec![mark(8), mark(1), mark(6), mark(2)];
        let points = vec![(0.5, 100.0), (1.5, 200.0), (2.5, 900.0)];
        let series =
            Series { allocator, work_seconds: 2.0, points, peak_kib: Some(950.0), marks, failure: None };
        let live = |full| series.phases(full).map(|mark| mark.live).collect::<Vec<_>>();
        assert_eq!((live(true), live(false)), (vec![8, 6], vec![1, 2]));
        assert_eq!((series.mean(), series.peak(), series.marks[0].ratio()), (Some(150.0), 950.0, 2.0));
        assert_eq!(series.line(true).next(), Some((0.5, 100.0)));
    }
}
