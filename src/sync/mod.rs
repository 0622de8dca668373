//! Locks that never allocate: a ranked mutex, a retryable once, and the rank table.

mod mutex;
mod once;
pub(crate) mod rank;

pub(crate) use mutex::{Guard, Mutex};
pub(crate) use once::Once;
