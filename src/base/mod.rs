//! Units, bit sets, size classes and fast random numbers; no unsafe code.

mod sizeclass;
mod units;

pub use sizeclass::*;
pub use units::*;
