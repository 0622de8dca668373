//! The committed table's lookups against slow, obvious twins, for every input.

use gort_size_classes::{class_align, class_for, class_of_size, object_index, table::*};

/// The smallest class of at least `size` bytes whose objects are all aligned, found by looking at each.
fn class_for_slow(size: usize, align: usize) -> Option<u8> {
    (1..NUM_CLASSES)
        .find(|&c| {
            let object = CLASS_TO_SIZE[c] as usize;
            object >= size && align <= PAGE_SIZE && object.is_multiple_of(align)
        })
        .map(|c| c as u8)
}

fn alignments() -> impl Iterator<Item = usize> {
    (0..=PAGE_SIZE.ilog2()).map(|n| 1 << n)
}

#[test]
fn every_size_gets_the_smallest_class_that_holds_it() {
    for size in 1..=MAX_SMALL_SIZE {
        assert_eq!(class_of_size(size), class_for_slow(size, 1), "size {size}");
    }
    assert_eq!(class_of_size(0), Some(1));
    for size in [MAX_SMALL_SIZE + 1, 1 << 20, isize::MAX as usize, usize::MAX] {
        assert_eq!(class_of_size(size), None, "size {size}");
    }
}

#[test]
fn gos_own_way_into_the_tables_agrees() {
    // Go changes tables 8 bytes below 1024, and counts from 1024 in wrapping arithmetic.
    for size in 1..=MAX_SMALL_SIZE {
        let class = if size <= SMALL_SIZE_MAX - 8 {
            SIZE_TO_CLASS8[size.div_ceil(8)]
        } else {
            SIZE_TO_CLASS128
                [size.wrapping_sub(SMALL_SIZE_MAX).wrapping_add(LARGE_SIZE_DIV - 1) / LARGE_SIZE_DIV]
        };
        assert_eq!(Some(class), class_of_size(size), "size {size}");
    }
}

#[test]
fn every_size_and_alignment_gets_the_smallest_aligned_class() {
    for align in alignments() {
        for size in 0..=MAX_SMALL_SIZE {
            let class = class_for(size, align);
            assert_eq!(class, class_for_slow(size.max(1), align), "size {size} align {align}");
            if let Some(c) = class {
                assert!(class_align(c) >= align, "size {size} align {align}");
            }
        }
        for size in [MAX_SMALL_SIZE + 1, isize::MAX as usize, usize::MAX] {
            assert_eq!(class_for(size, align), None, "size {size} align {align}");
        }
    }
    assert_eq!(class_for(1, 2 * PAGE_SIZE), None);
    assert_eq!(class_for(1, 1 << 63), None);
}

#[test]
fn objects_have_the_alignment_of_their_class() {
    for class in 1..NUM_CLASSES {
        let span = CLASS_TO_PAGES[class] as usize * PAGE_SIZE;
        let size = CLASS_TO_SIZE[class] as usize;
        let align = class_align(class as u8);
        assert!((0..span / size).all(|i| (i * size).is_multiple_of(align)), "class {class}");
        let greatest = align == PAGE_SIZE || !size.is_multiple_of(2 * align);
        assert!(greatest, "class {class} has more alignment than said");
    }
}

#[test]
fn rounding_up_is_enough_where_the_table_says_so() {
    for align in alignments() {
        for size in 1..=MAX_SMALL_SIZE {
            let rounded = size.next_multiple_of(align);
            if align <= MAX_DIRECT_ALIGN || rounded <= MAX_DIRECT_SIZE {
                let class = class_of_size(rounded).expect("rounding stays within the small sizes");
                assert!(class_align(class) >= align, "size {size} align {align}");
                assert_eq!(Some(class), class_for_slow(size, align), "size {size} align {align}");
            }
        }
    }
    #[cfg(not(own_table))]
    assert_eq!((MAX_DIRECT_ALIGN, MAX_DIRECT_SIZE), (128, 2304), "in Go's table");
}

#[test]
fn the_direct_limits_are_the_greatest() {
    let fails = |size: usize, align: usize| {
        class_of_size(size.next_multiple_of(align)).is_none_or(|c| class_align(c) < align)
    };
    assert!((1..=MAX_SMALL_SIZE).any(|size| fails(size, 2 * MAX_DIRECT_ALIGN)));
    let next = CLASS_TO_SIZE[usize::from(class_of_size(MAX_DIRECT_SIZE).unwrap()) + 1] as usize;
    assert!(
        alignments()
            .any(|align| (1..=next).any(|size| size.next_multiple_of(align) <= next && fails(size, align)))
    );
}

#[test]
fn multiplication_divides_every_offset_of_every_span() {
    for class in 1..NUM_CLASSES {
        let span = CLASS_TO_PAGES[class] as usize * PAGE_SIZE;
        let size = CLASS_TO_SIZE[class] as usize;
        for offset in 0..span {
            assert_eq!(
                object_index(offset, CLASS_TO_DIVMAGIC[class]),
                offset / size,
                "class {class} offset {offset}"
            );
        }
    }
    assert_eq!(object_index(123_456, CLASS_TO_DIVMAGIC[0]), 0, "in a large span every offset is of object 0");
}
