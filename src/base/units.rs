//! Units as types: bytes, pages and page indexes cannot be mixed. A page is Go's runtime page of 8192 bytes, not the kernel's.

use core::ops::{Add, AddAssign, Sub, SubAssign};

/// Base-two logarithm of the page size (Go's `_PageShift`).
pub(crate) const PAGE_SHIFT: u32 = 13;
/// Bytes of a runtime page.
pub(crate) const PAGE_SIZE: usize = 1 << PAGE_SHIFT;

/// A number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(crate) struct Bytes(pub(crate) usize);

/// A number of runtime pages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(crate) struct Pages(pub(crate) usize);

/// The index of a page in the reserved address space, counted from its base.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(crate) struct PageIdx(pub(crate) usize);

/// `len` pages from `start` on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PageRange {
    /// First page.
    pub(crate) start: PageIdx,
    /// Number of pages.
    pub(crate) len: Pages,
}

impl Pages {
    /// Length in bytes; stops at the largest number rather than wrapping.
    #[inline]
    pub(crate) const fn bytes(self) -> Bytes {
        Bytes(self.0.saturating_mul(PAGE_SIZE))
    }
}

impl PageRange {
    /// The page behind the last one.
    #[inline]
    pub(crate) const fn end(self) -> PageIdx {
        PageIdx(self.start.0 + self.len.0)
    }
}

impl PageIdx {
    /// The first page at or after this one whose index is a multiple of `align`, a power of two.
    #[inline]
    pub(crate) const fn align_up(self, align: Pages) -> Self {
        debug_assert!(align.0.is_power_of_two());
        Self((self.0 + align.0 - 1) & !(align.0 - 1))
    }
}

impl Add<Pages> for PageIdx {
    type Output = Self;

    #[inline]
    fn add(self, n: Pages) -> Self {
        Self(self.0 + n.0)
    }
}

impl Sub for PageIdx {
    type Output = Pages;

    /// The distance from a page to a later one.
    #[inline]
    fn sub(self, from: Self) -> Pages {
        Pages(self.0 - from.0)
    }
}

impl Add for Pages {
    type Output = Self;

    #[inline]
    fn add(self, n: Self) -> Self {
        Self(self.0 + n.0)
    }
}

impl Sub for Pages {
    type Output = Self;

    #[inline]
    fn sub(self, n: Self) -> Self {
        Self(self.0 - n.0)
    }
}

impl AddAssign for Pages {
    #[inline]
    fn add_assign(&mut self, n: Self) {
        self.0 += n.0;
    }
}

impl SubAssign for Pages {
    #[inline]
    fn sub_assign(&mut self, n: Self) {
        self.0 -= n.0;
    }
}
