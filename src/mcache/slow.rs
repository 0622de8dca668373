//! The slow paths of a bin: refill, flush, growth and idleness.
//!
//! A bin starts with room for a few pointers and doubles each time it runs dry, up to a bound in objects and in bytes, and as
//! long as the thread's budget lasts (see `budget`). A bin that the thread does not allocate from between two looks is emptied and halved, and
//! all are when they may hold more than the budget. A thread that only frees does not grow its bins beyond a small batch, so it hoards nothing.

use core::mem::size_of;
use core::ptr::{self, NonNull};

use super::MCache;
use super::bin::Bin;
use super::large::{LONG, LargeCache};
use super::list::drop_large;
use crate::base::{Bytes, Class, Pages};
use crate::heap::{Facts, Heap, Span, SpanCache, State, block_size};
use crate::mcentral::{central, trim_all};
use crate::sys::{coarse_ns, precise_ns};
use crate::throw::throw;

/// Pointers a bin may hold at first ...
const FIRST_CAP: usize = 8;
/// ... and bytes, but always two pointers.
const FIRST_BIN_BYTES: usize = 16 << 10;
/// Pointers a bin may ever hold ...
const MAX_CAP: usize = 2048;
/// ... and bytes, but always `MIN_MAX_CAP` pointers.
const MAX_BIN_BYTES: usize = 256 << 10;
const MIN_MAX_CAP: usize = 4;
/// Pointers that a bin may hold in a thread that does not allocate the class.
const FREE_ONLY_CAP: usize = 64;
/// Slow paths between two questions whether it is time to look at what idle threads keep.
const SWEEP_EVERY: u32 = 16;
/// Pointers of the longest array that a thread's bin leaves to the next thread.
pub(super) const LEFT_ROOM: usize = FREE_ONLY_CAP;
/// Slow paths between two looks at all bins.
const LOOK_EVERY: u32 = 512;

/// Pointers that a bin of this class may hold at first.
fn first_cap(class: Class) -> usize {
    (FIRST_BIN_BYTES / class.size().0).clamp(2, FIRST_CAP)
}

/// Bytes that a bin of capacity `cap` may hold beyond what it may hold at first.
pub(super) fn beyond_first(cap: usize, class: Class) -> usize {
    cap.saturating_sub(first_cap(class)) * class.size().0
}

/// Pointers that a bin of this class may hold at most.
fn max_cap(class: Class) -> usize {
    (MAX_BIN_BYTES / class.size().0).clamp(MIN_MAX_CAP, MAX_CAP)
}

impl MCache {
    /// Allocates when the bin does not: refills it by half its capacity if it is empty. Null when memory is exhausted. Owner only, not
    /// for stand-ins.
    #[doc(alias = "refill")]
    pub(crate) fn alloc_slow(&self, class: Class, heap: &Heap) -> *mut u8 {
        if let Some(p) = self.pop_armed(class) {
            return p;
        }
        self.event(heap);
        let bin = self.bin(class);
        self.grow(bin, class, heap);
        let p = self.refill(bin, class, heap);
        if !p.is_null() {
            return p;
        }
        // Exhausted. What this thread holds in other bins may free a span; others are asked to do the same.
        self.flush_all(heap);
        heap.give_back_freed();
        drop_large(heap, Some(self), true);
        heap.raise_pressure();
        self.refill(bin, class, heap)
    }

    fn refill(&self, bin: Bin<'_>, class: Class, heap: &Heap) -> *mut u8 {
        if bin.cap() == 0 {
            return self.alloc_direct(class, heap);
        }
        let want = (bin.cap() / 2).max(1);
        let slots = bin.slots(want);
        if self.spans().has_no_pages() {
            drop_long(heap, self.spans());
        }
        let got = central(class).refill(class, heap, slots, Some(self.spans()));
        if got == 0 {
            return ptr::null_mut();
        }
        slots.copy_within(want - got.., 0);
        let p = slots[got - 1];
        self.version.write(|| bin.moved(got - 1, 1, got as isize));
        p
    }

    /// Frees when the bin is full. Owner only, not for stand-ins.
    pub(crate) fn free_slow(&self, class: Class, heap: &Heap, p: *mut u8) {
        if !self.make_room_in(class, heap) {
            return self.free_direct(class, heap, p);
        }
        let pushed = self.bin(class).push_watched(p);
        debug_assert!(pushed, "there is room");
    }

    /// Makes room for a pointer in a bin: lets it grow, or gives the older half back, or all of it. `false` when it may hold none. Owner
    /// only, not for stand-ins.
    #[must_use]
    pub(super) fn make_room_in(&self, class: Class, heap: &Heap) -> bool {
        self.event(heap);
        let bin = self.bin(class);
        if bin.cap() < FREE_ONLY_CAP || bin.is_active(false) {
            self.grow(bin, class, heap);
        }
        if bin.held() == bin.cap() {
            // A thread that does not allocate the class has no use for what would stay.
            let n = if bin.is_active(false) { bin.held().div_ceil(2) } else { bin.held() };
            self.flush(bin, class, heap, n);
        }
        bin.cap() > 0
    }

    /// Gives the `n` oldest pointers of a bin to the central store.
    fn flush(&self, bin: Bin<'_>, class: Class, heap: &Heap, n: usize) {
        let held = bin.held();
        if n == 0 {
            return;
        }
        let slots = bin.slots(held);
        refuse_twins(class, &slots[..held.min(n + 1)]);
        central(class).flush(class, heap, &slots[..n], Some(self.spans()));
        slots.copy_within(n.., 0);
        self.version.write(|| bin.moved(held - n, 0, -(n as isize)));
    }

    /// Allocates one object past the bin: for threads and bins without an array.
    pub(super) fn alloc_direct(&self, class: Class, heap: &Heap) -> *mut u8 {
        let mut one = [ptr::null_mut()];
        if central(class).refill(class, heap, &mut one, None) == 1 {
            let bin = self.bin(class);
            self.version.write(|| bin.moved(bin.held(), 1, 1));
        }
        one[0]
    }

    /// Frees one object past the bin.
    pub(super) fn free_direct(&self, class: Class, heap: &Heap, p: *mut u8) {
        central(class).flush_to_spans(class, heap, &[p]);
        let bin = self.bin(class);
        self.version.write(|| bin.moved(bin.held(), 0, -1));
    }

    /// Doubles what a bin may hold, within its bounds and the thread's budget; leaves it as it is when that cannot be.
    fn grow(&self, bin: Bin<'_>, class: Class, heap: &Heap) {
        let old = bin.cap();
        let new = (old * 2).max(first_cap(class)).min(max_cap(class));
        if new <= old {
            return;
        }
        let more = beyond_first(new, class) - beyond_first(old, class);
        // What bins hold at first is never refused.
        if more > 0 && self.capacity.get() + more > self.budget.bytes() {
            // A thread that only frees earns nothing.
            if bin.is_active(false) {
                self.budget.refuse(precise_ns, || heap.in_use_bytes());
            }
            return;
        }
        let (_, room) = bin.array();
        if new <= room || self.replace_array(bin, new, heap) {
            self.set_cap(bin, class, new);
        }
    }

    /// Sets what a bin may hold, and books it.
    fn set_cap(&self, bin: Bin<'_>, class: Class, cap: usize) {
        let others = self.capacity.get() - beyond_first(bin.cap(), class);
        bin.set_cap(cap, self.is_watched());
        self.capacity.set(others + beyond_first(cap, class));
    }

    /// Gives a bin an array of `room` pointers; `false` without memory for it, and then the old one stays.
    fn replace_array(&self, bin: Bin<'_>, room: usize, heap: &Heap) -> bool {
        let bytes = Bytes(room * size_of::<*mut u8>());
        let Some(block) = heap.alloc_metadata(bytes) else { return false };
        let slots = block.cast::<*mut u8>().as_ptr();
        let room = block_size(bytes).0 / size_of::<*mut u8>();
        let held = bin.held();
        // SAFETY: the block has room for `room` pointers; zeroing it makes all of them initialised.
        unsafe { slots.write_bytes(0, room) };
        let (old, old_room) = bin.array();
        if let Some(old) = NonNull::new(old) {
            // SAFETY: the old array has `held` pointers, the new one room for them; they are different blocks.
            unsafe { ptr::copy_nonoverlapping(old.as_ptr(), slots, held) };
            bin.set_array(slots, room);
            // SAFETY: the old array was allocated here with this length, and the bin has left it.
            unsafe { heap.free_metadata(old.cast(), Bytes(old_room * size_of::<*mut u8>())) };
        } else {
            bin.set_array(slots, room);
        }
        true
    }

    /// A slow-path event: obeys a call to flush caches, and now and then looks at all bins. Owner only, not for stand-ins.
    pub(crate) fn event(&self, heap: &Heap) {
        self.obey(heap);
        self.events.set(self.events.get() + 1);
        if self.events.get().is_multiple_of(SWEEP_EVERY) && heap.sweep_is_due() {
            drop_large(heap, Some(self), false);
            // Those of classes, too, of which no thread has a bin any more: nobody else would look at them.
            trim_all(heap, false);
        }
        if self.events.get() >= LOOK_EVERY {
            self.events.set(0);
            self.look(heap);
        }
    }

    /// Flushes caches if that was called for since the last time. Owner only, not for stand-ins.
    pub(crate) fn obey(&self, heap: &Heap) {
        if self.pressure.get() != heap.pressure() {
            self.pressure.set(heap.pressure());
            self.flush_all(heap);
            // Those of threads that have no slow paths now.
            drop_large(heap, Some(self), true);
            heap.caches_are_flushed();
        }
    }

    /// Empties and halves the bins that the thread does not allocate from, or all when they may hold more than its budget, and gives back
    /// large spans it does not use.
    pub(super) fn look(&self, heap: &Heap) {
        self.budget.look(coarse_ns());
        let too_much = self.capacity.get() > self.budget.bytes();
        for class in Class::all() {
            let bin = self.bin(class);
            if bin.cap() == 0 {
                continue;
            }
            if !bin.is_active(true) || too_much {
                self.flush(bin, class, heap, bin.held());
                let half = (bin.cap() / 2).max(first_cap(class)).min(bin.cap());
                self.set_cap(bin, class, half);
            }
            central(class).trim(class, heap, false, Some(self.spans()));
        }
        self.drop_own_large(heap, LargeCache::take_idle);
    }

    /// Gives all large spans back, or those that `which` takes. Owner only, not for stand-ins.
    pub(super) fn drop_own_large(&self, heap: &Heap, which: impl FnOnce(&LargeCache) -> Option<Span>) {
        if !self.large.is_empty() {
            heap.free_chain(self.gate.own(|| which(&self.large)).flatten(), Some(self.spans()));
        }
    }

    /// Notes that the thread needs an object of `n` pages, and has kept none. Owner only, not for stand-ins.
    pub(crate) fn ask_large(&self, heap: &Heap, n: Pages) {
        self.event(heap);
        // Not noted while another thread looks: the next time will do.
        let _ = self.gate.own(|| self.large.ask(n, heap.in_use_bytes()));
        drop_long(heap, self.spans());
    }

    /// An object of `n` pages, cut off a longer span that the thread keeps. `None` if there is none. Owner only, not for stand-ins.
    pub(crate) fn cut_large(&self, heap: &Heap, n: Pages) -> Option<Span> {
        let cut = || {
            let span = self.large.take_longer(n)?;
            let Some(rest) = heap.split(span, n, self.spans()) else {
                self.large.put_rest(span);
                return None;
            };
            self.large.put_rest(rest);
            if !span.transition(State::Cached, State::InUse) {
                throw!("cached span changed its state"; base = span.base());
            }
            Some(span)
        };
        self.gate.own(cut).flatten()
    }

    /// A new span of `n` pages; what is free behind it and has frames is kept for the next ones, if there is room. Beside it, how many of its
    /// pages may hold something, as `Heap::alloc_span`. Owner only, not for stand-ins.
    pub(crate) fn alloc_ahead(&self, heap: &Heap, n: Pages) -> Option<(Span, Pages)> {
        let in_use = heap.in_use_bytes();
        let most = self.gate.own(|| self.large.ahead(n, in_use)).unwrap_or(n);
        let (span, dirty) = heap.alloc_ahead(n, most, self.spans())?;
        if span.npages() > n {
            match heap.split(span, n, self.spans()) {
                Some(rest) if self.gate.own(|| self.large.put_ahead(rest, in_use)) == Some(true) => {}
                // Other threads were faster.
                Some(rest) => heap.free_span(rest, Some(self.spans())),
                None => heap.truncate(span, n),
            }
        }
        Some((span, dirty.min(n)))
    }

    /// Gives back the span behind a large object, if the thread keeps it, or the process: `true`. Owner only, not for stand-ins.
    pub(crate) fn make_way(&self, heap: &Heap, span: Span) -> bool {
        let base = span.base() + span.bytes().0;
        let behind = self.gate.own(|| self.large.take_at(base)).flatten();
        let behind = behind.inspect(|behind| behind.chain(None)).or_else(|| LONG.take_any());
        let is_there = behind.is_some_and(|behind| behind.base() == base);
        heap.free_chain(behind, Some(self.spans()));
        is_there
    }

    /// As `keep_large`, which found no room: makes some, if the span is to be kept. Owner only, not for stand-ins.
    #[must_use]
    pub(crate) fn keep_large_slow(&self, heap: &Heap, span: Span) -> bool {
        self.event(heap);
        heap.tick();
        let n = span.npages();
        let draw = || self.gate.own(|| self.large.draw(n, heap.in_use_bytes()));
        // Behind the gate: who sweeps forgets what was asked for.
        if self.gate.own(|| self.large.is_asked(n)) != Some(true) {
            return false;
        }
        if LargeCache::is_long(n) {
            drop_long(heap, self.spans());
        } else if draw() == Some(false) {
            if self.gate.own(|| self.large.is_lone(n)) == Some(true) {
                drop_long(heap, self.spans());
            } else {
                self.drop_own_large(heap, LargeCache::take_all);
                let _ = draw();
            }
        }
        self.keep_large(span)
    }

    /// Gives back all that the thread holds, and what the transfer caches hold. Owner only, not for stand-ins.
    pub(crate) fn flush_all(&self, heap: &Heap) {
        self.flush_own(heap);
        drop_long(heap, self.spans());
        trim_all(heap, true);
    }

    /// Gives back all that the thread holds: objects, large spans, pages. Owner only, not for stand-ins.
    pub(crate) fn flush_own(&self, heap: &Heap) {
        #[cfg(feature = "hardened")]
        self.flush_quarantine(heap);
        for class in Class::all() {
            let bin = self.bin(class);
            self.flush(bin, class, heap, bin.held());
        }
        self.drop_own_large(heap, LargeCache::take_all);
        heap.flush_span_cache(self.spans());
    }

    /// Gives back the long arrays of its bins, which hold nothing: the next thread may need other ones, and bins start as at first. Owner only,
    /// not for stand-ins.
    pub(super) fn drop_arrays(&self, heap: &Heap) {
        for class in Class::all() {
            let bin = self.bin(class);
            let (array, room) = bin.array();
            if room > LEFT_ROOM
                && let Some(array) = NonNull::new(array)
            {
                self.set_cap(bin, class, 0);
                bin.set_array(ptr::null_mut(), 0);
                // SAFETY: `replace_array` allocated it with this length, and the bin has left it.
                unsafe { heap.free_metadata(array.cast(), Bytes(room * size_of::<*mut u8>())) };
            } else {
                self.set_cap(bin, class, bin.cap().min(first_cap(class)));
            }
        }
    }
}

/// Ends the process with one line when an object was freed twice with nothing freed in between: its two pointers are side by side. Looked
/// for when a bin is flushed, because a batch goes to other threads without any span being asked.
fn refuse_twins(class: Class, batch: &[*mut u8]) {
    let twins = |pair: &[*mut u8]| pair[0] == pair[1];
    // All pairs at first, without a branch for each.
    if batch.windows(2).fold(false, |any, pair| any | twins(pair)) {
        let p = batch.windows(2).find(|pair| twins(pair)).map_or(ptr::null_mut(), |pair| pair[0]);
        Facts::freed(class).refuse(p, format_args!("free: object is already free"));
    }
}

/// Gives back the span that is kept only until its pages are needed.
fn drop_long(heap: &Heap, cache: &mut SpanCache) {
    heap.free_chain(LONG.take_any(), Some(cache));
}
