//! What a table wastes on a program's objects.
//!
//! A class with objects takes whole spans. Each object takes its share of one, the tail that is too short for an object
//! included, and half a span of each class is taken to be empty. What is left after subtracting the bytes that were asked for is
//! waste. Costs are whole numbers, sixteenths of a byte, so that equal is equal.

use gort_size_classes::{Table, objects_of_span};

/// Costs are counted in this part of a byte.
pub(super) const PARTS: u128 = 16;

/// Objects of one size, with their alignment: a class serves them that is large enough and aligned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Demand {
    /// Bytes asked for, by each.
    pub(super) size: u32,
    pub(super) align: u32,
    pub(super) objects: u64,
}

impl Demand {
    /// The size that a class has to have at least: at least one byte, and rounded up to the alignment.
    pub(super) fn padded(&self) -> u32 {
        self.size.max(1).next_multiple_of(self.align)
    }
}

/// What spans of `pages` pages cost an object of `size` bytes; `None` where the heap cannot have such spans.
pub(super) fn share(size: u32, pages: u8, page_size: u32) -> Option<u128> {
    let span = u128::from(pages) * u128::from(page_size);
    objects_of_span(size, pages, page_size).map(|objects| (span * PARTS).div_ceil(objects.into()))
}

/// What a class of `objects` objects takes: their shares of spans, and half a span if there are any.
pub(super) fn taken(share: u128, pages: u8, page_size: u32, objects: u128) -> u128 {
    let half = u128::from(pages) * u128::from(page_size) * PARTS / 2;
    if objects == 0 { 0 } else { objects * share + half }
}

/// Waste of a table, or of a part of it, in bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Waste {
    pub(super) objects: u128,
    /// Bytes asked for.
    pub(super) asked: u128,
    /// Added by rounding up to the objects' own alignment: no table can do without.
    pub(super) padding: u128,
    /// Added by rounding up further, to classes.
    pub(super) rounding: u128,
    /// At the ends of spans.
    pub(super) tails: u128,
    /// In the half span of each class that has objects.
    pub(super) halves: u128,
}

impl Waste {
    /// All of it.
    pub(super) fn sum(&self) -> u128 {
        self.padding + self.rounding + self.tails + self.halves
    }

    fn add(&mut self, other: Self) {
        self.objects += other.objects;
        self.asked += other.asked;
        self.padding += other.padding;
        self.rounding += other.rounding;
        self.tails += other.tails;
        self.halves += other.halves;
    }
}

/// The index, from 0, of the class that serves a demand; `None` when it gets whole pages.
fn serving(table: &Table, demand: &Demand) -> Option<usize> {
    let padded = demand.padded();
    table.classes().position(|c| c.size >= padded && c.size.is_multiple_of(demand.align))
}

/// What a table wastes, for each part of the demands that `part_of` tells apart (by the size asked for), and in all. The half span of
/// a class is shared by its parts as its bytes are.
pub(super) fn by_part(
    table: &Table,
    demands: &[Demand],
    parts: usize,
    part_of: impl Fn(u32) -> usize,
) -> (Vec<Waste>, Waste) {
    let classes: Vec<_> = table.classes().collect();
    let mut taken_by = vec![0_u128; classes.len()];
    for d in demands {
        if let Some(c) = serving(table, d) {
            taken_by[c] += u128::from(d.objects) * u128::from(classes[c].size);
        }
    }
    let (mut of_parts, mut all) = (vec![Waste::default(); parts], Waste::default());
    for d in demands.iter().filter(|d| d.objects > 0) {
        let Some(c) = serving(table, d) else { continue };
        let (class, n) = (&classes[c], u128::from(d.objects));
        let (size, asked) = (u128::from(class.size), n * u128::from(d.size));
        let tail = n * u128::from(class.tail_waste()) / u128::from(class.objects());
        let half = u128::from(class.span_bytes()) / 2 * (n * size) / taken_by[c];
        let padded = n * u128::from(d.padded());
        let waste = Waste {
            objects: n,
            asked,
            padding: padded - asked,
            rounding: n * size - padded,
            tails: tail,
            halves: half,
        };
        of_parts[part_of(d.size)].add(waste);
        all.add(waste);
    }
    (of_parts, all)
}

/// What a table wastes in all, in sixteenths of a byte: what a fit makes as small as it can be.
pub(super) fn cost(table: &Table, demands: &[Demand]) -> u128 {
    let mut objects = vec![0_u128; table.len()];
    let mut asked = 0;
    for d in demands {
        if let Some(c) = serving(table, d) {
            objects[c] += u128::from(d.objects);
            asked += u128::from(d.objects) * u128::from(d.size);
        }
    }
    let taken: u128 = table
        .classes()
        .zip(&objects)
        .map(|(c, &n)| {
            taken(share(c.size, c.pages, c.page_size).unwrap_or(u128::MAX >> 64), c.pages, c.page_size, n)
        })
        .sum();
    taken - asked * PARTS
}
