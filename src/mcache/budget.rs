//! How many bytes a thread's bins may hold beyond what they may hold at first: few, until it shows that this costs time.
//!
//! A bin that runs dry, or over, wants to hold twice as much. As long as the thread's budget lasts, it may; after that the wish is refused.
//! Refusals cost a visit to the central store each, so a thread that meets many of them in a short time earns a budget twice as large, and
//! one that takes slow paths seldom loses half of it. So threads that allocate now and then keep little, however long they live, and those
//! that do little else keep what they need. What all have earned is a part of the heap, and nobody earns more than half of what is left
//! of that, so none takes it all. A thread that rests keeps its own until it takes slow paths again, or exits.
//!
//! Rejected: one size for all. With 2 MiB git's two packing threads had 1.3 MB of 32 in their bins for nothing, and mixed sizes up to 32 KiB
//! took a fifth more time than with 8 MiB.

use core::sync::atomic::AtomicUsize;

use crate::base::Bytes;
use crate::sync::atomic::{Cell, Relaxed};

/// What a thread starts with ...
const START: usize = 128 << 10;
/// ... and the most that it may come to.
const MOST: usize = 8 << 20;
/// What all threads together may have earned when one earns: this, or a part of what is in use, whichever is more.
const ALL: usize = 16 << 20;
const SHARE: usize = 8;
/// So many refusals in so short a time earn more. At about a microsecond each they take some two percent of it.
const REFUSALS: u32 = 128;
const SOON_NS: u64 = 8_000_000;
/// Looks at the bins that are further apart than this say that the thread seldom takes slow paths.
const SELDOM_NS: u64 = 100_000_000;

/// What threads have earned.
static EARNED: AtomicUsize = AtomicUsize::new(0);

/// A thread's budget. Owner only.
pub(super) struct Budget {
    /// Bytes beyond `START`: it doubles and halves.
    earned: Cell<usize>,
    /// Wishes refused since `since`.
    refused: Cell<u32>,
    since: Cell<u64>,
    /// When the bins were last looked at; 0 before that.
    looked: Cell<u64>,
}

impl Budget {
    pub(super) const fn new() -> Self {
        Self { earned: Cell::new(0), refused: Cell::new(0), since: Cell::new(0), looked: Cell::new(0) }
    }

    /// Bytes that the bins may hold together, what they may hold at first aside.
    pub(super) fn bytes(&self) -> usize {
        START + self.earned.get()
    }

    /// Notes that a bin was refused to grow. The time in nanoseconds and what the heap has in use are asked for now and then.
    pub(super) fn refuse(&self, now: impl FnOnce() -> u64, in_use: impl FnOnce() -> Bytes) {
        self.refused.set(self.refused.get() + 1);
        if self.refused.get() < REFUSALS {
            return;
        }
        self.refused.set(0);
        let now = now();
        if now.saturating_sub(self.since.replace(now)) <= SOON_NS && self.bytes() < MOST {
            self.earn(in_use());
        }
    }

    fn earn(&self, in_use: Bytes) {
        let (more, all) = (self.bytes(), ALL.max(in_use.0 / SHARE));
        let may = |earned: usize| (more <= all.saturating_sub(earned) / 2).then(|| earned + more);
        if EARNED.try_update(Relaxed, Relaxed, may).is_ok() {
            self.earned.set(self.earned.get() + more);
        }
    }

    /// Notes that the bins are looked at, after `LOOK_EVERY` slow paths. When those took long half of the budget goes, down to `START`.
    pub(super) fn look(&self, now: u64) {
        let before = self.looked.replace(now);
        if before != 0 && now.saturating_sub(before) > SELDOM_NS && self.earned.get() > 0 {
            self.give_back(self.bytes() / 2);
        }
    }

    /// Gives back what was earned: the thread exits.
    pub(super) fn give_all_back(&self) {
        self.give_back(self.earned.get());
        self.looked.set(0);
    }

    fn give_back(&self, less: usize) {
        self.earned.set(self.earned.get() - less);
        // Less than that is booked in a child whose forking thread was not known: see `keep_only`.
        let _ = EARNED.try_update(Relaxed, Relaxed, |earned| Some(earned.saturating_sub(less)));
    }
}

/// For a forked child: what other threads earned is gone with them. `own` is the budget of the thread that forked, as far as that is known.
pub(super) fn keep_only(own: Option<&Budget>) {
    EARNED.store(own.map_or(0, |own| own.earned.get()), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// More than any heap has in use: other tests earn beside these.
    const NO_BOUND: Bytes = Bytes(1 << 60);

    /// Refuses `n` times, a moment of `ns` apart.
    fn refuse(budget: &Budget, clock: &mut u64, n: u32, ns: u64, in_use: Bytes) {
        for _ in 0..n {
            *clock += ns;
            budget.refuse(|| *clock, || in_use);
        }
    }

    #[test]
    fn many_refusals_soon_earn_and_few_do_not() {
        let (budget, mut clock) = (Budget::new(), 1_000 * MS);
        refuse(&budget, &mut clock, 10_000, MS, NO_BOUND);
        assert_eq!(budget.bytes(), START, "a thread that is refused once in a millisecond needs no more");
        refuse(&budget, &mut clock, 20 * REFUSALS, SOON_NS / u64::from(REFUSALS), NO_BOUND);
        assert_eq!(budget.bytes(), MOST, "a thread that meets little else gets the most");
        budget.give_all_back();
        assert_eq!(budget.bytes(), START);
    }

    #[test]
    fn who_seldom_takes_slow_paths_loses_what_was_earned() {
        let (budget, mut clock) = (Budget::new(), 1_000 * MS);
        refuse(&budget, &mut clock, 20 * REFUSALS, 1, NO_BOUND);
        budget.look(clock);
        budget.look(clock + SELDOM_NS);
        assert_eq!(budget.bytes(), MOST);
        for n in 1..100 {
            budget.look(clock + n * 2 * SELDOM_NS);
        }
        assert_eq!(budget.bytes(), START, "and keeps what it had at first");
    }

    #[test]
    fn all_threads_together_earn_a_part_of_the_heap() {
        const IN_USE: usize = 16 << 30;
        let budgets = [const { Budget::new() }; 1000];
        let earned = || budgets.iter().map(|b| b.earned.get()).sum::<usize>();
        for budget in &budgets {
            refuse(budget, &mut (1_000 * MS), 20 * REFUSALS, 1, Bytes(IN_USE));
            assert!(earned() <= IN_USE / SHARE);
        }
        assert!(earned() > IN_USE / SHARE / 2, "a large heap lets them earn more than a small one");
        budgets.iter().for_each(Budget::give_all_back);
        assert_eq!(earned(), 0);
    }
}
