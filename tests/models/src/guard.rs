//! In the place of gort's `guard`: nothing is guarded.

pub(crate) fn first_address() -> usize {
    usize::MAX
}

pub(crate) fn rate() -> u64 {
    0
}

pub(crate) fn contains(_: *const u8) -> bool {
    false
}
