//! Mappings that the kernel refused to unmap: it does when the hole would make one mapping two and the process is at its limit of
//! them. They are tried again whenever something is mapped or unmapped, so that they are not lost when the limit is out of the way.

use core::ptr::{self, NonNull};
use core::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// How many are remembered; beyond that they are lost.
const MOST: usize = 1024;
const EMPTY: usize = 0;
/// Somebody is about to fill or to empty the place.
const BUSY: usize = 1;

/// One mapping. `addr` is a page's, or one of the two above; `bytes` is written and read only by who made it `BUSY`.
struct Place {
    addr: AtomicUsize,
    bytes: AtomicUsize,
}

static PLACES: [Place; MOST] =
    [const { Place { addr: AtomicUsize::new(EMPTY), bytes: AtomicUsize::new(0) } }; MOST];
/// How many places are filled; nobody looks when there are none.
static FILLED: AtomicUsize = AtomicUsize::new(0);

/// Remembers a mapping that nothing uses any more.
#[cold]
pub(super) fn put(addr: NonNull<u8>, bytes: usize) {
    for place in &PLACES {
        // Acquire: pairs with the Release of who emptied it.
        if place.addr.compare_exchange(EMPTY, BUSY, Acquire, Relaxed).is_ok() {
            place.bytes.store(bytes, Relaxed);
            // Release: publishes the length.
            place.addr.store(addr.as_ptr().expose_provenance(), Release);
            FILLED.fetch_add(1, Relaxed);
            return;
        }
    }
}

/// Gives each mapping to `unmap` again; what it refuses stays.
#[inline]
pub(super) fn retry(unmap: impl Fn(NonNull<u8>, usize) -> bool) {
    if FILLED.load(Relaxed) != 0 {
        retry_all(unmap);
    }
}

#[cold]
fn retry_all(unmap: impl Fn(NonNull<u8>, usize) -> bool) {
    for place in &PLACES {
        let addr = place.addr.load(Relaxed);
        // Acquire: pairs with the Release in `put`.
        if addr <= BUSY || place.addr.compare_exchange(addr, BUSY, Acquire, Relaxed).is_err() {
            continue;
        }
        let done = NonNull::new(ptr::with_exposed_provenance_mut(addr))
            .is_none_or(|at| unmap(at, place.bytes.load(Relaxed)));
        if done {
            FILLED.fetch_sub(1, Relaxed);
        }
        // Release: whoever takes the place next sees what was done with it.
        place.addr.store(if done { EMPTY } else { addr }, Release);
        if !done {
            return;
        }
    }
}
