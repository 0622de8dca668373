//! A chunk: 512 pages, 4 MiB, and what is known of each of them. Answers to Go's mpallocbits.go.
//!
//! Two bits a page: in use, and with the kernel ("scavenged": no frame, reads as zeros). Invariant: a page that is in use is
//! never marked as scavenged, so the second bitmap speaks of free pages only.

use super::summary::Sum;
use super::table::Zeroable;
use crate::base::{first_run, ones};

/// Pages of a chunk (Go's pallocChunkPages).
pub(super) const CHUNK_PAGES: usize = 512;
const WORDS: usize = CHUNK_PAGES / 64;

/// One bit for each page of a chunk; in the bitmap of a chunk's use, 1 = in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub(super) struct PallocBits([u64; WORDS]);

/// What a search in a chunk found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct InChunk {
    /// First page of the lowest run that is long enough.
    pub(super) run: Option<usize>,
    /// First free page at or after the one where the search began.
    pub(super) free: Option<usize>,
}

/// The words that `n` bits from bit `i` on touch, each with the mask of its share.
#[inline]
fn words(i: usize, n: usize) -> impl DoubleEndedIterator<Item = (usize, u64)> {
    debug_assert!(n > 0 && i + n <= CHUNK_PAGES);
    let last = i + n - 1;
    (i / 64..=last / 64).map(move |w| {
        let from = if w == i / 64 { i % 64 } else { 0 };
        let to = if w == last / 64 { last % 64 } else { 63 };
        (w % WORDS, ones(from as u32, (to - from + 1) as u32))
    })
}

impl PallocBits {
    /// Every bit set.
    pub(super) const ALL: Self = Self([u64::MAX; WORDS]);
    /// No bit set.
    pub(super) const NONE: Self = Self([0; WORDS]);

    /// The 64 bits that bit `i` belongs to.
    #[doc(alias = "block64")]
    #[cfg(any(test, feature = "invariants"))]
    pub(super) fn pages64(&self, i: usize) -> u64 {
        self.0[i / 64 % WORDS]
    }

    /// Mutable access to the 64 bits that bit `i` belongs to.
    #[inline]
    pub(super) fn pages64_mut(&mut self, i: usize) -> &mut u64 {
        &mut self.0[i / 64 % WORDS]
    }

    /// Sets `n` bits from `i` on.
    #[inline]
    pub(super) fn set(&mut self, i: usize, n: usize) {
        words(i, n).for_each(|(w, mask)| self.0[w] |= mask);
    }

    /// Clears `n` bits from `i` on.
    #[inline]
    pub(super) fn clear(&mut self, i: usize, n: usize) {
        words(i, n).for_each(|(w, mask)| self.0[w] &= !mask);
    }

    /// How many of the `n` bits from `i` on are set.
    #[inline]
    pub(super) fn count(&self, i: usize, n: usize) -> usize {
        // Most words are all of one kind, and counting without a popcnt instruction is a dozen steps.
        words(i, n)
            .map(|(w, mask)| if self.0[w] & mask == 0 { 0 } else { (self.0[w] & mask).count_ones() as usize })
            .sum()
    }

    /// Whether any of the `n` bits from `i` on is set.
    #[inline]
    pub(super) fn any(&self, i: usize, n: usize) -> bool {
        words(i, n).any(|(w, mask)| self.0[w] & mask != 0)
    }

    /// Whether all of the `n` bits from `i` on are set.
    #[inline]
    pub(super) fn all(&self, i: usize, n: usize) -> bool {
        words(i, n).all(|(w, mask)| self.0[w] & mask == mask)
    }

    /// How many bits right below bit `i` are clear.
    #[inline]
    pub(super) fn clear_below(&self, i: usize) -> usize {
        let (mut w, inside) = (i / 64, i % 64);
        if inside > 0 {
            let used = self.0[w] << (64 - inside);
            if used != 0 {
                return used.leading_zeros() as usize;
            }
        }
        while w > 0 && self.0[w - 1] == 0 {
            w -= 1;
        }
        i - w * 64 + if w > 0 { self.0[w - 1].leading_zeros() as usize } else { 0 }
    }

    /// How many bits from bit `i` on are clear.
    #[inline]
    pub(super) fn clear_from(&self, i: usize) -> usize {
        let used = self.0.get(i / 64).map_or(0, |w| w >> (i % 64));
        if used != 0 {
            return used.trailing_zeros() as usize;
        }
        let next = (i / 64 + 1).min(WORDS);
        match self.0[next..].iter().position(|&w| w != 0) {
            Some(w) => (next + w) * 64 + self.0[next + w].trailing_zeros() as usize - i,
            None => CHUNK_PAGES - i,
        }
    }

    /// The highest clear bit among the `n` bits from `i` on.
    pub(super) fn last_clear(&self, i: usize, n: usize) -> Option<usize> {
        words(i, n)
            .rev()
            .map(|(w, mask)| (w, !self.0[w] & mask))
            .find(|&(_, clear)| clear != 0)
            .map(|(w, clear)| w * 64 + clear.ilog2() as usize)
    }

    /// The lowest run of `n` pages that are not in use, at or after page `from`. One pass over the words: a run either grows
    /// over a word's edge or lies inside a word.
    pub(super) fn find(&self, n: usize, from: usize) -> InChunk {
        debug_assert!(n > 0 && from < CHUNK_PAGES);
        let mut free = None;
        // Free pages that end at the edge between the last word and this one.
        let mut carry = 0;
        let mut visible = !ones(0, (from % 64) as u32);
        for w in from / 64..WORDS {
            let word = !self.0[w] & visible;
            visible = u64::MAX;
            if word == 0 {
                carry = 0;
                continue;
            }
            if free.is_none() {
                free = Some(w * 64 + word.trailing_zeros() as usize);
            }
            if carry + word.trailing_ones() as usize >= n {
                return InChunk { run: Some(w * 64 - carry), free };
            }
            if n <= 64
                && let Some(b) = first_run(word, n as u32)
            {
                return InChunk { run: Some(w * 64 + b as usize), free };
            }
            carry = if word == u64::MAX { carry + 64 } else { word.leading_ones() as usize };
        }
        InChunk { run: None, free }
    }

    /// Lengths of the first, the longest and the last run of pages that are not in use.
    pub(super) fn summarize(&self) -> Sum {
        let mut start = None;
        let mut max = 0;
        let mut run = 0;
        for (w, &used) in self.0.iter().enumerate() {
            if used == 0 {
                run += 64;
                continue;
            }
            run += used.trailing_zeros() as usize;
            start = start.or(Some(w * 64 + used.trailing_zeros() as usize));
            max = max.max(run);
            run = used.leading_zeros() as usize;
        }
        let Some(start) = start else { return Sum::all_free(CHUNK_PAGES) };
        max = max.max(run);
        // What is left are runs inside a word, of at most 62 pages. Each round looks at all words for a longer run than any
        // known, as `first_run` does, and ends the search or takes the length of one that is.
        let free = self.0.map(|used| !used);
        while max < 62 {
            let mut starts = free;
            let mut known = 1;
            while known <= max {
                let more = known.min(max + 1 - known);
                starts.iter_mut().for_each(|w| *w &= *w >> more);
                known += more;
            }
            let Some((w, bits)) = free.iter().zip(starts).find(|w| w.1 != 0) else { break };
            max = (w >> bits.trailing_zeros()).trailing_ones() as usize;
        }
        Sum::new(start, max, run)
    }
}

/// What is known of 512 pages.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(128))]
pub(super) struct Chunk {
    /// Pages that are in use.
    pub(super) alloc: PallocBits,
    /// Free pages that are with the kernel.
    pub(super) scavenged: PallocBits,
}

const _: () = assert!(size_of::<Chunk>() == 128, "a chunk is two cache lines");

#[expect(unsafe_code, reason = "promises that zeros are a value")]
// SAFETY: sixteen numbers. All zero says that every page is free; nobody asks before `PageAlloc::grow` has filled it in.
unsafe impl Zeroable for Chunk {}

impl Chunk {
    /// Marks `n` free pages from `i` on as in use; returns how many of them were scavenged.
    #[inline]
    pub(super) fn alloc(&mut self, i: usize, n: usize) -> usize {
        debug_assert!(!self.alloc.any(i, n), "pages are in use already");
        let scavenged = self.scavenged.count(i, n);
        self.alloc.set(i, n);
        if scavenged > 0 {
            self.scavenged.clear(i, n);
        }
        scavenged
    }

    /// Marks `n` pages from `i` on as free, with contents.
    #[inline]
    pub(super) fn free(&mut self, i: usize, n: usize) {
        debug_assert!(self.alloc.all(i, n), "pages are free already");
        self.alloc.clear(i, n);
    }

    /// Marks `n` pages from `i` on as free and with the kernel.
    #[inline]
    pub(super) fn free_scavenged(&mut self, i: usize, n: usize) {
        self.free(i, n);
        self.scavenged.set(i, n);
    }

    /// The highest run of free pages with frames: aligned to `align` pages (1 to 64, a power of two), a multiple of that
    /// long, at most `max` but at least `align`. First page and length.
    pub(super) fn scavengeable(&self, max: usize, align: usize) -> Option<(usize, usize)> {
        debug_assert!(align.is_power_of_two() && align <= 64 && max > 0);
        let max = (max - max % align).max(align);
        // The first page of each group of `align` pages.
        let firsts = u64::MAX / ones(0, align as u32);
        let (mut start, mut end) = (0, 0);
        for w in (0..WORDS).rev() {
            let mut no = self.alloc.0[w] | self.scavenged.0[w];
            // Brings a one from anywhere in a group to its first bit, then spreads it over the whole group.
            let mut shift = 1;
            while shift < align {
                no |= no >> shift;
                shift *= 2;
            }
            let mut yes = !((no & firsts).wrapping_mul(ones(0, align as u32)));
            if end == 0 {
                if yes == 0 {
                    continue;
                }
                end = w * 64 + 64 - yes.leading_zeros() as usize;
                start = end;
                // Push the run's end to the word's edge.
                yes <<= yes.leading_zeros();
            }
            let more = yes.leading_ones() as usize;
            start -= more;
            if start > w * 64 || end - start >= max {
                break;
            }
        }
        (end > 0).then(|| (start.max(end - max.min(end)), (end - start).min(max)))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::base::Random;
    use crate::page::testing::Choices as _;

    /// Bitmaps of all kinds: even, sparse, dense, of few long runs, almost full and almost empty.
    fn random_bits(rng: &mut Random) -> PallocBits {
        let mut b = if rng.one_in(2) { PallocBits::ALL } else { PallocBits::NONE };
        match rng.below(5) {
            0 => b.0.iter_mut().for_each(|w| *w = rng.next()),
            1 => b.0.iter_mut().for_each(|w| *w ^= rng.next() & rng.next() & rng.next()),
            2 => {
                for _ in 0..rng.below(6) {
                    let i = rng.below(512);
                    let n = rng.size(512 - i);
                    if rng.one_in(2) { b.set(i, n) } else { b.clear(i, n) }
                }
            }
            3 => {
                for w in &mut b.0 {
                    *w = [0, u64::MAX, rng.next(), u64::MAX << (rng.below(64)), u64::MAX >> rng.below(64)]
                        [rng.below(5)];
                }
            }
            _ => {}
        }
        b
    }

    fn bit(b: &PallocBits, i: usize) -> bool {
        b.0[i / 64] >> (i % 64) & 1 == 1
    }

    fn find_slow(b: &PallocBits, n: usize, from: usize) -> InChunk {
        let free = (from..512).find(|&i| !bit(b, i));
        let run = (from..512).find(|&i| i + n <= 512 && (i..i + n).all(|j| !bit(b, j)));
        InChunk { run, free }
    }

    fn summarize_slow(b: &PallocBits) -> Sum {
        let (mut start, mut max, mut run) = (None, 0, 0);
        for i in 0..512 {
            if bit(b, i) {
                start = start.or(Some(i));
                run = 0;
            } else {
                run += 1;
                max = max.max(run);
            }
        }
        Sum::new(start.unwrap_or(512), max, run)
    }

    #[test]
    fn find_matches_slow_twin() {
        let mut rng = Random::from_env("find_matches_slow_twin", 1);
        for _ in 0..20_000 {
            let b = random_bits(&mut rng);
            let (n, from) = (rng.size(512), if rng.one_in(3) { 0 } else { rng.below(512) });
            assert_eq!(b.find(n, from), find_slow(&b, n, from), "{b:x?} n {n} from {from}");
        }
    }

    #[test]
    fn summary_matches_slow_twin() {
        let mut rng = Random::from_env("summary_matches_slow_twin", 2);
        for _ in 0..20_000 {
            let b = random_bits(&mut rng);
            assert_eq!(b.summarize(), summarize_slow(&b), "{b:x?}");
        }
        // A run inside a word that is longer by one than one that ends at a word's edge.
        for n in 1..62 {
            let mut b = PallocBits::ALL;
            b.clear(64 - n, n);
            b.clear(64 + 1, n + 1);
            assert_eq!(b.summarize(), Sum::new(0, n + 1, 0));
        }
        // Every single hole and every single run of every length at word edges.
        for i in 0..512 {
            for n in [1, 2, 61, 62, 63, 64, 65, 128, 200] {
                let mut b = PallocBits::ALL;
                b.clear(i, n.min(512 - i));
                assert_eq!(b.summarize(), summarize_slow(&b), "{b:x?}");
                let inverse = PallocBits(b.0.map(|w| !w));
                assert_eq!(inverse.summarize(), summarize_slow(&inverse), "{inverse:x?}");
            }
        }
    }

    #[test]
    fn ranges_match_bit_by_bit() {
        let mut rng = Random::from_env("ranges_match_bit_by_bit", 3);
        for _ in 0..5_000 {
            let b = random_bits(&mut rng);
            let i = rng.below(512);
            let n = rng.size(512 - i);
            let (mut set, mut clear) = (b, b);
            set.set(i, n);
            clear.clear(i, n);
            for j in 0..512 {
                let inside = (i..i + n).contains(&j);
                assert_eq!(bit(&set, j), inside || bit(&b, j));
                assert_eq!(bit(&clear, j), !inside && bit(&b, j));
            }
            assert_eq!(b.count(i, n), (i..i + n).filter(|&j| bit(&b, j)).count());
            assert_eq!(b.any(i, n), (i..i + n).any(|j| bit(&b, j)));
            assert_eq!(b.all(i, n), (i..i + n).all(|j| bit(&b, j)));
            assert_eq!(b.clear_below(i), (0..i).rev().take_while(|&j| !bit(&b, j)).count());
            assert_eq!(b.clear_from(i), (i..512).take_while(|&j| !bit(&b, j)).count());
            assert_eq!(b.clear_from(512), 0);
            assert_eq!(b.pages64(i), b.0[i / 64]);
        }
    }

    /// Group by group from the top.
    fn scavengeable_slow(c: &Chunk, max: usize, align: usize) -> Option<(usize, usize)> {
        let yes = |g: usize| (g * align..(g + 1) * align).all(|i| !bit(&c.alloc, i) && !bit(&c.scavenged, i));
        let top = (0..512 / align).rev().find(|&g| yes(g))?;
        let mut low = top;
        while low > 0 && yes(low - 1) && (top - low + 2) * align <= max {
            low -= 1;
        }
        Some((low * align, (top - low + 1) * align))
    }

    #[test]
    fn scavengeable_matches_slow_twin() {
        let mut rng = Random::from_env("scavengeable_matches_slow_twin", 4);
        for _ in 0..20_000 {
            let alloc = random_bits(&mut rng);
            let mut scavenged = random_bits(&mut rng);
            scavenged.0.iter_mut().zip(alloc.0).for_each(|(s, a)| *s &= !a);
            let c = Chunk { alloc, scavenged: if rng.one_in(2) { scavenged } else { PallocBits::NONE } };
            let (max, align) = (rng.size(600), 1 << rng.below(7));
            assert_eq!(c.scavengeable(max, align), scavengeable_slow(&c, max, align), "{c:x?} {max} {align}");
        }
    }
}
