//! Parameters and classes read from bytes: a table that can be made is valid, and what cannot be made says why in one line.

use gort_size_classes::{Params, Table, objects_of_span};

use super::valid::{assert_valid, assert_valid_given};

/// Numbers that are read one after the other; when the bytes are used up they are 0.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn byte(&mut self) -> u32 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        u32::from(*first)
    }

    /// A power of two, a power of two and a few more, or any number.
    fn number(&mut self) -> u32 {
        let power = 1 << (self.byte() % 22);
        match self.byte() {
            0..=199 => power,
            n @ 200..=239 => power + (n - 200) * 256,
            n => n << 24 | self.byte() << 16 | self.byte() << 8 | self.byte(),
        }
    }
}

/// Makes a table of the parameters that the bytes say: by the generator, or of classes that they say too.
pub(crate) fn run(bytes: &[u8]) {
    let mut numbers = Numbers(bytes);
    let given = numbers.byte().is_multiple_of(4);
    let of = |go: u32, numbers: &mut Numbers<'_>| {
        if numbers.byte().is_multiple_of(2) { go } else { numbers.number() }
    };
    let go = Params::GO;
    let params = Params {
        page_size: of(go.page_size, &mut numbers),
        max_small_size: of(go.max_small_size, &mut numbers),
        tail_waste_divisor: if numbers.byte().is_multiple_of(2) {
            go.tail_waste_divisor
        } else {
            numbers.byte()
        },
        small_size_div: of(go.small_size_div, &mut numbers),
        small_size_max: of(go.small_size_max, &mut numbers),
        large_size_div: of(go.large_size_div, &mut numbers),
        step_divisor: of(go.step_divisor, &mut numbers),
        max_step: of(go.max_step, &mut numbers),
    };
    if given {
        return given_classes(params, numbers);
    }
    match Table::generate(&params) {
        Ok(table) => {
            if is_quick(&params, &mut numbers) {
                assert_valid(&table);
            }
            let mut source = String::new();
            table.write_rust(&mut source).expect("a string takes everything");
            assert!(table.compare_with_committed().is_ok() || table != committed(), "{params:?}");
        }
        Err(e) => assert!(!e.to_string().contains('\n')),
    }
}

/// Looking at every size and object of a large table takes most of a second: one in many will do.
fn is_quick(params: &Params, numbers: &mut Numbers<'_>) -> bool {
    params.max_small_size <= 64 << 10 || numbers.byte() == 7
}

/// Go's table with the parameters of `Params::GO`, which is the one that is committed.
fn committed() -> Table {
    Table::generate(&Params::GO).expect("Go's parameters make a table")
}

fn given_classes(params: Params, mut numbers: Numbers<'_>) {
    let mut classes = vec![];
    let mut size = 0_u32;
    while !numbers.0.is_empty() && classes.len() < 300 {
        let step = match numbers.byte() {
            n @ 0..=127 => n * params.small_size_div.min(1 << 20),
            n => (n - 128) * params.large_size_div.min(1 << 20),
        };
        size = size.saturating_add(step);
        let pages = match numbers.byte() {
            // The fewest that can be.
            0..=199 => {
                (1..=u8::MAX).find(|&n| objects_of_span(size, n, params.page_size.min(1 << 20)).is_some())
            }
            n => Some(n as u8),
        };
        classes.push((size, pages.unwrap_or(0)));
    }
    if numbers.0.is_empty() && size < params.max_small_size {
        let last = params.max_small_size;
        let pages =
            (1..=u8::MAX).find(|&n| objects_of_span(last, n, params.page_size.min(1 << 20)).is_some());
        classes.push((last, pages.unwrap_or(0)));
    }
    match Table::from_classes(&params, classes.iter().copied()) {
        Ok(table) => {
            assert!(table.classes().map(|c| (c.size, c.pages)).eq(classes), "{params:?}");
            if is_quick(&params, &mut numbers) {
                assert_valid_given(&table);
            }
        }
        Err(e) => assert!(!e.to_string().contains('\n')),
    }
}
