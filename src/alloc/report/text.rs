//! The report for people: a block of lines that fits a terminal of 80 columns.

use core::fmt::{self, Write};

use super::Report;
use super::units::{Bar, Count, Of, Percent, Rate, Size};
use crate::base::NUM_CLASSES;

/// Classes that get a bar.
const BARS: usize = 10;

/// Writes the report.
pub(super) fn write(report: &Report, w: &mut dyn Write) -> fmt::Result {
    let s = &report.stats;
    head(report, w)?;
    line(w, "heap in use", Size(s.heap_inuse), format_args!("{} at its peak", Size(s.heap_inuse_peak)))?;
    line(w, "live objects", Size(s.heap_alloc), format_args!("in {}", Of(s.heap_objects, "object")))?;
    line(w, "mapped", Size(s.sys), format_args!("heap and {} of metadata", Size(s.other_sys)))?;
    line(w, "released", Size(s.heap_released), format_args!("of that: with the kernel, or never touched"))?;
    if s.memory_limit != u64::MAX {
        line(w, "memory limit", Size(s.memory_limit), format_args!("GOMEMLIMIT"))?;
    }
    match (report.rss, report.rss_peak) {
        (Some(rss), Some(peak)) => {
            line(
                w,
                "resident",
                Size(rss),
                format_args!("{} at its peak, the whole process (RSS)", Size(peak)),
            )?;
        }
        _ => writeln!(w, "  resident           unknown   /proc is not there")?,
    }
    line(w, "allocations", Count(s.mallocs), format_args!("{} in all", Size(s.total_alloc)))?;
    line(w, "frees", Count(s.frees), format_args!("{} in all", Size(s.total_alloc - s.heap_alloc)))?;
    if let Some(part) = s.internal_fragmentation() {
        let samples = Of(report.samples(), "sampled request");
        line(w, "fragmentation", Percent { part }, format_args!("internal, estimated from {samples}"))?;
    }
    bars(report, w)?;
    contention(report, w)
}

#[inline(never)]
fn head(report: &Report, w: &mut dyn Write) -> fmt::Result {
    write!(w, "gort: heap of process {} (", report.pid)?;
    report.command.chars().try_for_each(|c| w.write_char(c))?;
    w.write_str(if report.is_rust { "), Rust's global allocator" } else { ")" })?;
    if let Some(parent) = report.forked_from {
        write!(w, ", forked from {parent} with its counts")?;
    }
    w.write_char('\n')
}

#[inline(never)]
fn line(w: &mut dyn Write, name: &str, value: impl fmt::Display, rest: fmt::Arguments<'_>) -> fmt::Result {
    writeln!(w, "  {name:<14}{value:>12}   {rest}")
}

/// The classes with the most allocations, as bars. Whole pages count as one class, with index 0.
#[inline(never)]
fn bars(report: &Report, w: &mut dyn Write) -> fmt::Result {
    let s = &report.stats;
    let mallocs =
        |index: u8| if index == 0 { s.whole_pages.mallocs } else { s.by_size[usize::from(index)].mallocs };
    let mut order: [u8; NUM_CLASSES] = core::array::from_fn(|i| i as u8);
    // Unstable: it needs no memory. The index decides between equals.
    order.sort_unstable_by_key(|&i| (core::cmp::Reverse(mallocs(i)), i));
    let used = order.iter().filter(|&&i| mallocs(i) > 0).count();
    let shown = &order[..used.min(BARS)];
    let Some(&first) = shown.first() else { return Ok(()) };
    let sum: u64 = shown.iter().map(|&i| mallocs(i)).sum();
    write!(w, "\n  size classes by allocations")?;
    if used > BARS {
        write!(w, ": the busiest {BARS} of {used} have {}", Percent::of(sum, s.mallocs))?;
    }
    w.write_char('\n')?;
    for &i in shown {
        if i == 0 {
            write!(w, "  {:>8}  ", "> 32 KiB")?;
        } else {
            write!(w, "  {:>6} B  ", Count(s.by_size[usize::from(i)].size.into()))?;
        }
        let bar = Bar { value: mallocs(i), largest: mallocs(first) };
        writeln!(w, "{bar}  {:>13}  {:>8}", Count(mallocs(i)), Percent::of(mallocs(i), s.mallocs))?;
    }
    Ok(())
}

/// How often threads met, and what they passed to one another.
#[inline(never)]
fn contention(report: &Report, w: &mut dyn Write) -> fmt::Result {
    let c = &report.stats.contention;
    if c.operations == 0 {
        return Ok(());
    }
    let rate = |events: u64| Rate(c.per_million(events));
    let head = "contention, per million operations";
    writeln!(w, "\n  {head:<34}{:>10}{:>13}{:>11}", "taken", "found taken", "slept")?;
    for (name, lock) in [
        ("locks of the central stores", &c.central.lock),
        ("lock of the page heap", &c.page_heap),
        ("lock of the metadata", &c.metadata),
    ] {
        let (taken, waited, slept) = (rate(lock.taken), rate(lock.waited), rate(lock.slept));
        writeln!(w, "  {name:<34}{taken:>10}{waited:>13}{slept:>11}")?;
    }
    let m = &c.central;
    writeln!(w, "  {:<34}{:>10}{:>13}{:>11}", "", "objects in", "objects out", "in and out")?;
    for (name, ins, outs, times, what) in [
        ("transfer caches", m.objects_in, m.objects_out, m.batches_in + m.batches_out, "batches"),
        ("spans", m.objects_to_spans, m.objects_from_spans, m.spans_made + m.spans_freed, "spans"),
    ] {
        let (ins, outs, times) = (rate(ins), rate(outs), rate(times));
        writeln!(w, "  {name:<34}{ins:>10}{outs:>13}{times:>11} {what}")?;
    }
    writeln!(w, "  {:<34}{:>10}", "remote frees, at least", rate(c.remote_frees))
}
