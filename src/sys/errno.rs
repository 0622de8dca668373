//! Keeps the C library's errno as the caller left it: an allocator that succeeds must not change it.
#![expect(unsafe_code, reason = "reads and writes errno")]

pub(crate) use libc::{EINVAL, ENOMEM};

/// Sets errno.
pub(crate) fn set(code: i32) {
    // SAFETY: errno's address is valid for the calling thread as long as the thread lives.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    unsafe { *errno = code };
}

/// Reads errno.
pub(super) fn get() -> i32 {
    // SAFETY: errno's address is valid for the calling thread as long as the thread lives.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    unsafe { *errno }
}

/// Runs `f` and puts errno back.
pub(crate) fn preserve<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: errno's address is valid for the calling thread as long as the thread lives.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let saved = unsafe { *errno };
    let r = f();
    // SAFETY: as above.
    unsafe { *errno = saved };
    r
}
