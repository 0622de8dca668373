//! Units as types: bytes, pages and page indexes cannot be mixed. A page is Go's runtime page of 8192 bytes, not the kernel's.

use core::ops::{Add, AddAssign, Sub, SubAssign};

/// Base-two logarithm of the page size (Go's `_PageShift`).
pub const PAGE_SHIFT: u32 = 13;
/// Bytes of a runtime page.
pub const PAGE_SIZE: usize = 1 << PAGE_SHIFT;

/// A number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Bytes(pub usize);

/// A number of runtime pages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Pages(pub usize);

/// The index of a page in the reserved address space, counted from its base.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct PageIdx(pub usize);

/// `len` pages from `start` on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageRange {
    /// First page.
    pub start: PageIdx,
    /// Number of pages.
    pub len: Pages,
}
