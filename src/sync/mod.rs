//! Locks that never allocate: a ranked mutex, a lock biased to its owner, a retryable once, and the rank table; and the atomics that
//! they and the layers above are made of.

pub(crate) mod atomic;
mod biased;
mod mutex;
mod once;
pub(crate) mod rank;

pub(crate) use biased::Biased;
pub use mutex::LockCounts;
pub(crate) use mutex::{Guard, Mutex, add};
pub(crate) use once::Once;
