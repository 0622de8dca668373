//! Where the free runs are, in a tree: five levels, eight children to a node, one leaf to a chunk. Answers to Go's
//! mpagealloc.go (pallocSum, mergeSummaries, find).
//!
//! A node says of its pages how long the free run at its start, its longest free run and the free run at its end are. That
//! is enough to decide, without looking below, whether a run of n pages begins before it and ends in it, lies inside it, or
//! goes on behind it.
//!
//! ```text
//! level 0   one entry for 16 GiB: as many as the reservation has    | one array in one reservation,
//! level 1   2 GiB each                                              | root first, so that the few upper
//! level 2   256 MiB                                                 | entries are committed with the first
//! level 3   32 MiB                                                  | leaves
//! level 4   4 MiB: the leaves                                       |
//! ```
//!
//! Invariants: a leaf is the summary of its chunk's bitmap, or "nothing free" when the chunk is not usable yet; a node is the
//! merge of its eight children.
//!
//! Rejected: Go's search from the root down with a hint for the left edge. The search here starts at the hint's chunk and
//! climbs only as far as it must, so it is short when the run is near, and it may start anywhere, which alignment needs.

use super::OutOfMemory;
use super::bitmap::CHUNK_PAGES;
use super::table::{Table, Zeroable};
use crate::base::Bytes;
use crate::sys::Os;
use crate::throw::throw;

/// Levels of the tree (Go's summaryLevels).
const LEVELS: usize = 5;
const LEAF: usize = LEVELS - 1;
/// Children of a node.
const FAN_OUT: usize = 8;
/// Bits of a length below the root's 2^21 pages.
const LENGTH_BITS: u32 = 21;
const LENGTH_MASK: usize = (1 << LENGTH_BITS) - 1;
/// The one value whose lengths need a bit more: a root entry that is entirely free.
const ROOT_FREE: u64 = 1 << 63;

/// Pages that an entry of `level` stands for.
const fn pages_at(level: usize) -> usize {
    CHUNK_PAGES << (3 * (LEAF - level))
}

const _: () =
    assert!(pages_at(0) == 1 << LENGTH_BITS, "a root entry's lengths need one bit more than the others'");

/// Lengths of the first, the longest and the last free run of a stretch of pages, in one word.
#[derive(Clone, Copy, PartialEq, Eq)]
#[doc(alias = "pallocSum")]
#[repr(transparent)]
pub(super) struct Sum(u64);

#[expect(unsafe_code, reason = "promises that zeros are a value")]
// SAFETY: a number; zero says that nothing is free.
unsafe impl Zeroable for Sum {}

impl Sum {
    /// Nothing is free.
    pub(super) const NONE: Self = Self(0);

    /// Packs three lengths.
    #[inline]
    pub(super) const fn new(start: usize, max: usize, end: usize) -> Self {
        debug_assert!(start <= max && end <= max && max <= pages_at(0));
        if max == pages_at(0) {
            return Self(ROOT_FREE);
        }
        Self(start as u64 | (max as u64) << LENGTH_BITS | (end as u64) << (2 * LENGTH_BITS))
    }

    /// All of `pages` are free.
    #[inline]
    pub(super) const fn all_free(pages: usize) -> Self {
        Self::new(pages, pages, pages)
    }

    #[inline]
    const fn field(self, i: u32) -> usize {
        if self.0 == ROOT_FREE { pages_at(0) } else { (self.0 >> (i * LENGTH_BITS)) as usize & LENGTH_MASK }
    }

    /// Free pages at the start.
    #[inline]
    pub(super) const fn start(self) -> usize {
        self.field(0)
    }

    /// Free pages in the longest run.
    #[inline]
    pub(super) const fn max(self) -> usize {
        self.field(1)
    }

    /// Free pages at the end.
    #[inline]
    pub(super) const fn end(self) -> usize {
        self.field(2)
    }

    /// The summary of eight stretches of `pages` each, one behind the other.
    ///
    /// Above the leaves most stretches are full at the bottom of the heap and free at the top, so those two come first.
    #[doc(alias = "mergeSummaries")]
    #[inline]
    fn merge(children: &[Self; FAN_OUT], pages: usize) -> Self {
        let free = Self::all_free(pages);
        let (mut start, mut max) = (None, 0);
        // Free pages that end where the next child begins. Runs that have ended are in `max`.
        let mut run = 0;
        for &c in children {
            if c == free {
                run += pages;
                continue;
            }
            let head = run + c.start();
            start = start.or(Some(head));
            max = max.max(head);
            run = 0;
            if c != Self::NONE {
                max = max.max(c.max());
                run = c.end();
            }
        }
        Self::new(start.unwrap_or(run), max.max(run), run)
    }
}

impl core::fmt::Debug for Sum {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "({}, {}, {})", self.start(), self.max(), self.end())
    }
}

/// A search for a run of free pages on its way through the tree.
#[derive(Debug)]
pub(super) struct Search {
    /// Pages wanted.
    pub(super) n: usize,
    /// Free pages that end right before the next entry to be looked at.
    pub(super) run: usize,
    /// A page such that nothing before it is free, from where the search began; `None` while nothing free was met.
    pub(super) free: Option<usize>,
}

/// Where a search ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// The lowest run begins at this page; it crosses an edge between entries.
    Run(usize),
    /// The lowest run lies inside this chunk.
    Chunk(usize),
    /// There is none.
    Nothing,
}

enum Step {
    Next,
    Run(usize),
    Descend,
}

impl Search {
    /// Looks at the entry for `pages` pages from `base` on.
    #[inline]
    fn step(&mut self, sum: Sum, base: usize, pages: usize) -> Step {
        if sum == Sum::NONE {
            self.run = 0;
            return Step::Next;
        }
        if self.run + sum.start() >= self.n {
            self.free.get_or_insert(base);
            return Step::Run(base - self.run);
        }
        if sum.max() >= self.n {
            // What is free first is known better further down, unless it lies before this entry.
            return Step::Descend;
        }
        self.free.get_or_insert(base);
        self.run = if sum.end() == pages { self.run + pages } else { sum.end() };
        Step::Next
    }
}

/// The tree.
pub(super) struct Summaries<O: Os> {
    entries: Table<Sum, O>,
    /// Index of each level's first entry.
    first: [usize; LEVELS],
    /// Chunks that are usable: the leaves from here on say "nothing free".
    chunks: usize,
}

impl<O: Os> Summaries<O> {
    /// Reserves a tree for `chunks` chunks; `None` when the OS refuses.
    pub(super) fn new(os: O, chunks: usize) -> Option<Self> {
        let mut first = [0; LEVELS];
        let mut total = 0;
        for (level, f) in first.iter_mut().enumerate() {
            *f = total;
            let entries = chunks.div_ceil(pages_at(level) / CHUNK_PAGES);
            // Whole families, so that a node always has eight children to be merged from.
            total += if level == 0 { entries } else { entries.next_multiple_of(FAN_OUT) };
        }
        Some(Self { entries: Table::new(os, total, c"gort: page summaries")?, first, chunks: 0 })
    }

    /// Commits the entries for the first `chunks` chunks, which changes nothing else.
    pub(super) fn prepare(&self, chunks: usize) -> Result<(), OutOfMemory> {
        self.entries.grow_to(self.first[LEAF] + chunks.next_multiple_of(FAN_OUT))
    }

    /// Makes the first `chunks` chunks usable; `prepare` must have been called for them.
    pub(super) fn grow(&mut self, chunks: usize) {
        self.chunks = chunks;
    }

    /// Bytes committed.
    pub(super) fn committed_bytes(&self) -> Bytes {
        self.entries.committed_bytes()
    }

    #[inline]
    fn get(&self, level: usize, i: usize) -> Sum {
        *self.entries.at(self.first[level] + i)
    }

    /// The summary of chunk `c`.
    #[inline]
    pub(super) fn leaf(&self, c: usize) -> Sum {
        self.get(LEAF, c)
    }

    /// Changes the summary of one chunk and of everything above it that it changes.
    #[inline]
    pub(super) fn set_leaf(&mut self, c: usize, sum: Sum) {
        let e = self.entries.at_mut(self.first[LEAF] + c);
        if *e == sum {
            return;
        }
        *e = sum;
        let mut i = c;
        for level in (0..LEAF).rev() {
            i /= FAN_OUT;
            if !self.merge_again(level, i) {
                break;
            }
        }
    }

    /// Changes the summary of a chunk; `update` must follow for all chunks so changed.
    #[inline]
    pub(super) fn set_leaf_only(&mut self, c: usize, sum: Sum) {
        *self.entries.at_mut(self.first[LEAF] + c) = sum;
    }

    /// Merges anew what stands above the chunks `lo` to `hi`, both included, up to the level where nothing changes.
    pub(super) fn update(&mut self, mut lo: usize, mut hi: usize) {
        for level in (0..LEAF).rev() {
            (lo, hi) = (lo / FAN_OUT, hi / FAN_OUT);
            let mut changed = false;
            for i in lo..=hi {
                changed |= self.merge_again(level, i);
            }
            if !changed {
                break;
            }
        }
    }

    /// Brings entry `i` of `level` up to date with its children; whether that changed it.
    #[inline]
    fn merge_again(&mut self, level: usize, i: usize) -> bool {
        let merged = self.merged(level, i);
        let e = self.entries.at_mut(self.first[level] + i);
        core::mem::replace(e, merged) != merged
    }

    /// What entry `i` of `level` must be.
    #[inline]
    fn merged(&self, level: usize, i: usize) -> Sum {
        let at = self.first[level + 1] + i * FAN_OUT;
        let Some(children) = self.entries.get(at..).and_then(<[Sum]>::first_chunk) else {
            throw!("page: summary has no children"; level = level, index = i)
        };
        Sum::merge(children, pages_at(level + 1))
    }

    /// Searches behind chunk `c`, which the caller has searched itself: `s.run` is the free run at the end of it.
    ///
    /// Visits the right-hand siblings of the chunk, then those of its parent, and so on, until an entry completes the run or
    /// has it inside.
    pub(super) fn search_after(&self, c: usize, s: &mut Search) -> Outcome {
        let mut i = c;
        for level in (0..LEVELS).rev() {
            // Nothing behind the last usable chunk is free, so the root's entries end there.
            let end = if level == 0 {
                self.chunks.div_ceil(pages_at(0) / CHUNK_PAGES)
            } else {
                (i / FAN_OUT + 1) * FAN_OUT
            };
            for j in i + 1..end {
                match s.step(self.get(level, j), j * pages_at(level), pages_at(level)) {
                    Step::Next => {}
                    Step::Run(page) => return Outcome::Run(page),
                    Step::Descend => return self.descend(level, j, s),
                }
            }
            i /= FAN_OUT;
        }
        Outcome::Nothing
    }

    /// Finds the lowest run inside an entry that is known to have one.
    fn descend(&self, top: usize, top_i: usize, s: &mut Search) -> Outcome {
        let mut i = top_i;
        'level: for level in top + 1..LEVELS {
            for j in i * FAN_OUT..(i + 1) * FAN_OUT {
                match s.step(self.get(level, j), j * pages_at(level), pages_at(level)) {
                    Step::Next => {}
                    Step::Run(page) => return Outcome::Run(page),
                    Step::Descend => {
                        i = j;
                        continue 'level;
                    }
                }
            }
            throw!("page: summary promises a run that is not there"; level = level, index = i, pages = s.n);
        }
        Outcome::Chunk(i)
    }

    /// Ends the process unless every node is the merge of its children. `leaf` gives what each leaf must be.
    #[cfg(any(test, feature = "invariants"))]
    pub(super) fn check_invariants(&self, leaf: impl Fn(usize) -> Sum) {
        use crate::throw::check;
        if self.chunks == 0 {
            return;
        }
        for c in 0..self.chunks.next_multiple_of(FAN_OUT) {
            let want = if c < self.chunks { leaf(c) } else { Sum::NONE };
            check!(self.leaf(c) == want; chunk = c; is = self.leaf(c); want = want);
        }
        for level in 0..LEAF {
            for i in 0..self.chunks.div_ceil(pages_at(level) / CHUNK_PAGES) {
                let want = self.merged(level, i);
                check!(self.get(level, i) == want; level = level; index = i; is = self.get(level, i); want = want);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::base::Random;
    use crate::page::testing::{Choices as _, FakeOs};
    use std::vec::Vec;

    /// A leaf that some bitmap could have.
    fn random_leaf(rng: &mut Random) -> Sum {
        match rng.below(4) {
            0 => Sum::NONE,
            1 => Sum::all_free(CHUNK_PAGES),
            _ => {
                let used = 2 + rng.below(CHUNK_PAGES - 2);
                let start = rng.below(CHUNK_PAGES - used + 1);
                let end = rng.below(CHUNK_PAGES - used - start + 1);
                Sum::new(start, start.max(end).max(rng.below(CHUNK_PAGES - used - start - end + 1)), end)
            }
        }
    }

    /// A chunk's pages as the summary says they may be: the longest run in the middle if it is neither first nor last.
    fn pages_of(s: Sum) -> Vec<bool> {
        if s == Sum::all_free(CHUNK_PAGES) {
            return [true; CHUNK_PAGES].to_vec();
        }
        let mut v = [false; CHUNK_PAGES].to_vec();
        v[..s.start()].fill(true);
        v[CHUNK_PAGES - s.end()..].fill(true);
        if s.max() > s.start().max(s.end()) {
            v[s.start() + 1..s.start() + 1 + s.max()].fill(true);
        }
        v
    }

    fn runs(pages: &[bool]) -> Vec<(usize, usize)> {
        let mut out = Vec::new();
        let mut i = 0;
        for group in pages.chunk_by(|a, b| a == b) {
            if group[0] {
                out.push((i, group.len()));
            }
            i += group.len();
        }
        out
    }

    #[test]
    fn packing_keeps_the_lengths() {
        for (a, m, e) in [
            (0, 0, 0),
            (1, 2, 1),
            (0, 5, 5),
            (512, 512, 512),
            (1 << 20, (1 << 21) - 1, 9),
            (1 << 21, 1 << 21, 1 << 21),
        ] {
            let s = Sum::new(a, m, e);
            assert_eq!((s.start(), s.max(), s.end()), (a, m, e));
        }
        assert_eq!(Sum::NONE, Sum::new(0, 0, 0));
    }

    /// Merging is compared with spelling the pages out, at every level up to a scaled-down root.
    #[test]
    fn merge_matches_slow_twin() {
        let mut rng = Random::from_env("merge_matches_slow_twin", 11);
        for _ in 0..300 {
            let leaves: Vec<Sum> = (0..64)
                .map(|_| if rng.one_in(3) { Sum::all_free(512) } else { random_leaf(&mut rng) })
                .collect();
            let pages: Vec<bool> = leaves.iter().flat_map(|&s| pages_of(s)).collect();
            let mut level = leaves;
            let mut size = CHUNK_PAGES;
            while level.len() > 1 {
                level = level.as_chunks().0.iter().map(|c| Sum::merge(c, size)).collect();
                size *= FAN_OUT;
                for (s, p) in level.iter().zip(pages.chunks(size)) {
                    let runs = runs(p);
                    let start = runs.first().filter(|r| r.0 == 0).map_or(0, |r| r.1);
                    let end = runs.last().filter(|r| r.0 + r.1 == size).map_or(0, |r| r.1);
                    let max = runs.iter().map(|r| r.1).max().unwrap_or(0);
                    assert_eq!(*s, Sum::new(start, max, end));
                }
            }
        }
        assert_eq!(Sum::merge(&[Sum::all_free(1 << 18); 8], 1 << 18), Sum::all_free(1 << 21));
    }

    /// A tree of three root entries with random leaves: every search from every kind of place against a scan of all runs.
    #[test]
    fn search_matches_slow_twin() {
        let mut rng = Random::from_env("search_matches_slow_twin", 12);
        let chunks = 2 * 4096 + 700;
        for round in 0..6 {
            let mut t = Summaries::new(FakeOs::new(4096), chunks).unwrap();
            t.prepare(chunks).unwrap();
            t.grow(chunks);
            // Mostly full trees with a few leaves that have something, and trees of long free stretches.
            let mut leaves = std::vec![Sum::NONE; chunks];
            for _ in 0..[20, 300, 4000][round % 3] {
                let c = rng.below(chunks);
                let sum = random_leaf(&mut rng);
                let n = if round >= 3 { rng.size(6000).min(chunks - c) } else { 1 };
                leaves[c..c + n].fill(if n > 1 { Sum::all_free(CHUNK_PAGES) } else { sum });
                if n == 1 {
                    t.set_leaf(c, sum);
                } else {
                    (c..c + n).for_each(|c| t.set_leaf_only(c, Sum::all_free(CHUNK_PAGES)));
                    t.update(c, c + n - 1);
                }
            }
            t.check_invariants(|c| leaves[c]);
            let pages: Vec<bool> = leaves.iter().flat_map(|&s| pages_of(s)).collect();
            let runs = runs(&pages);
            for _ in 0..400 {
                let c = rng.below(chunks);
                let n = if rng.one_in(3) { rng.size(1 << 22) } else { rng.size(1024) };
                let carry = leaves[c].end();
                let n = n.max(carry + 1);
                let mut s = Search { n, run: carry, free: None };
                let out = t.search_after(c, &mut s);
                // The run that reaches out of chunk c counts from where it enters the chunk's end.
                let edge = (c + 1) * CHUNK_PAGES;
                let want = runs
                    .iter()
                    .map(|&(a, len)| (a.max(edge - carry), a + len))
                    .find(|&(a, b)| b > edge && b >= a + n)
                    .map(|r| r.0);
                match (out, want) {
                    (Outcome::Run(p), Some(w)) => assert_eq!(p, w),
                    (Outcome::Chunk(k), Some(w)) => assert_eq!(k, w / CHUNK_PAGES),
                    (Outcome::Nothing, None) => {}
                    other => panic!("{other:?} n {n} from chunk {c}"),
                }
                let first_free =
                    runs.iter().map(|r| (r.0.max(edge), r.0 + r.1)).find(|r| r.1 > edge).map(|r| r.0);
                if let Some(f) = s.free {
                    assert!(first_free.is_some_and(|x| f <= x), "{f} is behind a free page");
                } else if out == Outcome::Nothing {
                    assert_eq!(first_free, None);
                }
            }
        }
    }
}
