//! What the doors check of small objects, as users build it: what costs nothing. See `checks_hardened` for the build that checks all.

use crate::base::{Bytes, Class};

/// An object on its way to the program, who asked for `size` bytes; or null.
#[inline(always)]
pub(super) fn handed_out(p: *mut u8, _class: Class, _size: usize) -> *mut u8 {
    p
}

/// An object of `class` on its way back, of `size` bytes if the program says so. What goes to the thread's bin, if anything does.
#[inline(always)]
pub(super) fn taken_back(p: *mut u8, class: Class, _size: Option<usize>) -> Option<(*mut u8, Class)> {
    Some((p, class))
}

/// As `taken_back`, for an object of whole pages.
#[inline(always)]
pub(super) fn pages_taken_back(_p: *mut u8, _size: Option<usize>) {}

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
pub(super) fn may_have_size(_p: *const u8, class: Class, size: usize) -> bool {
    size <= class.size().0
}

/// Whether objects of whole pages are resized where they are.
pub(super) const RESIZES_PAGES: bool = true;
