//! Units, bit sets, size classes and fast random numbers; no unsafe code.

mod bits;
mod sizeclass;
mod units;

pub(crate) use sizeclass::*;
pub(crate) use units::*;
