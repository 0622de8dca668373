//! What the heap relies on in the table that is compiled in, checked while it is compiled: a table of the user's own, with a slip
//! in it, would corrupt memory.

use crate::table::{
    CLASS_TO_DIVMAGIC, CLASS_TO_PAGES, CLASS_TO_SIZE, LARGE_SIZE_DIV, MAX_OBJECTS_PER_SPAN, MAX_SMALL_SIZE,
    MAX_SPAN_PAGES, NUM_CLASSES, PAGE_SIZE, SIZE_TO_CLASS8, SIZE_TO_CLASS128, SMALL_SIZE_DIV, SMALL_SIZE_MAX,
};

const _: () = assert!(NUM_CLASSES >= 2 && NUM_CLASSES <= 256, "a class fits a byte");
const _: () = assert!(CLASS_TO_SIZE[0] == 0 && CLASS_TO_PAGES[0] == 0, "class 0 has no size");
const _: () =
    assert!(CLASS_TO_SIZE[NUM_CLASSES - 1] as usize == MAX_SMALL_SIZE, "the last class ends the small sizes");
const _: () =
    assert!(MAX_OBJECTS_PER_SPAN <= 1024 && MAX_SPAN_PAGES <= 64, "metadata has room for spans of any class");
const _: () = classes();
const _: () = lookups();

const fn classes() {
    let mut c = 1;
    while c < NUM_CLASSES {
        let (size, span) = (CLASS_TO_SIZE[c] as usize, CLASS_TO_PAGES[c] as usize * PAGE_SIZE);
        assert!(size > CLASS_TO_SIZE[c - 1] as usize, "sizes increase");
        assert!(size.is_multiple_of(SMALL_SIZE_DIV), "sizes are multiples of the lookup's step");
        assert!(size <= SMALL_SIZE_MAX || size.is_multiple_of(LARGE_SIZE_DIV), "so are large ones");
        assert!(CLASS_TO_PAGES[c] as usize <= MAX_SPAN_PAGES, "spans are as long as is said");
        assert!(size <= span && span / size <= MAX_OBJECTS_PER_SPAN, "spans have as many objects as is said");
        let magic = CLASS_TO_DIVMAGIC[c];
        assert!(magic == u32::MAX / size as u32 + 1, "the magic number is the size's");
        let excess = magic as u64 * size as u64 - (1 << 32);
        assert!((span as u64 - 1) * excess < 1 << 32, "the magic number divides every offset of a span");
        c += 1;
    }
}

const fn lookups() {
    assert!(SIZE_TO_CLASS8[0] == 0, "size 0 has no class");
    let mut i = 1;
    while i < SIZE_TO_CLASS8.len() {
        is_smallest(SIZE_TO_CLASS8[i] as usize, i * SMALL_SIZE_DIV);
        i += 1;
    }
    i = 0;
    while i < SIZE_TO_CLASS128.len() {
        let size = SMALL_SIZE_MAX + i * LARGE_SIZE_DIV;
        is_smallest(SIZE_TO_CLASS128[i] as usize, if size < MAX_SMALL_SIZE { size } else { MAX_SMALL_SIZE });
        i += 1;
    }
}

const fn is_smallest(class: usize, size: usize) {
    assert!(class > 0 && class < NUM_CLASSES, "each looked-up class exists");
    assert!(CLASS_TO_SIZE[class] as usize >= size, "the looked-up class holds the size");
    assert!((CLASS_TO_SIZE[class - 1] as usize) < size, "no smaller class holds it");
}
