//! What a size-class table is made from, and which values make one.

use core::fmt;

/// What a size-class table is made from. [`Params::GO`] gives Go's table.
///
/// All sizes are in bytes, and all fields but `max_small_size` and `tail_waste_divisor` are powers of two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Params {
    /// Size and alignment of a page of the page heap; a span is a whole number of pages. 1 KiB to 1 MiB.
    pub page_size: u32,
    /// The largest object that has a class; at most 1 MiB. Must be a size that the steps below arrive at.
    pub max_small_size: u32,
    /// The tail of a span that no object fits in is at most the span's size divided by this. 2 to 64.
    pub tail_waste_divisor: u32,
    /// Smallest class, and what every class is a multiple of; the step of the lookup table for small sizes. At least 8.
    pub small_size_div: u32,
    /// Up to here the lookup steps by `small_size_div`, from here on by `large_size_div`.
    pub small_size_max: u32,
    /// What every class above `small_size_max` is a multiple of; the step of the lookup table for larger sizes.
    pub large_size_div: u32,
    /// From a power of two to the next, candidate sizes are this power of two divided by `step_divisor` apart.
    pub step_divisor: u32,
    /// Candidate sizes are never further apart than this. At least 16.
    pub max_step: u32,
}

/// Every class of this size and above is aligned to [`WORD_PAIR`]: Go's heap bitmap relied on it, and SSE code does.
const WORD_PAIR_FROM: u32 = 32;
pub(crate) const WORD_PAIR: u32 = 16;
const MIB: u32 = 1 << 20;

impl Params {
    /// Go's values; they are the same from Go 1.21 to 1.27.
    pub const GO: Self = Self {
        page_size: 8192,
        max_small_size: 32768,
        tail_waste_divisor: 8,
        small_size_div: 8,
        small_size_max: 1024,
        large_size_div: 128,
        step_divisor: 8,
        max_step: 256,
    };

    /// Distance from `size`, a power of two, to the next candidate; it holds up to the next power of two.
    pub(crate) const fn step(&self, size: u32) -> u32 {
        let mut step = size / self.step_divisor;
        let least = if size >= WORD_PAIR_FROM && self.small_size_div < WORD_PAIR {
            WORD_PAIR
        } else {
            self.small_size_div
        };
        if step < least {
            step = least;
        }
        if step > self.max_step { self.max_step } else { step }
    }

    /// Checks what can be told before a table is made: all but the number of classes and the length of spans.
    ///
    /// # Errors
    /// The first parameter that is out of its range.
    pub fn validate(&self) -> Result<(), ParamsError> {
        let p = self;
        power_of_two("page_size", p.page_size, 1024, MIB)?;
        power_of_two("small_size_div", p.small_size_div, 8, 1024)?;
        power_of_two("small_size_max", p.small_size_max, p.small_size_div, MIB)?;
        power_of_two("step_divisor", p.step_divisor, 1, 64)?;
        power_of_two("max_step", p.max_step, p.small_size_div.max(WORD_PAIR), MIB)?;
        // The steps never get smaller, so every class above small_size_max is a multiple of this one.
        power_of_two("large_size_div", p.large_size_div, p.small_size_div, p.step(p.small_size_max))?;
        if !(2..=64).contains(&p.tail_waste_divisor) {
            return Err(ParamsError::Range {
                what: "tail_waste_divisor",
                value: p.tail_waste_divisor,
                min: 2,
                max: 64,
            });
        }
        if !(p.small_size_max..=MIB).contains(&p.max_small_size) {
            return Err(ParamsError::Range {
                what: "max_small_size",
                value: p.max_small_size,
                min: p.small_size_max,
                max: MIB,
            });
        }
        let step = p.step(1 << p.max_small_size.ilog2());
        if !p.max_small_size.is_multiple_of(step) {
            return Err(ParamsError::Unreachable { max_small_size: p.max_small_size, step });
        }
        Ok(())
    }
}

impl Default for Params {
    fn default() -> Self {
        Self::GO
    }
}

fn power_of_two(what: &'static str, value: u32, min: u32, max: u32) -> Result<(), ParamsError> {
    if value.is_power_of_two() && min <= value && value <= max {
        Ok(())
    } else {
        Err(ParamsError::PowerOfTwo { what, value, min, max })
    }
}

/// Why no table can be made from some [`Params`]. Displayed as one line, which calls the parameters
/// by their fields' names and says what is accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ParamsError {
    /// Not a power of two within the limits.
    PowerOfTwo {
        /// Name of the field.
        what: &'static str,
        /// Its value.
        value: u32,
        /// Least value accepted.
        min: u32,
        /// Greatest value accepted.
        max: u32,
    },
    /// Not within the limits.
    Range {
        /// Name of the field.
        what: &'static str,
        /// Its value.
        value: u32,
        /// Least value accepted.
        min: u32,
        /// Greatest value accepted.
        max: u32,
    },
    /// The candidate sizes step over the largest small size, so no class would end there.
    Unreachable {
        /// The largest small size asked for.
        max_small_size: u32,
        /// The distance of candidate sizes there.
        step: u32,
    },
    /// More classes than a `u8` can number.
    TooManyClasses {
        /// The size whose class would have been one too many.
        size: u32,
    },
    /// A class would need a span of more than 255 pages.
    SpanTooLong {
        /// The size of the class.
        size: u32,
    },
    /// A 32-bit magic number does not divide every offset of the last class's span exactly.
    MagicInexact {
        /// The size of the class.
        size: u32,
        /// Bytes of its span.
        span: u32,
    },
}

impl fmt::Display for ParamsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::PowerOfTwo { what, value, min, max } => {
                write!(f, "{what} {value} is not a power of two from {min} to {max}")
            }
            Self::Range { what, value, min, max } => write!(f, "{what} {value} is not from {min} to {max}"),
            Self::Unreachable { max_small_size, step } => write!(
                f,
                "max_small_size {max_small_size} is not a multiple of {step}, the distance of classes there"
            ),
            Self::TooManyClasses { size } => write!(
                f,
                "size {size} would need class number 256 and the last is 255; a greater max_step, or a lesser step_divisor \
                 or max_small_size, gives fewer classes"
            ),
            Self::SpanTooLong { size } => write!(
                f,
                "the class of {size} bytes would need a span of more than 255 pages; a greater page_size or a lesser \
                 tail_waste_divisor gives shorter spans"
            ),
            Self::MagicInexact { size, span } => write!(
                f,
                "a span of {span} bytes is too long to be divided by {size} with a 32-bit magic number; a lesser \
                 tail_waste_divisor gives shorter spans"
            ),
        }
    }
}

impl core::error::Error for ParamsError {}
