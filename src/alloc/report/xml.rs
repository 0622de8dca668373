//! The report as XML, for `malloc_info`: glibc's elements where it has one for the figure, under a version of its own.

use core::fmt::{self, Write};

use super::Report;

/// Writes the report and a newline.
pub(super) fn write(report: &Report, w: &mut dyn Write) -> fmt::Result {
    let s = &report.stats;
    w.write_str("<malloc version=\"gort-1\">\n<heap nr=\"0\">\n<sizes>\n")?;
    for row in s.by_size.iter().filter(|row| row.mallocs > 0) {
        let live = row.mallocs.saturating_sub(row.frees);
        writeln!(
            w,
            "  <size from=\"{0}\" to=\"{0}\" total=\"{1}\" count=\"{2}\" mallocs=\"{3}\" frees=\"{4}\"/>",
            row.size,
            live * u64::from(row.size),
            live,
            row.mallocs,
            row.frees
        )?;
    }
    w.write_str("</sizes>\n</heap>\n")?;
    let pages = &s.whole_pages;
    writeln!(w, "<total type=\"live\" count=\"{}\" size=\"{}\"/>", s.heap_objects, s.heap_alloc)?;
    writeln!(
        w,
        "<total type=\"whole-pages\" count=\"{}\" mallocs=\"{}\" frees=\"{}\"/>",
        pages.mallocs.saturating_sub(pages.frees),
        pages.mallocs,
        pages.frees
    )?;
    writeln!(w, "<total type=\"mmap\" count=\"{}\" size=\"{}\"/>", s.huge_objects, s.huge_inuse)?;
    writeln!(w, "<in-use type=\"current\" size=\"{}\"/>", s.heap_inuse)?;
    writeln!(w, "<in-use type=\"max\" size=\"{}\"/>", s.heap_inuse_peak)?;
    writeln!(w, "<system type=\"current\" size=\"{}\"/>", s.sys)?;
    writeln!(w, "<released type=\"current\" size=\"{}\"/>", s.heap_released)?;
    w.write_str("</malloc>\n")
}
