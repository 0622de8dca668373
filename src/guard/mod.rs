//! Guarded objects: a few allocations, chosen by chance, live each on pages of their own between pages that nobody may touch, and when
//! they are freed their pages are closed as well. An access past either end, or after the free, is a fault at the very instruction, and
//! the report names who allocated and who freed. The idea is GWP-ASan's (K. Serebryany and others, 2023). Answers to nothing in Go.
//!
//! This layer owns the places, the handler of the faults and the words of the report; `mcache` chooses which allocations come here, and
//! `alloc` brings them.

mod fault;
mod pool;
mod report;

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::base::{Bytes, Class, Random};
use crate::heap::Heap;
use crate::sync::{Mutex, rank};
use crate::sys::{self, Linux, Os};
pub(crate) use fault::watch_faults;
pub(crate) use pool::Trace;
use pool::{Place, Pool};

/// One allocation in so many is guarded; 0: none. Written once, while the heap is set up.
static RATE: AtomicU64 = AtomicU64::new(0);
/// Where the places are. Written once, before `RATE`.
static START: AtomicUsize = AtomicUsize::new(NOWHERE);
/// As long as there are none: far from all addresses that a process has.
const NOWHERE: usize = 1 << 63;

/// The places. Rank GUARD: alone, but for a fork.
static POOL: Mutex<Pool, { rank::GUARD }> = Mutex::new(Pool::new());

/// Longest object that is guarded.
pub(crate) const LONGEST: Bytes = Bytes(pool::ROOM);

/// An object that is asked for.
pub(crate) struct Request {
    /// Bytes that are accounted for it: its class's, or whole pages.
    pub(crate) bytes: Bytes,
    /// How many of them the program may use.
    pub(crate) usable: usize,
    /// `None`: whole pages.
    pub(crate) class: Option<Class>,
}

/// What a program that frees an object says of it.
#[derive(Clone, Copy)]
pub(crate) enum Said {
    Nothing,
    /// Its class.
    Class(Class),
    /// That it has whole pages, for so many bytes.
    WholePages(usize),
}

/// A live object.
pub(crate) struct Object {
    pub(crate) bytes: Bytes,
    pub(crate) usable: usize,
    pub(crate) class: Option<Class>,
}

/// Starts guarding one allocation in `rate`; `false` without address space for it. Once, while the heap is set up.
pub(crate) fn start(heap: &Heap, rate: u64) -> bool {
    // Above the heap if that can be: `first_address`.
    let elsewhere = || Linux.reserve(pool::AREA, pool::GUARD, c"gort: guarded objects");
    let Some(base) = heap.take_addresses(Bytes(pool::AREA)).or_else(elsewhere) else { return false };
    let base = base.as_ptr().expose_provenance();
    POOL.lock().set_up(base, Random::new(sys::precise_ns() ^ base as u64));
    START.store(base, Relaxed);
    RATE.store(rate, Relaxed);
    true
}

/// One allocation in so many is to be guarded; 0: none.
pub(crate) fn rate() -> u64 {
    RATE.load(Relaxed)
}

/// The least address that a guarded object can have. No object of the heap has a higher one, unless the heap had no addresses to spare.
#[inline]
pub(crate) fn first_address() -> usize {
    START.load(Relaxed)
}

/// Whether an address is in a guarded object's place, or beside it.
#[inline]
pub(crate) fn contains(p: *const u8) -> bool {
    p.addr().wrapping_sub(START.load(Relaxed)) < pool::AREA
}

/// Whether there is a place for an object, before its stack is walked for nothing.
pub(crate) fn has_place() -> bool {
    POOL.lock().has_place()
}

/// A guarded object. `None` when there is no place for it, or no memory.
pub(crate) fn alloc(heap: &Heap, request: &Request, by: &Trace) -> Option<NonNull<u8>> {
    let mut pool = POOL.lock();
    let (p, more) = pool.alloc(request, by)?;
    drop(pool);
    heap.book_guarded(more.0 as isize);
    Some(p)
}

/// Frees the object that starts at `p`. Ends the process with a report when there is none, when it is free already or not what the program
/// says, and when it was written to past its ends; `door` is the function that the program called.
pub(crate) fn free(door: &'static str, heap: &Heap, p: *mut u8, said: Said, by: &Trace) -> Object {
    let mut pool = POOL.lock();
    match pool.free(p.addr(), said, by) {
        Ok((object, less)) => {
            drop(pool);
            heap.book_guarded(-(less.0 as isize));
            object
        }
        Err(refusal) => {
            let place = pool.place_near(p.addr()).cloned();
            drop(pool);
            report::refuse(door, p, &refusal, place.as_ref(), by)
        }
    }
}

/// The live object that starts at `p`, or the end of the process with a report; `door` is the function that the program called.
pub(crate) fn expect(door: &'static str, p: *const u8, by: &Trace) -> Object {
    let pool = POOL.lock();
    if let Some(object) = pool.object_at(p.addr()) {
        return object;
    }
    let place = pool.place_near(p.addr()).cloned();
    drop(pool);
    report::no_object(door, p, place.as_ref(), by)
}

/// Ends the process with a report unless the program may use `size` bytes of the object that starts at `p`, no more, and no fewer if it is
/// of a class.
pub(crate) fn check_size(door: &'static str, p: *const u8, size: usize, by: &Trace) {
    let object = expect(door, p, by);
    if size > object.usable || (size != object.usable && object.class.is_some()) {
        let place = POOL.lock().place_near(p.addr()).cloned();
        report::other_size(door, p, size, place.as_ref(), by);
    }
}

/// Notes that the program may use another number of bytes of an object from now on, none beyond what is accounted for it.
pub(crate) fn resized(p: *const u8, usable: usize) {
    POOL.lock().resized(p.addr(), usable);
}

/// Tries again to give back pages that the kernel refused to take when their objects were freed. Returns the bytes.
pub(crate) fn release_all(heap: &Heap) -> Bytes {
    if START.load(Relaxed) == NOWHERE {
        return Bytes(0);
    }
    let gone = POOL.lock().release_all();
    heap.book_guarded(-(gone.0 as isize));
    gone
}

/// Takes the lock of this layer before a fork.
pub(crate) fn lock_for_fork() {
    POOL.lock_for_fork();
}

/// Gives it back.
///
/// # Safety
/// 1. The thread that forked took it with `lock_for_fork`.
#[expect(unsafe_code, reason = "gives a lock back after a fork")]
pub(crate) unsafe fn unlock_after_fork(in_child: bool) {
    // SAFETY: passed on unchanged (1).
    unsafe { POOL.unlock_after_fork(in_child) };
}

/// Ends the process unless the places are in order.
#[cfg(feature = "invariants")]
pub(crate) fn check_invariants() {
    POOL.lock().check_invariants();
}

/// The place nearest to an address that faulted. `None` within the outer option when there is none, without it while somebody has the
/// lock, who may be the thread that asks.
fn place_of_fault(addr: usize) -> Option<Option<Place>> {
    let mut pool = POOL.try_lock()?;
    pool.close();
    Some(pool.place_near(addr).cloned())
}
