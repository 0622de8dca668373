//! What the doors check of small objects, as users build it: what costs nothing, and at the C door, whose programs are the ones that free
//! twice, a mark in what is free (glibc's idea, the key of its tcache). See `checks_hardened` for the build that checks all.
#![expect(unsafe_code, reason = "reads and writes the first word of objects at the C door")]

use crate::base::{Bytes, Class};
use crate::heap::{Heap, Object};
use crate::mcache::Entered;

/// Whether an object of a class of the C door has not been freed since it was handed out there.
#[inline(always)]
pub(super) fn is_live_in_c(heap: &Heap, p: *const u8) -> bool {
    // SAFETY: the class of the object is 16 bytes or longer, and its memory stays mapped when it is free. Volatile: the program may have
    // written nothing there.
    unsafe { p.cast::<u64>().read_volatile() != heap.mark_of(p) }
}

/// Marks an object as free.
#[inline(always)]
pub(super) fn freed_in_c(heap: &Heap, p: *mut u8) {
    // SAFETY: as above, and the program has given it up.
    unsafe { p.cast::<u64>().write(heap.mark_of(p)) };
}

/// Takes the mark away, from an object of the thread's bin.
#[inline(always)]
pub(super) fn handed_out_in_c(p: *mut u8) {
    // SAFETY: as above, and it is nobody's yet.
    unsafe { p.cast::<u64>().write(0) };
}

/// An object on its way to the program, who asked for `size` bytes; or null.
#[inline(always)]
pub(super) fn handed_out(p: *mut u8, _class: Class, _size: usize) -> *mut u8 {
    p
}

/// An object of `class` on its way back, of `size` bytes if the program says so: it is to go to the thread's bin. `door` is the function that
/// it called.
#[inline(always)]
pub(super) fn taken_back(_door: &'static str, _p: *mut u8, _class: Class, _size: Option<usize>) -> bool {
    false
}

/// An object of whole pages on its way to the program, who asked for `size` bytes.
#[inline(always)]
pub(super) fn pages_handed_out(_entered: &Entered, _heap: &Heap, _p: *mut u8, _size: usize) {}

/// An object of whole pages on its way back, of `size` bytes if the program says so.
#[inline(always)]
pub(super) fn pages_taken_back(_door: &'static str, _p: *mut u8, _size: Option<usize>) {}

/// An object of whole pages that keeps its pages with a new size.
#[inline(always)]
pub(super) fn pages_resized(_heap: &Heap, _p: *mut u8, _object: Object, _new: usize) {}

/// Whether `size` may be what an object of whole pages was asked for with. What shrinks may stay where it is, without memory for a copy, so
/// less may be right.
pub(super) fn may_be_pages_of(object: Object, size: usize) -> bool {
    size <= object.bytes().0
}

/// An object that stays where it is with a new size, of `old` bytes if the program says so.
#[inline(always)]
pub(super) fn resized(p: *mut u8, _class: Class, _old: Option<usize>, _new: usize) -> *mut u8 {
    p
}

/// An object that the program wants resized and that may be copied.
#[inline(always)]
pub(super) fn about_to_move(_p: *mut u8, _class: Class, _size: usize) {}

/// Bytes that the program may use of an object; `door` is the function that it called.
#[inline(always)]
pub(super) fn usable(_door: &'static str, _p: *const u8, class: Class) -> Bytes {
    class.size()
}

/// Whether `size` may be what an object was asked for with. It may be longer than that: realloc leaves what shrinks a little where it is.
#[inline(always)]
pub(super) fn may_have_size(_door: &'static str, _p: *const u8, class: Class, size: usize) -> bool {
    size <= class.size().0
}

/// Whether objects of whole pages are resized where they are.
pub(super) const RESIZES_PAGES: bool = true;
