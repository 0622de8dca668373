//! Tables of classes that somebody else chose.

use core::fmt;

use crate::generate::{MAX_CLASSES, Table, divides_exactly};
use crate::params::{Params, ParamsError};

/// The most objects that the heap's metadata has room for in a span.
pub const MAX_OBJECTS: u32 = 1024;
/// The most pages of a span: longer ones do not come from a thread's own pages.
pub const MAX_PAGES: u8 = 15;

/// Objects of `size` bytes in a span of `pages` pages; `None` where the heap cannot have such spans.
pub const fn objects_of_span(size: u32, pages: u8, page_size: u32) -> Option<u32> {
    let span = pages as u32 * page_size;
    let Some(objects) = span.checked_div(size) else { return None };
    let fits = pages <= MAX_PAGES && objects >= 1 && objects <= MAX_OBJECTS;
    if fits && divides_exactly(size, span) { Some(objects) } else { None }
}

impl Table {
    /// A table of these classes: bytes of an object and pages of a span of each, in ascending order of size. Of the parameters only
    /// `page_size`, `max_small_size`, `small_size_div`, `small_size_max` and `large_size_div` mean anything.
    ///
    /// # Errors
    /// Parameters that no table can have, or the first class that cannot be.
    pub fn from_classes(
        params: &Params,
        classes: impl IntoIterator<Item = (u32, u8)>,
    ) -> Result<Self, ClassesError> {
        params.validate()?;
        let mut t =
            Self { params: *params, given: true, len: 1, size: [0; MAX_CLASSES], pages: [0; MAX_CLASSES] };
        for (size, pages) in classes {
            if t.len == MAX_CLASSES {
                return Err(ClassesError::TooMany);
            }
            t.check(size, pages)?;
            (t.size[t.len], t.pages[t.len]) = (size, pages);
            t.len += 1;
        }
        let last = t.size[t.len - 1];
        if last != params.max_small_size {
            return Err(ClassesError::Last { size: last, max_small_size: params.max_small_size });
        }
        Ok(t)
    }

    /// Whether this class can come after those that are there.
    fn check(&self, size: u32, pages: u8) -> Result<(), ClassesError> {
        let p = &self.params;
        if size <= self.size[self.len - 1] {
            return Err(ClassesError::Order { size });
        }
        let step = if size > p.small_size_max { p.large_size_div } else { p.small_size_div };
        if !size.is_multiple_of(step) {
            return Err(ClassesError::Step { size, step });
        }
        if objects_of_span(size, pages, p.page_size).is_none() {
            return Err(ClassesError::Span { size, pages });
        }
        Ok(())
    }
}

/// Why classes make no [`Table`]. Displayed as one line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ClassesError {
    /// Parameters that no table can have.
    Params(ParamsError),
    /// More than [`MAX_CLASSES`], class 0 included.
    TooMany,
    /// Not larger than the class before it.
    Order {
        /// Bytes of an object.
        size: u32,
    },
    /// Not a multiple of the lookup's step.
    Step {
        /// Bytes of an object.
        size: u32,
        /// The step.
        step: u32,
    },
    /// A span too short for an object, or too long: for the heap, or for the magic number.
    Span {
        /// Bytes of an object.
        size: u32,
        /// Pages of a span.
        pages: u8,
    },
    /// The last class is not the largest small size.
    Last {
        /// Bytes of its objects; 0 when there is no class.
        size: u32,
        /// What it has to be.
        max_small_size: u32,
    },
}

impl From<ParamsError> for ClassesError {
    fn from(e: ParamsError) -> Self {
        Self::Params(e)
    }
}

impl fmt::Display for ClassesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Params(e) => e.fmt(f),
            Self::TooMany => write!(f, "more than {} classes", MAX_CLASSES - 1),
            Self::Order { size } => write!(f, "class {size} is not larger than the one before it"),
            Self::Step { size, step } => write!(f, "class {size} is not a multiple of {step}"),
            Self::Span { size, pages } => {
                write!(
                    f,
                    "class {size} cannot have spans of {pages} pages (1 to {MAX_PAGES}, 1 to {MAX_OBJECTS} objects)"
                )
            }
            Self::Last { size, max_small_size } => {
                write!(f, "the last class is {size} and not {max_small_size}")
            }
        }
    }
}

impl core::error::Error for ClassesError {}
