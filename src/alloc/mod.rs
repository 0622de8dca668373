//! The doors: what a program calls. Answers to Go's malloc.go, with the explicit free that Go does not have.
//!
//! The fast paths are three steps: the class from the layout, the thread's bin, one pointer in or out. All else is behind
//! `#[cold]` calls: the heap's start, attaching a thread, refilling, whole pages.
//!
//! Rejected: looking the class up by the pointer on free. Rust hands the layout back, so the page map is not touched.
#![expect(unsafe_code, reason = "implements GlobalAlloc, whose contract is about raw memory")]

pub mod c;
#[cfg_attr(feature = "hardened", path = "checks_hardened.rs")]
#[cfg_attr(not(feature = "hardened"), path = "checks_plain.rs")]
mod checks;
mod guarded;
mod init;
mod large;
mod options;
mod report;
mod sizes;
mod stats;

use core::alloc::{GlobalAlloc, Layout};
use core::ptr;

use crate::base::{Bytes, Class, MAX_SMALL_SIZE, class_of, coarse_class_of, fine_class_of, large_pages};
use crate::guard::{self, Said};
use crate::heap::Facts;
use crate::mcache::{self, Entered, MCache};
use crate::mcentral;
use init::{mine, ready};
pub use options::bad_variables;
#[cfg(feature = "fuzzing")]
pub(crate) use options::{fuzz as fuzz_options, is_memory_limit};
pub use stats::{
    BySize, Contention, Measured, MemStats, WholePages, contention_by_size, free_os_memory, measure,
    set_memory_limit, stats, thread_stats,
};

/// Go's allocator for Rust programs.
///
/// ```
/// #[global_allocator]
/// static GLOBAL: gort::GoAlloc = gort::GoAlloc;
///
/// let v = vec![0i64; 1025];
/// assert_eq!(gort::usable_size(std::alloc::Layout::for_value(&v[..])), 9472);
/// ```
///
/// Allocation returns null when memory is exhausted and never ends the process. A pointer that is freed twice, was never
/// allocated or points into the middle of an object ends the process with one line, where it is noticed.
#[derive(Clone, Copy, Debug, Default)]
pub struct GoAlloc;

// SAFETY: memory comes from spans that overlap nothing else, is as long and as aligned as the layout asks (`class_of` and
// `large` see to both), and stays the caller's until it is freed. No door unwinds.
unsafe impl GlobalAlloc for GoAlloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match fine_class_of(layout) {
            Some(class) => alloc_small(layout.size(), class),
            None if layout.size() > MAX_SMALL_SIZE => large::alloc(layout.size(), layout.align()),
            None => alloc_coarse(layout.size(), layout.align()),
        }
    }

    #[inline]
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        match fine_class_of(layout) {
            Some(class) => free_small(class, p, layout.size()),
            None if layout.size() > MAX_SMALL_SIZE => large::free(p, layout.size()),
            None => free_coarse(p, layout.size(), layout.align()),
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class_of(layout) else {
            return large::alloc_zeroed(layout.size(), layout.align());
        };
        let p = alloc_small(layout.size(), class);
        if !p.is_null() {
            // SAFETY: the object is at least as long as the layout and nobody else's.
            unsafe { p.write_bytes(0, layout.size()) };
        }
        p
    }

    #[inline]
    unsafe fn realloc(&self, p: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller guarantees that new_size, rounded up to the alignment, does not overflow.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        if let (Some(old), Some(new)) = (fine_class_of(layout), fine_class_of(new_layout))
            && old == new
        {
            return checks::resized(p, old, Some(layout.size()), new_size);
        }
        // SAFETY: p is an object of this layout (realloc's contract).
        unsafe { realloc_coarse(p, layout, new_layout) }
    }
}

/// Resizes an object that does not stay in its fine class: where it is if that can be, else anew, with a copy. Null, and `p`
/// untouched, when there is no memory.
///
/// # Safety
/// 1. `p` is a live object that was allocated with `layout`.
#[inline(never)]
unsafe fn realloc_coarse(p: *mut u8, layout: Layout, new_layout: Layout) -> *mut u8 {
    if let Some(class) = class_of(layout) {
        checks::about_to_move(p, class, layout.size());
    }
    match (class_of(layout), class_of(new_layout)) {
        (Some(old), Some(new)) if old == new => {
            return checks::resized(p, old, Some(layout.size()), new_layout.size());
        }
        (None, None) => {
            if let Some(resized) = large::resize(p, new_layout, true) {
                return resized;
            }
        }
        _ => {}
    }
    let to = if class_of(new_layout).is_none() {
        large::alloc_moved(layout.size(), new_layout.size(), new_layout.align())
    } else {
        // SAFETY: GlobalAlloc's callers never ask for zero bytes, and gort answers even that.
        unsafe { GoAlloc.alloc(new_layout) }
    };
    if !to.is_null() {
        // SAFETY: both objects are live, different, and at least this long.
        unsafe { ptr::copy_nonoverlapping(p, to, layout.size().min(new_layout.size())) };
        // SAFETY: obligation 1.
        unsafe { GoAlloc.dealloc(p, layout) };
    } else if new_layout.size() < layout.size() && class_of(new_layout).is_none() {
        // No memory for the copy of a small rest: it stays where it is.
        return large::resize(p, new_layout, false).unwrap_or(to);
    }
    to
}

/// The function that a program called to free an object. What is said of the object when the process ends for it begins with its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum FreeDoor {
    /// `free`, and the deallocation of a Rust program.
    Free,
    /// `free_sized`
    FreeSized,
    /// `free_aligned_sized`
    FreeAlignedSized,
    /// `realloc`, of no bytes, or after it has copied.
    Realloc,
    /// All forms of `operator delete`.
    Delete,
}

impl FreeDoor {
    /// Its name, as it stands in the line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::FreeSized => "free_sized",
            Self::FreeAlignedSized => "free_aligned_sized",
            Self::Realloc => "realloc",
            Self::Delete => "operator delete",
        }
    }
}

// The functions below that the fast paths leave to are `extern "C"` with arguments in the order of the doors': the compiler
// then knows that they do not unwind and jumps to them, so that the fast paths need no stack frame and move no register.

/// Layouts above the fine table: the coarse table's, and whole pages for what is aligned above a page, or is longer when it is padded.
#[inline(never)]
extern "C" fn alloc_coarse(size: usize, align: usize) -> *mut u8 {
    // SAFETY: the parts of a layout.
    let layout = unsafe { Layout::from_size_align_unchecked(size, align) };
    match coarse_class_of(layout) {
        Some(class) => alloc_small(size, class),
        None => large::alloc(size, align),
    }
}

/// As `alloc_coarse`, for free.
#[inline(never)]
extern "C" fn free_coarse(p: *mut u8, size: usize, align: usize) {
    // SAFETY: the parts of a layout.
    match coarse_class_of(unsafe { Layout::from_size_align_unchecked(size, align) }) {
        Some(class) => free_small(class, p, size),
        None => large::free(p, size),
    }
}

#[inline(always)]
fn alloc_small(size: usize, class: Class) -> *mut u8 {
    match mcache::current().bin(class).pop() {
        Some(p) => checks::handed_out(checked(p, class), class, size),
        None => refill(size, class),
    }
}

#[inline(always)]
fn free_small(class: Class, p: *mut u8, size: usize) {
    if checks::taken_back(FreeDoor::Free.name(), p, class, Some(size)) {
        return;
    }
    let mcache = mcache::current();
    if !mcache.push(class, checked(p, class)) && !mcache.push_watched(class, p) {
        flush(p, class, FreeDoor::Free);
    }
}

/// With the feature `invariants`: ends the process unless `p` is an object of this class that is out of its span.
#[inline(always)]
fn checked(p: *mut u8, class: Class) -> *mut u8 {
    #[cfg(feature = "invariants")]
    if !guard::contains(p)
        && crate::heap::heap()
            .and_then(|h| h.span_of(p))
            .is_none_or(|s| s.class() != Some(class) || s.is_out(p) != Some(true))
    {
        crate::throw::throw!("invariant broken: not an object of this class that is out"; addr = p, class = class.size().0);
    }
    #[cfg(not(feature = "invariants"))]
    let _ = class;
    p
}

/// The slow path of an allocation: no bin yet, or an empty one, or one that this signal handler must not use.
#[cold]
#[inline(never)]
extern "C" fn refill(size: usize, class: Class) -> *mut u8 {
    // Within its class an object is resized without a call, so all of it may be used.
    refill_usable(size, class, class.size().0)
}

/// As `refill`, for a door that is told of each new size.
#[cold]
#[inline(never)]
extern "C" fn refill_exact(size: usize, class: Class) -> *mut u8 {
    refill_usable(size, class, size)
}

#[inline(always)]
fn refill_usable(size: usize, class: Class, usable: usize) -> *mut u8 {
    let inside = 0u8;
    mcentral::sample(class, size);
    let entered = Entered::new("malloc");
    let Some(heap) = ready() else { return ptr::null_mut() };
    let p = match mine(&entered, heap) {
        Some(mcache) => match guarded::alloc(&entered, mcache, heap, class, usable, &raw const inside) {
            Some(p) => return p,
            // Attaching may have called back here, through the C library, and filled the bin.
            None => mcache.bin(class).pop().unwrap_or_else(|| mcache.alloc_slow(class, heap)),
        },
        None => {
            let p = MCache::alloc_shared(class, heap);
            sizes::allocated(heap, p, size, class);
            p
        }
    };
    checks::handed_out(p, class, size)
}

/// The slow path of a free: no bin yet, or a full one, or one that this signal handler must not use.
#[cold]
#[inline(never)]
extern "C" fn flush(p: *mut u8, class: Class, door: FreeDoor) {
    let door = door.name();
    let Some(heap) = crate::heap::heap() else {
        Facts::Nothing.refuse(p, format_args!("{door}: pointer was never allocated"));
    };
    if guard::contains(p) {
        return guarded::free(door, p, Said::Class(class));
    }
    let entered = Entered::new(door);
    match mine(&entered, heap) {
        Some(mcache) if mcache.bin(class).has_on_top(p) => {
            Facts::freed(class).refuse(p, format_args!("{door}: object is already free"));
        }
        // Where objects of the heap may have addresses that look like guarded ones'.
        Some(mcache) if mcache.bin(class).push_watched(p) => {}
        Some(mcache) => mcache.free_slow(class, heap, p),
        None => {
            sizes::freed(heap, p, class);
            MCache::free_shared(class, heap, p);
        }
    }
}

/// Bytes that gort sets aside, and accounts, for a layout: the size of its class, or whole pages of 8192 bytes. 0 when the
/// size overflows.
///
/// Go's roundupsize (msize.go).
pub fn usable_size(layout: Layout) -> usize {
    match class_of(layout) {
        Some(class) => class.size().0,
        None => large_pages(Bytes(layout.size())).map_or(0, |n| n.bytes().0),
    }
}

/// Ends the process with one line unless page allocator, huge table and central stores are in order. Slow; other threads may go
/// on meanwhile. What threads hold is checked by themselves, at each door.
#[cfg(feature = "invariants")]
pub fn check_invariants() {
    if let Some(heap) = crate::heap::heap() {
        heap.check_invariants();
        crate::mcentral::check_all();
        guard::check_invariants();
    }
}
