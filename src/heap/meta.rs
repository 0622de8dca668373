//! The metadata arena: where spans, mcaches and pointer arrays live. Answers to Go's fixalloc and persistentalloc.
//!
//! One reservation of its own with guard pages at both ends, committed bit by bit from the bottom up and never given back.
//! Blocks are counted in cache lines of 64 bytes; a freed block goes to the list of its size and is handed out again with
//! unspecified contents. Invariant: no block overlaps user memory or another block, so no write through a user's pointer,
//! however wrong, that stays within the heap's own address range reaches metadata.
//!
//! Rejected: metadata at the head of each span, as in mimalloc and tcmalloc's older form: an overflow then reaches it.
#![expect(unsafe_code, reason = "threads free lists through its own blocks and commits its own reservation")]

use core::ptr::{self, NonNull};

use crate::base::Bytes;
use crate::sys::Os;
use crate::throw::check;

/// Bytes of a cache line, the unit of metadata blocks.
pub(crate) const LINE: usize = 64;
/// Sizes a block may have, in lines: small ones exactly, then powers of two, and what headers with words for 512 and 1,024 objects need.
pub(super) const LINES: [usize; 14] = [1, 2, 3, 4, 8, 16, 20, 32, 40, 64, 128, 256, 512, 1024];
/// Bytes committed at a time, so that one `mprotect` serves hundreds of spans.
const COMMIT_STEP: usize = 64 << 10;
/// Inaccessible bytes at each end: a kernel page of any supported size.
const GUARD: usize = 64 << 10;

/// Bytes of blocks between two gaps of `GUARD` inaccessible bytes: only the hardened build has gaps.
const CHUNK: usize = if cfg!(feature = "hardened") { 1 << 20 } else { usize::MAX };

/// A free block; the link lives in the block itself, which is metadata and out of the user's reach.
struct Free {
    next: *mut Free,
}

/// The arena. Lives behind the lock of rank META.
pub(crate) struct Meta<O: Os> {
    os: O,
    /// First byte never handed out.
    bump: *mut u8,
    /// First byte not committed.
    committed: *mut u8,
    /// First byte of the upper guard.
    end: *mut u8,
    /// Bytes of gaps below `committed`.
    gaps: usize,
    start: *mut u8,
    free: [*mut Free; LINES.len()],
}

// SAFETY: the arena owns its reservation; the pointers are not shared with anything thread-bound.
unsafe impl<O: Os> Send for Meta<O> {}

impl<O: Os> Meta<O> {
    /// Reserves address space for `max` bytes of metadata; `None` when the OS refuses.
    pub(crate) fn new(os: O, max: Bytes) -> Option<Self> {
        let bytes = max.0.next_multiple_of(COMMIT_STEP);
        let base = os.reserve(bytes + 2 * GUARD, COMMIT_STEP, c"gort: metadata")?;
        // SAFETY: the guard is inside the reservation.
        let start = unsafe { base.add(GUARD) }.as_ptr();
        // SAFETY: start + bytes + GUARD is the end of the reservation.
        let end = unsafe { start.add(bytes) };
        Some(Self {
            os,
            bump: start,
            committed: start,
            end,
            gaps: 0,
            start,
            free: [ptr::null_mut(); LINES.len()],
        })
    }

    /// A block of at least `bytes`, aligned to a line, contents unspecified; `None` when the OS refuses memory, and no longer block is free.
    pub(crate) fn alloc(&mut self, bytes: Bytes) -> Option<NonNull<u8>> {
        self.alloc_uncut(bytes).or_else(|| self.cut(list_of(bytes)))
    }

    /// As `alloc`, not of a longer block: for what is fetched in advance.
    pub(super) fn alloc_uncut(&mut self, bytes: Bytes) -> Option<NonNull<u8>> {
        let list = list_of(bytes);
        if let Some(block) = NonNull::new(self.free[list]) {
            // SAFETY: a block on the list was written by `free` and nobody else has it.
            self.free[list] = unsafe { block.as_ref() }.next;
            return Some(block.cast());
        }
        let size = LINES[list] * LINE;
        if size > self.committed as usize - self.bump as usize && !self.commit(size) {
            return None;
        }
        let block = NonNull::new(self.bump);
        // SAFETY: bump + size <= committed, as was just made sure.
        self.bump = unsafe { self.bump.add(size) };
        block
    }

    /// A block of a list, cut off a longer free one; what is left of that goes to other lists. For when the OS refuses memory: blocks never
    /// grow together again.
    fn cut(&mut self, list: usize) -> Option<NonNull<u8>> {
        let longer = (list + 1..LINES.len()).find(|&longer| !self.free[longer].is_null())?;
        let block = NonNull::new(self.free[longer])?;
        // SAFETY: a block on the list was written by `free` and nobody else has it.
        self.free[longer] = unsafe { block.as_ref() }.next;
        let mut at = LINES[list];
        while at < LINES[longer] {
            let next = LINES.iter().rposition(|&lines| lines <= LINES[longer] - at)?;
            // SAFETY: inside the block.
            let rest = unsafe { block.cast::<u8>().add(at * LINE) };
            // SAFETY: of the block, which nobody else has, and that long.
            unsafe { self.put(rest, next) };
            at += LINES[next];
        }
        Some(block.cast())
    }

    /// Commits room for `size` more bytes at the top.
    fn commit(&mut self, size: usize) -> bool {
        let step = size.next_multiple_of(COMMIT_STEP);
        if self.gaps < self.committed().0 / CHUNK * GUARD {
            if GUARD > self.end as usize - self.committed as usize {
                return false;
            }
            // SAFETY: still inside the reservation. What is left of the chunk below is too short for a block and stays unused.
            self.committed = unsafe { self.committed.add(GUARD) };
            self.bump = self.committed;
            self.gaps += GUARD;
        }
        if step > self.end as usize - self.committed as usize {
            return false;
        }
        let Some(at) = NonNull::new(self.committed) else { return false };
        // SAFETY: [committed, committed + step) is inside our reservation (commit 1).
        if !unsafe { self.os.commit(at, step) } {
            return false;
        }
        // SAFETY: still inside the reservation.
        self.committed = unsafe { self.committed.add(step) };
        true
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// 1. `block` came from `alloc` with the same `bytes`.  2. Nobody uses it any more.
    pub(crate) unsafe fn free(&mut self, block: NonNull<u8>, bytes: Bytes) {
        // SAFETY: the block is ours again (1, 2).
        unsafe { self.put(block, list_of(bytes)) };
    }

    /// Puts a block on a list.
    ///
    /// # Safety
    /// 1. It is the arena's, as long as the list says, and nobody uses it.
    unsafe fn put(&mut self, block: NonNull<u8>, list: usize) {
        let free = block.cast::<Free>();
        // SAFETY: the block is at least a line long and aligned to it (1).
        unsafe { free.write(Free { next: self.free[list] }) };
        self.free[list] = free.as_ptr();
    }

    /// Bytes that can be read and written.
    pub(crate) fn committed(&self) -> Bytes {
        Bytes(self.committed as usize - self.start as usize - self.gaps)
    }
}

/// Gives the addresses back: for a start that was refused half way, and for tests. A heap that stands is never dropped.
impl<O: Os> Drop for Meta<O> {
    fn drop(&mut self) {
        let bytes = self.end as usize - self.start as usize + 2 * GUARD;
        // SAFETY: the lower guard is part of the reservation.
        if let Some(base) = NonNull::new(unsafe { self.start.sub(GUARD) }) {
            // SAFETY: exactly what `reserve` returned; whoever drops the arena says that nothing refers to it.
            unsafe { self.os.unreserve(base, bytes) };
        }
    }
}

/// The list that serves blocks of `bytes`.
fn list_of(bytes: Bytes) -> usize {
    let lines = bytes.0.div_ceil(LINE).max(1);
    check!(lines <= LINES[LINES.len() - 1]; bytes = bytes.0);
    LINES.partition_point(|&l| l < lines)
}

/// Bytes a block for `bytes` really has.
pub(crate) fn block_size(bytes: Bytes) -> Bytes {
    Bytes(LINES[list_of(bytes)] * LINE)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::sys::Linux;
    use std::{
        collections::{BTreeMap, BTreeSet},
        vec::Vec,
    };

    #[test]
    fn blocks_never_overlap_and_come_back() {
        let mut meta = Meta::new(Linux, Bytes(8 << 20)).unwrap();
        let mut live: BTreeMap<usize, usize> = BTreeMap::new();
        let mut freed = Vec::new();
        for i in 0..4000usize {
            let bytes = Bytes((i * 7919) % 3000 + 1);
            let block = meta.alloc(bytes).unwrap();
            let (at, len) = (block.as_ptr() as usize, block_size(bytes).0);
            assert_eq!(at % LINE, 0);
            assert!(len >= bytes.0);
            // SAFETY: the block is len bytes long and ours.
            unsafe { block.write_bytes(0xa5, len) };
            assert!(live.range(..at + len).next_back().is_none_or(|(&a, &l)| a + l <= at));
            live.insert(at, len);
            freed.push((block, bytes));
            if i % 3 == 0 {
                let (block, bytes) = freed.swap_remove(i % freed.len());
                live.remove(&(block.as_ptr() as usize));
                // SAFETY: from `alloc` with these bytes, forgotten above.
                unsafe { meta.free(block, bytes) };
            }
        }
        assert!(meta.committed().0 < 8 << 20, "freed blocks were not used again");
    }

    #[test]
    fn exhaustion_is_none_and_freed_blocks_still_serve() {
        let mut meta = Meta::new(Linux, Bytes(COMMIT_STEP)).unwrap();
        let blocks: Vec<_> = core::iter::from_fn(|| meta.alloc(Bytes(4096))).collect();
        assert_eq!(blocks.len(), COMMIT_STEP / 4096);
        // SAFETY: from `alloc`, not used afterwards.
        unsafe { meta.free(blocks[3], Bytes(4096)) };
        assert_eq!(meta.alloc(Bytes(4096)), Some(blocks[3]));
        assert_eq!(meta.alloc(Bytes(4096)), None);
    }

    #[test]
    fn when_memory_is_exhausted_longer_blocks_are_cut() {
        for (long, short) in [(4096, 1), (1280, 3 * LINE), (LINES[13] * LINE, 1280)] {
            let mut meta = Meta::new(Linux, Bytes(COMMIT_STEP)).unwrap();
            let blocks: Vec<_> = core::iter::from_fn(|| meta.alloc(Bytes(long))).collect();
            assert_eq!(blocks.len(), COMMIT_STEP / long);
            // What is left at the end may be long enough for the shorter ones.
            while meta.alloc(Bytes(short)).is_some() {}
            // SAFETY: from `alloc`, not used afterwards.
            blocks.iter().for_each(|&block| unsafe { meta.free(block, Bytes(long)) });
            let taken: BTreeSet<_> =
                core::iter::from_fn(|| meta.alloc(Bytes(short))).map(|b| b.as_ptr() as usize).collect();
            let (size, freed) = (block_size(Bytes(short)).0, blocks.len() * long);
            assert!(taken.len() * size >= freed / 4 * 3, "{short} of {long}: {} of {freed}", taken.len());
            let inside =
                |at: usize| blocks.iter().any(|b| at.wrapping_sub(b.as_ptr() as usize) <= long - size);
            assert!(taken.iter().all(|&at| inside(at)));
            let ends = taken.iter().map(|at| at + size);
            assert!(ends.zip(taken.iter().skip(1)).all(|(end, &next)| end <= next));
        }
    }

    /// The ranges of [from, to) in the order of addresses, as the kernel says: their bytes, and whether they can be written to.
    #[cfg(feature = "hardened")]
    fn ranges(from: usize, to: usize) -> Vec<(usize, bool)> {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let mut ranges: Vec<(usize, bool)> = Vec::new();
        for line in maps.lines() {
            let (range, rest) = line.split_once(' ').unwrap();
            let (start, end) = range.split_once('-').unwrap();
            let [start, end] = [start, end].map(|n| usize::from_str_radix(n, 16).unwrap().clamp(from, to));
            let is_open = rest.starts_with("rw");
            match ranges.last_mut() {
                _ if start == end => {}
                Some(last) if last.1 == is_open => last.0 += end - start,
                _ => ranges.push((end - start, is_open)),
            }
        }
        ranges
    }

    #[test]
    #[cfg(feature = "hardened")]
    fn a_gap_follows_each_mebibyte() {
        const CHUNKS: usize = 5;
        let mut meta = Meta::new(Linux, Bytes(CHUNKS * ((1 << 20) + GUARD))).unwrap();
        // Blocks of many sizes, so that not all end where a chunk does.
        for bytes in (0..).map(|i| Bytes((i * 7919) % (64 << 10) + 1)) {
            let Some(block) = meta.alloc(bytes) else { break };
            // SAFETY: the block is ours, and that long.
            unsafe { block.write_bytes(0xa5, block_size(bytes).0) };
        }
        let got = ranges(meta.start as usize, meta.end as usize + GUARD);
        let chunk = [(1 << 20, true), (64 << 10, false)];
        let mut expected: Vec<_> = core::iter::repeat_n(chunk, CHUNKS).flatten().collect();
        // The last gap and the upper guard are one range.
        expected.last_mut().unwrap().0 += GUARD;
        assert_eq!(got, expected);
    }
}
