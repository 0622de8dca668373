//! Units, bit sets, size classes and fast random numbers; no unsafe code.

mod units;

pub use units::*;
