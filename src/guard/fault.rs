//! The handler of faults: it reports those in guarded objects' places and, in the hardened build, those beside objects with mappings of their
//! own and in those that were freed. Then, as for all others, what was there before is done.
//!
//! It is installed when there is the first such object, so that it stands before what a program installed when it started; one that is
//! installed later stands before it.
#![expect(unsafe_code, reason = "reports on a stack of its own")]

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::pool::Trace;
use super::{contains, place_of_fault, report};
use crate::heap::{Facts, Huge, heap};
use crate::sys::signals::{self, Fault};
use crate::sys::{self, OBJECT_GUARD, thread, unwind};

static INSTALLED: AtomicBool = AtomicBool::new(false);
/// Whether a fault is being reported, or was.
static REPORTED: AtomicBool = AtomicBool::new(false);

/// Installs the handler, once. May call a `sigaction` that is somebody else's.
pub(crate) fn watch_faults() {
    if !INSTALLED.load(Relaxed) && !INSTALLED.swap(true, Relaxed) {
        signals::on_fault(handle);
    }
}

/// Times that the handler asks for an object while others have the lock, a millisecond apart.
const TRIES: usize = 100;

/// What `ask` answers, or `None` after so many times without an answer.
fn answer<T>(ask: impl Fn() -> Option<T>) -> Option<T> {
    (0..TRIES).find_map(|i| {
        if i > 0 {
            thread::sleep_ms(1);
        }
        ask()
    })
}

/// The huge object that a refused access was for, and what is known of it.
fn huge_of(addr: usize) -> Option<(Huge, Facts)> {
    if OBJECT_GUARD == 0 {
        return None;
    }
    let heap = heap()?;
    answer(|| heap.huge_of_fault(addr)).flatten()
}

fn handle(fault: &Fault<'_>) {
    let in_place = contains(core::ptr::without_provenance(fault.addr));
    let huge = if in_place { None } else { huge_of(fault.addr) };
    if !in_place && huge.is_none() {
        return;
    }
    if REPORTED.swap(true, Relaxed) {
        // The thread that reports ends the process. If it does not, this one goes on.
        thread::sleep_ms(1_000);
        return;
    }
    let report = || {
        let place = if in_place { answer(|| place_of_fault(fault.addr)).flatten() } else { None };
        let by = Trace::new(|calls| unwind::callers_of(fault.registers, calls));
        match huge {
            Some((huge, facts)) => report::fault_of_huge(fault, huge, facts, &by),
            None => report::fault(fault, place.as_ref(), &by),
        }
    };
    // SAFETY: the first thread that comes here is the only one.
    unsafe { sys::on_own_stack(report) };
}
