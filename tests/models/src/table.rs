//! In the place of the table of size classes: two classes, of two objects and of one in a span of a page, so that bins, transfer caches
//! and spans are full and empty after a few steps.

pub(crate) const PAGE_SIZE: usize = 8192;
pub(crate) const MAX_SMALL_SIZE: usize = 8192;
pub(crate) const SMALL_SIZE_DIV: usize = 8;
pub(crate) const SMALL_SIZE_MAX: usize = 1024;
pub(crate) const LARGE_SIZE_DIV: usize = 128;
pub(crate) const NUM_CLASSES: usize = 3;
pub(crate) static CLASS_TO_SIZE: [u32; NUM_CLASSES] = [0, 4096, 8192];
pub(crate) static CLASS_TO_PAGES: [u8; NUM_CLASSES] = [0, 1, 1];
pub(crate) static CLASS_TO_DIVMAGIC: [u32; NUM_CLASSES] = [0, u32::MAX / 4096 + 1, u32::MAX / 8192 + 1];
pub(crate) const SIZE_TO_CLASS8: [u8; SMALL_SIZE_MAX / SMALL_SIZE_DIV + 1] = {
    let mut t = [1; SMALL_SIZE_MAX / SMALL_SIZE_DIV + 1];
    t[0] = 0;
    t
};
pub(crate) const SIZE_TO_CLASS128: [u8; (MAX_SMALL_SIZE - SMALL_SIZE_MAX) / LARGE_SIZE_DIV + 1] = {
    let mut t = [2; (MAX_SMALL_SIZE - SMALL_SIZE_MAX) / LARGE_SIZE_DIV + 1];
    let mut i = 0;
    while SMALL_SIZE_MAX + i * LARGE_SIZE_DIV <= 4096 {
        t[i] = 1;
        i += 1;
    }
    t
};
