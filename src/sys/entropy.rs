//! Random numbers that the kernel gives.
#![expect(unsafe_code, reason = "a call of the C library that fills a buffer")]

use super::{errno, precise_ns};

/// Eight random bytes. From the clock where the kernel has none yet, or refuses: then they can be guessed.
pub(crate) fn random() -> u64 {
    let mut bytes = [0; 8];
    let flags = libc::GRND_NONBLOCK;
    // SAFETY: the buffer is as long as the call is told.
    let got = errno::preserve(|| unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), flags) });
    if got == bytes.len() as isize { u64::from_ne_bytes(bytes) } else { precise_ns() }
}
