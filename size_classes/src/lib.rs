//! Go's size classes: the generator, and the table it generated for the allocator to compile in.
//!
//! Owns which sizes small objects are rounded up to, how many pages a span of each class has, and the lookups from size
//! and alignment to class. Answers to Go's `mksizeclasses.go` (the generator), `sizeclasses.go` (its output) and `msize.go`
//! (the rounding of sizes).
//!
//! - [`Params`] are all that the generator takes; [`Table::generate`] is a pure function of them and needs no heap.
//! - [`Table::from_classes`] is a table of anybody's own classes, such as `gort size-classes --from` finds for a program.
//! - [`table`] is the generator's committed output for [`Params::GO`]. `gort size-classes --rust` writes it and a test compares it.
//!   A build with `GORT_SIZE_CLASSES=/path/to/table.rs` in its environment has that table there instead.
//! - [`class_of_size`] and [`class_for`] look a class up in the table that was compiled in. It is held to what a table must be
//!   while the crate is compiled, whoever wrote it.
//!
//! A class is its index, a `u8`. Class 0 stands for objects too large to have a class: they get pages of their own.
//!
//! Rejected: making the table in a build script, or holding it to the generator with a const assert. A committed table shows
//! in a review when it changes; and when the two disagree the tool that remakes the table must still compile.
#![no_std]
#![forbid(unsafe_code)]

mod check;
mod generate;
mod given;
mod lookup;
mod params;
mod print;
#[cfg(not(own_table))]
pub mod table;
/// The table that `GORT_SIZE_CLASSES` named when this was built.
#[cfg(own_table)]
pub mod table {
    include!(concat!(env!("OUT_DIR"), "/table.rs"));
}
mod valid;

pub use check::Difference;
pub use generate::{Class, Classes, MAX_CLASSES, Table};
pub use given::{ClassesError, MAX_OBJECTS, MAX_PAGES, objects_of_span};
pub use lookup::{class_align, class_for, class_of_size, object_index};
pub use params::{Params, ParamsError};
