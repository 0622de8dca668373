//! In the place of gort's `guard`: nothing is guarded.

pub(crate) fn rate() -> u64 {
    0
}

pub(crate) fn bound() -> usize {
    0
}
