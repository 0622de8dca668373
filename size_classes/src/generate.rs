//! The generator: from parameters to a table, on the stack.
//!
//! Candidate sizes walk upwards in steps that grow with the size. Each gets the shortest span whose tail waste is within the
//! bound; a candidate that shares pages and number of objects with the class before it takes that class's place, since the
//! smaller one would save nothing. At the end each class grows into the tail of its own span, as far as the lookup table's
//! step allows. Answers to `makeClasses` of Go's `mksizeclasses.go`.
//!
//! Three limits are not in Go's generator and change nothing in Go's table, but other parameters need them: the last class
//! does not grow past the largest small size, nor any class to the size of the next; and a candidate whose span is too
//! long for exact division by a 32-bit magic number is passed over, where Go's generator gives up.

use crate::params::{Params, ParamsError, WORD_PAIR};

/// The most classes a table can have, class 0 included.
pub const MAX_CLASSES: usize = 256;

/// A size-class table, made by [`Table::generate`] or [`Table::from_classes`]; it takes two kilobytes wherever it is put.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    pub(crate) params: Params,
    /// Whether the classes were given, not generated: of the parameters only those of pages and lookups mean anything then.
    pub(crate) given: bool,
    /// Number of classes, class 0 included.
    pub(crate) len: usize,
    pub(crate) size: [u32; MAX_CLASSES],
    pub(crate) pages: [u8; MAX_CLASSES],
}

/// One class of a [`Table`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Class {
    /// Its number, from 1.
    pub index: u8,
    /// Bytes of an object.
    pub size: u32,
    /// Bytes of an object of the class before; 0 before the first.
    pub previous_size: u32,
    /// Pages of a span.
    pub pages: u8,
    /// Bytes of a page.
    pub page_size: u32,
}

impl Class {
    /// Bytes of a span.
    pub const fn span_bytes(&self) -> u32 {
        self.pages as u32 * self.page_size
    }

    /// Objects of a span.
    pub const fn objects(&self) -> u32 {
        self.span_bytes() / self.size
    }

    /// Bytes at the end of a span that no object uses.
    pub const fn tail_waste(&self) -> u32 {
        self.span_bytes() % self.size
    }

    /// The part of a span, in percent, that is wasted when every object is one byte larger than the class before.
    pub fn max_waste_percent(&self) -> f64 {
        let unused = (self.size - self.previous_size - 1) * self.objects() + self.tail_waste();
        100.0 * f64::from(unused) / f64::from(self.span_bytes())
    }

    /// The alignment that every object of the class has: a power of two, never more than a page.
    pub const fn align(&self) -> u32 {
        let own = 1 << self.size.trailing_zeros();
        if own < self.page_size { own } else { self.page_size }
    }

    /// What divides an offset by the size: see [`object_index`](crate::object_index).
    pub const fn div_magic(&self) -> u32 {
        div_magic(self.size)
    }
}

const fn div_magic(size: u32) -> u32 {
    u32::MAX / size + 1
}

/// Whether [`div_magic`] divides every offset of a span: it does if `offset * (magic * size - 2^32)` stays below 2^32.
pub(crate) const fn divides_exactly(size: u32, span: u32) -> bool {
    if size < 2 {
        // The magic number of 1 has 33 bits.
        return false;
    }
    let excess = div_magic(size) as u64 * size as u64 - (1 << 32);
    (span as u64 - 1) * excess < 1 << 32
}

impl Table {
    /// Makes the table.
    ///
    /// # Errors
    /// A parameter out of its range, or a table that would have more than 255 classes, a span of more than 255 pages, or a
    /// last class whose span no 32-bit magic number divides.
    pub fn generate(params: &Params) -> Result<Self, ParamsError> {
        params.validate()?;
        let mut t =
            Self { params: *params, given: false, len: 1, size: [0; MAX_CLASSES], pages: [0; MAX_CLASSES] };
        let mut size = params.small_size_div;
        let mut step = size;
        while size <= params.max_small_size {
            if size.is_power_of_two() {
                step = params.step(size);
            }
            t.add(size)?;
            size += step;
        }
        t.grow_into_tails();
        Ok(t)
    }

    fn add(&mut self, size: u32) -> Result<(), ParamsError> {
        let page = self.params.page_size;
        let mut pages: u8 = 1;
        let mut span = page;
        while span % size > span / self.params.tail_waste_divisor {
            pages = pages.checked_add(1).ok_or(ParamsError::SpanTooLong { size })?;
            span += page;
        }
        if !divides_exactly(size, span) {
            // The next class serves these sizes too; only the last has none after it.
            let last = size == self.params.max_small_size;
            return if last { Err(ParamsError::MagicInexact { size, span }) } else { Ok(()) };
        }
        let last = self.len - 1;
        let replaces = last > 0 && self.pages[last] == pages && span / self.size[last] == span / size;
        if replaces {
            self.size[last] = size;
        } else if self.len == MAX_CLASSES {
            return Err(ParamsError::TooManyClasses { size });
        } else {
            self.size[self.len] = size;
            self.pages[self.len] = pages;
            self.len += 1;
        }
        Ok(())
    }

    fn grow_into_tails(&mut self) {
        let mut limit = self.params.max_small_size;
        for i in (1..self.len).rev() {
            let span = u32::from(self.pages[i]) * self.params.page_size;
            let even = span / (span / self.size[i]);
            let grown = even - even % self.params.large_size_div.max(WORD_PAIR);
            if grown > self.size[i] && grown <= limit && divides_exactly(grown, span) {
                self.size[i] = grown;
            }
            limit = self.size[i] - 1;
        }
    }

    /// The parameters it was made from.
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// Number of classes, class 0 included.
    #[expect(clippy::len_without_is_empty, reason = "a table always has classes")]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// The classes from 1 up; class 0 has no size.
    pub const fn classes(&self) -> Classes<'_> {
        Classes { table: self, next: 1 }
    }

    fn class(&self, i: usize) -> Class {
        Class {
            index: i as u8,
            size: self.size[i],
            previous_size: self.size[i - 1],
            pages: self.pages[i],
            page_size: self.params.page_size,
        }
    }

    /// The smallest class that holds `size` bytes; none if the largest does not.
    pub fn class_of_size(&self, size: u32) -> Option<Class> {
        let i = self.size[..self.len].partition_point(|&s| s < size.max(1));
        (i < self.len).then(|| self.class(i))
    }

    /// The lookup table for sizes up to `small_size_max`: entry i is the smallest class of at least
    /// `i * small_size_div` bytes.
    pub fn small_lookup(&self) -> impl ExactSizeIterator<Item = u8> {
        let p = self.params;
        (0..p.small_size_max / p.small_size_div + 1).map(move |i| self.entry(i * p.small_size_div))
    }

    /// The lookup table for larger sizes: entry i is the smallest class of at least
    /// `small_size_max + i * large_size_div` bytes.
    pub fn large_lookup(&self) -> impl ExactSizeIterator<Item = u8> {
        let p = self.params;
        let len = (p.max_small_size - p.small_size_max).div_ceil(p.large_size_div) + 1;
        (0..len).map(move |i| self.entry((p.small_size_max + i * p.large_size_div).min(p.max_small_size)))
    }

    /// Bytes of an object of each class; 0 for class 0.
    pub(crate) fn sizes(&self) -> impl ExactSizeIterator<Item = u32> {
        self.size[..self.len].iter().copied()
    }

    /// Pages of a span of each class; 0 for class 0.
    pub(crate) fn pages(&self) -> impl ExactSizeIterator<Item = u8> {
        self.pages[..self.len].iter().copied()
    }

    /// The magic number of each class; 0 for class 0.
    pub(crate) fn magics(&self) -> impl ExactSizeIterator<Item = u32> {
        self.sizes().map(|size| if size == 0 { 0 } else { div_magic(size) })
    }

    /// The size of the class after this one; 0 after the last.
    pub(crate) fn size_after(&self, class: u8) -> u32 {
        self.sizes().nth(usize::from(class) + 1).unwrap_or(0)
    }

    /// Class 0 for size 0, as Go has it.
    fn entry(&self, size: u32) -> u8 {
        if size == 0 { 0 } else { self.class_of_size(size).map_or(0, |c| c.index) }
    }

    /// The most objects that a span has.
    pub fn max_objects_per_span(&self) -> u32 {
        self.classes().map(|c| c.objects()).max().unwrap_or(0)
    }

    /// The most pages that a span has.
    pub fn max_span_pages(&self) -> u8 {
        self.classes().map(|c| c.pages).max().unwrap_or(0)
    }

    /// The greatest alignment for which it is enough to round the size up to a multiple of the alignment and look that size
    /// up: the class found is aligned. It holds for every lesser alignment too.
    pub fn max_direct_align(&self) -> u32 {
        let mut align = 1;
        while align < self.params.page_size
            && self.first_misaligned(align * 2, self.params.max_small_size).is_none()
        {
            align *= 2;
        }
        align
    }

    /// The greatest class size up to which rounding is enough at every alignment: no size that was rounded up to a multiple
    /// of an alignment and is not above this gives a class without that alignment.
    pub fn max_direct_size(&self) -> u32 {
        let mut size = self.params.max_small_size;
        let mut align = 1;
        while align <= self.params.page_size {
            if let Some(bad) = self.first_misaligned(align, size) {
                size = bad - 1;
            }
            align *= 2;
        }
        self.size[..self.len].iter().copied().rfind(|&s| s <= size).unwrap_or(0)
    }

    /// The first multiple of `align` up to `max` whose class does not have that alignment.
    fn first_misaligned(&self, align: u32, max: u32) -> Option<u32> {
        (align..=max)
            .step_by(align as usize)
            .find(|&size| self.class_of_size(size).is_none_or(|c| c.align() < align))
    }
}

/// Iterator over the classes of a [`Table`].
#[derive(Clone, Debug)]
pub struct Classes<'a> {
    table: &'a Table,
    next: usize,
}

impl Iterator for Classes<'_> {
    type Item = Class;

    fn next(&mut self) -> Option<Class> {
        let i = self.next;
        (i < self.table.len).then(|| {
            self.next += 1;
            self.table.class(i)
        })
    }
}
