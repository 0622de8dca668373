//! The handler of faults: it reports those in guarded objects' places, and then, as for all others, what was there before is done.
//!
//! It is installed when the first object is guarded, so that it stands before what a program installed when it started; one that is
//! installed later stands before it.
#![expect(unsafe_code, reason = "reports on a stack of its own")]

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::pool::Trace;
use super::{contains, place_of_fault, report};
use crate::sys::signals::{self, Fault};
use crate::sys::{self, thread, unwind};

static INSTALLED: AtomicBool = AtomicBool::new(false);
/// Whether a fault is being reported, or was.
static REPORTED: AtomicBool = AtomicBool::new(false);

/// Installs the handler, once.
pub(super) fn install() {
    if !INSTALLED.swap(true, Relaxed) {
        signals::on_fault(handle);
    }
}

fn handle(fault: &Fault<'_>) {
    let p = core::ptr::without_provenance::<u8>(fault.addr);
    if !contains(p) {
        return;
    }
    if REPORTED.swap(true, Relaxed) {
        // The thread that reports ends the process. If it does not, this one goes on.
        thread::sleep_ms(1_000);
        return;
    }
    let report = || {
        let place = place_of_fault(fault.addr);
        let by = Trace::new(|calls| unwind::callers_of(fault.registers, calls));
        report::fault(fault, place.as_ref(), &by);
    };
    // SAFETY: the first thread that comes here is the only one.
    unsafe { sys::on_own_stack(report) };
}
