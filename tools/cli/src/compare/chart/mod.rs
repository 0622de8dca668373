//! Charts as SVG.

mod dots;
mod marks;
pub(super) mod lines;

pub(super) use dots::write;
