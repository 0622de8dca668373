//! The loop of Go's benchmarks: run once, predict how many iterations the benchtime needs, run again. Answers to `launch`
//! and `predictN` in Go's testing package.
//!
//! Nothing is allocated between the two readings of the counters but what the body allocates.

use std::time::{Duration, Instant};

use super::benchtime::Benchtime;

/// A run never has more iterations than this, unless they are asked for.
const MAX_N: u64 = 1_000_000_000;

/// What a run cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Run {
    /// Iterations; above 0.
    pub(super) n: u64,
    /// Time they took.
    pub(super) elapsed: Duration,
    /// Bytes that the process's allocator accounted meanwhile.
    pub(super) bytes: u64,
    /// Objects that it gave out meanwhile.
    pub(super) allocs: u64,
}

impl Run {
    /// Nanoseconds of an iteration.
    pub(super) fn ns_per_op(&self) -> f64 {
        self.elapsed.as_nanos() as f64 / self.n as f64
    }

    /// Whole bytes of an iteration; the fraction is cut off, as in Go.
    pub(super) fn bytes_per_op(&self) -> u64 {
        self.bytes / self.n
    }

    /// Whole objects of an iteration; the fraction is cut off, as in Go.
    pub(super) fn allocs_per_op(&self) -> u64 {
        self.allocs / self.n
    }
}

/// Runs `body` once, then as often as `benchtime` says; gives the last run.
pub(super) fn benchmark(benchtime: Benchtime, mut body: impl FnMut()) -> Run {
    let first = run_n(1, &mut body);
    match benchtime {
        Benchtime::Times(1) => first,
        Benchtime::Times(n) => run_n(n, &mut body),
        Benchtime::For(goal) => {
            let mut run = first;
            while run.elapsed < goal && run.n < MAX_N {
                run = run_n(predict_n(goal, run.n, run.elapsed), &mut body);
            }
            run
        }
    }
}

fn run_n(n: u64, body: &mut impl FnMut()) -> Run {
    let before = gort::stats();
    let start = Instant::now();
    for _ in 0..n {
        body();
    }
    let elapsed = start.elapsed();
    let after = gort::stats();
    Run { n, elapsed, bytes: after.total_alloc - before.total_alloc, allocs: after.mallocs - before.mallocs }
}

/// Iterations of the next run: what the goal needs at the last run's speed and a fifth more, but at least one more and at
/// most a hundred times as many as last time.
fn predict_n(goal: Duration, last_n: u64, last: Duration) -> u64 {
    let needed = goal.as_nanos() * u128::from(last_n) / last.as_nanos().max(1);
    let wanted = u64::try_from(needed + needed / 5).unwrap_or(u64::MAX);
    wanted.min(last_n.saturating_mul(100)).max(last_n + 1).min(MAX_N)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prediction_follows_go() {
        let s = Duration::from_secs(1);
        let ns = Duration::from_nanos;
        // 100 ns each: ten million are needed, and a fifth more.
        assert_eq!(predict_n(s, 1_000_000, ns(100_000_000)), 12_000_000);
        assert_eq!(predict_n(s, 1, ns(100)), 100, "at most 100 times as many");
        assert_eq!(predict_n(s, 100, ns(0)), 10_000, "a clock too coarse is no division by zero");
        assert_eq!(predict_n(s, 1000, ns(999_999_999)), 1200);
        assert_eq!(predict_n(ns(10), 1, ns(9)), 2, "at least one more");
        assert_eq!(predict_n(s, 900_000_000, ns(1)), MAX_N);
        assert_eq!(predict_n(Duration::from_nanos(i64::MAX as u64), MAX_N - 1, ns(1)), MAX_N);
    }

    #[test]
    fn a_count_runs_exactly_so_often_after_one_for_warming_up() {
        for (times, calls) in [(1, 1), (2, 3), (100, 101)] {
            let mut called = 0;
            let run = benchmark(Benchtime::Times(times), || called += 1);
            assert_eq!((run.n, called), (times, calls));
        }
    }

    #[test]
    fn a_time_is_reached() {
        let goal = Duration::from_millis(5);
        let run = benchmark(Benchtime::For(goal), || std::thread::sleep(Duration::from_micros(50)));
        assert!(run.elapsed >= goal && run.n > 1);
    }

    #[test]
    fn fractions_are_cut_off() {
        let run = Run { n: 4, elapsed: Duration::from_nanos(10), bytes: 7, allocs: 3 };
        assert_eq!((run.bytes_per_op(), run.allocs_per_op()), (1, 0));
        assert!((run.ns_per_op() - 2.5).abs() < 1e-9);
    }

    #[test]
    fn an_empty_body_allocates_nothing() {
        // Other tests allocate on other threads, so a run without their noise must only come up in the end.
        let quiet = (0..1000).any(|_| {
            let run = run_n(10, &mut || ());
            run.bytes == 0 && run.allocs == 0
        });
        assert!(quiet, "the harness itself allocates between its readings");
    }
}
