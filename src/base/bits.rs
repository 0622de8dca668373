//! Runs of bits in a word. Answers to Go's mpallocbits.go (findBitRange64).

/// `len` ones from bit `start` on; `start + len` may reach past the end of the word, `start` may not.
#[inline]
pub(crate) const fn ones(start: u32, len: u32) -> u64 {
    debug_assert!(start < 64);
    let all = if len >= 64 { u64::MAX } else { (1 << len) - 1 };
    all << start
}

/// The first bit of the lowest run of at least `len` ones; `None` when there is none. A length of 0 is not a run.
///
/// Shifting the word over itself by 1, 2, 4, .. leaves a one exactly where as many ones begin, so a run of 64 takes six steps.
#[inline]
pub(crate) const fn first_run(word: u64, len: u32) -> Option<u32> {
    debug_assert!(len > 0 && len <= 64);
    // Most words have none, and three bits of it tell.
    if word & (word >> (len / 2)) & (word >> (len - 1)) == 0 {
        return None;
    }
    let mut left = word;
    let mut known = 1;
    while known < len && left != 0 {
        let more = if known < len - known { known } else { len - known };
        left &= left >> more;
        known += more;
    }
    if left == 0 { None } else { Some(left.trailing_zeros()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_run_slow(word: u64, len: u32) -> Option<u32> {
        (0..=64 - len).find(|&i| (i..i + len).all(|b| word >> b & 1 == 1))
    }

    #[test]
    fn first_run_matches_slow_twin() {
        let mut x = 0x9e37_79b9_7f4a_7c15u64;
        for i in 0..3_000 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            // Sparse, even and dense words, and words of a few long runs.
            let runs = ones(x as u32 % 64, (x >> 8) as u32 % 65)
                | ones((x >> 16) as u32 % 64, (x >> 24) as u32 % 40);
            let word = [x & x.rotate_left(9), x, x | x.rotate_left(21), runs, !runs, u64::MAX, 0][i % 7];
            for len in 1..=64 {
                assert_eq!(first_run(word, len), first_run_slow(word, len), "{word:#x} {len}");
            }
        }
    }

    #[test]
    fn ones_at_the_edges() {
        assert_eq!((ones(0, 64), ones(0, 0), ones(63, 1), ones(60, 64)), (u64::MAX, 0, 1 << 63, 0xf << 60));
    }
}
