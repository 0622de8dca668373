//! Threads and locks: a closed queueing network with one customer for each thread, simulated event by event.

use crate::Random;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A kind of lock that threads visit.
#[derive(Clone, Debug)]
pub(super) struct Lock {
    pub(super) name: String,
    /// Visits for each million operations of a thread.
    pub(super) per_million: f64,
    /// Nanoseconds that a visit holds the lock for.
    pub(super) hold: f64,
    /// Locks that share the visits, each thread always going to the same ...
    pub(super) shards: usize,
    /// ... and so many threads, one after the other, to one.
    pub(super) group: usize,
}

/// What the locks do not say.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// Nanoseconds of one operation that the thread's own cache serves.
    pub(super) operation: f64,
    /// Nanoseconds that a lock is held for longer when the thread before was another.
    pub(super) handover: f64,
    /// Nanoseconds that a waiter spins before it sleeps, and that it takes to wake up.
    pub(super) spin: f64,
    pub(super) wake: f64,
    /// Visits that each thread does.
    pub(super) visits: usize,
    /// Decides when threads come; `None`: each after exactly the mean.
    pub(super) seed: Option<u64>,
}

/// What came out.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// Operations of all threads in a second.
    pub(super) throughput: f64,
    /// The part of the threads' time in which they waited.
    pub(super) waiting: f64,
    /// The lock that was held for the largest part of the time, and that part.
    pub(super) busiest: Option<(usize, f64)>,
}

/// One lock of a kind.
#[derive(Clone, Default)]
struct Shard {
    free_at: f64,
    held_for: f64,
    last: Option<usize>,
}

/// Lets `threads` threads run.
pub(super) fn run(locks: &[Lock], threads: usize, setting: &Setting) -> Outcome {
    let rate: f64 = locks.iter().map(|lock| lock.per_million).sum::<f64>() / 1e6;
    if rate <= 0.0 {
        return Outcome { throughput: threads as f64 * 1e9 / setting.operation, waiting: 0.0, busiest: None };
    }
    let mut random = setting.seed.map(Random::new);
    let alone = setting.operation / rate;
    // Exponential, as of visits that know nothing of one another.
    let pause = |random: &mut Option<Random>| {
        random.as_mut().map_or(alone, |r| -alone * (((r.word() >> 11) + 1) as f64 * 2f64.powi(-53)).ln())
    };
    let mut shards: Vec<Vec<Shard>> = locks.iter().map(|l| vec![Shard::default(); l.shards.max(1)]).collect();
    let mut turns = vec![Turns::new(locks); threads];
    // Who comes first is served first, so that a lock's queue is the order of arrivals. Numbers from 0 on are ordered as their bits.
    let mut arrivals: BinaryHeap<Reverse<(u64, usize)>> =
        (0..threads).map(|thread| Reverse((pause(&mut random).to_bits(), thread))).collect();
    let mut left = threads * setting.visits;
    let (mut waited, mut end) = (0.0, 0.0f64);
    while left > 0
        && let Some(Reverse((now, thread))) = arrivals.pop()
    {
        let now = f64::from_bits(now);
        left -= 1;
        let kind = turns[thread].next(locks, random.as_mut());
        let count = shards[kind].len();
        let shard = &mut shards[kind][thread / locks[kind].group.max(1) % count];
        let start = now.max(shard.free_at);
        let handover = if shard.last.replace(thread).is_some_and(|last| last != thread) {
            setting.handover
        } else {
            0.0
        };
        let hold = locks[kind].hold + handover;
        shard.free_at = start + hold;
        shard.held_for += hold;
        let mut wait = start - now;
        if wait > setting.spin {
            wait += setting.wake;
        }
        waited += wait;
        let done = now + wait + hold;
        end = end.max(done);
        arrivals.push(Reverse(((done + pause(&mut random)).to_bits(), thread)));
    }
    let all = (threads * setting.visits) as f64;
    let busiest = shards
        .iter()
        .map(|kind| kind.iter().map(|s| s.held_for / end).fold(0.0, f64::max))
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(&b.1));
    Outcome { throughput: all / rate / end * 1e9, waiting: waited / (end * threads as f64), busiest }
}

/// Decides which lock a thread visits next: at random, or, without chance, the one that is furthest behind.
#[derive(Clone)]
struct Turns(Vec<f64>);

impl Turns {
    fn new(locks: &[Lock]) -> Self {
        Self(vec![0.0; locks.len()])
    }

    fn next(&mut self, locks: &[Lock], random: Option<&mut Random>) -> usize {
        let sum: f64 = locks.iter().map(|lock| lock.per_million).sum();
        if let Some(random) = random {
            let mut at = (random.word() >> 11) as f64 * 2f64.powi(-53) * sum;
            for (kind, lock) in locks.iter().enumerate() {
                if at < lock.per_million {
                    return kind;
                }
                at -= lock.per_million;
            }
            return locks.len() - 1;
        }
        self.0.iter_mut().zip(locks).for_each(|(behind, lock)| *behind += lock.per_million / sum);
        let next = (0..locks.len()).max_by(|&a, &b| self.0[a].total_cmp(&self.0[b])).unwrap_or(0);
        self.0[next] -= 1.0;
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(per_million: f64, hold: f64) -> Lock {
        Lock { name: "lock".to_owned(), per_million, hold, shards: 1, group: 1 }
    }

    /// Nothing is left to chance, so that a hand can follow.
    fn exact() -> Setting {
        Setting { operation: 2.0, handover: 0.0, spin: f64::INFINITY, wake: 0.0, visits: 2_000, seed: None }
    }

    fn near(a: f64, b: f64) {
        assert!((a / b - 1.0).abs() < 0.01, "{a} is not near {b}");
    }

    #[test]
    fn without_a_lock_it_is_linear() {
        for threads in [1, 7, 64] {
            let outcome = run(&[], threads, &exact());
            near(outcome.throughput, threads as f64 * 0.5e9);
            assert!(outcome.busiest.is_none());
        }
    }

    #[test]
    fn a_lock_that_is_held_for_no_time_costs_nothing() {
        for (seed, threads) in [(None, 64), (Some(1), 1), (Some(2), 64)] {
            let outcome = run(&[lock(1e4, 0.0)], threads, &Setting { seed, visits: 20_000, ..exact() });
            near(outcome.throughput, threads as f64 * 0.5e9);
            assert_eq!(outcome.waiting.to_bits(), 0.0f64.to_bits());
        }
    }

    /// A visit of 100 ns after 900 ns alone: ten threads fill the lock, and more get no more out of it.
    #[test]
    fn one_lock_saturates_at_one_over_its_hold() {
        // 450 operations of 2 ns between two visits.
        let locks = [lock(1e6 / 450.0, 100.0)];
        for threads in [1, 2, 5, 10, 20, 64] {
            let outcome = run(&locks, threads, &exact());
            let visits = (threads as f64 / 1000.0).min(1.0 / 100.0);
            near(outcome.throughput, visits * 450.0 * 1e9);
            near(outcome.busiest.expect("there is a lock").1, visits * 100.0);
            // A round takes 100 ns for each thread then, of which it works 1000.
            let waiting = (1.0 - 1000.0 / (100.0 * threads as f64)).max(0.0);
            assert!((outcome.waiting - waiting).abs() < 0.01, "{outcome:?}: {waiting}");
        }
    }

    /// Chance makes threads meet before the lock is full.
    #[test]
    fn chance_costs_something_and_never_helps() {
        let locks = [lock(1e6 / 450.0, 100.0)];
        for threads in [2, 8, 10, 64] {
            let by_chance = Setting { seed: Some(3), visits: 20_000, ..exact() };
            let (plain, random) = (run(&locks, threads, &exact()), run(&locks, threads, &by_chance));
            assert!(random.throughput < plain.throughput * 1.01, "{threads}: {random:?}");
            assert!(random.throughput > plain.throughput * 0.7, "{threads}: {random:?}");
        }
        assert!(run(&locks, 8, &Setting { seed: Some(3), ..exact() }).waiting > 0.05);
    }

    #[test]
    fn shards_multiply_what_a_lock_can_do() {
        let mut locks = [lock(1e6 / 450.0, 100.0)];
        locks[0].shards = 4;
        near(run(&locks, 64, &exact()).throughput, 4.0 / 100.0 * 450.0 * 1e9);
    }

    /// Eight groups of eight are eight times one group, and one group does not see the other locks.
    #[test]
    fn a_group_goes_to_one_lock() {
        let mut locks = [lock(1e6 / 450.0, 100.0)];
        let one = run(&locks, 20, &exact()).throughput;
        (locks[0].shards, locks[0].group) = (8, 20);
        near(run(&locks, 20, &exact()).throughput, one);
        near(run(&locks, 160, &exact()).throughput, 8.0 * one);
    }

    #[test]
    fn a_handover_is_paid_only_when_the_lock_changes_hands() {
        let locks = [lock(1e6 / 450.0, 100.0)];
        let setting = Setting { handover: 100.0, ..exact() };
        near(run(&locks, 1, &setting).throughput, 450.0 * 1e6);
        near(run(&locks, 64, &setting).throughput, 450.0 * 1e9 / 200.0);
    }

    #[test]
    fn visits_go_to_locks_as_often_as_they_should() {
        let locks = [lock(300.0, 10.0), lock(100.0, 30.0), lock(0.0, 1e9)];
        for seed in [None, Some(5)] {
            // The third is never visited, and the first two are held for the same time.
            let outcome = run(&locks, 1, &Setting { seed, visits: 200_000, ..exact() });
            near(outcome.throughput, 1e6 / (2e6 + 6000.0) * 1e9);
            let (_, part) = outcome.busiest.expect("there are locks");
            assert!((part / (3000.0 / 2_006_000.0) - 1.0).abs() < 0.02, "{outcome:?}");
        }
    }
}
