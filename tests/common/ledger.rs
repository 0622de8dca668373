//! A count of what a test allocates and frees, made from the table alone, to be held against the heap's own.

use std::alloc::Layout;
use std::ops::{Add, Sub};

use gort::{Measured, MemStats};
use gort_size_classes::table::{CLASS_TO_SIZE, NUM_CLASSES};

/// Go's page.
pub(crate) const PAGE: usize = 8192;

/// The class that must serve a layout: the first that is large enough and a multiple of the alignment. 0 for whole pages, which
/// serve all alignments above a page: a span is aligned to no more.
pub(crate) fn class_of(layout: Layout) -> usize {
    if layout.align() > PAGE {
        return 0;
    }
    let fits = |&c: &usize| {
        let size = CLASS_TO_SIZE[c] as usize;
        size >= layout.size() && size.is_multiple_of(layout.align())
    };
    (1..NUM_CLASSES).find(fits).unwrap_or(0)
}

/// Bytes that a layout must be rounded up to.
pub(crate) fn rounded(layout: Layout) -> u64 {
    match class_of(layout) {
        0 => layout.size().max(1).next_multiple_of(PAGE) as u64,
        class => u64::from(CLASS_TO_SIZE[class]),
    }
}

/// What was allocated and freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub(crate) total: Measured,
    /// Allocations and frees per class; class 0 is whole pages.
    pub(crate) classes: [(u64, u64); NUM_CLASSES],
}

impl Ledger {
    pub(crate) const fn new() -> Self {
        Self {
            total: Measured { bytes: 0, allocs: 0, frees: 0, bytes_freed: 0 },
            classes: [(0, 0); NUM_CLASSES],
        }
    }

    pub(crate) fn allocated(&mut self, layout: Layout) {
        self.total.allocs += 1;
        self.total.bytes += rounded(layout);
        self.classes[class_of(layout)].0 += 1;
    }

    pub(crate) fn freed(&mut self, layout: Layout) {
        self.total.frees += 1;
        self.total.bytes_freed += rounded(layout);
        self.classes[class_of(layout)].1 += 1;
    }

    /// A `realloc` counts when it changes the class or the rounded size, wherever the object is afterwards: whole pages may be as long as a
    /// class.
    pub(crate) fn resized(&mut self, old: Layout, new: Layout) {
        if (class_of(old), rounded(old)) != (class_of(new), rounded(new)) {
            self.allocated(new);
            self.freed(old);
        }
    }

    /// The same of the heap's statistics. It has no count of whole pages of its own: they are what is left of the totals.
    pub(crate) fn of(stats: &MemStats) -> Self {
        let mut classes = [(0, 0); NUM_CLASSES];
        let mut left = (stats.mallocs, stats.frees);
        for (to, row) in classes.iter_mut().zip(&stats.by_size).skip(1) {
            *to = (row.mallocs, row.frees);
            left = (left.0 - row.mallocs, left.1 - row.frees);
        }
        classes[0] = left;
        let total = Measured {
            bytes: stats.total_alloc,
            allocs: stats.mallocs,
            frees: stats.frees,
            bytes_freed: stats.total_alloc - stats.heap_alloc,
        };
        Self { total, classes }
    }
}

/// Fails unless the fields of one reading agree with each other, while nobody else allocates.
pub(crate) fn assert_consistent(stats: &MemStats) {
    assert_eq!(stats.alloc, stats.heap_alloc);
    assert_eq!(stats.heap_objects, stats.mallocs - stats.frees);
    assert_eq!(stats.heap_sys, stats.heap_idle + stats.heap_inuse);
    assert_eq!(stats.sys, stats.heap_sys + stats.other_sys);
    assert!(stats.heap_alloc <= stats.heap_inuse, "more in live objects than in pages for them: {stats:?}");
    assert!(stats.heap_released <= stats.heap_idle, "{stats:?}");
    assert!(stats.huge_inuse <= stats.heap_inuse, "{stats:?}");
    assert!(stats.mcache_inuse <= stats.other_sys, "{stats:?}");
    assert_eq!(stats.by_size[0].size, 0);
    for (row, &size) in stats.by_size.iter().zip(&CLASS_TO_SIZE) {
        assert_eq!(row.size, size);
        assert!(row.frees <= row.mallocs, "{row:?}");
    }
}

fn zip(a: Ledger, b: Ledger, f: impl Fn(u64, u64) -> u64) -> Ledger {
    let mut classes = a.classes;
    for (a, b) in classes.iter_mut().zip(b.classes) {
        *a = (f(a.0, b.0), f(a.1, b.1));
    }
    let total = Measured {
        bytes: f(a.total.bytes, b.total.bytes),
        allocs: f(a.total.allocs, b.total.allocs),
        frees: f(a.total.frees, b.total.frees),
        bytes_freed: f(a.total.bytes_freed, b.total.bytes_freed),
    };
    Ledger { total, classes }
}

impl Sub for Ledger {
    type Output = Self;
    fn sub(self, earlier: Self) -> Self {
        zip(self, earlier, |a, b| a - b)
    }
}

impl Add for Ledger {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        zip(self, other, |a, b| a + b)
    }
}
