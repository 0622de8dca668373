//! The sizes that a program asked for, as the lines that `gort size-classes --from` reads: size, allocations, live objects, alignment.

use core::fmt::{self, Write};

use super::Report;
use super::at_exit::is_behind_malloc;
use crate::alloc::sizes;
use crate::alloc::stats::MemStats;
use crate::base::C_ALIGN;

/// The alignment that a program may expect of any object of its size, or more.
fn least_align() -> usize {
    if is_behind_malloc() { C_ALIGN } else { 8 }
}

/// Writes what was recorded.
pub(super) fn write(report: &Report, w: &mut dyn Write) -> fmt::Result {
    w.write_str(
        "# gort sizes: bytes of objects that have a size class, as the program asked for them\n# command ",
    )?;
    report.command.chars().try_for_each(|c| w.write_char(c))?;
    write!(w, "\n# process {}\n", report.pid)?;
    if let Some(parent) = report.forked_from {
        writeln!(w, "# forked from {parent} with its counts")?;
    }
    let (allocs, live, bytes) = sizes::pages();
    writeln!(w, "# whole pages: {allocs} objects, {live} of them with {bytes} bytes at the peak")?;
    writeln!(w, "# the peak of what was asked for: {} bytes", sizes::peak_bytes())?;
    w.write_str("# size, allocations, live at the peak, alignment\n")?;
    let mut written = Ok(());
    sizes::each(least_align(), |r| {
        if written.is_ok() {
            written = writeln!(w, "{} {} {} {}", r.size, r.allocs, r.live_at_peak, r.align);
        }
    });
    written
}

impl MemStats {
    /// Writes sizes as `gort size-classes --from` reads them, from the counts of the size classes: one line for each class, with the
    /// mean of the requests that refilled a bin as its size, its allocations, and the objects that live now.
    ///
    /// It is a rough picture: what the requests of a class were, one by one, is not counted. A process that was started with
    /// `GORT_SIZES=FILE` in its environment writes each size, and how many lived at the heap's peak, when it exits.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_sizes(&self, w: &mut dyn Write) -> fmt::Result {
        w.write_str("# gort sizes: one line for each size class, with the mean of sampled requests\n")?;
        w.write_str("# size, allocations, live now, alignment\n")?;
        for pair in self.by_size.windows(2) {
            let (below, row) = (&pair[0], &pair[1]);
            if row.mallocs > 0 {
                let mean = row.sampled_bytes.div_ceil(row.sampled.max(1)) as u32;
                let size = if row.sampled == 0 { row.size } else { mean.clamp(below.size + 1, row.size) };
                let live = row.mallocs.saturating_sub(row.frees);
                writeln!(w, "{size} {} {live} {}", row.mallocs, least_align())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::base::Class;
    use std::string::String;

    #[test]
    fn classes_stand_for_the_mean_of_their_samples() {
        let mut stats = MemStats::ZERO;
        for class in Class::all() {
            stats.by_size[class.index()].size = class.size().0 as u32;
        }
        let (below, size) = (stats.by_size[9].size, stats.by_size[10].size);
        let row = &mut stats.by_size[10];
        (row.mallocs, row.frees, row.sampled, row.sampled_bytes) = (100, 60, 3, 3 * u64::from(size) - 4);
        // Never sampled, and sampled where a larger class's alignment was wanted.
        (stats.by_size[12].mallocs, stats.by_size[12].frees) = (7, 7);
        let row = &mut stats.by_size[14];
        (row.mallocs, row.sampled, row.sampled_bytes) = (1, 1, 1);
        let mut text = String::new();
        stats.write_sizes(&mut text).unwrap();
        let lines: std::vec::Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            std::format!("{} 100 40 8", (size - 1).max(below + 1)),
            std::format!("{} 7 0 8", stats.by_size[12].size),
            std::format!("{} 1 1 8", stats.by_size[13].size + 1),
        ];
        assert_eq!(lines, expected);
    }
}
