//! Doors for objects of whole pages: above 32 KiB, or aligned above a page. Answers to Go's mcache.allocLarge.
#![expect(unsafe_code, reason = "zeroes new objects")]

use core::alloc::Layout;
use core::ptr;

use super::init::{mine, ready};
use super::sizes;
use crate::base::{Bytes, PAGE_SIZE, Pages, large_pages};
use crate::heap::{Heap, Object, State, heap};
use crate::mcache::{Entered, MCache};
use crate::throw::throw;

/// Books what was allocated, given and asked for, and what was freed, on the thread's mcache or on the shared one.
fn count(mcache: Option<&MCache>, allocated: Option<(Bytes, usize)>, freed: Option<Bytes>) {
    match mcache {
        Some(mcache) => mcache.count_large(allocated, freed),
        None => {
            sizes::whole_pages(allocated.map(|(given, _)| given), freed);
            MCache::count_large_shared(allocated, freed);
        }
    }
}

/// Allocates whole pages; zero if `zeroed`. Null when memory is exhausted.
#[inline(never)]
pub(super) fn alloc(layout: Layout, zeroed: bool) -> *mut u8 {
    let entered = Entered::new("malloc");
    let (Some(n), Some(heap)) = (large_pages(Bytes(layout.size())), ready()) else { return ptr::null_mut() };
    let mcache = mine(&entered, heap);
    let Some((p, dirt)) =
        warm(mcache, n, layout.align()).or_else(|| cold(heap, mcache, n, layout.align(), zeroed))
    else {
        return ptr::null_mut();
    };
    count(mcache, Some((n.bytes(), layout.size())), None);
    if zeroed {
        // SAFETY: the object is at least as long as the layout, and nobody else's yet.
        unsafe { p.write_bytes(0, dirt.0.min(layout.size())) };
    }
    p
}

/// A span that this thread freed a moment ago, and how much of it may not be zero: all of it.
fn warm(mcache: Option<&MCache>, n: Pages, align: usize) -> Option<(*mut u8, Bytes)> {
    if align > PAGE_SIZE {
        return None;
    }
    let span = mcache?.take_large(n)?;
    if !span.transition(State::Cached, State::InUse) {
        throw!("cached span changed its state"; base = span.base());
    }
    Some((ptr::with_exposed_provenance_mut(span.base()), n.bytes()))
}

/// New pages, and how much of them, from the first on, may not be zero.
fn cold(
    heap: &Heap,
    mcache: Option<&MCache>,
    n: Pages,
    align: usize,
    zeroed: bool,
) -> Option<(*mut u8, Bytes)> {
    heap.tick();
    if let Some(mcache) = mcache {
        mcache.event(heap);
    }
    if align > heap.max_align() {
        return huge(heap, n, align, zeroed);
    }
    let is_huge = n.0.checked_mul(PAGE_SIZE)? >= heap.huge_from();
    is_huge
        .then(|| huge(heap, n, align, zeroed))
        .flatten()
        .or_else(|| in_heap(heap, n, align))
        .or_else(|| {
            // Exhausted: what this thread keeps may make room, and so may what other threads keep.
            mcache?.flush_all(heap);
            heap.raise_pressure();
            in_heap(heap, n, align)
        })
        .or_else(|| huge(heap, n, align, zeroed))
}

fn in_heap(heap: &Heap, n: Pages, align: usize) -> Option<(*mut u8, Bytes)> {
    let align = Pages((align / PAGE_SIZE).max(1));
    // Not from the thread's window of pages: there an object could not grow in place.
    let (span, dirty) = heap.alloc_span(n, None, align, None)?;
    Some((ptr::with_exposed_provenance_mut(span.base()), dirty.bytes()))
}

fn huge(heap: &Heap, n: Pages, align: usize, zeroed: bool) -> Option<(*mut u8, Bytes)> {
    Some((heap.alloc_huge(n, align, zeroed)?.as_ptr(), Bytes(0)))
}

/// Frees an object of whole pages. Ends the process with one line when none starts at `p`.
#[inline(never)]
pub(super) fn free(p: *mut u8) {
    let Some(heap) = heap() else { throw!("free: pointer was never allocated"; addr = p) };
    let entered = Entered::new("free");
    let mcache = mine(&entered, heap);
    if !heap.contains(p) {
        let Some(bytes) = heap.free_huge(p) else {
            throw!("free: pointer was never allocated, or is already free"; addr = p);
        };
        return count(mcache, None, Some(bytes));
    }
    let Some(span) = heap.span_of(p) else {
        throw!("free: pointer into the middle of an object, or already free"; addr = p);
    };
    if span.base() != p.addr() {
        throw!("free: pointer into the middle of an object"; addr = p);
    }
    if let Some(class) = span.class() {
        throw!("free: object is smaller than its layout says"; addr = p, class = class.size().0);
    }
    let bytes = span.bytes();
    if !span.transition(State::InUse, State::Cached) {
        throw!("free: object is already free"; addr = p, bytes = bytes.0);
    }
    match mcache {
        Some(mcache) => mcache.keep_large(heap, span),
        None => heap.free_span(span),
    }
    count(mcache, None, Some(bytes));
}

/// Resizes without copying; `None` when that cannot be, or when a small rest is better copied and `may_copy` says that it can
/// be; then nothing changed. A change of the accounted bytes counts as one free and one allocation, whether or not the object
/// moved.
pub(super) fn resize(p: *mut u8, new: Layout, may_copy: bool) -> Option<*mut u8> {
    let heap = heap()?;
    let n = large_pages(Bytes(new.size()))?;
    let entered = Entered::new("realloc");
    let Some(object) = heap.object_at(p) else {
        throw!("realloc: pointer was never allocated, or is already free"; addr = p);
    };
    let old_bytes = object.bytes();
    if old_bytes == n.bytes() {
        return Some(p);
    }
    // A huge object that shrinks below the threshold stays one: only its tail goes.
    if may_copy
        && let Object::Large(_) = object
        && n.bytes().0 < old_bytes.0 / 2
        && n.0 <= SMALL_SPAN_PAGES
    {
        // Worth a copy: what is left of a long span would keep its neighbours apart.
        return None;
    }
    let resized = heap.resize_object(object, n, new.align())?;
    count(mine(&entered, heap), Some((n.bytes(), new.size())), Some(old_bytes));
    Some(resized.as_ptr())
}

/// Spans that are cheap to copy.
const SMALL_SPAN_PAGES: usize = 8;
