//! Fatal messages without allocation. Answers to Go's `throw` (runtime/panic.go).
//!
//! `throw!("free: object is already free"; addr = p, class = 64)` writes one line to stderr and aborts:
//! `gort: fatal: free: object is already free (addr=0xc000012040, class=64)`. The message is assembled on the stack, so
//! it works in the middle of a broken heap. `panic!` is not used below `alloc/`: a panic allocates.
#![expect(unsafe_code, reason = "writes to file descriptor 2 and aborts through libc, which need no heap")]

use core::fmt::{self, Write};
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// A line on the stack; what does not fit is cut off.
pub(crate) struct Line {
    buf: [u8; 320],
    len: usize,
}

impl Line {
    pub(crate) const fn new() -> Self {
        Self { buf: [0; 320], len: 0 }
    }

    /// Writes the line and a newline to stderr with one call; errno stays as it was.
    pub(crate) fn write_to_stderr(mut self) {
        let end = self.len.min(self.buf.len() - 1);
        self.buf[end] = b'\n';
        // SAFETY: no preconditions.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: errno's address is valid for the calling thread.
        let saved = unsafe { *errno };
        // SAFETY: the buffer is valid for end + 1 bytes. An error is ignored: there is nowhere to report it.
        let _ = unsafe { libc::write(2, self.buf.as_ptr().cast(), end + 1) };
        // SAFETY: as above.
        unsafe { *errno = saved };
    }
}

impl Write for Line {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let n = s.len().min(self.buf.len() - self.len);
        self.buf[self.len..self.len + n].copy_from_slice(&s.as_bytes()[..n]);
        self.len += n;
        Ok(())
    }
}

/// Writes one line about a recoverable matter (a variable that does not parse).
pub(crate) fn warn(args: fmt::Arguments<'_>) {
    let mut line = Line::new();
    let _ = write!(line, "gort: {args}");
    line.write_to_stderr();
}

/// Writes one line and aborts the process (SIGABRT). In the crate's own tests it panics, so that the failed test is named, unless
/// `ENDS_PROCESS` is set.
#[cold]
#[inline(never)]
pub(crate) fn fatal(args: fmt::Arguments<'_>) -> ! {
    fatal_with(args, || {})
}

/// As `fatal`; `more` may write further lines.
#[cold]
#[inline(never)]
pub(crate) fn fatal_with(args: fmt::Arguments<'_>, more: impl FnOnce()) -> ! {
    #[cfg(test)]
    if !ENDS_PROCESS.load(Relaxed) {
        panic!("{args}");
    }
    let mut line = Line::new();
    let _ = write!(line, "gort: fatal: {args}");
    // No handler that calls the allocator may come between the claim and the line.
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: all is valid for a write.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: all was filled in above, before is valid for a write.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
    // SAFETY: no preconditions.
    let me = unsafe { libc::syscall(libc::SYS_gettid) };
    match SPEAKER.compare_exchange(0, me, Relaxed, Relaxed) {
        Ok(_) => {
            line.write_to_stderr();
            more();
        }
        // A handler of SIGABRT called the allocator: the line is written.
        Err(speaker) if speaker == me => {}
        Err(_) => {
            // The process is about to end. If it does not, because a handler of SIGABRT left, this thread must end it.
            // SAFETY: no preconditions.
            unsafe { libc::sleep(1) };
            line.write_to_stderr();
        }
    }
    // SAFETY: filled in by the call that blocked all signals.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    // SAFETY: abort has no preconditions.
    unsafe { libc::abort() }
}

/// Set by a test that runs in a process of its own, to see it end.
#[cfg(test)]
pub(crate) static ENDS_PROCESS: core::sync::atomic::AtomicBool = core::sync::atomic::AtomicBool::new(false);

/// The thread that writes the process's last line, by the kernel's number; 0 as long as there is none. Other threads fail at the same
/// time, for the same reason, and one line says it.
static SPEAKER: AtomicI64 = AtomicI64::new(0);

/// Ends the process with a constant message and facts: `throw!("message"; name = value, ..)`. Values are shown as Debug
/// shows them: numbers in decimal, pointers in hexadecimal.
macro_rules! throw {
    ($msg:literal) => { $crate::throw::fatal(format_args!($msg)) };
    ($msg:literal; $first:ident = $v:expr $(, $name:ident = $w:expr)*) => {
        $crate::throw::fatal(format_args!(
            concat!($msg, " (", stringify!($first), "={:?}" $(, ", ", stringify!($name), "={:?}")*, ")"),
            $v $(, $w)*
        ))
    };
}

/// Ends the process with the source line when an invariant does not hold. For `check_invariants` and for states that
/// only a defect of gort can reach.
macro_rules! check {
    ($cond:expr $(; $name:ident = $v:expr)*) => {
        if !$cond {
            $crate::throw::fatal(format_args!(
                concat!("invariant broken: ", stringify!($cond), " at ", file!(), ":", line!() $(, " ", stringify!($name), "={:?}")*)
                $(, $v)*
            ));
        }
    };
}

pub(crate) use {check, throw};
