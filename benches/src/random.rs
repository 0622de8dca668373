//! A random generator that costs next to nothing beside an allocation (xorshift).

/// Makes the same numbers in every run.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// A generator for each `seed`.
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Two independent numbers, below `a` and below `b`, from one step.
    #[inline]
    pub fn two(&mut self, a: u32, b: u32) -> (usize, usize) {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let scale = |bits: u64, end: u32| (((bits & 0xffff_ffff) * u64::from(end)) >> 32) as usize;
        (scale(self.0, a), scale(self.0 >> 32, b))
    }
}
