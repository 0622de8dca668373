//! One central store of objects per size class. Answers to Go's mcentral.go, with TCMalloc's transfer cache in front.
//!
//! Objects travel between threads in batches. A batch that a thread gives back is copied into the **transfer cache**, an array
//! of pointers, and the next thread that runs dry copies it out again: neither touches a span. Only when the array is full or
//! empty do objects go to and come from spans. Partial spans are kept in lists by fullness and the fullest serve first, so
//! that nearly empty spans drain and their pages go back to the heap.
//!
//! Invariants: a span with free objects is in the list of its fullness; a full one is in none; a span whose objects have all
//! come back is in none and belongs to the page heap, or to the thread that is about to give it there.
#![expect(unsafe_code, reason = "copies batches of pointers in and out of metadata arrays")]

mod counts;
#[cfg(test)]
mod tests;

use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::base::{Bytes, Class, NUM_CLASSES, Pages};
use crate::heap::{Facts, Heap, Span, SpanCache, SpanList};
use crate::sync::atomic::shrunk;
use crate::sync::{Mutex, rank};
#[cfg(any(test, feature = "invariants"))]
use crate::throw::check;
pub use counts::CentralCounts;
use counts::Moved;

/// Lists of partial spans, by quarters of fullness.
const FULLNESS: usize = 4;
/// A transfer cache holds at most this many bytes of objects ...
const TRANSFER_BYTES: usize = 512 << 10;
/// ... and at most this many objects.
const TRANSFER_OBJECTS: usize = shrunk(4096, 3);

/// New spans that a thread makes at most when it comes for objects and there are none.
const SPANS_AT_ONCE: usize = 4;

/// The central store of one class; on cache lines of its own.
#[repr(align(128))]
pub(crate) struct Central {
    state: Mutex<State, { rank::CENTRAL }>,
    /// Requests whose size was noted, and the sum of the sizes. Written by whoever refills a bin, read by anyone.
    samples: AtomicU64,
    sampled_bytes: AtomicU64,
    moved: Moved,
}

struct State {
    /// Fullest first.
    partial: [SpanList; FULLNESS],
    /// `capacity` pointers in metadata, of which the first `held` are objects; null until the first batch is given back.
    transfer: *mut *mut u8,
    held: usize,
    capacity: usize,
    /// `held` at its lowest since the last trim: what nobody has needed.
    idle: usize,
}

// SAFETY: the pointers are to metadata and to objects that nobody owns; the lock guards them.
unsafe impl Send for State {}

static CENTRALS: [Central; NUM_CLASSES] = [const { Central::new() }; NUM_CLASSES];

/// The central store of `class`.
#[inline]
pub(crate) fn central(class: Class) -> &'static Central {
    &CENTRALS[class.index()]
}

/// Notes how many bytes a request for an object of `class` asked for. Called once per refill of a bin, where the size is known:
/// a sample of all requests, from which the rounding of the others is estimated.
#[inline]
pub(crate) fn sample(class: Class, requested: usize) {
    let central = central(class);
    central.samples.fetch_add(1, Relaxed);
    central.sampled_bytes.fetch_add(requested as u64, Relaxed);
}

/// All locks of this layer, for a fork.
pub(crate) fn lock_all_for_fork() {
    CENTRALS.iter().for_each(|c| c.state.lock_for_fork());
}

/// Gives them back.
///
/// # Safety
/// 1. The thread that forked took them with `lock_all_for_fork`.
pub(crate) unsafe fn unlock_all_after_fork(in_child: bool) {
    // SAFETY: passed on unchanged (1).
    CENTRALS.iter().for_each(|c| unsafe { c.state.unlock_after_fork(in_child) });
}

/// Which list a span with this many free objects belongs to: 0 = up to a quarter free.
fn fullness(span: Span) -> usize {
    (span.nfree() - 1) * FULLNESS / span.nelems()
}

impl State {
    /// Moves up to `out.len()` objects from the transfer cache to the end of `out`.
    fn take_transferred(&mut self, out: &mut [*mut u8]) -> usize {
        let n = self.held.min(out.len());
        if n == 0 {
            return 0;
        }
        self.held -= n;
        self.idle = self.idle.min(self.held);
        let at = out.len() - n;
        let to = out[at..].as_mut_ptr();
        // SAFETY: the array has `held` + n objects, and `to` has room for n; they are different memory.
        unsafe { ptr::copy_nonoverlapping(self.transfer.wrapping_add(self.held), to, n) };
        n
    }

    /// Copies as much of the batch into the transfer cache as fits; returns how many.
    fn give_transferred(&mut self, batch: &[*mut u8]) -> usize {
        let n = batch.len().min(self.capacity - self.held);
        if n > 0 {
            // SAFETY: held + n <= capacity; the batch is not metadata.
            unsafe { ptr::copy_nonoverlapping(batch.as_ptr(), self.transfer.wrapping_add(self.held), n) };
            self.held += n;
        }
        n
    }

    /// Takes objects out of partial spans, fullest first, filling `out` from its end. Returns how many.
    fn take_from_spans(&mut self, out: &mut [*mut u8]) -> usize {
        let mut room = out.len();
        for list in 0..FULLNESS {
            while room > 0 {
                let Some(span) = self.partial[list].first() else { break };
                room -= span.take(&mut out[..room]);
                self.relist(span, Some(list));
            }
        }
        out.len() - room
    }

    /// Puts a span into the list that its fullness asks for; `from` is the list it is in.
    fn relist(&mut self, span: Span, from: Option<usize>) {
        let to = (span.nfree() > 0).then(|| fullness(span));
        if to != from {
            if let Some(from) = from {
                self.partial[from].remove(span);
            }
            if let Some(to) = to {
                self.partial[to].push(span);
            }
        }
    }

    /// Returns objects to their spans. Spans whose objects have all come back are given to `empty`.
    fn put_to_spans(&mut self, class: Class, heap: &Heap, batch: &[*mut u8], empty: &mut impl FnMut(Span)) {
        let mut rest = batch;
        // Objects that were allocated together are often freed together: a run of one span's is one lookup.
        while let Some(&p) = rest.first() {
            let Some(span) = heap.span_of(p).filter(|span| span.class() == Some(class)) else {
                refuse(class, heap, p)
            };
            let from = span.list().map(usize::from);
            rest = &rest[span.put(rest)..];
            if span.nfree() == span.nelems() {
                if let Some(from) = from {
                    self.partial[from].remove(span);
                }
                empty(span);
            } else {
                self.relist(span, from);
            }
        }
    }
}

/// Ends the process: there is no object of `class` at `p`.
#[cold]
fn refuse(class: Class, heap: &Heap, p: *mut u8) -> ! {
    let facts = Facts::of(p);
    if heap.span_of(p).is_none() && heap.object_at(p).is_none() {
        facts.refuse(p, format_args!("free: pointer was never allocated"));
    }
    facts.refuse_said(p, class.size().0, format_args!("free: object is not of this size class"))
}

impl Central {
    const fn new() -> Self {
        let partial = [SpanList::new(0), SpanList::new(1), SpanList::new(2), SpanList::new(3)];
        Self {
            state: Mutex::new(State { partial, transfer: ptr::null_mut(), held: 0, capacity: 0, idle: 0 }),
            samples: AtomicU64::new(0),
            sampled_bytes: AtomicU64::new(0),
            moved: Moved::new(),
        }
    }

    /// What went through the store so far. Does not take its lock.
    pub(crate) fn counts(&self) -> CentralCounts {
        self.moved.counts(self.state.counts())
    }

    /// Requests that `sample` has noted, and the bytes that they asked for together.
    pub(crate) fn sampled(&self) -> (u64, u64) {
        (self.samples.load(Relaxed), self.sampled_bytes.load(Relaxed))
    }

    /// Fills `out` from its end with objects of `class`, new spans at worst, and returns how many: 0 only when memory is
    /// exhausted. Objects of one span come in descending order, so that popping from the end gives ascending addresses.
    #[doc(alias = "cacheSpan")]
    pub(crate) fn refill(
        &self,
        class: Class,
        heap: &Heap,
        out: &mut [*mut u8],
        cache: Option<&mut SpanCache>,
    ) -> usize {
        let mut state = self.state.lock();
        let mut got = state.take_transferred(out);
        if got > 0 {
            self.moved.took_from_transfer(got);
        }
        if got < out.len() {
            let left = out.len() - got;
            let from_spans = state.take_from_spans(&mut out[..left]);
            self.moved.took_from_spans(from_spans);
            got += from_spans;
        }
        #[cfg(feature = "invariants")]
        state.check_invariants(class);
        drop(state);
        if got == 0 {
            heap.tick();
            got = self.make_spans(class, heap, out, cache);
        }
        got
    }

    /// As `refill`, from new spans alone: a few, so that a thread that makes very many objects does not come for each of them.
    fn make_spans(
        &self,
        class: Class,
        heap: &Heap,
        out: &mut [*mut u8],
        mut cache: Option<&mut SpanCache>,
    ) -> usize {
        let mut left = out.len();
        for _ in 0..SPANS_AT_ONCE {
            let Some((span, _)) = heap.alloc_span(class.pages(), Some(class), Pages(1), cache.as_deref_mut())
            else {
                break;
            };
            // Nobody else knows the span yet, so it is cut up without the lock.
            let got = span.take(&mut out[..left]);
            self.moved.made_span(got);
            left -= got;
            if span.nfree() > 0 {
                self.state.lock().relist(span, None);
            }
            if left == 0 {
                break;
            }
        }
        out.len() - left
    }

    /// Takes a batch of objects back. Ends the process with one line when one of them is not an object of `class` that is
    /// out, as far as it is noticed here.
    #[doc(alias = "uncacheSpan")]
    pub(crate) fn flush(&self, class: Class, heap: &Heap, batch: &[*mut u8], cache: Option<&mut SpanCache>) {
        let mut state = self.state.lock();
        if state.transfer.is_null() {
            state.make_transfer(class, heap);
        }
        let kept = state.give_transferred(batch);
        self.moved.put_in_transfer(kept);
        if kept < batch.len() {
            self.put_and_free(state, class, heap, &batch[kept..], cache);
        }
    }

    /// Whether an object of `class` is in the transfer cache, or in its span.
    #[cold]
    pub(crate) fn holds(&self, class: Class, heap: &Heap, p: *mut u8) -> bool {
        let state = self.state.lock();
        let in_transfer = (0..state.held).any(|i| {
            // SAFETY: the first `held` pointers of the array are objects.
            unsafe { *state.transfer.wrapping_add(i) == p }
        });
        // Only under the lock its bits are anybody's to read.
        let span = heap.span_of(p).filter(|span| span.class() == Some(class));
        in_transfer || span.is_some_and(|span| span.is_out(p) == Some(false))
    }

    /// Returns objects straight to their spans, past the transfer cache.
    pub(crate) fn flush_to_spans(&self, class: Class, heap: &Heap, batch: &[*mut u8]) {
        self.put_and_free(self.state.lock(), class, heap, batch, None);
    }

    /// Returns what nobody has needed since the last call to its spans; with `all`, everything.
    pub(crate) fn trim(&self, class: Class, heap: &Heap, all: bool, mut cache: Option<&mut SpanCache>) {
        let mut batch = [ptr::null_mut(); 64];
        let mut left = {
            let mut state = self.state.lock();
            let n = if all { state.held } else { state.idle };
            state.idle = state.held - n;
            n
        };
        while left > 0 {
            let mut state = self.state.lock();
            let want = left.min(batch.len());
            let n = state.take_transferred(&mut batch[..want]);
            if n == 0 {
                break;
            }
            left -= n;
            self.moved.took_from_transfer(n);
            self.put_and_free(state, class, heap, &batch[want - n..want], cache.as_deref_mut());
        }
    }

    /// Puts objects into spans under the lock and frees the spans that became empty after giving it back.
    fn put_and_free(
        &self,
        mut state: crate::sync::Guard<'_, State, { rank::CENTRAL }>,
        class: Class,
        heap: &Heap,
        batch: &[*mut u8],
        cache: Option<&mut SpanCache>,
    ) {
        let (mut empty, mut freed) = (None, 0);
        state.put_to_spans(class, heap, batch, &mut |span| {
            span.chain(empty);
            empty = Some(span);
            freed += 1;
        });
        self.moved.put_in_spans(batch.len(), freed);
        #[cfg(feature = "invariants")]
        state.check_invariants(class);
        drop(state);
        if freed > 0 {
            heap.free_chain(empty, cache);
            heap.tick();
        }
    }
}

impl State {
    /// Gets the transfer cache its array; without memory for it there is none, and the next batch tries again.
    fn make_transfer(&mut self, class: Class, heap: &Heap) {
        let capacity = (TRANSFER_BYTES / class.size().0).min(TRANSFER_OBJECTS);
        if let Some(block) = heap.alloc_metadata(Bytes(capacity * size_of::<*mut u8>())) {
            self.transfer = block.cast::<*mut u8>().as_ptr();
            self.capacity = capacity;
        }
    }

    /// Ends the process unless each list holds what it should.
    #[cfg(any(test, feature = "invariants"))]
    fn check_invariants(&self, class: Class) {
        for (i, list) in self.partial.iter().enumerate() {
            for span in list.iter().take(64) {
                check!(span.class() == Some(class); base = span.base());
                check!(span.nfree() > 0 && span.nfree() < span.nelems(); base = span.base());
                check!(fullness(span) == i; base = span.base());
                span.check_invariants();
            }
        }
        check!(self.held <= self.capacity && self.idle <= self.held);
    }
}

/// Ends the process unless every store is in order, up to 64 spans of each list.
#[cfg(feature = "invariants")]
pub(crate) fn check_all() {
    Class::all().for_each(|class| central(class).state.lock().check_invariants(class));
}

/// Returns what no thread has needed from the transfer caches since the last call; with `all`, everything in them.
pub(crate) fn trim_all(heap: &Heap, all: bool) {
    Class::all().for_each(|class| central(class).trim(class, heap, all, None));
}
