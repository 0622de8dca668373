//! The mark of a thread that is in a slow path, where it may hold locks and its bins may be in disorder.
//!
//! A signal handler can interrupt a slow path and call the allocator itself. It must not touch the bins, and would wait for ever
//! for a lock that its own thread holds. So for the time of a slow path the thread's slot holds a stand-in: the handler's fast
//! path finds empty bins, its slow path finds the mark and ends the process with one line. (A handler that interrupts a marked
//! fast path is served, through the shared cache: no lock is held there.)
//!
//! Calls to the C library that may allocate are made [`Entered::outside`].

#![expect(unsafe_code, reason = "turns the thread-local word into a reference")]

use core::cell::Cell;
use core::ptr;

use super::{EMPTY, ENTERED, MCache, slot};
use crate::throw::fatal;

/// The witness that the calling thread is in a slow path; gives the slot back when dropped.
pub(crate) struct Entered {
    /// What the slot goes back to.
    mcache: Cell<&'static MCache>,
    /// The function that the program called.
    door: &'static str,
}

impl Entered {
    /// Marks the thread. `door` is the function that the program called. Ends the process with one line when the thread is in a
    /// slow path already.
    pub(crate) fn new(door: &'static str) -> Self {
        Self { mcache: Cell::new(mark(door)), door }
    }

    /// The thread's mcache, perhaps a stand-in.
    pub(crate) fn mcache(&self) -> &'static MCache {
        self.mcache.get()
    }

    /// Gives the thread another mcache, perhaps a stand-in.
    pub(super) fn set(&self, mcache: &'static MCache) {
        self.mcache.set(mcache);
    }

    /// Runs `f` with the mark taken off: it may allocate. No lock is held, and the bins are in order.
    pub(crate) fn outside<R>(&self, f: impl FnOnce() -> R) -> R {
        unmark(self.mcache.get());
        let r = f();
        self.mcache.set(mark(self.door));
        r
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        unmark(self.mcache.get());
    }
}

/// Marks the thread and returns what its slot held.
pub(crate) fn mark(door: &'static str) -> &'static MCache {
    let was = slot::swap((&raw const ENTERED).cast()).cast::<MCache>();
    if ptr::eq(was, &raw const ENTERED) {
        interrupted(door);
    }
    // SAFETY: the slot holds null or the address of a stand-in or of an mcache in metadata memory, which is never unmapped.
    unsafe { was.as_ref() }.unwrap_or(&EMPTY)
}

fn interrupted(door: &str) -> ! {
    fatal(format_args!("{door}: called by a signal handler that interrupted the allocator"))
}

/// Ends the process with one line when the thread is in a slow path: for what waits for no lock, but for the end of a change.
pub(crate) fn refuse_if_marked(door: &str) {
    if is_marked() {
        interrupted(door);
    }
}

/// Whether the thread is in a slow path: for a signal handler, or what it calls, that it interrupted one.
pub(crate) fn is_marked() -> bool {
    ptr::eq(super::current(), &raw const ENTERED)
}

/// Takes the mark off.
pub(crate) fn unmark(mcache: &'static MCache) {
    slot::set(ptr::from_ref(mcache).cast());
}
