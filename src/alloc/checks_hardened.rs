//! What the doors check in the hardened build.
//!
//! - Each free object is zero, all of it: zeroed when it was freed, and looked through when it is handed out again. A write after free
//!   is noticed there, and nothing is read that another owner left.
//! - Behind the bytes that the program asked for, up to the end of the class's size, is a **canary**, looked at when the object is
//!   freed or resized. Where the size is the class's there is no room for one.
//! - The object's word (`heap::ObjectWord`) says whether it is live, and the size: a second free, a pointer that is no object's start, and
//!   a wrong size are noticed at once, from whatever thread.
//! - What is freed goes through the thread's quarantine.
//!
//! Objects of whole pages have mappings between guard pages, where the kernel grants them. For those the table of huge objects says the
//! size, and a canary is in the rest of their last page. When they are freed their frames go back to the kernel, and their addresses are closed for a
//! while (`heap::freed`); a fault in what is closed is reported. The others are in the heap, and are zeroed.
#![expect(unsafe_code, reason = "writes and reads objects that are free, or the program's own")]

use core::{ptr, slice};

use crate::base::{Bytes, Class, PAGE_SIZE, large_pages};
use crate::guard;
use crate::heap::{Facts, Heap, Huge, Object, ObjectState, ObjectWord, heap};
use crate::mcache::{self, Entered};
use crate::throw::throw;

/// The object's word says it, so no free one is marked.
pub(super) fn is_live_in_c(_heap: &Heap, _p: *const u8) -> bool {
    true
}

pub(super) fn freed_in_c(_heap: &Heap, _p: *mut u8) {}

pub(super) fn handed_out_in_c(_p: *mut u8) {}

/// Objects of whole pages are not resized where they are: their guard pages would have to move.
pub(super) const RESIZES_PAGES: bool = false;

/// The canary of the object at `p`, a pattern of eight bytes of which none is 0: the end of a C string that is one too long changes it.
fn canary(p: *const u8) -> [u8; 8] {
    let mixed = heap().map_or(0, |heap| heap.mark_of(p)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ mixed >> 32) | 0x0101_0101_0101_0101).to_ne_bytes()
}

/// The bytes of an object from `from` to `size`: those up to a multiple of eight, and whole words.
fn tail<'a>(p: *mut u8, size: usize, from: usize) -> (&'a mut [u8], &'a mut [u64]) {
    let words = from.next_multiple_of(8).min(size);
    // SAFETY: the object is at least `size` bytes long, and these are nobody's: the object is free, or they are behind the program's. They are
    // initialised: memory that the kernel has zeroed, or that somebody has written to.
    let bytes = unsafe { slice::from_raw_parts_mut(p.wrapping_add(from), words - from) };
    // SAFETY: as above, other bytes; sizes and so addresses of objects are multiples of eight.
    let words = unsafe { slice::from_raw_parts_mut(p.wrapping_add(words).cast(), (size - words) / 8) };
    (bytes, words)
}

fn write_canary(p: *mut u8, size: usize, from: usize) {
    let canary = canary(p);
    let (bytes, words) = tail(p, size, from);
    let len = bytes.len();
    bytes.copy_from_slice(&canary[8 - len..]);
    words.fill(u64::from_ne_bytes(canary));
}

fn has_canary(p: *mut u8, size: usize, from: usize) -> bool {
    let canary = canary(p);
    let (bytes, words) = tail(p, size, from);
    let word = u64::from_ne_bytes(canary);
    *bytes == canary[8 - bytes.len()..] && words.iter().fold(0, |odd, &w| odd | (w ^ word)) == 0
}

/// The first byte of a free object that is not zero.
fn first_written(p: *mut u8, class: Class) -> Option<usize> {
    let (_, words) = tail(p, class.size().0, 0);
    // All of them at first, without a branch for each.
    if words.iter().fold(0, |any, &w| any | w) == 0 {
        return None;
    }
    let at = words.iter().position(|&w| w != 0)?;
    Some(at * 8 + words[at].to_ne_bytes().iter().position(|&byte| byte != 0)?)
}

/// Ends the process: an object is not of the class that the program says.
#[cold]
fn not_of(door: &'static str, p: *const u8, said: Class) -> ! {
    Facts::of(p).refuse_said(p, said.size().0, format_args!("{door}: object is not of this size class"))
}

/// Ends the process: no small object starts at `p`.
#[cold]
fn no_small(door: &'static str, p: *const u8, said: Class) -> ! {
    if heap().and_then(|heap| heap.object_at(p)).is_some() {
        not_of(door, p, said);
    }
    Facts::of(p).refuse(p, format_args!("{door}: pointer was never allocated"))
}

/// The heap, the word and the state of the small object of `class` at `p`. Ends the process with one line when there is none, or when it is
/// not live.
fn live(door: &'static str, p: *const u8, class: Class) -> (&'static Heap, ObjectWord, usize) {
    let Some((heap, span)) = heap().and_then(|heap| Some((heap, heap.span_of(p)?))) else {
        no_small(door, p, class)
    };
    if span.class() != Some(class) {
        not_of(door, p, class);
    }
    let Some(word) = span.word_of(p) else {
        span.facts_of(p).refuse(p, format_args!("{door}: pointer into the middle of an object"));
    };
    let ObjectState::Live(asked) = word.get() else {
        span.facts_of(p).refuse(p, format_args!("{door}: object is already free"));
    };
    (heap, word, asked)
}

/// Ends the process with one line unless the object has the size that the program says, and its canary is whole.
fn check(door: &'static str, p: *mut u8, class: Class, asked: usize, said: Option<usize>) {
    if let Some(said) = said.filter(|&said| said != asked) {
        Facts::of(p).refuse_said(p, said, format_args!("{door}: object has another size"));
    }
    if !has_canary(p, class.size().0, asked) {
        Facts::of(p).refuse(p, format_args!("{door}: object was written to past its end"));
    }
}

/// An object on its way to the program, who asked for `size` bytes; or null.
pub(super) fn handed_out(p: *mut u8, class: Class, size: usize) -> *mut u8 {
    let word = heap().and_then(|heap| heap.span_of(p)).and_then(|span| span.word_of(p));
    let Some(word) = word else { return p };
    if let ObjectState::Live(_) = word.get() {
        Facts::of(p).refuse(p, format_args!("malloc: object is live"));
    }
    if let Some(at) = first_written(p, class) {
        let class = class.size().0;
        throw!("malloc: free object was written to"; addr = p, class = class, offset = at, state = word.get());
    }
    write_canary(p, class.size().0, size);
    word.set(ObjectState::Live(size));
    p
}

/// An object of `class` on its way back, of `size` bytes if the program says so. Whether the thread's quarantine has it now; else it is to go
/// to its bin. Ends the process with one line when it is not a live object of this class and size, or was written to past its end.
pub(super) fn taken_back(door: &'static str, p: *mut u8, class: Class, size: Option<usize>) -> bool {
    let (heap, word, asked) = live(door, p, class);
    check(door, p, class, asked, size);
    if !word.free(ObjectState::Live(asked)) {
        Facts::of(p).refuse(p, format_args!("{door}: object is already free"));
    }
    // SAFETY: the object is that long, and free.
    unsafe { p.write_bytes(0, class.size().0) };
    mcache::current_if_set().is_some_and(|mcache| mcache.quarantine(heap, class, p))
}

/// Where the canary behind the first `size` bytes of an object of whole pages ends: with the page, however many the object has.
fn canary_end(size: usize) -> usize {
    size.next_multiple_of(PAGE_SIZE)
}

/// An object of whole pages on its way to the program, who asked for `size` bytes.
pub(super) fn pages_handed_out(entered: &Entered, heap: &Heap, p: *mut u8, size: usize) {
    if heap.set_usable(p, size) {
        write_canary(p, canary_end(size), size);
        // It may be somebody else's `sigaction`.
        entered.outside(guard::watch_faults);
    }
}

/// Ends the process with one line when a huge object was written to past its end.
fn check_pages(door: &'static str, p: *mut u8, h: Huge) {
    if !has_canary(p, canary_end(h.usable), h.usable) {
        Facts::of(p).refuse(p, format_args!("{door}: object was written to past its end"));
    }
}

/// An object of whole pages on its way back, of `size` bytes if the program says so. Ends the process with one line when it was freed already,
/// has another size, or was written to past its end. What is no such object is left to who frees it.
pub(super) fn pages_taken_back(door: &'static str, p: *mut u8, size: Option<usize>) {
    let Some(heap) = heap() else { return };
    // For the table's lock.
    let _entered = Entered::new(door);
    let other_size =
        |said| Facts::of(p).refuse_said(p, said, format_args!("{door}: object has another size"));
    match heap.object_at(p) {
        None => {
            if let Some(facts) = heap.freed_at(p) {
                facts.refuse(p, format_args!("{door}: object is already free"));
            }
        }
        Some(Object::Huge(h)) => {
            size.filter(|&size| size != h.usable).map(other_size);
            check_pages(door, p, h);
        }
        Some(Object::Large(span)) => {
            size.filter(|&size| large_pages(Bytes(size)) != Some(span.npages())).map(other_size);
            // SAFETY: the object is that long, and its owner has given it up.
            unsafe { p.write_bytes(0, span.bytes().0) };
        }
    }
}

/// An object of whole pages that keeps its pages with a new size. Ends the process with one line when it was written to past its end.
pub(super) fn pages_resized(heap: &Heap, p: *mut u8, object: Object, new: usize) {
    let Object::Huge(h) = object else { return };
    check_pages("realloc", p, h);
    if new > h.usable {
        // The canary is the heap's secret.
        // SAFETY: inside the object, which keeps its pages.
        unsafe { ptr::write_bytes(p.wrapping_add(h.usable), 0, canary_end(h.usable).min(new) - h.usable) };
    }
    heap.set_usable(p, new);
    write_canary(p, canary_end(new), new);
}

/// Whether `size` is what an object of whole pages was asked for with, as far as that is known.
pub(super) fn may_be_pages_of(object: Object, size: usize) -> bool {
    match object {
        Object::Huge(h) => size == h.usable,
        Object::Large(span) => size <= span.bytes().0,
    }
}

/// An object that stays where it is with a new size, of `old` bytes if the program says so. Ends the process with one line as
/// `taken_back` does.
pub(super) fn resized(p: *mut u8, class: Class, old: Option<usize>, new: usize) -> *mut u8 {
    let (_, word, asked) = live("realloc", p, class);
    check("realloc", p, class, asked, old);
    if new > asked {
        // The canary is the heap's secret.
        // SAFETY: inside the object, which is as long as its class says.
        unsafe { ptr::write_bytes(p.wrapping_add(asked), 0, new - asked) };
    }
    write_canary(p, class.size().0, new);
    word.set(ObjectState::Live(new));
    p
}

/// An object that the program wants resized and that may be copied: nothing is read of one that is not what the program says.
pub(super) fn about_to_move(p: *mut u8, class: Class, size: usize) {
    let (_, _, asked) = live("realloc", p, class);
    check("realloc", p, class, asked, Some(size));
}

/// Bytes that the program may use of an object: those that it asked for. `door` is the function that it called.
pub(super) fn usable(door: &'static str, p: *const u8, class: Class) -> Bytes {
    let (_, _, asked) = live(door, p, class);
    Bytes(asked)
}

/// Whether `size` is what an object was asked for with. `door` is the function that the program called.
pub(super) fn may_have_size(door: &'static str, p: *const u8, class: Class, size: usize) -> bool {
    live(door, p, class).2 == size
}
