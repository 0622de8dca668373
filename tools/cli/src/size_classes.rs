//! `gort size-classes`: the table in Go's form, as Rust source, or compared with the one that was compiled in.

use std::io::{self, Write};

use gort_size_classes::{Params, Table};

use crate::failure::{Failure, bad_input, failed};

/// Print the size-class table, in the form of the comment that heads Go's own
///
/// Without options that is Go's table. The options give tables for other pages and workloads.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct Args {
    /// Make the table anew and compare it with the one compiled into gort; exit code 1 if they differ
    #[arg(long, conflicts_with = "rust")]
    check: bool,
    /// Print the table as Rust source: what is committed as size_classes/src/table.rs
    #[arg(long)]
    rust: bool,
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
  gort size-classes --small-size-div 16 --rust > table.rs";

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
