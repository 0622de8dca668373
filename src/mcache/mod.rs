//! One cache per thread: a bin per size class, a window of pages, a few large spans, and the exact counts. Answers to Go's
//! mcache.go (per P there, per thread here).
//!
//! A thread-local slot holds the address of its mcache. It starts at [`EMPTY`], whose bins hold nothing and may hold nothing,
//! so the fast paths need no check for a thread without a cache: they fail, and the slow path attaches one. When the thread
//! exits the slot is set to [`EXITED`], equally empty, and what the thread still does (other exit hooks run after ours) goes
//! through one shared cache under a lock. While a thread is in a slow path its slot holds [`ENTERED`], see `entered`.
//!
//! An mcache is never freed. A thread that exits leaves it, emptied, to the next one, counters and all: totals over all
//! mcaches are the process's totals, and nothing is lost or counted twice.
#![expect(
    unsafe_code,
    reason = "turns the thread-local word into a reference, and makes mcaches in metadata memory"
)]

mod bin;
mod budget;
mod counts;
mod entered;
mod large;
mod list;
#[cfg(feature = "hardened")]
mod quarantine;
mod sampling;
mod slow;
#[cfg(test)]
mod tests;

use core::cell::UnsafeCell;
use core::mem::size_of;
use core::ptr;

use crate::base::{Bytes, Class, Pages};
use crate::heap::{Span, SpanCache, State};
use crate::sync::Biased;
use crate::sync::atomic::{AtomicPtr, Cell};
use crate::sys::tls_slot;
use crate::throw::throw;
use bin::{Bin, Bins};
use budget::Budget;
pub(crate) use counts::Counts;
use counts::{LargeCounts, Version};
pub(crate) use entered::{Entered, is_marked, mark, refuse_if_marked, unmark};
use large::LargeCache;
pub(crate) use list::{
    attach, close_versions, detach, drop_large, each_mcache, forget_threads, lock_for_fork, unlock_after_fork,
};
use sampling::Sampling;

/// A thread's cache. Zero bins and null pointers make an empty one.
#[repr(C, align(64))]
pub(crate) struct MCache {
    bins: Bins,
    /// Entered by marked fast paths (`pop_marked`, `push_marked`), which work on a bin, and by whoever works on `large`; always
    /// busy in stand-ins.
    gate: Biased,
    sampling: Sampling,
    large: LargeCache,
    large_counts: LargeCounts,
    #[cfg(feature = "hardened")]
    quarantine: quarantine::Quarantine,
    version: Version,
    /// Free pages and headers for spans. Owner only.
    spans: UnsafeCell<SpanCache>,
    /// Bytes that the bins may hold together beyond what they may hold at first, as their capacities stand. Owner only.
    capacity: Cell<usize>,
    /// What that may come to. Owner only.
    budget: Budget,
    /// Slow paths taken since the bins were last looked at. Owner only.
    events: Cell<u32>,
    /// The heap's pressure epoch that was last obeyed. Owner only.
    pressure: Cell<u32>,
    /// Counts when the current thread took the mcache over. Owner only.
    at_attach: Cell<Counts>,
    /// The next mcache in the list of all. Written once.
    next: AtomicPtr<MCache>,
    /// The next idle mcache, under the list's lock.
    next_idle: Cell<*const MCache>,
}

// SAFETY: fields marked "owner only" are reached by the thread whose slot holds the mcache (or under FALLBACK's lock), the
// others are atomic.
unsafe impl Sync for MCache {}

/// What the slot holds before a thread's first slow path. Never written.
static EMPTY: MCache = MCache::stand_in();
/// What it holds after the thread's exit hook. Never written.
static EXITED: MCache = MCache::stand_in();
/// What it holds while the thread is in a slow path. Never written.
static ENTERED: MCache = MCache::stand_in();

tls_slot! {
    /// The calling thread's mcache.
    mod slot, "__gort_mcache", EMPTY
}

/// The calling thread's mcache, which may be an empty stand-in.
#[inline(always)]
pub(crate) fn current() -> &'static MCache {
    // SAFETY: the slot holds the address of EMPTY, of EXITED, of ENTERED, or of an mcache in metadata memory, which is never unmapped.
    unsafe { &*slot::get().cast::<MCache>() }
}

/// As `current`; `None` as long as the loader has not set up the main thread's slot: in an IFUNC resolver that allocates.
#[inline(always)]
pub(crate) fn current_if_set() -> Option<&'static MCache> {
    // SAFETY: as in `current`, or null.
    unsafe { slot::get().cast::<MCache>().as_ref() }
}

impl MCache {
    const fn new() -> Self {
        Self {
            bins: Bins::new(),
            gate: Biased::new(false),
            sampling: Sampling::new(),
            large: LargeCache::new(),
            large_counts: LargeCounts::new(),
            #[cfg(feature = "hardened")]
            quarantine: quarantine::Quarantine::new(),
            version: Version::new(),
            spans: UnsafeCell::new(SpanCache::empty()),
            capacity: Cell::new(0),
            budget: Budget::new(),
            events: Cell::new(0),
            pressure: Cell::new(0),
            at_attach: Cell::new(Counts { allocs: 0, bytes: 0, frees: 0, bytes_freed: 0 }),
            next: AtomicPtr::new(ptr::null_mut()),
            next_idle: Cell::new(ptr::null()),
        }
    }

    const fn stand_in() -> Self {
        Self { gate: Biased::new(true), ..Self::new() }
    }

    /// Bytes of an mcache in metadata.
    pub(crate) const fn bytes() -> Bytes {
        Bytes(size_of::<Self>())
    }

    /// The bin of a class.
    #[inline(always)]
    pub(crate) fn bin(&self, class: Class) -> Bin<'_> {
        self.bins.of(class)
    }

    /// Frees an object of `class` into its bin; `false` when that cannot be.
    #[inline(always)]
    #[must_use]
    pub(crate) fn push(&self, class: Class, p: *mut u8) -> bool {
        self.bin(class).push(p)
    }

    /// As `push`, in a thread whose frees are watched because there are guarded objects; `false` also for what may be one. In others it
    /// does what `push` did.
    #[inline(always)]
    #[must_use]
    pub(crate) fn push_watched(&self, class: Class, p: *mut u8) -> bool {
        !self.may_be_guarded(p) && self.bin(class).push_watched(p)
    }

    /// As the bin's `pop`, safe from a signal handler that interrupts it and allocates: the handler finds the mcache busy and takes
    /// its slow path. `None` also when this is such a handler, and for stand-ins.
    #[inline(always)]
    pub(crate) fn pop_marked(&self, class: Class) -> Option<*mut u8> {
        self.gate.mark(|| self.bin(class).pop()).flatten()
    }

    /// As the bin's `push`, marked like `pop_marked`, watched or not: no guarded object comes here.
    #[inline(always)]
    #[must_use]
    pub(crate) fn push_marked(&self, class: Class, p: *mut u8) -> bool {
        self.gate.mark(|| self.bin(class).push_watched(p)) == Some(true)
    }

    /// What spans are made of. Owner only, and never twice at once; not for stand-ins.
    #[expect(clippy::mut_from_ref, reason = "only the owner calls it, and never twice at once")]
    pub(crate) fn spans(&self) -> &mut SpanCache {
        // SAFETY: the owner's, and nothing else refers to it now.
        unsafe { &mut *self.spans.get() }
    }

    /// Whether it is a stand-in for a thread that has no mcache (yet, or any more), or must not use it now.
    pub(crate) fn is_stand_in(&self) -> bool {
        [&EMPTY, &EXITED, &ENTERED].into_iter().any(|s| ptr::eq(self, s))
    }

    /// Whether the thread was interrupted in a marked fast path, by a signal handler that is calling now or has jumped away.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.gate.is_busy()
    }

    /// Whether the calling thread's exit hook has run.
    pub(crate) fn is_exited(&self) -> bool {
        ptr::eq(self, &raw const EXITED)
    }

    /// Allocations and frees of one class since the beginning; consistent while the owner goes on.
    pub(crate) fn class_counts(&self, class: Class) -> (u64, u64) {
        self.version.read(|| self.bin(class).counts(self.sampling.base(class)))
    }

    /// Counts of objects of whole pages since the beginning.
    pub(crate) fn large_counts(&self) -> Counts {
        self.large_counts.get()
    }

    /// Bytes that those objects were asked for with, before rounding.
    pub(crate) fn large_requested(&self) -> u64 {
        self.large_counts.requested()
    }

    /// All counts since the beginning.
    fn totals(&self) -> Counts {
        let mut sum = self.large_counts();
        for class in Class::all() {
            let (allocs, frees) = self.class_counts(class);
            sum.add(class.size().0, allocs, frees);
        }
        sum
    }

    /// Counts of the thread that has the mcache now. Owner only.
    pub(crate) fn thread_counts(&self) -> Counts {
        if self.is_stand_in() { Counts::default() } else { self.totals().since(self.at_attach.get()) }
    }

    /// An object of exactly `n` pages that this thread freed recently, for a request of `requested` bytes, and books it. `None` if
    /// there is none, for stand-ins, and in a signal handler that interrupted the gate.
    #[inline(always)]
    pub(crate) fn reuse_large(&self, n: Pages, requested: usize) -> Option<Span> {
        self.gate
            .own(|| {
                let span = self.large.take(n)?;
                if !span.transition(State::Cached, State::InUse) {
                    throw!("cached span changed its state"; base = span.base());
                }
                self.count_large(Some((n.bytes(), requested)), None);
                Some(span)
            })
            .flatten()
    }

    /// Frees a large object, if it is alive, and keeps its span; `false`, and nothing done, if that cannot be.
    #[inline(always)]
    #[must_use]
    pub(crate) fn keep_large(&self, span: Span) -> bool {
        let keep = || {
            // Before it is kept: from then on a long one is anybody's.
            let bytes = span.bytes();
            let ok = span.transition(State::InUse, State::Cached);
            if ok && self.large.put(span) {
                self.count_large(None, Some(bytes));
                return true;
            }
            // There was no room for it.
            ok && !span.transition(State::Cached, State::InUse)
        };
        self.gate.own(keep) == Some(true)
    }

    /// Books an object of whole pages; of an allocated one also the bytes that were asked for. Owner only, not for stand-ins.
    #[inline(always)]
    pub(crate) fn count_large(&self, allocated: Option<(Bytes, usize)>, freed: Option<Bytes>) {
        if let Some((bytes, requested)) = allocated {
            self.large_counts.allocated(bytes.0 as u64, requested as u64);
        }
        if let Some(bytes) = freed {
            self.large_counts.freed(bytes.0 as u64);
        }
    }
}
