//! From size and alignment to class, in the committed table. Answers to `roundupsize` and the lookups in Go's `mallocgc`.
//!
//! Alignment above a class's own has no counterpart in Go: there the compiler never asks for it.

use crate::table::{
    CLASS_TO_SIZE, LARGE_SIZE_DIV, MAX_DIRECT_ALIGN, MAX_DIRECT_SIZE, MAX_SMALL_SIZE, NUM_CLASSES, PAGE_SIZE,
    SIZE_TO_CLASS8, SIZE_TO_CLASS128, SMALL_SIZE_DIV, SMALL_SIZE_MAX,
};

/// The smallest class that holds `size` bytes, a size of 0 counting as 1. None above [`MAX_SMALL_SIZE`].
#[inline]
#[doc(alias = "roundupsize")]
pub const fn class_of_size(size: usize) -> Option<u8> {
    if size <= SMALL_SIZE_MAX {
        let size = if size == 0 { 1 } else { size };
        Some(SIZE_TO_CLASS8[size.div_ceil(SMALL_SIZE_DIV)])
    } else if size <= MAX_SMALL_SIZE {
        Some(SIZE_TO_CLASS128[(size - SMALL_SIZE_MAX).div_ceil(LARGE_SIZE_DIV)])
    } else {
        None
    }
}

/// The smallest class that holds `size` bytes, a size of 0 counting as 1, and whose objects all have the alignment `align`,
/// a power of two. None when there is no such class: then pages are the answer.
#[inline]
pub const fn class_for(size: usize, align: usize) -> Option<u8> {
    debug_assert!(align.is_power_of_two(), "alignment is a power of two");
    if size > MAX_SMALL_SIZE || align > PAGE_SIZE {
        return None;
    }
    // An aligned class is a multiple of `align`, so rounding first skips none. Cannot overflow: both are small.
    let size = if size == 0 { 1 } else { size };
    let rounded = (size + (align - 1)) & !(align - 1);
    let Some(mut class) = class_of_size(rounded) else { return None };
    if align > MAX_DIRECT_ALIGN && rounded > MAX_DIRECT_SIZE {
        while class_align(class) < align {
            class += 1;
            if class as usize == NUM_CLASSES {
                return None;
            }
        }
    }
    Some(class)
}

/// The alignment in bytes that every object of a class has. `class` is at least 1.
///
/// # Panics
/// If there is no such class.
#[inline]
pub const fn class_align(class: u8) -> usize {
    let own = 1 << CLASS_TO_SIZE[class as usize].trailing_zeros();
    if own < PAGE_SIZE { own } else { PAGE_SIZE }
}

/// The index of the object at byte `offset` of a span, without a division: `magic` is `CLASS_TO_DIVMAGIC` of its class.
/// Exact for every offset within the span. A magic number of 0 gives index 0, as large spans want.
#[inline]
#[doc(alias = "objIndex")]
pub const fn object_index(offset: usize, magic: u32) -> usize {
    ((offset as u64 * magic as u64) >> 32) as usize
}
