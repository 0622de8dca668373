//! In the place of gort's `guard`: nothing is guarded.

#[derive(Clone, Copy)]
pub(crate) struct Places;

impl Places {
    pub(crate) const NONE: Self = Self;

    pub(crate) fn contain(self, _: *const u8) -> bool {
        false
    }
}

pub(crate) fn places() -> Places {
    Places
}

pub(crate) fn rate() -> u64 {
    0
}

pub(crate) fn contains(_: *const u8) -> bool {
    false
}
