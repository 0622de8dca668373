//! Sleeping and waking on a word.

use core::sync::atomic::AtomicU32;

use rustix::thread::futex;

/// Sleeps while `word` holds `expected`; may wake for no reason.
pub(crate) fn wait(word: &AtomicU32, expected: u32) {
    super::errno::preserve(|| {
        let _ = futex::wait(word, futex::Flags::PRIVATE, expected, None);
    });
}

/// Wakes up to `count` sleepers.
pub(crate) fn wake(word: &AtomicU32, count: u32) {
    super::errno::preserve(|| {
        let _ = futex::wake(word, futex::Flags::PRIVATE, count);
    });
}
