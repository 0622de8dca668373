//! What any table must be, by looking at every class, size, entry and object.

use gort_size_classes::{Class, MAX_CLASSES, Params, Table, object_index};

fn is_aligned(c: &Class, align: u32) -> bool {
    align <= c.page_size && c.size.is_multiple_of(align)
}

/// Holds a table to what any table must be, by looking at every class, size, entry and object.
pub(crate) fn assert_valid(t: &Table) {
    let p = *t.params();
    let classes: Vec<Class> = t.classes().collect();
    assert_eq!(classes.len() + 1, t.len(), "{p:?}");
    assert!(t.len() <= MAX_CLASSES, "{p:?}");
    assert_eq!(classes[0].size, p.small_size_div, "{p:?}");
    assert_eq!(classes[classes.len() - 1].size, p.max_small_size, "{p:?}");
    assert!(classes.is_sorted_by(|a, b| a.size < b.size), "sizes increase strictly: {p:?}");
    for (i, c) in classes.iter().enumerate() {
        assert_valid_class(&p, c);
        assert_eq!(usize::from(c.index), i + 1, "{p:?}");
        assert_eq!(c.previous_size, if i == 0 { 0 } else { classes[i - 1].size }, "{p:?}");
    }
    assert_eq!(t.max_objects_per_span(), classes.iter().map(|c| c.objects()).max().unwrap());
    assert_eq!(t.max_span_pages(), classes.iter().map(|c| c.pages).max().unwrap());
    assert_valid_lookups(t, &classes);
    assert_direct_limits(t, &classes);
}

/// The same of a table of given classes, which follow no rule for tails and steps.
pub(crate) fn assert_valid_given(t: &Table) {
    let p = *t.params();
    let classes: Vec<Class> = t.classes().collect();
    assert!(classes.len() + 1 == t.len() && t.len() <= MAX_CLASSES, "{p:?}");
    assert_eq!(classes.last().map(|c| c.size), Some(p.max_small_size), "{p:?}");
    assert!(classes.is_sorted_by(|a, b| a.size < b.size), "sizes increase strictly: {p:?}");
    classes.iter().for_each(|c| assert_divides(&p, c));
    assert_valid_lookups(t, &classes);
    assert_direct_limits(t, &classes);
}

fn assert_valid_class(p: &Params, c: &Class) {
    let span = c.span_bytes();
    assert!(c.pages > 0 && c.objects() > 0, "{c:?} {p:?}");
    assert_eq!(c.objects() * c.size + c.tail_waste(), span, "{c:?} {p:?}");
    assert!(c.tail_waste() * p.tail_waste_divisor <= span, "tail waste within the bound: {c:?} {p:?}");
    let unit = if c.size > p.small_size_max { p.large_size_div } else { p.small_size_div };
    assert!(c.size.is_multiple_of(unit), "{c:?} {p:?}");
    assert!(c.size < 32 || c.size.is_multiple_of(16), "{c:?} {p:?}");
    assert!(is_aligned(c, c.align()) && !is_aligned(c, c.align() * 2), "{c:?} {p:?}");
    assert_divides(p, c);
}

/// The magic number divides every offset of a span.
fn assert_divides(p: &Params, c: &Class) {
    let span = c.span_bytes();
    for i in 0..c.objects() {
        // The quotient never falls as the offset rises, so the first and last byte of each object stand for all.
        for offset in [i * c.size, ((i + 1) * c.size - 1).min(span - 1)] {
            assert_eq!(object_index(offset as usize, c.div_magic()), i as usize, "{c:?} {p:?}");
        }
    }
    assert!(c.tail_waste() == 0 || object_index(span as usize - 1, c.div_magic()) == c.objects() as usize);
}

fn assert_valid_lookups(t: &Table, classes: &[Class]) {
    let p = t.params();
    let small: Vec<u8> = t.small_lookup().collect();
    let large: Vec<u8> = t.large_lookup().collect();
    let mut expected = classes.iter().peekable();
    for size in 1..=p.max_small_size {
        while expected.peek().is_some_and(|c| c.size < size) {
            expected.next();
        }
        let class = *expected.peek().expect("the last class holds the largest size");
        let found = if size <= p.small_size_max {
            small[size.div_ceil(p.small_size_div) as usize]
        } else {
            large[(size - p.small_size_max).div_ceil(p.large_size_div) as usize]
        };
        assert_eq!(found, class.index, "size {size} {p:?}");
        assert_eq!(t.class_of_size(size).as_ref(), Some(class), "size {size} {p:?}");
    }
    assert_eq!(t.class_of_size(p.max_small_size + 1), None);
    assert_eq!(t.class_of_size(0).as_ref(), classes.first());
}

fn assert_direct_limits(t: &Table, classes: &[Class]) {
    let p = t.params();
    let (align_limit, size_limit) = (t.max_direct_align(), t.max_direct_size());
    assert!(align_limit.is_power_of_two() && align_limit <= p.page_size, "{p:?}");
    for shift in 0..=p.page_size.ilog2() {
        let align = 1 << shift;
        for size in (align..=p.max_small_size).step_by(align as usize) {
            if align <= align_limit || size <= size_limit {
                let class = classes.iter().find(|c| c.size >= size).unwrap();
                assert!(is_aligned(class, align), "size {size} align {align} {p:?}");
            }
        }
    }
}
