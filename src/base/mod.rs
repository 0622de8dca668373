//! Units, bit sets, size classes and fast random numbers; no unsafe code.

mod bits;
#[cfg(feature = "hardened")]
mod delay;
mod random;
mod sizeclass;
mod units;

pub(crate) use bits::*;
#[cfg(feature = "hardened")]
pub(crate) use delay::Delay;
pub(crate) use random::Random;
pub(crate) use sizeclass::*;
pub(crate) use units::*;
