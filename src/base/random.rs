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

    /// Trials until one succeeds that has one chance in `rate`, that one included: the geometric distribution.
    pub(crate) fn gap(&mut self, rate: u64) -> u64 {
        if rate <= FEW {
            // Trial by trial: what is below is not exact for few.
            return 1 + (0..).take_while(|_| self.below(rate as usize) != 0).count() as u64;
        }
        // Between two events of a process without memory, in the unit in which its rate is that of the trials: -1 / ln(1 - 1 / rate),
        // which is rate - 1/2 but for a part in 12 rate^2.
        let between = u128::from(minus_ln(self.next()));
        1 + ((between * u128::from(2 * rate - 1)) >> (LN_BITS + 1)) as u64
    }

    /// A number below `n`; 0 when `n` is 0. The bias is below `n / 2^64`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}

/// A rate up to which trials are made one by one.
const FEW: u64 = 16;

/// Bits behind the point in the results of `minus_ln`.
const LN_BITS: u32 = 32;
/// ln 2 with so many bits.
const LN_2: u64 = 2_977_044_472;

/// -ln((n + 1/2) / 2^64), by squaring: each square of a number from 1 to 2 tells a bit of its logarithm.
fn minus_ln(n: u64) -> u64 {
    let zeros = n.leading_zeros().min(63);
    // From 1 to 2, with 63 bits behind the point; the half, where there is room for it.
    let mut x = (n.max(1) << zeros) | (1 << zeros >> 1);
    let mut log2 = 0;
    for _ in 0..LN_BITS {
        let square = u128::from(x) * u128::from(x);
        let bit = (square >> 127) as u32;
        x = (square >> (63 + bit)) as u64;
        log2 = log2 << 1 | u64::from(bit);
    }
    let minus_log2 = (u64::from(zeros + 1) << LN_BITS) - log2;
    ((u128::from(minus_log2) * u128::from(LN_2)) >> LN_BITS) as u64
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
    extern crate std;
    use super::*;

    #[test]
    fn logarithms_match_those_of_floating_point() {
        let mut random = Random::from_env("logarithms", 0);
        for shift in (0..64).cycle().take(20_000) {
            let n = random.next() >> shift;
            let exact = 64.0 * std::f64::consts::LN_2 - (n as f64 + 0.5).ln();
            let got = minus_ln(n) as f64 / (1u64 << LN_BITS) as f64;
            // Only the least numbers of all have no room for the half.
            let error = if n < 2 { 1.2 } else { 4e-9 };
            assert!((got - exact).abs() < error, "{n}: {got} for {exact}");
        }
    }

    #[test]
    fn gaps_have_the_mean_and_the_shape_that_are_theirs() {
        let mut random = Random::from_env("gaps", 0);
        assert_eq!((random.gap(0), random.gap(1)), (1, 1));
        for rate in [2, 3, 10, 1_000, 1 << 20, 1 << 40] {
            let n = 200_000;
            let gaps: std::vec::Vec<_> = (0..n).map(|_| random.gap(rate)).collect();
            assert!(gaps.iter().all(|&gap| gap >= 1));
            let mean = gaps.iter().map(|&gap| gap as f64).sum::<f64>() / f64::from(n);
            assert!((0.97..1.03).contains(&(mean / rate as f64)), "one in {rate}: {mean}");
            // Of all gaps as many end with their first trial as one in `rate`, and the same of the rest.
            for k in [1.0, 2.0] {
                let from = rate as f64 * k;
                let rest = gaps.iter().filter(|&&gap| gap as f64 > from).count() as f64 / f64::from(n);
                let exact = (1.0 - 1.0 / rate as f64).powf(from.floor());
                assert!((rest - exact).abs() < 0.01, "one in {rate}, beyond {from}: {rest} for {exact}");
            }
        }
    }

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
