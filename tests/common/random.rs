//! Random numbers that come again: the seed is fixed unless `GORT_TEST_SEED` gives another, and a test that fails tells it.

use std::{env, thread};

const DEFAULT_SEED: u64 = 0x6f72_7420_676f_7274;

/// A splitmix64 generator.
pub(crate) struct Random {
    seed: u64,
    state: u64,
}

/// What `GORT_TEST_SEED` says.
pub(crate) fn given_seed() -> Option<u64> {
    let text = env::var("GORT_TEST_SEED").ok()?;
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    Some(parsed.unwrap_or_else(|e| {
        panic!("GORT_TEST_SEED={text:?}: {e}; accepted is a number, decimal or 0x and hexadecimal")
    }))
}

impl Random {
    /// One of the streams that the seed gives.
    pub(crate) fn new(stream: u64) -> Self {
        Self::with_seed(given_seed().unwrap_or(DEFAULT_SEED), stream)
    }

    /// One of the streams that this seed gives.
    pub(crate) fn with_seed(seed: u64, stream: u64) -> Self {
        Self { seed, state: seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95) }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// True once in `n` times.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of these.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// A number up to about 2^`bits`, each order of magnitude as likely as another.
    pub(crate) fn magnitude(&mut self, bits: usize) -> usize {
        let top = 1 << self.below(bits + 1);
        top + self.below(top)
    }
}

impl Drop for Random {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("random numbers came from GORT_TEST_SEED={:#x}", self.seed);
        }
    }
}
