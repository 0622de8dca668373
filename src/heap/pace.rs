//! When memory goes back to the kernel: the paced scavenger and the soft memory limit. Answers to Go's mgcscavenge.go
//! (pacing) and mgcpacer.go (limit).
//!
//! Go keeps 10 % over what the last collection left. gort has no collection to go by, so the reference is the recent peak of
//! pages in use: it follows a rise at once and a fall with a time constant of two seconds, so that a heap that breathes does
//! not give back what it is about to take again. Above the reference plus 10 % the surplus is released from the top of the
//! address space down, at 1 % of one CPU. There is no thread: the work is done at slow-path events, when enough time has
//! passed; the opt-in background thread does the same while the program is idle, at 5 %.
//!
//! The limit is soft, as in Go: above it, free pages are released as soon as there are any, at half of the CPU at most, and
//! threads are asked to flush their caches; memory is refused only when the kernel refuses it.

use core::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Relaxed},
};

use super::mheap::Heap;
use crate::base::{Bytes, PAGE_SIZE, Pages};
use crate::page::PageAlloc;
use crate::sys;

const MS: u64 = 1_000_000;
/// Shortest time between two paced rounds.
const ROUND_NS: u64 = 10 * MS;
/// Time constant of the recent peak.
const PEAK_NS: u64 = 2_000 * MS;
/// A round may work for this fraction of the time since the last one ...
const CPU_DIVISOR: u64 = 100;
/// ... and not longer, so that no single allocation pays for a long idle time.
const ROUND_WORK_NS: u64 = 2 * MS;
/// The same for the background thread, which no allocation waits for: a gigabyte goes back in seconds.
const BACKGROUND_DIVISOR: u64 = 20;
const BACKGROUND_WORK_NS: u64 = 20 * MS;
/// Headroom over the recent peak: a tenth.
const HEADROOM_DIVISOR: usize = 10;
/// Free memory that is not worth giving back.
const FLOOR: Pages = Pages((1 << 20) / PAGE_SIZE);
/// Pages per `madvise` in paced rounds (Go: 64 KiB).
const STEP: Pages = Pages((64 << 10) / PAGE_SIZE);
/// Pages per `madvise` when it is urgent, or there is much to give back.
const URGENT_STEP: Pages = Pages((4 << 20) / PAGE_SIZE);
/// Least time between two looks at what idle threads keep.
const SWEEP_NS: u64 = 1_000 * MS;
/// Least time between two calls to flush caches.
const PRESSURE_NS: u64 = 50 * MS;

/// The state of both policies.
pub(super) struct Pace {
    /// The limit in bytes; `usize::MAX` = none. Set by options and `set_memory_limit`, read at slow paths.
    limit: AtomicUsize,
    /// Coarse time of the last paced round. The thread that moves it forward does the round.
    last: AtomicU64,
    /// Recent peak of pages in use; written by the thread doing the round.
    peak: AtomicUsize,
    /// The most pages in use since the last round, which may itself look when there are few. Written by whoever makes a span.
    most: AtomicUsize,
    /// Precise time before which no more work is done for the limit.
    rest_until: AtomicU64,
    /// Coarse time of the last call to flush caches.
    last_pressure: AtomicU64,
    /// Coarse time of the last look at what idle threads keep.
    last_sweep: AtomicU64,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self {
            limit: AtomicUsize::new(usize::MAX),
            last: AtomicU64::new(0),
            peak: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            rest_until: AtomicU64::new(0),
            last_pressure: AtomicU64::new(0),
            last_sweep: AtomicU64::new(0),
        }
    }
}

/// Lets one caller through per `interval`: the one that moves `last` forward.
fn due(last: &AtomicU64, now: u64, interval: u64) -> Option<u64> {
    let then = last.load(Relaxed);
    let elapsed = now.saturating_sub(then);
    // AcqRel: the winner sees what the last winner wrote to the policy's other fields.
    (elapsed >= interval && last.compare_exchange(then, now, AcqRel, Relaxed).is_ok()).then_some(elapsed)
}

/// The recent peak after `elapsed`: never below `most`, what was in use meanwhile, and a fall is followed with the time constant.
fn decayed_peak(peak: usize, most: usize, elapsed: u64) -> usize {
    let fall = peak.saturating_sub(most) as u128 * u128::from(elapsed.min(PEAK_NS)) / u128::from(PEAK_NS);
    // At least a page at a time, so that a long series of short rounds arrives.
    peak.saturating_sub((fall as usize).max(1)).max(most)
}

impl Heap {
    /// The memory limit in bytes; `usize::MAX` = none.
    pub(crate) fn memory_limit(&self) -> usize {
        self.pace.limit.load(Relaxed)
    }

    /// Sets the memory limit and acts on it. Returns the old one.
    pub(crate) fn set_memory_limit(&self, bytes: usize) -> usize {
        // Go's number for none is the most that an i64 holds.
        let bytes = if bytes >= isize::MAX as usize { usize::MAX } else { bytes };
        let old = self.pace.limit.swap(bytes, Relaxed);
        self.ask_nowhere();
        self.enforce_limit();
        old
    }

    /// Bytes with page frames, or that may get them without asking us: what the limit is about.
    pub(crate) fn ready_bytes(&self) -> Bytes {
        let frames = self.usable.load(Relaxed).saturating_sub(self.released.load(Relaxed));
        let beside = self.huge_bytes.load(Relaxed) + self.guarded.load(Relaxed);
        Bytes(Pages(frames).bytes().0 + beside + self.metadata_bytes().0)
    }

    /// Releases what exceeds the limit, as far as free pages go.
    #[inline]
    pub(super) fn enforce_limit(&self) {
        if self.memory_limit() != usize::MAX {
            self.enforce_set_limit();
        }
    }

    #[cold]
    fn enforce_set_limit(&self) {
        let excess = || Pages(self.ready_bytes().0.saturating_sub(self.memory_limit()).div_ceil(PAGE_SIZE));
        let (start, mut left) = (sys::precise_ns(), excess());
        if left == Pages(0) || start < self.pace.rest_until.load(Relaxed) {
            return;
        }
        // Step by step: other threads may be at the same excess.
        while left > Pages(0)
            && let got = self.scavenge(excess().min(left).min(URGENT_STEP), URGENT_STEP, true)
            && got > Pages(0)
        {
            left = Pages(left.0.saturating_sub(got.0));
        }
        let end = sys::precise_ns();
        // Rest as long as it worked: at most half of the CPU goes into holding the limit. Another thread may have worked longer.
        self.pace.rest_until.fetch_max(end + (end - start), Relaxed);
        if excess() > Pages(0) && due(&self.pace.last_pressure, end, PRESSURE_NS).is_some() {
            self.raise_pressure();
        }
    }

    /// Releases what a thread gave up when it was asked to, without rest: it is not asked often.
    pub(crate) fn caches_are_flushed(&self) {
        self.pace.rest_until.store(0, Relaxed);
        self.enforce_limit();
    }

    /// Whether it is time to look at what idle threads keep; one caller a second is told so, and does it.
    pub(crate) fn sweep_is_due(&self) -> bool {
        due(&self.pace.last_sweep, sys::coarse_ns(), SWEEP_NS).is_some()
    }

    /// Notes how many pages are in use, where they became more.
    #[inline]
    pub(super) fn note_in_use(&self, pages: usize) {
        if pages > self.pace.most.load(Relaxed) {
            self.pace.most.fetch_max(pages, Relaxed);
        }
    }

    /// A slow-path event: does a round of paced scavenging when one is due.
    pub(crate) fn tick(&self) {
        self.do_round(|elapsed| (elapsed / CPU_DIVISOR).min(ROUND_WORK_NS));
    }

    /// The same from the background thread.
    pub(crate) fn tick_in_background(&self) {
        self.do_round(|elapsed| (elapsed / BACKGROUND_DIVISOR).min(BACKGROUND_WORK_NS));
    }

    #[inline]
    fn do_round(&self, budget: impl FnOnce(u64) -> u64) {
        let Some(elapsed) = due(&self.pace.last, sys::coarse_ns(), ROUND_NS) else { return };
        self.enforce_limit();
        let in_use = self.in_use.load(Relaxed);
        let most = self.pace.most.swap(in_use, Relaxed).max(in_use);
        let peak = decayed_peak(self.pace.peak.load(Relaxed), most, elapsed);
        self.pace.peak.store(peak, Relaxed);
        let goal = peak + peak / HEADROOM_DIVISOR + FLOOR.0;
        let frames = self.usable.load(Relaxed).saturating_sub(self.released.load(Relaxed));
        let mut surplus = frames.saturating_sub(goal);
        let start = sys::precise_ns();
        let budget = budget(elapsed);
        // After a large fall in large steps: they cost less, and leave fewer huge pages in pieces.
        let step = if surplus > goal / 4 { URGENT_STEP } else { STEP };
        while surplus > 0 && sys::precise_ns() - start < budget {
            let got = self.scavenge(Pages(surplus.min(step.0)), step, false);
            if got.0 == 0 {
                break;
            }
            surplus = surplus.saturating_sub(got.0);
        }
    }

    /// Releases every free page now (Go's debug.FreeOSMemory), those included that the kernel refused before. Returns the bytes released.
    pub(crate) fn release_all(&self) -> Bytes {
        let mut done = Pages(0);
        // The first last: others give it chunks.
        for group in self.groups().rev() {
            let free = |alloc: &mut PageAlloc<_>| {
                alloc.retry_refused();
                alloc.free_unscavenged()
            };
            // As many as there are now: other threads may free pages as fast as they are released.
            let want = self.with_group(group, free).unwrap_or(Pages(0));
            done += self.scavenge_in(group, want, URGENT_STEP, true);
        }
        done.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peak_follows_a_rise_at_once_and_a_fall_slowly() {
        assert_eq!(decayed_peak(100, 500, MS), 500);
        let after_one_round = decayed_peak(1_000_000, 0, ROUND_NS);
        assert!((990_000..1_000_000).contains(&after_one_round));
        assert_eq!(decayed_peak(1000, 10, 60_000 * MS), 10);
        let mut peak = 1000;
        for _ in 0..2_000 {
            peak = decayed_peak(peak, 0, ROUND_NS);
        }
        assert_eq!(peak, 0, "a fall is followed to the end");
    }

    #[test]
    fn one_caller_per_interval() {
        let last = AtomicU64::new(0);
        assert_eq!(due(&last, 50, 100), None);
        assert_eq!(due(&last, 150, 100), Some(150));
        assert_eq!(due(&last, 200, 100), None);
        assert_eq!(due(&last, 250, 100), Some(100));
    }
}
