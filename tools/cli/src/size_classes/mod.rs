//! `gort size-classes`: the table in Go's form, as Rust source, or compared with the one that was compiled in; and a table for a
//! program of the user's own.

mod fit;
mod from;
mod histogram;
mod shown;
mod svg;
mod waste;

use std::io::{self, Write};
use std::path::PathBuf;

use gort_size_classes::{Params, Table};

use crate::failure::{Failure, bad_input, failed};

/// Print the size-class table, in the form of the comment that heads Go's own
///
/// Without options that is Go's table. The options give tables for other pages.
///
/// With --from it is a table for a program's own sizes: FILE says how many objects of which sizes the program had, as `gort run --sizes
/// FILE` writes it. The table has at most as many classes as Go's and, of all such tables, the least waste on these objects. Every
/// alignment up to a cache line is still served by the class of the padded size. Shown is what both tables waste. A line of FILE is a size
/// in bytes, how many objects were allocated, and perhaps how many lived at the heap's peak, and their alignment; # begins a comment.
///
/// To build gort with the table, name it by its absolute path: GORT_SIZE_CLASSES=$PWD/table.rs cargo build --release.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct Args {
    /// Make the table anew and compare it with the one compiled into gort; exit code 1 if they differ
    #[arg(long, conflicts_with_all = ["rust", "from"])]
    check: bool,
    /// Print the table as Rust source: what is committed as size_classes/src/table.rs
    #[arg(long, conflicts_with = "from")]
    rust: bool,
    /// Make the table that wastes least on the objects in FILE; several files are added up
    #[arg(long, value_name = "FILE", num_args = 1..)]
    from: Vec<PathBuf>,
    /// With --from: write the table to FILE as Rust source, as gort is built with it
    #[arg(long, short, value_name = "FILE", requires = "from")]
    output: Option<PathBuf>,
    /// With --from: draw the waste of both tables as SVG into FILE
    #[arg(long, value_name = "FILE", requires = "from")]
    svg: Option<PathBuf>,
    /// With --from: the most classes that the table may have
    #[arg(long, value_name = "N", requires = "from", default_value_t = from::GO_CLASSES, value_parser = from::classes)]
    classes: usize,
    /// With --from: the most that rounding may add to any request, asked for or not, in percent of its class (15 bytes may always be)
    #[arg(long, value_name = "PERCENT", requires = "from", default_value_t = 25, value_parser = from::worst)]
    worst: u32,
    /// With --from: whether an object counts that lived at the heap's peak, or each that was allocated
    #[arg(long, value_name = "WHICH", requires = "from", value_enum, default_value_t = from::Count::Live)]
    count: from::Count,
    /// Bytes of a page
    #[arg(long, value_name = "BYTES", default_value_t = Params::GO.page_size, value_parser = number)]
    page_size: u32,
    /// Bytes of the largest object that has a class
    #[arg(long, value_name = "BYTES", default_value_t = Params::GO.max_small_size, value_parser = number)]
    max_small_size: u32,
    /// A span's unused tail is at most the span's size divided by this
    #[arg(long, value_name = "N", default_value_t = Params::GO.tail_waste_divisor, value_parser = number)]
    tail_waste_divisor: u32,
    /// Smallest class, and step of the lookup table for small sizes
    #[arg(long, value_name = "BYTES", default_value_t = Params::GO.small_size_div, value_parser = number)]
    small_size_div: u32,
    /// Size at which the lookup table for larger sizes begins
    #[arg(long, value_name = "BYTES", default_value_t = Params::GO.small_size_max, value_parser = number)]
    small_size_max: u32,
    /// Step of the lookup table for larger sizes
    #[arg(long, value_name = "BYTES", default_value_t = Params::GO.large_size_div, value_parser = number)]
    large_size_div: u32,
    /// Sizes from a power of two on are tried in steps of this power divided by N
    #[arg(long, value_name = "N", default_value_t = Params::GO.step_divisor, value_parser = number)]
    step_divisor: u32,
    /// Widest step between the sizes that are tried
    #[arg(long, value_name = "BYTES", default_value_t = Params::GO.max_step, value_parser = number)]
    max_step: u32,
}

const EXAMPLES: &str = "\
Examples:
  gort size-classes
  gort size-classes --check
  gort size-classes --page-size 4096 --max-small-size 65536
  gort size-classes --small-size-div 16 --rust > table.rs
  gort run --sizes redis.sizes -- redis-server; gort size-classes --from redis.sizes -o table.rs";

fn number(s: &str) -> Result<u32, String> {
    s.parse().map_err(|_| format!("not a whole number from 0 to {}", u32::MAX))
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let params = Params {
        page_size: args.page_size,
        max_small_size: args.max_small_size,
        tail_waste_divisor: args.tail_waste_divisor,
        small_size_div: args.small_size_div,
        small_size_max: args.small_size_max,
        large_size_div: args.large_size_div,
        step_divisor: args.step_divisor,
        max_step: args.max_step,
    };
    if !args.from.is_empty() {
        return from::run(args);
    }
    let table = Table::generate(&params).map_err(|e| bad_input(as_options(&e.to_string())))?;
    let mut text = String::new();
    if args.check {
        table.compare_with_committed().map_err(|d| failed(d.to_string()))?;
        text = format!("ok: the generator makes the compiled-in table, {} classes\n", table.len());
    } else if args.rust {
        table.write_rust(&mut text).map_err(io::Error::other)?;
    } else {
        table.write_go_comment(&mut text).map_err(io::Error::other)?;
    }
    Ok(io::stdout().write_all(text.as_bytes())?)
}

/// The generator calls its parameters by their fields' names; here they are options.
fn as_options(message: &str) -> String {
    let words = message
        .split(' ')
        .map(|w| if w.contains('_') { format!("--{}", w.replace('_', "-")) } else { w.to_owned() });
    words.collect::<Vec<_>>().join(" ")
}

/// Reads bytes as a file for `--from`, and makes its table.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn fuzz(bytes: &[u8]) {
    from::fuzz(bytes);
}

#[cfg(test)]
mod tests {
    use super::as_options;

    #[test]
    fn fields_become_options() {
        assert_eq!(
            as_options("page_size 5 is not, a lesser max_step, is"),
            "--page-size 5 is not, a lesser --max-step, is"
        );
    }
}
