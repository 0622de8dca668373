//! Doors for objects of whole pages: above 32 KiB, or aligned above a page. Answers to Go's mcache.allocLarge.
#![expect(unsafe_code, reason = "zeroes new objects")]

use core::alloc::Layout;
use core::ptr;

use super::init::{mine, ready};
use super::{FreeDoor, checks, guarded, sizes};
use crate::base::{Bytes, PAGE_SIZE, Pages, large_pages};
use crate::guard::{self, Said};
use crate::heap::{Facts, Heap, Object, Span, State, heap};
use crate::mcache::{self, Entered, MCache};

/// Said of an address where no object starts, and nothing else is known.
const NONE_THERE: &str = "pointer was never allocated, or is already free";

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

/// What a new object is to contain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Anything,
    Zeros,
    /// A shorter object, and soon more of the same.
    Shorter,
}

/// Allocates whole pages for the parts of a layout, which come in the order of the doors' arguments. Null when memory is exhausted.
#[inline(never)]
pub(super) extern "C" fn alloc(size: usize, align: usize) -> *mut u8 {
    warm_or_cold(size, align, Content::Anything)
}

/// As `alloc`; zero.
#[inline(never)]
pub(super) extern "C" fn alloc_zeroed(size: usize, align: usize) -> *mut u8 {
    warm_or_cold(size, align, Content::Zeros)
}

/// As `alloc`, for an object of `old` bytes that moves. One that grows is full, and so is most of what it becomes if it has a quarter of that.
#[inline(never)]
pub(super) fn alloc_moved(old: usize, size: usize, align: usize) -> *mut u8 {
    let content = if size / 4 <= old && old < size { Content::Shorter } else { Content::Anything };
    warm_or_cold(size, align, content)
}

#[inline(always)]
fn warm_or_cold(size: usize, align: usize, content: Content) -> *mut u8 {
    let Some(n) = large_pages(Bytes(size)) else { return ptr::null_mut() };
    // A span that this thread freed a moment ago.
    if align <= PAGE_SIZE
        && let Some(span) = mcache::current_if_set().and_then(|m| m.reuse_large(n, size))
    {
        return zero(ptr::with_exposed_provenance_mut(span.base()), size, content);
    }
    alloc_slow(n, size, align, content)
}

/// Zeroes a new object's first bytes, if that is wanted.
#[inline(always)]
fn zero(p: *mut u8, bytes: usize, content: Content) -> *mut u8 {
    if content == Content::Zeros {
        // SAFETY: the object is at least this long, and nobody else's yet.
        unsafe { p.write_bytes(0, bytes) };
    }
    p
}

#[cold]
#[inline(never)]
fn alloc_slow(n: Pages, size: usize, align: usize, content: Content) -> *mut u8 {
    let entered = Entered::new("malloc");
    let Some(heap) = ready() else { return ptr::null_mut() };
    let mcache = mine(&entered, heap);
    let inside = 0u8;
    if let Some(mcache) = mcache.filter(|_| align <= PAGE_SIZE)
        && let Some(p) =
            guarded::alloc_large(&entered, mcache, heap, n, content == Content::Zeros, &raw const inside)
    {
        mcache.count_large(Some((n.bytes(), size)), None);
        return p;
    }
    let Some((p, dirt)) = cold(heap, mcache, n, align, content) else { return ptr::null_mut() };
    count(mcache, Some((n.bytes(), size)), None);
    // It may have met the memory limit.
    mcache.inspect(|m| m.obey(heap));
    match content {
        Content::Anything => heap.will_be_filled(p, n, dirt, false),
        // Who wants zeros may want them because they cost nothing.
        Content::Zeros => {}
        // Aligned above a page, each might begin 2 MiB of its own.
        Content::Shorter => heap.will_be_filled(p, n, dirt, align <= PAGE_SIZE),
    }
    checks::pages_handed_out(&entered, heap, p, size);
    zero(p, dirt.0.min(size), content)
}

/// New pages, and how much of them, from the first on, may not be zero.
fn cold(
    heap: &Heap,
    mcache: Option<&MCache>,
    n: Pages,
    align: usize,
    content: Content,
) -> Option<(*mut u8, Bytes)> {
    heap.tick();
    if let Some(mcache) = mcache {
        mcache.ask_large(heap, n);
        if align <= PAGE_SIZE
            && let Some(span) = mcache.cut_large(heap, n)
        {
            return Some((ptr::with_exposed_provenance_mut(span.base()), n.bytes()));
        }
    }
    if align > heap.max_align() {
        return huge(heap, n, align);
    }
    let is_huge = n.0.checked_mul(PAGE_SIZE)? >= heap.huge_from();
    // What grows needs the pages behind it for itself; and the next one may have a mapping of its own again, if this one should have.
    let ahead = mcache.filter(|_| align <= PAGE_SIZE && content == Content::Anything && !is_huge);
    let in_heap = || {
        let (span, dirty) = match ahead {
            Some(mcache) => mcache.alloc_ahead(heap, n)?,
            None => {
                let align = Pages((align / PAGE_SIZE).max(1));
                heap.alloc_span(n, None, align, mcache.map(MCache::spans))?
            }
        };
        Some((ptr::with_exposed_provenance_mut(span.base()), dirty.bytes()))
    };
    is_huge
        .then(|| huge(heap, n, align))
        .flatten()
        .or_else(in_heap)
        .or_else(|| {
            // Exhausted: what this thread keeps may make room, and so may what other threads keep; but not for more than there ever is.
            let mcache = mcache.filter(|_| heap.may_have(n))?;
            mcache.flush_all(heap);
            heap.give_back_freed();
            mcache::drop_large(heap, Some(mcache), true);
            heap.raise_pressure();
            in_heap()
        })
        .or_else(|| huge(heap, n, align))
}

fn huge(heap: &Heap, n: Pages, align: usize) -> Option<(*mut u8, Bytes)> {
    Some((heap.alloc_huge(n, align)?.as_ptr(), Bytes(0)))
}

/// Frees an object of whole pages that was asked for with `size` bytes. Ends the process with one line when none starts at `p`, or one of
/// another length in the heap; a huge object's may be another.
#[inline(never)]
pub(super) extern "C" fn free(p: *mut u8, size: usize) {
    free_of(p, Some(size), FreeDoor::Free);
}

/// As `free`, for a program that does not say the size; `door` is the function that it called.
#[inline(never)]
pub(super) extern "C" fn free_unsized(p: *mut u8, door: FreeDoor) {
    free_of(p, None, door);
}

#[inline(always)]
fn free_of(p: *mut u8, size: Option<usize>, door: FreeDoor) {
    checks::pages_taken_back(door.name(), p, size);
    // As `large_pages`, but that for no bytes it is wrong, which the slow path sees.
    let has_size =
        |span: Span| size.is_none_or(|size| span.npages().0 == size.wrapping_sub(1) / PAGE_SIZE + 1);
    let span = heap().and_then(|heap| heap.large_at(p));
    let mcache = mcache::current_if_set();
    if !span.zip(mcache).is_some_and(|(span, mcache)| has_size(span) && mcache.keep_large(span)) {
        free_slow(p, size, door.name());
    }
}

#[cold]
#[inline(never)]
fn free_slow(p: *mut u8, size: Option<usize>, door: &'static str) {
    let Some(heap) = heap() else {
        Facts::Nothing.refuse(p, format_args!("{door}: pointer was never allocated"));
    };
    if guard::contains(p) {
        // At the C door it may have any class.
        return guarded::free(door, p, size.map_or(Said::Nothing, Said::WholePages));
    }
    let entered = Entered::new(door);
    let mcache = mine(&entered, heap);
    if !heap.contains(p) {
        if let Some(said) = size
            && let Some(object) = heap.object_at(p)
            && !large_pages(Bytes(said)).is_some_and(|n| object.has_pages(n))
        {
            Facts::of(p).refuse_said(p, said, format_args!("{door}: object has another size"));
        }
        let Some(bytes) = heap.free_huge(p) else {
            let facts = Facts::of(p);
            facts.refuse(p, format_args!("{door}: {}", facts.wrong(p, NONE_THERE)));
        };
        return count(mcache, None, Some(bytes));
    }
    let Some(span) = heap.span_of(p) else {
        let facts = Facts::of(p);
        facts.refuse(
            p,
            format_args!(
                "{door}: {}",
                facts.wrong(p, "pointer into the middle of an object, or already free")
            ),
        );
    };
    if !span.is_large() && heap.small_object_at(p).is_some() {
        match size {
            Some(said) => span.facts_of(p).refuse_said(
                p,
                said,
                format_args!("{door}: object is smaller than its layout says"),
            ),
            // The C door found none there a moment ago.
            None => span.facts_of(p).refuse(p, format_args!("{door}: object is already free")),
        }
    }
    if span.base() != p.addr() {
        span.facts_of(p).refuse(p, format_args!("{door}: pointer into the middle of an object"));
    }
    let bytes = span.bytes();
    if !span.is(State::InUse) {
        span.facts_of(p).refuse(p, format_args!("{door}: object is already free"));
    }
    // A program that says sizes also says each new one, so an object has exactly the pages for its size.
    if let Some(said) = size.filter(|&said| large_pages(Bytes(said)) != Some(span.npages())) {
        span.facts_of(p).refuse_said(p, said, format_args!("{door}: object has another size"));
    }
    if mcache.is_some_and(|m| m.keep_large_slow(heap, span)) {
        return;
    }
    heap.free_span(span, mcache.map(MCache::spans));
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
        if let Some(bytes) = guarded::pages("realloc", p) {
            return (bytes == n.bytes()).then_some(p);
        }
        let facts = Facts::of(p);
        facts.refuse(p, format_args!("realloc: {}", facts.wrong(p, NONE_THERE)));
    };
    let old_bytes = object.bytes();
    if old_bytes == n.bytes() {
        checks::pages_resized(heap, p, object, new.size());
        return Some(p);
    }
    if !checks::RESIZES_PAGES {
        return None;
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
    let mcache = mine(&entered, heap);
    let make_way = |span| mcache.is_some_and(|mcache| mcache.make_way(heap, span));
    let resized = heap.resize_object(object, n, new.align(), make_way)?;
    count(mcache, Some((n.bytes(), new.size())), Some(old_bytes));
    mcache.inspect(|m| m.obey(heap));
    Some(resized.as_ptr())
}

/// Spans that are cheap to copy.
const SMALL_SPAN_PAGES: usize = 8;
