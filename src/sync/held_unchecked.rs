//! Release builds keep no record of held ranks.

#[inline(always)]
pub(super) fn acquire(_rank: u8) {}

#[inline(always)]
pub(super) fn note(_rank: u8) {}

#[inline(always)]
pub(super) fn release(_rank: u8) {}
