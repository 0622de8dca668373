//! What a workload is given and what it gives back.

use crate::Random;
use serde::Serialize;
use std::hint::black_box;
use std::ops::AddAssign;
use std::time::Instant;

/// A number of a workload that the command line can set.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Parameter {
    /// What it is called, in kebab case.
    pub name: &'static str,
    /// What it is when nothing is said.
    pub default: u64,
    /// What it means.
    pub about: &'static str,
}

/// A [`Parameter`], short enough for tables.
pub(crate) const fn parameter(name: &'static str, default: u64, about: &'static str) -> Parameter {
    Parameter { name, default, about }
}

/// One run of one workload: its seed, its parameters and how much of the work to do.
#[derive(Debug)]
pub struct Job {
    pub(crate) seed: u64,
    pub(crate) scale: f64,
    pub(crate) values: Vec<(&'static str, u64)>,
}

impl Job {
    /// The value of a parameter.
    ///
    /// # Panics
    /// If the workload has not declared it.
    pub(crate) fn get(&self, name: &str) -> usize {
        let value = self.values.iter().find(|(known, _)| *known == name);
        value.unwrap_or_else(|| panic!("the workload does not declare '{name}'")).1 as usize
    }

    /// The value of a parameter that says how much there is to do, scaled; at least 1.
    pub(crate) fn times(&self, name: &str) -> u64 {
        ((self.get(name) as f64 * self.scale).round() as u64).max(1)
    }

    /// A generator for one of the workload's threads or purposes.
    pub(crate) fn random(&self, stream: u64) -> Random {
        Random::new(mix(self.seed.wrapping_add(stream.wrapping_mul(0xd1b5_4a32_d192_ed03))))
    }

    /// Does `work` of so many operations, and takes the time.
    pub(crate) fn measure(&self, operations: u64, work: impl FnOnce() -> Sum) -> Outcome {
        let started = Instant::now();
        let sum = black_box(work());
        Outcome { operations, checksum: sum.0, seconds: started.elapsed().as_secs_f64(), marks: Vec::new() }
    }
}

/// What a run gives.
#[derive(Debug)]
pub struct Outcome {
    pub(crate) operations: u64,
    pub(crate) checksum: u64,
    pub(crate) seconds: f64,
    /// What was seen on the way, by a workload that looks.
    pub(crate) marks: Vec<Mark>,
}

/// What a process has at one moment.
#[derive(Debug, Serialize)]
pub(crate) struct Mark {
    /// Since the work began.
    pub(crate) seconds: f64,
    /// Bytes of live objects, as they were asked for.
    pub(crate) live: u64,
    /// By the kernel's count.
    pub(crate) resident: u64,
}

/// A checksum that does not depend on the order of what is added, as threads add it in no order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum(u64);

impl Sum {
    #[inline]
    pub(crate) fn add(&mut self, what: u64) {
        self.0 = self.0.wrapping_add((what ^ (what >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9));
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.add(
            text.bytes().fold(text.len() as u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)),
        );
    }
}

impl AddAssign for Sum {
    fn add_assign(&mut self, other: Sum) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

impl std::iter::Sum for Sum {
    fn sum<I: Iterator<Item = Sum>>(all: I) -> Sum {
        all.fold(Sum::default(), |mut sum, one| {
            sum += one;
            sum
        })
    }
}

/// Spreads every bit of `x` over all.
#[inline]
pub(crate) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
