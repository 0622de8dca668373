//! What two tables waste on the same objects, for people: as a table and as bars.

use std::fmt::Write;

use comfy_table::{CellAlignment, presets};
use gort_size_classes::Table;

use super::from::Count;
use super::waste::{Demand, Waste, by_part};

/// Ranges of sizes: up to 64 bytes, and then between powers of two.
pub(super) const RANGES: usize = 10;
const FIRST_RANGE: u32 = 64;
/// Characters of the longest bar.
const BAR: usize = 40;

/// The waste of both tables, in all and by range.
pub(super) struct Picture {
    pub(super) of: String,
    count: Count,
    classes: usize,
    pub(super) before: Vec<Waste>,
    pub(super) after: Vec<Waste>,
    pub(super) all_before: Waste,
    pub(super) all_after: Waste,
}

fn range(size: u32) -> usize {
    (size.max(1).div_ceil(FIRST_RANGE)).next_power_of_two().ilog2() as usize
}

/// The largest size of a range.
fn end(range: usize) -> u32 {
    FIRST_RANGE << range
}

/// How a range is called.
pub(super) fn name(range: usize) -> String {
    let from = if range == 0 { 1 } else { end(range - 1) + 1 };
    format!("{from} to {}", end(range))
}

impl Picture {
    pub(super) fn new(of: String, before: &Table, after: &Table, demands: &[Demand], count: Count) -> Self {
        let (before, all_before) = by_part(before, demands, RANGES, range);
        let classes = after.len() - 1;
        let (after, all_after) = by_part(after, demands, RANGES, range);
        Self { of, count, classes, before, after, all_before, all_after }
    }

    /// Ranges in which there are objects.
    pub(super) fn ranges(&self) -> impl Iterator<Item = usize> {
        (0..RANGES).filter(|&i| self.before[i].objects > 0)
    }

    /// All of it, at most 100 columns wide.
    pub(super) fn text(&self) -> String {
        let all_before = &self.all_before;
        let objects = match self.count {
            Count::Live => "objects at the heap's peak",
            Count::Allocated => "objects ever allocated",
        };
        let mut s = format!(
            "{}: {} {objects}, {} asked for; Go's table beside one of {} classes\n\n",
            self.of,
            grouped(all_before.objects),
            bytes(all_before.asked),
            self.classes
        );
        let _ = writeln!(s, "{}\n", self.kinds());
        let _ = writeln!(s, "{}\n\nwaste by the size asked for", self.by_range());
        let longest = self.ranges().map(|i| self.before[i].sum().max(self.after[i].sum())).max().unwrap_or(0);
        for i in self.ranges() {
            let (before, after) = (self.before[i].sum(), self.after[i].sum());
            let _ = writeln!(s, "{:>14}  Go    {} {}", name(i), bar(before, longest), bytes(before));
            let _ = writeln!(s, "{:>14}  this  {} {}", "", bar(after, longest), bytes(after));
        }
        s
    }

    /// Waste by what causes it.
    fn kinds(&self) -> comfy_table::Table {
        let (b, a) = (&self.all_before, &self.all_after);
        let mut table = table(["waste", "Go's table", "this table", "saved"]);
        for (name, before, after) in [
            ("rounding up to the alignment", b.padding, a.padding),
            ("rounding up to a class", b.rounding, a.rounding),
            ("tails of spans", b.tails, a.tails),
            ("half a span of each class in use", b.halves, a.halves),
            ("all", b.sum(), a.sum()),
            ("in percent of the spans", 0, 0),
        ] {
            if name.starts_with("in percent") {
                table.add_row([name.to_owned(), part(b), part(a), String::new()]);
            } else {
                table.add_row([name.to_owned(), bytes(before), bytes(after), saved(before, after)]);
            }
        }
        right(&mut table);
        table
    }

    fn by_range(&self) -> comfy_table::Table {
        let mut table = table(["sizes", "objects", "asked for", "Go wastes", "this wastes", "saved"]);
        for i in self.ranges() {
            let (b, a) = (&self.before[i], &self.after[i]);
            let cells =
                [grouped(b.objects), bytes(b.asked), bytes(b.sum()), bytes(a.sum()), saved(b.sum(), a.sum())];
            table.add_row([name(i)].into_iter().chain(cells));
        }
        right(&mut table);
        table
    }
}

fn table<const N: usize>(header: [&str; N]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header);
    table
}

fn right(table: &mut comfy_table::Table) {
    table.column_iter_mut().skip(1).for_each(|c| c.set_cell_alignment(CellAlignment::Right));
}

/// The part of all that spans take that is waste.
fn part(waste: &Waste) -> String {
    let all = waste.sum() + waste.asked;
    format!("{:.1} %", if all == 0 { 0.0 } else { 100.0 * waste.sum() as f64 / all as f64 })
}

fn saved(before: u128, after: u128) -> String {
    if after > before { format!("-{}", bytes(after - before)) } else { bytes(before - after) }
}

/// With a binary unit and one decimal.
pub(super) fn bytes(n: u128) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// In groups of three digits.
fn grouped(n: u128) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// A bar, in steps of an eighth of a character; what is there at all is seen.
fn bar(value: u128, longest: u128) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (value * (8 * BAR as u128)).checked_div(longest).unwrap_or(0) as usize;
    let eighths = eighths.max((value > 0).into());
    let bar = "█".repeat(eighths / 8) + PARTS[eighths % 8];
    format!("{bar:<BAR$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_size_is_in_the_range_that_is_called_so() {
        for size in 1..=32768 {
            let name = name(range(size));
            let (from, to) = name.split_once(" to ").unwrap();
            assert!((from.parse().unwrap()..=to.parse().unwrap()).contains(&size), "{size}: {name}");
        }
        assert_eq!((range(0), range(32768)), (0, RANGES - 1));
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(
            ["0 B", "1023 B", "1.0 KiB", "1.0 MiB"],
            [0, 1023, 1024, (1 << 20) - 1].map(bytes).each_ref().map(|s| s.as_str())
        );
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"],
            [0, 999, 1000, 1_234_567].map(grouped).each_ref().map(|s| s.as_str())
        );
        assert_eq!(saved(1024, 2048), "-1.0 KiB");
        assert_eq!(bar(7, 7).chars().filter(|&c| c == '█').count(), BAR);
        assert_eq!(bar(1, 1000).trim_end(), "▏");
        assert_eq!(bar(0, 0).trim_end(), "");
    }
}
