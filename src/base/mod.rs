//! Units, bit sets, size classes and fast random numbers; no unsafe code.

mod bits;
#[cfg(any(test, feature = "hardened"))]
mod random;
mod sizeclass;
mod units;

pub(crate) use bits::*;
#[cfg(any(test, feature = "hardened"))]
pub(crate) use random::Random;
pub(crate) use sizeclass::*;
pub(crate) use units::*;
