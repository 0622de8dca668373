//! The C door: what the symbols of `libgort.so` lead to. Answers to nothing in Go, whose programs never free.
//!
//! As the Rust door, but C does not say on free what it allocated: the class comes from the page map, which also tells whether an
//! object starts at the pointer at all. Every object is aligned to 16 bytes, so classes 8 and 24 are not used here.
//!
//! What is free has a mark in its first word, until it is handed out here. What is freed with one is looked for, so that a second free is
//! noticed at once, and only then refused: a program may have copied a mark.
//!
//! The fast paths mark the thread's cache while they work on a bin, so a signal handler that interrupts one may allocate; one that
//! interrupts a slow path and needs one itself ends the process with one line (see `mcache::Entered`).
//!
//! Sizes and alignments are checked here, errno is set here (`ENOMEM`, `EINVAL`) and left alone otherwise.
#![expect(unsafe_code, reason = "zeroes and copies objects; frees what the program says")]

use core::alloc::Layout;
use core::ptr;

pub use super::FreeDoor;
use super::init::ready;
use super::stats::MemStats;
use super::{checks, guarded, large, report, sizes};
use crate::base::{Bytes, C_ALIGN, Class, Pages, class_of, fine_class_for_c, large_pages};
use crate::guard::{self, Object};
use crate::heap::{self, Facts, Heap, heap};
use crate::mcache::{self, Entered, refuse_if_marked};
use crate::mcentral::central;
use crate::sys::{EINVAL, ENOMEM, Linux, Os};
use crate::throw::fatal;

/// At least `size` bytes, aligned to 16. Null and `ENOMEM` when memory is exhausted or `size` is above `PTRDIFF_MAX`. Size 0 is an
/// object like any other.
#[inline]
pub fn malloc(size: usize) -> *mut u8 {
    match fine_class_for_c(size).and_then(|class| pop(class, size)) {
        Some(p) => p,
        None => malloc_slow(size),
    }
}

/// An object from the thread's bin, if there is one.
#[inline(always)]
fn pop(class: Class, size: usize) -> Option<*mut u8> {
    let p = mcache::current_if_set()?.pop_marked(class)?;
    let p = super::checked(p, class);
    checks::handed_out_in_c(p);
    Some(checks::handed_out(p, class, size))
}

/// Puts an object into the thread's bin; `false` when that cannot be.
#[inline(always)]
#[must_use]
fn push(p: *mut u8, class: Class) -> bool {
    mcache::current_if_set().is_some_and(|m| m.push_marked(class, super::checked(p, class)))
}

/// As `malloc`, in the order of checks that the fast path leaves over: a refill, larger classes, whole pages.
#[cold]
#[inline(never)]
extern "C" fn malloc_slow(size: usize) -> *mut u8 {
    match layout(size, C_ALIGN) {
        Some(layout) => or_enomem(allocate(layout, false)),
        None => fail(ENOMEM),
    }
}

/// The layout of a request; `None` when it is too large for any object.
fn layout(size: usize, align: usize) -> Option<Layout> {
    Layout::from_size_align(size, align.max(C_ALIGN)).ok()
}

fn fail(code: i32) -> *mut u8 {
    crate::sys::set_errno(code);
    ptr::null_mut()
}

fn or_enomem(p: *mut u8) -> *mut u8 {
    if p.is_null() { fail(ENOMEM) } else { p }
}

/// Allocates any layout, zero if `zeroed`; null when memory is exhausted.
fn allocate(layout: Layout, zeroed: bool) -> *mut u8 {
    let Some(class) = class_of(layout) else {
        let whole_pages = if zeroed { large::alloc_zeroed } else { large::alloc };
        return whole_pages(layout.size(), layout.align());
    };
    let p = pop(class, layout.size()).unwrap_or_else(|| refill(layout.size(), class));
    if zeroed && !p.is_null() {
        // SAFETY: the object is at least as long as the layout and nobody else's.
        unsafe { p.write_bytes(0, layout.size()) };
    }
    p
}

/// An object that is not from the thread's bin. What was never handed out here has no mark, and perhaps no memory yet.
fn refill(size: usize, class: Class) -> *mut u8 {
    let p = super::refill_exact(size, class);
    if !p.is_null() && !heap().is_none_or(|heap| checks::is_live_in_c(heap, p)) {
        checks::handed_out_in_c(p);
    }
    p
}

/// Zeroed memory for `count` objects of `size` bytes. Null and `ENOMEM` also when the product overflows.
#[inline]
pub fn calloc(count: usize, size: usize) -> *mut u8 {
    let Some(bytes) = count.checked_mul(size) else { return fail(ENOMEM) };
    match fine_class_for_c(bytes).and_then(|class| pop(class, bytes)) {
        Some(p) => {
            // SAFETY: the object is at least this long and nobody else's.
            unsafe { p.write_bytes(0, bytes) };
            p
        }
        None => calloc_slow(bytes),
    }
}

#[cold]
#[inline(never)]
extern "C" fn calloc_slow(bytes: usize) -> *mut u8 {
    match layout(bytes, C_ALIGN) {
        Some(layout) => or_enomem(allocate(layout, true)),
        None => fail(ENOMEM),
    }
}

/// At least `size` bytes aligned to `align`. Null and `EINVAL` when `align` is no power of two, null and `ENOMEM` when memory is
/// exhausted or the request too large.
pub fn aligned_alloc(align: usize, size: usize) -> *mut u8 {
    match try_aligned_alloc(align, size) {
        Ok(p) => p,
        Err(code) => fail(code),
    }
}

/// As [`aligned_alloc`], but leaves errno alone and returns the code.
pub fn try_aligned_alloc(align: usize, size: usize) -> Result<*mut u8, i32> {
    if !align.is_power_of_two() {
        return Err(EINVAL);
    }
    let p = layout(size, align).map_or(ptr::null_mut(), |layout| allocate(layout, false));
    if p.is_null() {
        return Err(ENOMEM);
    }
    if sizes::is_on() {
        sizes::corrected(p, size, align);
    }
    Ok(p)
}

/// The heap, and the class of the small object that starts at `p`.
#[inline(always)]
fn small_object_at(p: *const u8) -> Option<(&'static Heap, Class)> {
    let heap = heap()?;
    Some((heap, heap.small_object_at(p)?))
}

/// Frees an object; null is none. Ends the process with one line when no object starts at `p`, or when it is noticed that it is
/// free already.
///
/// # Safety
/// 1. `p` is null or an object that this door handed out, and nothing uses it any more.
#[inline(always)]
pub unsafe fn free(p: *mut u8) {
    // SAFETY: passed on unchanged.
    unsafe { free_by(FreeDoor::Free, p) };
}

/// As [`free`], for the function that the program called.
///
/// # Safety
/// As for [`free`].
#[inline(always)]
pub unsafe fn free_by(door: FreeDoor, p: *mut u8) {
    let Some((heap, class)) = small_object_at(p) else {
        // Asked here: who frees an object does not pay for it, and programs free null often.
        if !p.is_null() {
            free_no_small(p, door);
        }
        return;
    };
    if !checks::is_live_in_c(heap, p) {
        return free_marked(p, class, door);
    }
    if checks::taken_back(door.name(), p, class, None) {
        return;
    }
    checks::freed_in_c(heap, p);
    if !push(p, class) {
        super::flush(p, class, door);
    }
}

/// Frees an object that has the mark of a free one. It is free, unless it is in no place where this thread can look for it: in another
/// thread's bin, or live with a mark that the program has copied back to it.
#[cold]
#[inline(never)]
extern "C" fn free_marked(p: *mut u8, class: Class, door: FreeDoor) {
    refuse_if_free(door.name(), p, class);
    if !push(p, class) {
        super::flush(p, class, door);
    }
}

/// Ends the process if a small object is in the thread's bin, in its class's transfer cache or in its span.
#[cold]
#[inline(never)]
fn refuse_if_free(door: &'static str, p: *mut u8, class: Class) {
    let Some(heap) = heap() else { return };
    let entered = Entered::new(door);
    if entered.mcache().bin(class).holds(p) || central(class).holds(class, heap, p) {
        Facts::freed(class).refuse(p, format_args!("{door}: object is already free"));
    }
}

/// Frees what is no small object, and not null.
#[cold]
#[inline(never)]
extern "C" fn free_no_small(p: *mut u8, door: FreeDoor) {
    if heap().and_then(|h| h.span_of(p)).is_some_and(|span| !span.is_large()) {
        Facts::of(p).refuse(p, format_args!("{}: pointer into the middle of an object", door.name()));
    }
    large::free_unsized(p, door);
}

/// As [`free`] for an object that was allocated with `size` bytes. Ends the process with one line when the object is shorter; in the
/// hardened build also when it is longer, unless it is a large one for which the kernel had no mapping.
///
/// # Safety
/// As for [`free`].
#[inline]
pub unsafe fn free_sized(p: *mut u8, size: usize) {
    // SAFETY: passed on unchanged.
    unsafe { free_sized_by(FreeDoor::FreeSized, p, size) };
}

/// As [`free_sized`] for an object that was allocated with `align` as well. Ends the process with one line when it cannot have been: it is
/// aligned to less. A guarded object is not looked at.
///
/// # Safety
/// As for [`free`].
#[inline]
pub unsafe fn free_aligned_sized(p: *mut u8, align: usize, size: usize) {
    if align.is_power_of_two() && !p.addr().is_multiple_of(align) {
        has_another_alignment(p);
    }
    // SAFETY: passed on unchanged.
    unsafe { free_sized_by(FreeDoor::FreeAlignedSized, p, size) };
}

/// Ends the process if an object starts at `p`.
#[cold]
#[inline(never)]
fn has_another_alignment(p: *const u8) {
    let door = FreeDoor::FreeAlignedSized.name();
    let entered = Entered::new(door);
    let is_object = small_object_at(p).is_some() || heap().is_some_and(|h| h.object_at(p).is_some());
    drop(entered);
    if is_object {
        Facts::of(p).refuse(p, format_args!("{door}: object has another alignment"));
    }
}

/// As [`free_sized`], for the function that the program called.
///
/// # Safety
/// As for [`free`].
#[inline(always)]
unsafe fn free_sized_by(door: FreeDoor, p: *mut u8, size: usize) {
    check_size(door.name(), p, size);
    // SAFETY: passed on unchanged.
    unsafe { free_by(door, p) };
}

/// Ends the process with one line if the object that starts at `p` cannot have been allocated with `size` bytes, as far as
/// [`free_sized`] tells. `door` is the function that the program called.
#[inline]
pub fn check_size(door: &'static str, p: *const u8, size: usize) {
    match small_object_at(p) {
        Some((_, class)) if !checks::may_have_size(door, p, class, size) => has_another_size(door, p, size),
        Some(_) => {}
        None => check_whole_pages(door, p, size),
    }
}

/// Ends the process if an object of whole pages, or a guarded one, cannot have that size.
#[cold]
#[inline(never)]
fn check_whole_pages(door: &'static str, p: *const u8, size: usize) {
    let object = {
        let _entered = Entered::new(door);
        heap().and_then(|h| h.object_at(p))
    };
    if object.is_some_and(|object| !checks::may_be_pages_of(object, size)) {
        has_another_size(door, p, size);
    }
    guarded::check_size(door, p, size);
}

#[cold]
#[inline(never)]
fn has_another_size(door: &'static str, p: *const u8, said: usize) -> ! {
    Facts::of(p).refuse_said(p, said, format_args!("{door}: object has another size"))
}

/// Bytes that the program may use of the object that starts at `p`; 0 for null. Ends the process with one line when no object
/// starts there.
#[inline]
pub fn usable_size(p: *const u8) -> usize {
    match small_object_at(p) {
        Some((_, class)) => checks::usable("malloc_usable_size", p, class).0,
        None if p.is_null() => 0,
        None => object_at("malloc_usable_size", p).usable("malloc_usable_size", p),
    }
}

/// An object, as the C door sees it.
enum Found {
    Small(Class),
    WholePages(heap::Object),
    Guarded(Object),
}

impl Found {
    fn bytes(&self) -> Bytes {
        match self {
            Self::Small(class) => class.size(),
            Self::WholePages(object) => object.bytes(),
            Self::Guarded(object) => object.bytes,
        }
    }

    /// How many of them, at `p`, the program may use.
    fn usable(&self, door: &'static str, p: *const u8) -> usize {
        match self {
            Self::Small(class) => checks::usable(door, p, *class).0,
            Self::WholePages(object) => object.usable().0,
            Self::Guarded(object) => object.usable,
        }
    }
}

/// Whether a guarded object stays where it is when it is resized: where any other would without a change of its accounted bytes.
fn stays(object: &Object, new: Layout) -> bool {
    let (size, bytes) = (new.size(), object.bytes);
    match object.class {
        Some(class) => size <= bytes.0 && (size > bytes.0 / 2 || class_of(new) == Some(class)),
        None => class_of(new).is_none() && large_pages(Bytes(size)).map(Pages::bytes) == Some(bytes),
    }
}

/// The object that starts at `p`. Ends the process with one line when none does; `door` is the function that the program called.
fn object_at(door: &'static str, p: *const u8) -> Found {
    if let Some((heap, class)) = small_object_at(p) {
        if !checks::is_live_in_c(heap, p) {
            refuse_if_free(door, p.cast_mut(), class);
        }
        return Found::Small(class);
    }
    let _entered = Entered::new(door);
    match heap().and_then(|h| h.object_at(p)) {
        Some(object) => Found::WholePages(object),
        None if guard::contains(p) => Found::Guarded(guarded::object_at(door, p)),
        None => Facts::of(p).refuse(p, format_args!("{door}: no live object starts there")),
    }
}

/// Gives the object that starts at `p` a new size, perhaps at another address. Null and `ENOMEM`, and `p` untouched, when there is no
/// memory. As in glibc, null allocates, and size 0 frees and returns null.
///
/// # Safety
/// 1. `p` is null or an object that this door handed out; when it moves, or is freed, nothing uses it any more.
pub unsafe fn realloc(p: *mut u8, size: usize) -> *mut u8 {
    if p.is_null() {
        return malloc(size);
    }
    if size == 0 {
        // SAFETY: obligation 1.
        unsafe { free_by(FreeDoor::Realloc, p) };
        return ptr::null_mut();
    }
    let object = object_at("realloc", p);
    let Some(new) = layout(size, C_ALIGN) else { return fail(ENOMEM) };
    let old = object.bytes().0;
    let used = object.usable("realloc", p);
    match &object {
        // What shrinks by less than half stays.
        &Found::Small(class) if size <= old && (size > old / 2 || class_of(new) == Some(class)) => {
            if sizes::is_on() {
                sizes::corrected(p, size, C_ALIGN);
            }
            return checks::resized(p, class, None, size);
        }
        Found::Guarded(object) if stays(object, new) => {
            guarded::resized(p, object, size);
            return p;
        }
        Found::WholePages(_) if class_of(new).is_none() => {
            if let Some(resized) = large::resize(p, new, true) {
                return resized;
            }
        }
        _ => {}
    }
    let to = match class_of(new) {
        Some(_) => allocate(new, false),
        None => large::alloc_moved(old, size, C_ALIGN),
    };
    if to.is_null() {
        // No memory for a copy of what is left: it stays where it is.
        return if size <= old { shrunk(p, object, size) } else { fail(ENOMEM) };
    }
    // SAFETY: both objects are live, different, and at least this long.
    unsafe { ptr::copy_nonoverlapping(p, to, used.min(size)) };
    // SAFETY: obligation 1.
    unsafe { free_by(FreeDoor::Realloc, p) };
    to
}

/// An object that stays where it is for no more than `size` of its bytes.
#[cold]
fn shrunk(p: *mut u8, object: Found, size: usize) -> *mut u8 {
    match object {
        Found::Small(class) => return checks::resized(p, class, None, size),
        Found::WholePages(object) => {
            let _entered = Entered::new("realloc");
            heap().inspect(|heap| checks::pages_resized(heap, p, object, size));
        }
        Found::Guarded(object) => guarded::resized(p, &object, size),
    }
    p
}

/// Starts the heap now if the process is to write a report when it exits, so that one which never allocates writes its own too. For a
/// library that is never unloaded, before the program starts: the report then counts what the libraries' destructors free.
pub fn start_for_report() {
    if report::is_asked_for() {
        let entered = Entered::new("start");
        if ready().is_some() {
            entered.outside(report::arm_last);
        }
    }
}

/// The heap's figures, as [`crate::stats`]. Ends the process with one line in a signal handler that interrupted a slow path, which would
/// wait for ever; `door` is the function that the program called.
pub fn stats(door: &'static str) -> MemStats {
    refuse_if_marked(door);
    super::stats::stats()
}

/// Writes the report on the heap to stderr. For signal handlers as [`stats`].
pub fn report_to_stderr() {
    refuse_if_marked("malloc_stats");
    report::to_stderr();
}

/// Writes the report on the heap as XML. For signal handlers as [`stats`].
pub fn write_xml(w: &mut dyn core::fmt::Write) -> core::fmt::Result {
    refuse_if_marked("malloc_info");
    report::write_xml(w)
}

/// Bytes of a page of the kernel's.
pub fn kernel_page() -> usize {
    Linux.page_size()
}

/// Sets errno, for doors with rules of their own.
pub fn set_errno(code: i32) {
    crate::sys::set_errno(code);
}

/// Writes one line to stderr, without allocating, and ends the process (SIGABRT).
pub fn abort_with(message: core::fmt::Arguments<'_>) -> ! {
    fatal(message)
}
