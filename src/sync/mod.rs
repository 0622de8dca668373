//! Locks that never allocate: a ranked mutex, a retryable once, and the rank table.

mod mutex;
mod once;
pub mod rank;

pub use mutex::{Guard, Mutex};
pub use once::Once;
