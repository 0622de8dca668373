//! Guarded objects at the doors (`GODEBUG=guardrate=N`): those that a thread's slow path finds due are placed between guard pages, and
//! frees that the bins do not take come here. They count as any other object of their class.
#![expect(unsafe_code, reason = "zeroes new objects")]

use core::ptr;

use super::init::mine;
use crate::base::{Bytes, Class, Pages};
use crate::guard::{self, Object, Request, Said, Trace};
use crate::heap::{Heap, heap};
use crate::mcache::{Entered, MCache};

/// The object of a class that is about to be allocated, guarded, if it is its turn and there is a place. The program may use `usable` of
/// its bytes. `inside` is in the frame of the door.
#[inline]
pub(super) fn alloc(
    entered: &Entered,
    mcache: &MCache,
    heap: &Heap,
    class: Class,
    usable: usize,
    inside: *const u8,
) -> Option<*mut u8> {
    if !mcache.is_sampled(class) {
        return None;
    }
    let p = place(entered, heap, &Request { bytes: class.size(), usable, class: Some(class) }, inside)?;
    mcache.count_guarded(class, true, false);
    Some(p)
}

/// As `alloc`, an object of whole pages, zero if `zeroed`; the caller books it.
#[inline]
pub(super) fn alloc_large(
    entered: &Entered,
    mcache: &MCache,
    heap: &Heap,
    n: Pages,
    zeroed: bool,
    inside: *const u8,
) -> Option<*mut u8> {
    let bytes = n.bytes();
    if bytes.0 > guard::LONGEST.0 || !mcache.is_large_sampled() {
        return None;
    }
    let p = place(entered, heap, &Request { bytes, usable: bytes.0, class: None }, inside)?;
    if zeroed {
        // SAFETY: the object is that long, and nobody else's yet.
        unsafe { p.write_bytes(0, bytes.0) };
    }
    Some(p)
}

#[cold]
#[inline(never)]
fn place(entered: &Entered, heap: &Heap, request: &Request, inside: *const u8) -> Option<*mut u8> {
    if !guard::has_place() {
        return None;
    }
    // It may be somebody else's `sigaction`.
    entered.outside(guard::watch_faults);
    guard::alloc(heap, request, &Trace::of_callers(inside)).map(ptr::NonNull::as_ptr)
}

/// Who called the door in whose frame this is called.
macro_rules! caller {
    () => {{
        let inside = 0u8;
        Trace::of_callers(&raw const inside)
    }};
}

/// Frees a guarded object. `door` is the function that the program called.
#[cold]
#[inline(never)]
pub(super) fn free(door: &'static str, p: *mut u8, said: Said) {
    let Some(heap) = heap() else { return };
    let by = caller!();
    let entered = Entered::new(door);
    let Object { bytes, class, .. } = guard::free(door, heap, p, said, &by);
    match (mine(&entered, heap), class) {
        (Some(mcache), Some(class)) => mcache.count_guarded(class, false, true),
        (Some(mcache), None) => mcache.count_large(None, Some(bytes)),
        (None, Some(class)) => MCache::free_guarded_shared(class),
        (None, None) => MCache::count_large_shared(None, Some(bytes)),
    }
}

/// The guarded object that starts at `p`; the end of the process when none does. `door` is the function that the program called. The
/// caller has entered.
#[cold]
#[inline(never)]
pub(super) fn object_at(door: &'static str, p: *const u8) -> Object {
    guard::expect(door, p, &caller!())
}

/// Ends the process unless a guarded object has the size that the program says. `door` is the function that it called.
#[cold]
#[inline(never)]
pub(super) fn check_size(door: &'static str, p: *const u8, size: usize) {
    if guard::contains(p) {
        let _entered = Entered::new(door);
        guard::check_size(door, p, size, &caller!());
    }
}

/// Notes that the program resized a guarded object that stays where it is.
pub(super) fn resized(p: *const u8, object: &Object, size: usize) {
    let _entered = Entered::new("realloc");
    guard::resized(p, if object.class.is_some() { size } else { object.bytes.0 });
}

/// Whole pages that an object has.
pub(super) fn pages(door: &'static str, p: *const u8) -> Option<Bytes> {
    guard::contains(p).then(|| object_at(door, p).bytes)
}
