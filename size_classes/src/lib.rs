//! Go's size classes: the generator, and the table it generated for the allocator to compile in.
//!
//! Owns which sizes small objects are rounded up to, how many pages a span of each class has, and the lookups from size
//! and alignment to class. Answers to Go's `mksizeclasses.go` (the generator), `sizeclasses.go` (its output) and `msize.go`
//! (the rounding of sizes).
//!
//! - [`Params`] are all that the generator takes; [`Table::generate`] is a pure function of them and needs no heap.
//! - [`table`] is its committed output for [`Params::GO`]. `gort size-classes --rust` writes it and a test compares it.
//! - [`class_of_size`] and [`class_for`] look a class up in the committed table.
//!
//! A class is its index, a `u8`. Class 0 stands for objects too large to have a class: they get pages of their own.
//!
//! Rejected: making the table in a build script, or holding it to the generator with a const assert. A committed table shows
//! in a review when it changes; and when the two disagree the tool that remakes the table must still compile.
#![no_std]
#![forbid(unsafe_code)]

mod check;
mod generate;
mod lookup;
mod params;
mod print;
pub mod table;

pub use check::Difference;
pub use generate::{Class, Classes, MAX_CLASSES, Table};
pub use lookup::{class_align, class_for, class_of_size, object_index};
pub use params::{Params, ParamsError};
