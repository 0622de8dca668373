//! What the tests share with the fuzz targets.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod fuzz;
pub(crate) mod valid;
