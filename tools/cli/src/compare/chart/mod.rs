//! Charts as SVG.

mod dots;
mod lines;
mod marks;

pub(super) use dots::write as dots;
pub(super) use lines::write as lines;
