//! The middle of a few figures, how far they spread, and whether two of them can be told apart.

use statrs::statistics::{Data, Max, Median, Min, OrderStatistics, Statistics};

/// What the rounds came to.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Figure {
    pub(super) median: f64,
    /// From the least to the most of the middle half: of five rounds, all but the fastest and the slowest. Unknown after a single
    /// round.
    pub(super) spread: Option<f64>,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Figure {
    /// None if there are no values.
    pub(super) fn of(values: Vec<f64>) -> Option<Self> {
        let rounds = values.len();
        let outside = rounds / 4;
        let mut data = Data::new(values);
        (rounds > 0).then(|| Self {
            median: data.median(),
            spread: (rounds > 1)
                .then(|| data.order_statistic(rounds - outside) - data.order_statistic(1 + outside)),
            least: data.min(),
            most: data.max(),
        })
    }

    /// The spread as a part of the median.
    pub(super) fn relative_spread(&self) -> Option<f64> {
        self.spread.map(|spread| if self.median > 0.0 { spread / self.median } else { 0.0 })
    }
}

/// How ours stands beside theirs; less is better.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// At most theirs.
    Won,
    /// One of the two spreads wider than they differ.
    Noise,
    Lost,
}

/// Holds ours against theirs.
pub(super) fn judge(ours: &Figure, theirs: &Figure) -> Verdict {
    let difference = (ours.median - theirs.median).abs();
    match (ours.spread, theirs.spread) {
        (Some(a), Some(b)) if a.max(b) <= difference => {
            if ours.median <= theirs.median {
                Verdict::Won
            } else {
                Verdict::Lost
            }
        }
        _ => Verdict::Noise,
    }
}

/// None if there is nothing to take the mean of.
pub(super) fn geometric_mean(ratios: &[f64]) -> Option<f64> {
    (!ratios.is_empty()).then(|| ratios.geometric_mean())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(values: &[f64]) -> Figure {
        Figure::of(values.to_vec()).unwrap()
    }

    #[test]
    fn medians() {
        assert_eq!(figure(&[3.0, 1.0, 2.0]).median, 2.0);
        assert_eq!(figure(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Figure::of(vec![]), None);
    }

    #[test]
    fn one_slow_round_of_five_is_no_spread() {
        let calm = figure(&[1.0, 1.0, 1.0, 1.0, 9.0]);
        assert_eq!((calm.median, calm.spread), (1.0, Some(0.0)));
        assert_eq!((calm.least, calm.most), (1.0, 9.0));
        assert_eq!(figure(&[1.0, 2.0, 9.0]).spread, Some(8.0), "of three rounds each counts");
        assert_eq!(figure(&[5.0]).spread, None);
        assert_eq!(figure(&[2.0, 2.0, 2.0]).relative_spread(), Some(0.0));
    }

    #[test]
    fn verdicts() {
        let wide = figure(&[0.5, 1.0, 1.5]);
        let narrow = |at: f64| figure(&[at * 0.999, at, at * 1.001]);
        assert_eq!(judge(&narrow(1.0), &narrow(1.1)), Verdict::Won);
        assert_eq!(judge(&narrow(1.1), &narrow(1.0)), Verdict::Lost);
        assert_eq!(judge(&narrow(1.1), &wide), Verdict::Noise);
        assert_eq!(judge(&wide, &narrow(1.1)), Verdict::Noise);
        assert_eq!(judge(&wide, &narrow(9.0)), Verdict::Won);
        assert_eq!(judge(&figure(&[1.0; 3]), &figure(&[1.0; 3])), Verdict::Won);
        assert_eq!(judge(&figure(&[1.0]), &figure(&[2.0])), Verdict::Noise, "one round says nothing");
    }

    #[test]
    fn means() {
        assert_eq!(geometric_mean(&[]), None);
        assert!((geometric_mean(&[0.5, 2.0, 1.0]).unwrap() - 1.0).abs() < 1e-12);
    }
}
