//! A random generator that costs next to nothing beside an allocation (xorshift).

/// Makes the same numbers in every run.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// A generator for each `seed`.
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    #[inline]
    fn step(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Two independent numbers, below `a` and below `b`, from one step.
    #[inline]
    pub fn two(&mut self, a: u32, b: u32) -> (usize, usize) {
        let bits = self.step();
        let scale = |bits: u64, end: u32| (((bits & 0xffff_ffff) * u64::from(end)) >> 32) as usize;
        (scale(bits, a), scale(bits >> 32, b))
    }

    /// 64 random bits.
    #[inline]
    pub fn word(&mut self) -> u64 {
        self.step().wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`; 0 if there is none.
    #[inline]
    pub fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.word()) * end as u128) >> 64) as usize
    }

    /// A number of `range`, both ends among them.
    #[inline]
    pub fn within(&mut self, range: std::ops::RangeInclusive<usize>) -> usize {
        range.start() + self.below(range.end().saturating_sub(*range.start()) + 1)
    }

    /// A number of `range`, each power of two in it as likely as the next: mostly small, at times large.
    #[inline]
    pub fn skewed(&mut self, range: std::ops::RangeInclusive<usize>) -> usize {
        let doublings = (range.end() / range.start().max(&1)).max(1).ilog2() as usize;
        let low = range.start() << self.below(doublings + 1);
        self.within(low..=(2 * low - 1).clamp(low, *range.end()))
    }
}
