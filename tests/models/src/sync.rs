//! In the place of gort's `sync`: its own sources, but for the atomics that they are made of, and for the mutex that the heap has, which is
//! loom's. gort's own mutex is explored by itself.

#[path = "../../../src/sync/biased.rs"]
mod biased;
#[path = "../../../src/sync/mutex.rs"]
pub(crate) mod futex_mutex;
#[path = "../../../src/sync/once.rs"]
mod once;
#[path = "../../../src/sync/rank.rs"]
pub(crate) mod rank;

pub(crate) use crate::atomic;
pub(crate) use crate::lock::{Guard, Mutex};
pub(crate) use biased::Biased;
pub(crate) use futex_mutex::{LockCounts, add};
pub(crate) use once::Once;
