//! Units, bit sets, size classes and fast random numbers; no unsafe code.

mod bits;
mod random;
mod sizeclass;
mod units;

pub(crate) use bits::*;
pub(crate) use random::Random;
pub(crate) use sizeclass::*;
pub(crate) use units::*;
