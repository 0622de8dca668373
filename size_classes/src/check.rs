//! Compares a generated table with the committed one, value by value.

use core::fmt;

use crate::generate::Table;
use crate::table;

/// The first place where a generated table and the committed one differ. Displayed as one line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The constant or array in [`table`].
    pub name: &'static str,
    /// Index in the array; none for a constant, and for an array whose length differs.
    pub index: Option<usize>,
    /// What the generator gives.
    pub generated: u64,
    /// What is compiled in.
    pub committed: u64,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if let Some(i) = self.index {
            write!(f, "[{i}]")?;
        }
        write!(
            f,
            " is {} in the compiled-in table, and the generator gives {}",
            self.committed, self.generated
        )
    }
}

impl core::error::Error for Difference {}

impl Table {
    /// Compares this table with the compiled-in one.
    ///
    /// # Errors
    /// The first difference.
    pub fn compare_with_committed(&self) -> Result<(), Difference> {
        let p = self.params();
        let constants = [
            ("NUM_CLASSES", self.len() as u64, table::NUM_CLASSES as u64),
            ("PAGE_SIZE", p.page_size.into(), table::PAGE_SIZE as u64),
            ("MAX_SMALL_SIZE", p.max_small_size.into(), table::MAX_SMALL_SIZE as u64),
            ("SMALL_SIZE_DIV", p.small_size_div.into(), table::SMALL_SIZE_DIV as u64),
            ("SMALL_SIZE_MAX", p.small_size_max.into(), table::SMALL_SIZE_MAX as u64),
            ("LARGE_SIZE_DIV", p.large_size_div.into(), table::LARGE_SIZE_DIV as u64),
            ("MAX_OBJECTS_PER_SPAN", self.max_objects_per_span().into(), table::MAX_OBJECTS_PER_SPAN as u64),
            ("MAX_SPAN_PAGES", self.max_span_pages().into(), table::MAX_SPAN_PAGES as u64),
            ("MAX_DIRECT_ALIGN", self.max_direct_align().into(), table::MAX_DIRECT_ALIGN as u64),
            ("MAX_DIRECT_SIZE", self.max_direct_size().into(), table::MAX_DIRECT_SIZE as u64),
        ];
        for (name, generated, committed) in constants {
            if generated != committed {
                return Err(Difference { name, index: None, generated, committed });
            }
        }
        array("CLASS_TO_SIZE", self.sizes(), &table::CLASS_TO_SIZE)?;
        array("CLASS_TO_PAGES", self.pages(), &table::CLASS_TO_PAGES)?;
        array("CLASS_TO_DIVMAGIC", self.magics(), &table::CLASS_TO_DIVMAGIC)?;
        array("SIZE_TO_CLASS8", self.small_lookup(), &table::SIZE_TO_CLASS8)?;
        array("SIZE_TO_CLASS128", self.large_lookup(), &table::SIZE_TO_CLASS128)
    }
}

fn array<T: Copy + Into<u64>>(
    name: &'static str,
    generated: impl ExactSizeIterator<Item = T>,
    committed: &[T],
) -> Result<(), Difference> {
    if generated.len() != committed.len() {
        let (generated, committed) = (generated.len() as u64, committed.len() as u64);
        return Err(Difference { name, index: None, generated, committed });
    }
    for (i, (g, &c)) in generated.zip(committed).enumerate() {
        let (generated, committed) = (g.into(), c.into());
        if generated != committed {
            return Err(Difference { name, index: Some(i), generated, committed });
        }
    }
    Ok(())
}
