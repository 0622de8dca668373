//! Fast random numbers that are not secret: wyrand, as in Go's runtime (rand.go, cheaprand).

/// A generator with a state of one word.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// A generator that always gives the same numbers for the same seed.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0xa076_1d64_78bd_642f);
        let product = u128::from(self.0) * u128::from(self.0 ^ 0xe703_7ed1_a0b4_28db);
        (product >> 64) as u64 ^ product as u64
    }

    /// A number below `n`; 0 when `n` is 0. The bias is below `n / 2^64`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}

#[cfg(test)]
impl Random {
    /// A test's generator: seeded from `GORT_TEST_SEED` if it is set, and printed, so that a failure can be repeated.
    pub(crate) fn from_env(test: &str, case: u64) -> Self {
        extern crate std;
        let seed = std::env::var("GORT_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0x60_7274);
        std::println!("{test}: case {case}, GORT_TEST_SEED={seed}");
        Self::new(seed ^ case << 32)
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn numbers_repeat_and_spread() {
        let (mut a, mut b) = (Random::new(7), Random::new(7));
        let mut seen = [0; 10];
        for _ in 0..10_000 {
            assert_eq!(a.next(), b.next());
            seen[a.below(10)] += 1;
            b.next();
        }
        assert!(seen.iter().all(|&n| (800..1200).contains(&n)), "{seen:?}");
        assert_eq!(a.below(0), 0);
    }
}
