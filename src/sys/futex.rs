//! Sleeping and waking on a word.

use core::sync::atomic::AtomicU32;

use rustix::io::Errno;
use rustix::thread::futex;

use super::faults::{self, Call};
use super::thread::yield_now;

/// How often a wake that the kernel refuses is tried again: a sleeper would sleep for ever.
const TRIES: u32 = 64;

/// Sleeps while `word` holds `expected`; may wake for no reason.
pub(crate) fn wait(word: &AtomicU32, expected: u32) {
    match faults::call(Call::Futex, || futex::wait(word, futex::Flags::PRIVATE, expected, None)) {
        Ok(()) | Err(Errno::AGAIN | Errno::INTR) => {}
        // A filter for system calls, perhaps. The caller asks again and again, so others must get their turn.
        Err(_) => yield_now(),
    }
}

/// Wakes up to `count` sleepers.
pub(crate) fn wake(word: &AtomicU32, count: u32) {
    for _ in 0..TRIES {
        if faults::call(Call::Futex, || futex::wake(word, futex::Flags::PRIVATE, count)).is_ok() {
            return;
        }
        yield_now();
    }
}
