//! Writes a table: as the Rust source that [`crate::table`] is, and as the comment that heads Go's own.
//!
//! The source comes out as rustfmt leaves it, so that formatting the workspace does not change what a test compares.

use core::fmt::{self, Display, Write};

use crate::generate::Table;

/// Where the workspace's rustfmt ends a line of an array: one short of `max_width`.
const WIDTH: usize = 109;

impl Table {
    /// Writes the Rust source of the table: what is committed as [`crate::table`] if the parameters are Go's.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_rust(&self, w: &mut impl Write) -> fmt::Result {
        let p = self.params();
        let option = if self.given { "--from" } else { "--rust" };
        writeln!(
            w,
            "//! The size-class table, as the allocator compiles it in: written by `gort size-classes {option}`, not by hand."
        )?;
        if !self.given {
            w.write_str("//!\n//! Made from ")?;
            writeln!(
                w,
                "page_size {}, max_small_size {}, tail_waste_divisor {}, small_size_div {},",
                p.page_size, p.max_small_size, p.tail_waste_divisor, p.small_size_div
            )?;
            writeln!(
                w,
                "//! small_size_max {}, large_size_div {}, step_divisor {}, max_step {}.",
                p.small_size_max, p.large_size_div, p.step_divisor, p.max_step
            )?;
        }
        w.write_str("//!\n//! ```text\n")?;
        self.write_classes(w, "//! ")?;
        w.write_str("//! ```\n\n")?;
        constant(
            w,
            "Number of classes, class 0 included, which stands for objects too large to have one.",
            "NUM_CLASSES",
            self.len(),
        )?;
        constant(w, "Bytes of a page.", "PAGE_SIZE", p.page_size)?;
        constant(w, "Bytes of the largest object that has a class.", "MAX_SMALL_SIZE", p.max_small_size)?;
        constant(
            w,
            "Step of [`SIZE_TO_CLASS8`] in bytes; every class is a multiple of it.",
            "SMALL_SIZE_DIV",
            p.small_size_div,
        )?;
        constant(
            w,
            "Bytes up to which [`SIZE_TO_CLASS8`] reaches and above which [`SIZE_TO_CLASS128`] is used.",
            "SMALL_SIZE_MAX",
            p.small_size_max,
        )?;
        constant(
            w,
            "Step of [`SIZE_TO_CLASS128`] in bytes; every class it names is a multiple of it.",
            "LARGE_SIZE_DIV",
            p.large_size_div,
        )?;
        constant(
            w,
            "The most objects that a span has.",
            "MAX_OBJECTS_PER_SPAN",
            self.max_objects_per_span(),
        )?;
        constant(w, "The most pages that a span has.", "MAX_SPAN_PAGES", self.max_span_pages())?;
        constant(
            w,
            "Up to this alignment in bytes, a size rounded up to a multiple of the alignment has a class so aligned.",
            "MAX_DIRECT_ALIGN",
            self.max_direct_align(),
        )?;
        constant(
            w,
            "Up to this size in bytes the same holds at every alignment: rounded no further than this, its class is aligned.",
            "MAX_DIRECT_SIZE",
            self.max_direct_size(),
        )?;
        array(w, "Bytes of an object of each class.", "CLASS_TO_SIZE", "u32; NUM_CLASSES", self.sizes())?;
        array(w, "Pages of a span of each class.", "CLASS_TO_PAGES", "u8; NUM_CLASSES", self.pages())?;
        array(
            w,
            "What an offset is multiplied by to give the object's index in the upper 32 bits, for each class.",
            "CLASS_TO_DIVMAGIC",
            "u32; NUM_CLASSES",
            self.magics(),
        )?;
        array(
            w,
            "Entry i is the smallest class of at least `i * SMALL_SIZE_DIV` bytes.",
            "SIZE_TO_CLASS8",
            "u8; SMALL_SIZE_MAX / SMALL_SIZE_DIV + 1",
            self.small_lookup(),
        )?;
        array(
            w,
            "Entry i is the smallest class of at least `SMALL_SIZE_MAX + i * LARGE_SIZE_DIV` bytes.",
            "SIZE_TO_CLASS128",
            "u8; (MAX_SMALL_SIZE - SMALL_SIZE_MAX).div_ceil(LARGE_SIZE_DIV) + 1",
            self.large_lookup(),
        )
    }

    /// Writes the table in the form of the comment that heads Go's: the classes, then the alignments that are guaranteed
    /// from which size on.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_go_comment(&self, w: &mut impl Write) -> fmt::Result {
        self.write_classes(w, "// ")?;
        w.write_str("\n// alignment  bits  min obj size\n")?;
        // Each alignment that some size and all above it have; of several with the same size only the greatest.
        let mut guaranteed: Option<(u32, u32)> = None;
        let mut align = self.params().small_size_div;
        while align <= self.params().page_size {
            let from = self
                .classes()
                .filter(|c| c.align() < align)
                .last()
                .map_or(align, |c| self.size_after(c.index));
            if let Some((a, s)) = guaranteed
                && s != from
            {
                alignment(w, a, s)?;
            }
            guaranteed = (from != 0).then_some((align, from));
            align *= 2;
        }
        guaranteed.map_or(Ok(()), |(a, s)| alignment(w, a, s))
    }

    fn write_classes(&self, w: &mut impl Write, prefix: &str) -> fmt::Result {
        writeln!(w, "{prefix}class  bytes/obj  bytes/span  objects  tail waste  max waste  min align")?;
        for c in self.classes() {
            writeln!(
                w,
                "{prefix}{:5}  {:9}  {:10}  {:7}  {:10}  {:8.2}%  {:9}",
                c.index,
                c.size,
                c.span_bytes(),
                c.objects(),
                c.tail_waste(),
                c.max_waste_percent(),
                c.align()
            )?;
        }
        Ok(())
    }
}

fn alignment(w: &mut impl Write, align: u32, size: u32) -> fmt::Result {
    writeln!(w, "// {align:9}  {:4}  {size:12}", align.ilog2())
}

fn constant(w: &mut impl Write, doc: &str, name: &str, value: impl Display) -> fmt::Result {
    writeln!(w, "/// {doc}\npub const {name}: usize = {value};")
}

/// Items fill the lines, as rustfmt does with short ones.
fn array<T: Display>(
    w: &mut impl Write,
    doc: &str,
    name: &str,
    ty: &str,
    items: impl Iterator<Item = T>,
) -> fmt::Result {
    write!(w, "\n/// {doc}\npub static {name}: [{ty}] = [")?;
    let mut column = WIDTH;
    for item in items {
        let mut len = Length(0);
        write!(len, "{item}")?;
        // A blank, the item, its comma.
        if column + len.0 + 2 > WIDTH {
            write!(w, "\n    {item},")?;
            column = 4 + len.0 + 1;
        } else {
            write!(w, " {item},")?;
            column += len.0 + 2;
        }
    }
    w.write_str("\n];\n")
}

/// Counts what is written.
struct Length(usize);

impl Write for Length {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.0 += s.len();
        Ok(())
    }
}
