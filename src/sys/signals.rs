//! Faults of memory: a handler of SIGSEGV and SIGBUS that looks at each and then lets happen what would have happened without it.
#![expect(unsafe_code, reason = "installs handlers of signals, and calls those of others")]

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::mem::{MaybeUninit, transmute};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use super::unwind::{self, Registers};

/// An access that the processor refused.
pub(crate) struct Fault<'a> {
    pub(crate) addr: usize,
    pub(crate) is_write: bool,
    /// Those of the thread at the instruction.
    pub(crate) registers: &'a Registers,
}

const SIGNALS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// What was done before at each of the signals.
struct Before([UnsafeCell<MaybeUninit<libc::sigaction>>; 2]);
// SAFETY: each is written once, before the handler that reads it is installed.
unsafe impl Sync for Before {}
static BEFORE: Before = Before([const { UnsafeCell::new(MaybeUninit::uninit()) }; 2]);

/// Who looks.
static LOOK: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// Makes `look` see each fault before what is done now. Once per process.
pub(crate) fn on_fault(look: fn(&Fault<'_>)) {
    LOOK.store(look as *mut c_void, Relaxed);
    for (signal, before) in SIGNALS.into_iter().zip(&BEFORE.0) {
        let before = before.get().cast::<libc::sigaction>();
        // SAFETY: the handler that reads it is not installed yet.
        if unsafe { libc::sigaction(signal, ptr::null(), before) } != 0 {
            continue;
        }
        // SAFETY: filled in by the call. The same signals are held back, and system calls go on as before.
        let mut action = unsafe { *before };
        action.sa_sigaction = handler as *const () as usize;
        // On the program's stack for signals, if it has one: the fault may be that the other is full.
        action.sa_flags =
            (action.sa_flags & (libc::SA_RESTART | libc::SA_NODEFER)) | libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: the handler has the signature of SA_SIGINFO.
        unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
    }
}

unsafe extern "C" fn handler(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes what SA_SIGINFO promises.
    let about = unsafe { &*info };
    let code = about.si_code;
    // Sent by the kernel, and not by a process.
    if code > 0 {
        // SAFETY: as above; the kernel fills it in for these signals.
        let addr = unsafe { about.si_addr() }.addr();
        // SAFETY: as above.
        let (registers, is_write) = unsafe { unwind::registers_of(context) };
        // SAFETY: `on_fault` stored a function of this type.
        let look = unsafe { transmute::<*mut c_void, fn(&Fault<'_>)>(LOOK.load(Relaxed)) };
        super::errno::preserve(|| look(&Fault { addr, is_write, registers: &registers }));
    }
    let Some(i) = SIGNALS.iter().position(|&s| s == signal) else { return };
    let before = BEFORE.0[i].get().cast::<libc::sigaction>();
    // SAFETY: written before this handler was installed.
    let before = unsafe { &*before };
    if before.sa_flags & libc::SA_RESETHAND != 0 {
        // As the kernel does before it calls such a one.
        let default = libc::sigaction { sa_sigaction: libc::SIG_DFL, ..*before };
        // SAFETY: no handler.
        unsafe { libc::sigaction(signal, &raw const default, ptr::null_mut()) };
    }
    match before.sa_sigaction {
        // An instruction that faults faults again when this returns, and then the kernel does it; what a process sent is sent again.
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: what was there before.
            unsafe { libc::sigaction(signal, before, ptr::null_mut()) };
            if code <= 0 {
                // SAFETY: no preconditions.
                unsafe { libc::raise(signal) };
            }
        }
        f if before.sa_flags & libc::SA_SIGINFO != 0 => {
            type Action = unsafe extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut c_void);
            // SAFETY: the program installed it with this signature.
            let f = unsafe { transmute::<usize, Action>(f) };
            // SAFETY: with what the kernel passed.
            unsafe { f(signal, info, context) };
        }
        f => {
            // SAFETY: the program installed it with this signature.
            let f = unsafe { transmute::<usize, unsafe extern "C" fn(libc::c_int)>(f) };
            // SAFETY: with what the kernel passed.
            unsafe { f(signal) };
        }
    }
}
