//! From sizes to size classes. The table is `gort-size-classes`'s committed output; this file is how the heap reads it.
//! Answers to Go's sizeclasses.go and msize.go.

use core::alloc::Layout;

use gort_size_classes::table;

use super::{Bytes, PAGE_SIZE, Pages};

/// Number of size classes, with class 0, which stands for "whole pages".
pub(crate) const NUM_CLASSES: usize = table::NUM_CLASSES;
/// Objects above this many bytes get whole pages.
pub(crate) const MAX_SMALL_SIZE: usize = table::MAX_SMALL_SIZE;
/// Up to about this many bytes the class is one lookup in a fine table.
const FINE_LIMIT: usize = table::SMALL_SIZE_MAX;
/// Step of the fine table.
const FINE_STEP: usize = table::SMALL_SIZE_DIV;

const _: () = assert!(table::PAGE_SIZE == PAGE_SIZE, "the table was made for another page size");
const _: () = assert!(NUM_CLASSES <= 256, "a class fits a byte");
const _: () = assert!(spans_are_short(), "a page's number in its span has six bits in the page map");
const _: () = assert!(fine_is_in_range(), "each looked-up class exists: bins are indexed without a check");

/// A size class: 1..NUM_CLASSES.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub(crate) struct Class(u8);

impl Class {
    /// The class with this number; `None` for 0 and for numbers past the table.
    #[inline(always)]
    pub(crate) fn new(n: usize) -> Option<Self> {
        (1..NUM_CLASSES).contains(&n).then_some(Self(n as u8))
    }

    /// All classes in ascending order of size.
    pub(crate) fn all() -> impl DoubleEndedIterator<Item = Self> {
        (1..NUM_CLASSES).map(|n| Self(n as u8))
    }

    /// Its number.
    #[inline(always)]
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }

    /// Bytes of an object.
    #[inline]
    pub(crate) fn size(self) -> Bytes {
        Bytes(table::CLASS_TO_SIZE[self.index()] as usize)
    }

    /// Pages of a span.
    #[inline]
    pub(crate) fn pages(self) -> Pages {
        Pages(table::CLASS_TO_PAGES[self.index()] as usize)
    }

    /// Objects in a span.
    #[inline]
    pub(crate) fn objects(self) -> usize {
        self.pages().0 * PAGE_SIZE / self.size().0
    }
}

/// What tells the start of an object: the class's magic number, and where its last object ends. Side by side, because each free of a
/// C program needs both.
#[derive(Clone, Copy)]
pub(crate) struct Starts {
    magic: u32,
    end: u32,
}

/// Of each number that a byte can hold: nothing starts at those of no class.
static STARTS: [Starts; 1 << u8::BITS] = {
    let mut table = [Starts { magic: 0, end: 0 }; 1 << u8::BITS];
    let mut c = 1;
    while c < NUM_CLASSES {
        let (size, bytes) = (table::CLASS_TO_SIZE[c] as usize, table::CLASS_TO_PAGES[c] as usize * PAGE_SIZE);
        table[c] = Starts { magic: table::CLASS_TO_DIVMAGIC[c], end: (bytes / size * size) as u32 };
        c += 1;
    }
    table
};

impl Class {
    /// What tells the starts of this class's objects.
    #[inline(always)]
    pub(crate) fn starts(self) -> Starts {
        STARTS[self.index()]
    }

    /// The class with this number, if there is one and one of its objects starts at a byte offset into a span.
    #[inline(always)]
    pub(crate) fn of_object_at(n: u8, offset: Bytes) -> Option<Self> {
        STARTS[usize::from(n)].object_at(offset).map(|_| Self(n))
    }
}

impl Starts {
    /// The number of the object that starts at a byte offset into a span; `None` in the middle of one, and in the tail that is too short for
    /// one. One multiplication: the upper half is the quotient, the lower one tells whether there is a remainder (Lemire, Kaser and Kurz 2019;
    /// proven for each offset of each span by a test).
    #[inline(always)]
    pub(crate) fn object_at(self, offset: Bytes) -> Option<usize> {
        let product = u64::from(offset.0 as u32) * u64::from(self.magic);
        ((product as u32) < self.magic && (offset.0 as u32) < self.end).then_some((product >> 32) as usize)
    }
}

/// What a C program may expect of every object that is large enough: the alignment of `max_align_t`.
pub(crate) const C_ALIGN: usize = 16;

/// The classes that serve C's sizes up to the fine table's end, in steps of `C_ALIGN`; size 0 is served as 1.
const FINE_FOR_C: [u8; FINE_LIMIT / C_ALIGN + 1] = fine_for_c();

const fn fine_for_c() -> [u8; FINE_LIMIT / C_ALIGN + 1] {
    let mut table = [0; FINE_LIMIT / C_ALIGN + 1];
    let mut i = 0;
    while i < table.len() {
        let size = if i == 0 { C_ALIGN } else { i * C_ALIGN };
        table[i] = FINE[size / FINE_STEP];
        i += 1;
    }
    table
}

/// The class of an object for C: aligned to `C_ALIGN` whatever its size. `None` above the fine table.
#[inline(always)]
pub(crate) fn fine_class_for_c(size: usize) -> Option<Class> {
    (size <= FINE_LIMIT).then(|| Class(FINE_FOR_C[size.div_ceil(C_ALIGN)]))
}

/// The fine lookup table as a constant, so that a layout known when compiling has its class known, too.
const FINE: [u8; FINE_LIMIT / FINE_STEP + 1] = table::SIZE_TO_CLASS8;

/// The class of a layout that the fine table serves: padded sizes from 1 to 1016 bytes in Go's table. One compare and one lookup.
///
/// Rounding the size up to the alignment is all that alignment needs there: each class that is looked up for a multiple of a
/// power of two is itself such a multiple (asserted below for the compiled-in table).
#[inline(always)]
pub(crate) fn fine_class_of(layout: Layout) -> Option<Class> {
    // The offset of the padded size's last byte: alignments are powers of two. Size 0 is undefined behaviour for callers of `GlobalAlloc`;
    // it wraps, and falls to the path that can afford to look.
    let last = layout.size().wrapping_sub(1) | (layout.align() - 1);
    (last < FINE_LIMIT - FINE_STEP).then(|| Class(FINE[last / FINE_STEP + 1]))
}

/// The class that serves a layout, or `None` when it gets whole pages.
pub(crate) fn class_of(layout: Layout) -> Option<Class> {
    fine_class_of(layout).or_else(|| coarse_class_of(layout))
}

/// As `class_of` for layouts that the fine table does not serve.
#[inline(always)]
pub(crate) fn coarse_class_of(layout: Layout) -> Option<Class> {
    let (size, align) = (layout.pad_to_align().size(), layout.align());
    if size > MAX_SMALL_SIZE || align > PAGE_SIZE {
        return None;
    }
    let mut c = if size == 0 {
        1
    } else {
        table::SIZE_TO_CLASS128[(size.max(FINE_LIMIT) - FINE_LIMIT).div_ceil(table::LARGE_SIZE_DIV)] as usize
    };
    // Alignments above the class's own move on to the next class that has it.
    while c < NUM_CLASSES && table::CLASS_TO_SIZE[c] as usize & (align - 1) != 0 {
        c += 1;
    }
    Class::new(c)
}

const fn spans_are_short() -> bool {
    let mut c = 0;
    while c < NUM_CLASSES {
        if table::CLASS_TO_PAGES[c] > 64 {
            return false;
        }
        c += 1;
    }
    true
}

const fn fine_is_in_range() -> bool {
    let mut i = 0;
    while i < FINE.len() {
        if FINE[i] as usize >= NUM_CLASSES {
            return false;
        }
        i += 1;
    }
    true
}

/// Whether padding the size to the alignment suffices for every alignment up to the fine table's end.
const fn padding_suffices() -> bool {
    let mut align = 1;
    while align <= FINE_LIMIT {
        let mut size = align;
        while size <= FINE_LIMIT - FINE_STEP {
            if !(table::CLASS_TO_SIZE[FINE[size.div_ceil(FINE_STEP)] as usize] as usize).is_multiple_of(align)
            {
                return false;
            }
            size += align;
        }
        align *= 2;
    }
    true
}
const _: () = assert!(padding_suffices(), "this table needs an alignment search below 1 KiB");

/// Bytes that an object above the largest class takes: whole pages. `None` when that overflows.
#[inline]
pub(crate) fn large_pages(size: Bytes) -> Option<Pages> {
    Some(Pages(size.0.max(1).checked_add(PAGE_SIZE - 1)? / PAGE_SIZE))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slow twin: the first class that is large enough and aligned, by scanning.
    fn slow(size: usize, align: usize) -> Option<usize> {
        if align > PAGE_SIZE {
            return None;
        }
        Class::all().find(|c| c.size().0 >= size && c.size().0.is_multiple_of(align)).map(Class::index)
    }

    #[test]
    fn objects_start_at_multiples_of_the_size_for_every_offset_of_every_span() {
        for class in Class::all() {
            for offset in 0..class.pages().bytes().0 {
                let (object, rest) = (offset / class.size().0, offset % class.size().0);
                let starts = rest == 0 && object < class.objects();
                let got = class.starts().object_at(Bytes(offset));
                assert_eq!(got, starts.then_some(object), "{class:?} {offset}");
            }
        }
    }

    #[test]
    fn no_object_of_a_class_that_is_none_starts_anywhere() {
        for n in 0..=u8::MAX {
            let found = (0..1 << 16).find_map(|offset| Class::of_object_at(n, Bytes(offset)));
            assert_eq!(found, Class::new(n.into()), "number {n}");
        }
    }

    #[test]
    fn classes_for_c_are_those_of_its_alignment() {
        for size in 0..=FINE_LIMIT {
            assert_eq!(fine_class_for_c(size).map(Class::index), slow(size.max(1), C_ALIGN), "size {size}");
        }
        assert_eq!(fine_class_for_c(FINE_LIMIT + 1), None);
        assert_eq!(fine_class_for_c(usize::MAX), None);
    }

    #[test]
    fn lookup_matches_slow_twin_for_every_size_and_alignment() {
        for align in (0..=14).map(|s| 1usize << s) {
            for size in 0..=MAX_SMALL_SIZE + 100 {
                let layout = Layout::from_size_align(size, align).unwrap();
                let got = class_of(layout).map(Class::index);
                assert_eq!(got, slow(size.max(1), align), "size {size} align {align}");
            }
        }
    }
}
