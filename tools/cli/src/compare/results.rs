//! What was measured: what `--json` writes and `--from` reads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Everything that was measured, and on what.
#[derive(Serialize, Deserialize)]
pub(super) struct Results {
    /// What a row is.
    pub(super) kind: Kind,
    /// Version of gort.
    pub(super) gort: String,
    pub(super) machine: Machine,
    pub(super) settings: Settings,
    pub(super) allocators: Vec<Allocator>,
    pub(super) rows: Vec<Row>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// A workload of `benches/` with one seed, linked with each allocator.
    Workloads,
    /// The same, linked with none and each allocator preloaded.
    Preload,
    /// A program of `tests/programs`, each allocator preloaded.
    Programs,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Machine {
    pub(super) processor: String,
    pub(super) cores: usize,
    pub(super) memory_bytes: u64,
    pub(super) kernel: String,
    pub(super) huge_pages: String,
    /// When it began.
    pub(super) load: f64,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) quick: bool,
    pub(super) rounds: u32,
    pub(super) seeds: Vec<u64>,
    pub(super) scale: f64,
    pub(super) set: Vec<String>,
    /// Variables that change allocators, as they were.
    pub(super) environment: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Allocator {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) build: String,
    /// It is gort.
    pub(super) ours: bool,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) group: String,
    pub(super) about: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) seed: Option<u64>,
    /// What every run of the row must come to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) checksum: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) operations: Option<u64>,
    /// One for each allocator, in their order.
    pub(super) cells: Vec<Cell>,
}

/// One allocator on one row.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Cell {
    pub(super) runs: Vec<Run>,
    /// Why there are no more runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
}

/// One run of one process.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) round: u32,
    /// Which of its row's runs in the round it was, from 0, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) position: Option<usize>,
    /// The work itself.
    pub(super) seconds: f64,
    /// All of the process.
    pub(super) wall_seconds: f64,
    /// Where system time is missing, that is in it.
    pub(super) user_seconds: f64,
    /// What only the kernel counts is missing where a program is more than one process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) system_seconds: Option<f64>,
    pub(super) peak_kib: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) minor_faults: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) major_faults: Option<u64>,
}

impl Row {
    /// `larson seed 2`.
    pub(super) fn label(&self) -> String {
        match self.seed {
            Some(seed) => format!("{} seed {seed}", self.name),
            None => self.name.clone(),
        }
    }
}

impl Cell {
    /// Figures of all runs; none if any run failed: those before it may have been the easy ones.
    pub(super) fn figures(&self, of: impl Fn(&Run) -> Option<f64>) -> Option<Vec<f64>> {
        if self.failure.is_some() || self.runs.is_empty() {
            return None;
        }
        self.runs.iter().map(of).collect()
    }
}

impl Results {
    /// Which allocator is gort.
    pub(super) fn ours(&self) -> Option<usize> {
        self.allocators.iter().position(|a| a.ours)
    }

    /// What failed: row, allocator, why.
    pub(super) fn failures(&self) -> impl Iterator<Item = (&Row, &Allocator, &str)> {
        self.rows.iter().flat_map(|row| {
            row.cells
                .iter()
                .zip(&self.allocators)
                .filter_map(move |(cell, allocator)| Some((row, allocator, cell.failure.as_deref()?)))
        })
    }
}
