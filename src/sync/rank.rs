//! The lock graph. A thread may take a lock only if its rank is above the ranks of all locks it holds. Answers to Go's
//! lockrank.go.
//!
//! ```text
//! ATTACH -> FALLBACK -> CENTRAL -> HUGE -> HEAP -> THP -> META; SIZES and GUARD alone
//! ```

/// The list of mcaches, live and idle.
pub(crate) const ATTACH: u8 = 1;
/// The mcache shared by threads that have none of their own (exiting threads).
pub(crate) const FALLBACK: u8 = 2;
/// One mcentral; a thread holds at most one.
pub(crate) const CENTRAL: u8 = 3;
/// The table of huge objects.
pub(crate) const HUGE: u8 = 4;
/// A page allocator, the heap's or a group's; a thread holds at most one.
pub(crate) const HEAP: u8 = 5;
/// The making of huge pages.
pub(crate) const THP: u8 = 6;
/// The metadata arena.
pub(crate) const META: u8 = 7;
/// The recording of requested sizes: taken with no other lock held, but for a fork.
pub(crate) const SIZES: u8 = 8;
/// The guarded objects' places: as SIZES.
pub(crate) const GUARD: u8 = 9;
