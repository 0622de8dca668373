//! What models call: the doors of `alloc`, without what they read from the environment; and who has which object.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use loom::thread;

use crate::atomic::Cell;
use crate::base::{Class, PAGE_SIZE, Pages};
use crate::heap::{self, Heap, Span, SpanCache};
use crate::mcache::{self, Entered, MCache};
use crate::mcentral::trim_all;

/// A class of two objects in a span, and one of one.
pub(super) fn two() -> Class {
    Class::new(1).expect("there is such a class")
}

pub(super) fn one() -> Class {
    Class::new(2).expect("there is such a class")
}

/// Bytes between two addresses that are told apart.
const GRAIN: usize = 4096;
/// Addresses of the heap that models come to.
const ADDRESSES: usize = 64;

struct Objects([Cell<u32>; ADDRESSES]);
#[expect(unsafe_code, reason = "threads of a model are one of the system's")]
// SAFETY: as the reason says.
unsafe impl Sync for Objects {}

/// Stands for what a program does with its objects: loom sees whether who gets one sees what who gave it up did.
static CONTENTS: Objects = Objects([const { Cell::new(0) }; ADDRESSES]);

thread_local! {
    /// Objects that the program has.
    static OUT: RefCell<BTreeSet<usize>> = const { RefCell::new(BTreeSet::new()) };
}

/// The program gets an object: nobody else has it.
pub(super) fn got(heap: &Heap, p: *mut u8) -> *mut u8 {
    assert!(!p.is_null(), "there is memory");
    assert!(OUT.with_borrow_mut(|out| out.insert(p.addr())), "one object is handed out twice");
    write(heap, p);
    p
}

fn write(heap: &Heap, p: *mut u8) {
    if let Some(cell) = CONTENTS.0.get((p.addr() - heap.reservation().0) / GRAIN) {
        cell.set(cell.get() + 1);
    }
}

/// The program gives it up.
pub(super) fn give_up(heap: &Heap, p: *mut u8) {
    write(heap, p);
    assert!(OUT.with_borrow_mut(|out| out.remove(&p.addr())), "the program has it");
}

/// The process's heap, new in each execution.
pub(super) fn heap() -> &'static Heap {
    OUT.with_borrow_mut(BTreeSet::clear);
    heap::init(|_| {}).expect("there is memory for a heap")
}

/// The calling thread's cache, an idle one or a new one if it has none.
pub(super) fn mine<'a>(entered: &'a Entered, heap: &Heap) -> Option<&'a MCache> {
    let m = entered.mcache();
    if m.is_stand_in() { mcache::attach(entered, heap) } else { Some(m) }
}

pub(super) fn malloc(heap: &Heap, class: Class) -> *mut u8 {
    let p = mcache::current().bin(class).pop().unwrap_or_else(|| {
        let entered = Entered::new("malloc");
        match mine(&entered, heap) {
            Some(m) => m.alloc_slow(class, heap),
            None => MCache::alloc_shared(class, heap),
        }
    });
    got(heap, p)
}

pub(super) fn free(heap: &Heap, class: Class, p: *mut u8) {
    give_up(heap, p);
    if !mcache::current().push(class, p) {
        let entered = Entered::new("free");
        match mine(&entered, heap) {
            Some(m) => m.free_slow(class, heap, p),
            None => MCache::free_shared(class, heap, p),
        }
    }
}

/// As `alloc::large`, for spans of the heap.
pub(super) fn malloc_pages(heap: &Heap, n: Pages) -> Span {
    let bytes = n.bytes().0;
    let span = mcache::current().reuse_large(n, bytes).unwrap_or_else(|| {
        let entered = Entered::new("malloc");
        let m = mine(&entered, heap).expect("there is a cache");
        m.ask_large(heap, n);
        let cut = m.cut_large(heap, n);
        let span = cut.unwrap_or_else(|| m.alloc_ahead(heap, n).expect("there is memory").0);
        m.count_large(Some((n.bytes(), bytes)), None);
        span
    });
    assert_eq!(span.npages(), n);
    got(heap, core::ptr::with_exposed_provenance_mut(span.base()));
    span
}

pub(super) fn free_pages(heap: &Heap, span: Span) {
    give_up(heap, core::ptr::with_exposed_provenance_mut(span.base()));
    if mcache::current().keep_large(span) {
        return;
    }
    let entered = Entered::new("free");
    let m = mine(&entered, heap).expect("there is a cache");
    if !m.keep_large_slow(heap, span) {
        let bytes = span.bytes();
        heap.free_span(span, Some(m.spans()));
        m.count_large(None, Some(bytes));
    }
}

/// What the C library calls when a thread exits.
pub(super) fn exit(heap: &Heap) {
    mcache::detach(&Entered::new("pthread_exit"), heap);
}

pub(super) fn spawn<R: 'static>(f: impl FnOnce() -> R + 'static) -> thread::JoinHandle<R> {
    thread::spawn(f)
}

pub(super) fn join<R>(handles: impl IntoIterator<Item = thread::JoinHandle<R>>) -> Vec<R> {
    handles.into_iter().map(|h| h.join().expect("the thread ends")).collect()
}

/// The heap when no thread is left: nothing is out, and all pages are free.
pub(super) fn nothing_is_lost(heap: &'static Heap) {
    assert!(OUT.with_borrow(BTreeSet::is_empty));
    mcache::drop_large(heap, None, true);
    trim_all(heap, true);
    heap.check_invariants();
    assert_eq!(heap.in_use_bytes().0, 0, "pages are lost");
    let (mut allocs, mut frees, mut bytes, mut freed) = (0, 0, 0, 0);
    for m in mcache::each_mcache() {
        for class in Class::all() {
            let (a, f) = m.class_counts(class);
            (allocs, frees) = (allocs + a, frees + f);
        }
        let large = m.large_counts();
        (allocs, frees) = (allocs + large.allocs, frees + large.frees);
        (bytes, freed) = (bytes + large.bytes, freed + large.bytes_freed);
    }
    assert_eq!((allocs, bytes), (frees, freed), "the counts are wrong");
}
