//! The report for programs: one JSON object, with the names of [`MemStats`](crate::MemStats) where it has the figure.

use core::fmt::{self, Display, Formatter, Write};

use super::Report;
use crate::base::Class;
use crate::mcentral::{CentralCounts, central};
use crate::sync::LockCounts;

/// A lock's counts as an object.
struct Lock<'a>(&'a LockCounts);

impl Display for Lock<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let LockCounts { taken, waited, slept } = self.0;
        write!(f, "{{\"taken\": {taken}, \"waited\": {waited}, \"slept\": {slept}}}")
    }
}

/// A central store's counts as an object.
struct Central<'a>(&'a CentralCounts);

impl Display for Central<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let c = self.0;
        write!(f, "{{\"lock\": {}", Lock(&c.lock))?;
        for (name, n) in [
            ("batches_in", c.batches_in),
            ("objects_in", c.objects_in),
            ("batches_out", c.batches_out),
            ("objects_out", c.objects_out),
            ("objects_from_spans", c.objects_from_spans),
            ("objects_to_spans", c.objects_to_spans),
            ("spans_made", c.spans_made),
            ("spans_freed", c.spans_freed),
        ] {
            write!(f, ", \"{name}\": {n}")?;
        }
        f.write_str("}")
    }
}

/// Writes the report and a newline.
pub(super) fn write(report: &Report, w: &mut dyn Write) -> fmt::Result {
    let s = &report.stats;
    write!(w, "{{\n  \"gort\": \"{}\",\n  \"command\": \"", env!("CARGO_PKG_VERSION"))?;
    for c in report.command.chars() {
        match c {
            '"' | '\\' => write!(w, "\\{c}")?,
            _ => w.write_char(c)?,
        }
    }
    w.write_str("\",\n")?;
    let limit = Some(s.memory_limit).filter(|&limit| limit != u64::MAX);
    let fields = [
        ("pid", Some(report.pid.into())),
        ("forked_from", report.forked_from.map(u64::from)),
        ("rss", report.rss),
        ("rss_peak", report.rss_peak),
        ("sys", Some(s.sys)),
        ("heap_sys", Some(s.heap_sys)),
        ("heap_inuse", Some(s.heap_inuse)),
        ("heap_inuse_peak", Some(s.heap_inuse_peak)),
        ("heap_idle", Some(s.heap_idle)),
        ("heap_released", Some(s.heap_released)),
        ("heap_alloc", Some(s.heap_alloc)),
        ("heap_objects", Some(s.heap_objects)),
        ("huge_inuse", Some(s.huge_inuse)),
        ("huge_objects", Some(s.huge_objects)),
        ("mcache_inuse", Some(s.mcache_inuse)),
        ("other_sys", Some(s.other_sys)),
        ("memory_limit", limit),
        ("total_alloc", Some(s.total_alloc)),
        ("mallocs", Some(s.mallocs)),
        ("frees", Some(s.frees)),
    ];
    for (name, value) in fields {
        match value {
            Some(value) => writeln!(w, "  \"{name}\": {value},")?,
            None => writeln!(w, "  \"{name}\": null,")?,
        }
    }
    match s.internal_fragmentation().map(|part| (part * 10_000.0 + 0.5) as u64) {
        Some(n) => writeln!(w, "  \"internal_fragmentation\": {}.{:04},", n / 10_000, n % 10_000)?,
        None => writeln!(w, "  \"internal_fragmentation\": null,")?,
    }
    writeln!(w, "  \"internal_fragmentation_samples\": {},", report.samples())?;
    let pages = &s.whole_pages;
    writeln!(
        w,
        "  \"whole_pages\": {{\"mallocs\": {}, \"frees\": {}, \"bytes\": {}, \"requested_bytes\": {}, \"remote_frees\": {}}},",
        pages.mallocs, pages.frees, pages.bytes, pages.requested_bytes, pages.remote_frees
    )?;
    let c = &s.contention;
    writeln!(
        w,
        "  \"contention\": {{\n    \"operations\": {},\n    \"remote_frees\": {},",
        c.operations, c.remote_frees
    )?;
    writeln!(w, "    \"page_heap\": {},\n    \"metadata\": {},", Lock(&c.page_heap), Lock(&c.metadata))?;
    writeln!(w, "    \"central\": {}\n  }},", Central(&c.central))?;
    w.write_str("  \"by_size\": [")?;
    let mut between = "\n";
    for class in Class::all() {
        let row = &s.by_size[class.index()];
        if row.mallocs == 0 {
            continue;
        }
        write!(
            w,
            "{between}    {{\"size\": {}, \"mallocs\": {}, \"frees\": {}, \"sampled\": {}, \"sampled_bytes\": {}, ",
            row.size, row.mallocs, row.frees, row.sampled, row.sampled_bytes
        )?;
        let store = central(class).counts();
        write!(w, "\"remote_frees\": {}, \"central\": {}}}", row.remote_frees, Central(&store))?;
        between = ",\n";
    }
    w.write_str("\n  ]\n}\n")
}
