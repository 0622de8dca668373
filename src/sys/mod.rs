//! The only door to the operating system and to assembly.

mod os;

pub use os::Os;
