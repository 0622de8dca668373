//! What the figures say: medians and spreads, gort beside the best of the others on each row, and means over all rows.

use super::results::{Allocator, Cell, Results, Row, Run};
use super::statistics::{Figure, Verdict, geometric_mean, judge};

/// So many peers, the fastest on a row, are those whose memory counts: to be lean and slow is easy.
const FASTEST: usize = 3;

/// Time or memory: less is better.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Measure {
    Time,
    Peak,
}

impl Measure {
    fn of(self, run: &Run) -> f64 {
        match self {
            Self::Time => run.seconds,
            Self::Peak => run.peak_kib,
        }
    }

    /// Of all runs of an allocator on a row.
    pub(super) fn figure(self, cell: &Cell) -> Option<Figure> {
        Figure::of(cell.figures(|run| Some(self.of(run)))?)
    }
}

/// All rows under one measure.
pub(super) struct Judged<'a> {
    pub(super) measure: Measure,
    pub(super) allocators: &'a [Allocator],
    pub(super) rows: Vec<JudgedRow<'a>>,
    /// Of each allocator to the best of the row, gort among them, over the rows that it has completed.
    pub(super) means: Vec<Mean>,
    /// Of gort to the peer that it is held against.
    pub(super) against_peer: Mean,
}

/// A geometric mean over so many rows.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Mean {
    pub(super) ratio: Option<f64>,
    pub(super) rows: usize,
}

pub(super) struct JudgedRow<'a> {
    pub(super) row: &'a Row,
    /// One for each allocator that has completed the row.
    pub(super) figures: Vec<Option<Figure>>,
    /// The least median of all.
    pub(super) best: Option<f64>,
    pub(super) contest: Contest,
}

/// gort beside a peer.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Contest {
    /// gort is not among the allocators, or no peer has completed the row.
    None,
    /// gort has not completed the row.
    Failed,
    Held {
        /// For time the fastest; for memory the leanest of the fastest.
        peer: usize,
        ratio: f64,
        /// The wider one of the two, as a part of the peer's median: the verdict is noise if `ratio` is nearer to 1 than that.
        spread: Option<f64>,
        verdict: Verdict,
    },
}

/// How many rows have which end.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Tally {
    pub(super) won: usize,
    pub(super) noise: usize,
    pub(super) lost: usize,
    pub(super) failed: usize,
}

impl<'a> Judged<'a> {
    pub(super) fn new(results: &'a Results, measure: Measure) -> Self {
        let ours = results.ours();
        let rows: Vec<_> = results.rows.iter().map(|row| JudgedRow::new(row, ours, measure)).collect();
        let means = (0..results.allocators.len())
            .map(|a| {
                Mean::of(rows.iter().filter_map(|row| Some(row.figures[a].as_ref()?.median / row.best?)))
            })
            .collect();
        let against_peer = Mean::of(rows.iter().filter_map(|row| match row.contest {
            Contest::Held { ratio, .. } => Some(ratio),
            _ => None,
        }));
        Self { measure, allocators: &results.allocators, rows, means, against_peer }
    }

    pub(super) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for row in &self.rows {
            match row.contest {
                Contest::None => {}
                Contest::Failed => tally.failed += 1,
                Contest::Held { verdict: Verdict::Won, .. } => tally.won += 1,
                Contest::Held { verdict: Verdict::Noise, .. } => tally.noise += 1,
                Contest::Held { verdict: Verdict::Lost, .. } => tally.lost += 1,
            }
        }
        tally
    }

    /// The row on which gort is farthest behind, if it is behind on any for certain: its label, ratio and peer.
    pub(super) fn worst(&self) -> Option<(String, f64, &'a str)> {
        let lost = self.rows.iter().filter_map(|row| match row.contest {
            Contest::Held { peer, ratio, verdict: Verdict::Lost, .. } => Some((row, ratio, peer)),
            _ => None,
        });
        let (row, ratio, peer) = lost.max_by(|a, b| a.1.total_cmp(&b.1))?;
        Some((row.row.label(), ratio, &self.allocators[peer].name))
    }
}

impl Mean {
    fn of(ratios: impl Iterator<Item = f64>) -> Self {
        let ratios: Vec<f64> = ratios.collect();
        Self { ratio: geometric_mean(&ratios), rows: ratios.len() }
    }
}

impl<'a> JudgedRow<'a> {
    fn new(row: &'a Row, ours: Option<usize>, measure: Measure) -> Self {
        let figures: Vec<_> = row.cells.iter().map(|cell| measure.figure(cell)).collect();
        let best = figures.iter().flatten().map(|f| f.median).min_by(f64::total_cmp);
        let contest = match ours {
            None => Contest::None,
            Some(ours) => contest(row, &figures, ours),
        };
        Self { row, figures, best, contest }
    }

    /// An allocator's median to the best.
    pub(super) fn ratio(&self, allocator: usize) -> Option<f64> {
        Some(self.figures[allocator]?.median / self.best?)
    }
}

fn contest(row: &Row, figures: &[Option<Figure>], ours: usize) -> Contest {
    let Some(our_figure) = figures[ours] else { return Contest::Failed };
    let time = |peer: usize| Measure::Time.figure(&row.cells[peer]).map(|f| f.median);
    let mut peers: Vec<(usize, f64)> =
        (0..figures.len()).filter(|p| *p != ours).filter_map(|p| Some((p, time(p)?))).collect();
    peers.sort_by(|a, b| a.1.total_cmp(&b.1));
    // The fastest of all has the least time of the fastest three as well: time and memory have the same rule.
    let fastest = peers.into_iter().take(FASTEST).filter_map(|(p, _)| Some((p, figures[p]?)));
    let Some((peer, their_figure)) = fastest.min_by(|a, b| a.1.median.total_cmp(&b.1.median)) else {
        return Contest::None;
    };
    let spreads = our_figure.spread.zip(their_figure.spread);
    Contest::Held {
        peer,
        ratio: our_figure.median / their_figure.median,
        spread: spreads.map(|(a, b)| a.max(b) / their_figure.median),
        verdict: judge(&our_figure, &their_figure),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::results::{Kind, Machine, Settings};
    use super::*;

    /// Rows of (seconds, KiB) for each allocator, the first of which is gort; each row has three rounds that hardly differ.
    pub(in super::super) fn results(rows: &[&[Option<(f64, f64)>]]) -> Results {
        let allocator = |i: usize| Allocator {
            name: ["gort", "glibc", "second", "third", "fourth"][i].to_owned(),
            version: "1".to_owned(),
            build: String::new(),
            ours: i == 0,
        };
        let run = |(seconds, peak_kib): (f64, f64), round: u32| Run {
            round,
            position: Some(0),
            seconds: seconds * (1.0 + f64::from(round) / 1e6),
            wall_seconds: seconds,
            user_seconds: seconds,
            system_seconds: None,
            peak_kib,
            minor_faults: None,
            major_faults: None,
        };
        let cell = |figures: &Option<(f64, f64)>| match figures {
            Some(figures) => Cell { runs: (1..4).map(|round| run(*figures, round)).collect(), failure: None },
            None => {
                Cell { runs: vec![run((1e-9, 1.0), 1)], failure: Some("signal: 11 (SIGSEGV)".to_owned()) }
            }
        };
        Results {
            kind: Kind::Workloads,
            gort: "0".to_owned(),
            machine: Machine {
                processor: "P".to_owned(),
                cores: 2,
                memory_bytes: 1 << 30,
                kernel: "6".to_owned(),
                huge_pages: "madvise".to_owned(),
                load: 0.0,
            },
            settings: Settings {
                quick: false,
                rounds: 3,
                seeds: vec![1],
                scale: 1.0,
                set: vec![],
                environment: [].into(),
            },
            allocators: (0..rows[0].len()).map(allocator).collect(),
            rows: (rows.iter().enumerate())
                .map(|(i, cells)| Row {
                    name: format!("row{i}"),
                    group: "group".to_owned(),
                    about: String::new(),
                    seed: Some(1),
                    checksum: None,
                    operations: None,
                    cells: cells.iter().map(cell).collect(),
                })
                .collect(),
        }
    }

    fn held(row: &JudgedRow) -> (usize, f64, Verdict) {
        match row.contest {
            Contest::Held { peer, ratio, verdict, .. } => (peer, (ratio * 100.0).round() / 100.0, verdict),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn time_is_held_against_the_fastest_peer() {
        let results = results(&[
            &[Some((1.0, 1.0)), Some((2.0, 1.0)), Some((4.0, 1.0))],
            &[Some((3.0, 1.0)), Some((2.0, 1.0)), Some((1.5, 1.0))],
            &[Some((1.0, 1.0)), None, Some((2.0, 1.0))],
            &[None, Some((1.0, 1.0)), Some((2.0, 1.0))],
        ]);
        let judged = Judged::new(&results, Measure::Time);
        assert_eq!(held(&judged.rows[0]), (1, 0.5, Verdict::Won));
        assert_eq!(held(&judged.rows[1]), (2, 2.0, Verdict::Lost));
        assert_eq!(held(&judged.rows[2]), (2, 0.5, Verdict::Won), "a peer that failed was not fast");
        assert_eq!(judged.rows[3].contest, Contest::Failed);
        assert_eq!(judged.tally(), Tally { won: 2, noise: 0, lost: 1, failed: 1 });
        let (label, ratio, peer) = judged.worst().unwrap();
        assert_eq!((label.as_str(), ratio.round(), peer), ("row1 seed 1", 2.0, "second"));
        assert_eq!(judged.against_peer.rows, 3);
        assert!((judged.against_peer.ratio.unwrap() - 0.5_f64.cbrt()).abs() < 1e-3);
        assert_eq!(judged.means[1].rows, 3);
        assert_eq!(judged.rows[1].ratio(0).map(f64::round), Some(2.0));
    }

    #[test]
    fn memory_is_held_against_the_leanest_of_the_three_fastest() {
        let row =
            [Some((9.0, 50.0)), Some((1.0, 90.0)), Some((2.0, 40.0)), Some((3.0, 60.0)), Some((4.0, 10.0))];
        let results = results(&[&row]);
        let judged = Judged::new(&results, Measure::Peak);
        assert_eq!(held(&judged.rows[0]), (2, 1.25, Verdict::Lost));
        assert_eq!(judged.rows[0].ratio(0), Some(5.0), "the column shows the leanest of all as 1");
    }

    #[test]
    fn equal_memory_is_enough() {
        let results = results(&[&[Some((1.0, 50.0)), Some((1.0, 50.0))]]);
        assert_eq!(held(&Judged::new(&results, Measure::Peak).rows[0]).2, Verdict::Won);
    }
}
