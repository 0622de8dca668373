//! `gort bop --sweep`: does the allocator account what the size-class table and page rounding say, for every size?
//!
//! Every size to 33 KiB is allocated, then each page's edge to 64 MiB with a byte less and a byte more; and the edges of
//! each class at each alignment. What the allocator counted for it, bytes and objects, for the thread and for the process,
//! and the usable size are compared with the table.
//!
//! Rejected: every size to 64 MiB. Within a page all sizes cost the same, so it would take hours to learn nothing.
#![expect(unsafe_code, reason = "allocates raw memory of an exact size and alignment")]

use std::alloc::{self, Layout};
use std::hint::black_box;
use std::io::{self, Write};

use gort_size_classes::class_for;
use gort_size_classes::table::{CLASS_TO_SIZE, MAX_SMALL_SIZE, PAGE_SIZE};
use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::{Failure, failed};

const LARGEST: usize = 64 << 20;
/// Up to here, some way into the large sizes, no size is left out.
const EVERY_SIZE_TO: usize = MAX_SMALL_SIZE + 1024;
const LARGEST_ALIGN: usize = 2 << 20;

/// What the allocator said about an allocation that was made and freed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Observed {
    usable: u64,
    /// As the thread's own counters have it: bytes and objects allocated, then freed.
    thread: [u64; 4],
    /// The same, as the process's statistics have it.
    process: [u64; 4],
    /// Bytes in use that the statistics show more while it lives.
    live: u64,
    aligned: bool,
    kept: bool,
}

/// Runs the sweep.
pub(super) fn run() -> Result<(), Failure> {
    let layouts: Vec<Layout> = layouts().collect();
    let bar = ProgressBar::new(layouts.len() as u64);
    bar.set_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len}").unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    for (i, &layout) in layouts.iter().enumerate() {
        let difference = match observe(layout) {
            Some(observed) => compare(layout, &observed),
            None => Some("the allocator returned null".to_owned()),
        };
        if let Some(difference) = difference {
            bar.finish_and_clear();
            return Err(failed(format!(
                "sweep: size {} align {}: {difference}",
                layout.size(),
                layout.align()
            )));
        }
        if i % 256 == 0 {
            bar.set_position(i as u64);
        }
    }
    bar.finish_and_clear();
    writeln!(
        io::stdout(),
        "ok: {} allocations from 1 B to {} MiB at alignments from 1 B to {} MiB: bytes and objects accounted and usable\n\
         size are as the table of {} classes has them up to {MAX_SMALL_SIZE} B, and whole pages of {PAGE_SIZE} B above",
        layouts.len(),
        LARGEST >> 20,
        LARGEST_ALIGN >> 20,
        CLASS_TO_SIZE.len() - 1,
    )?;
    Ok(())
}

fn layouts() -> impl Iterator<Item = Layout> {
    let pages = (EVERY_SIZE_TO.div_ceil(PAGE_SIZE)..=LARGEST / PAGE_SIZE).map(|n| n * PAGE_SIZE);
    let page_edges = pages.flat_map(|size| [size - 1, size, size + 1]).filter(|&size| size <= LARGEST);
    let sizes = (1..=EVERY_SIZE_TO).chain(page_edges).map(|size| (size, 1));

    let edges =
        CLASS_TO_SIZE[1..].iter().map(|&size| size as usize).chain([3 * PAGE_SIZE, 100 * PAGE_SIZE, 1 << 20]);
    let aligned_sizes = edges.flat_map(|size| [size - 1, size, size + 1]);
    let aligns = || (1..=LARGEST_ALIGN.ilog2()).map(|shift| 1 << shift);
    let aligned = aligned_sizes.flat_map(move |size| aligns().map(move |align| (size, align)));
    sizes.chain(aligned).filter_map(|(size, align)| Layout::from_size_align(size, align).ok())
}

/// Allocates, writes the first and the last byte, reads them back, frees.
fn observe(layout: Layout) -> Option<Observed> {
    let usable = gort::usable_size(layout) as u64;
    let before = gort::stats();
    let (done, thread) = gort::measure(|| {
        // SAFETY: no layout of the sweep has size 0.
        let p = black_box(unsafe { alloc::alloc(layout) });
        if p.is_null() {
            return None;
        }
        let last = p.wrapping_add(layout.size() - 1);
        // SAFETY: `p` points to as many bytes as the layout has, so this is within them.
        unsafe { p.write_volatile(0x5a) };
        // SAFETY: as above.
        unsafe { last.write_volatile(0xa5) };
        // SAFETY: as above, and it was just written.
        let first_byte = unsafe { p.read_volatile() };
        // SAFETY: as above.
        let last_byte = unsafe { last.read_volatile() };
        let kept = last_byte == 0xa5 && (layout.size() == 1 || first_byte == 0x5a);
        let live = gort::stats().heap_alloc;
        // SAFETY: `p` came from `alloc` with this layout and is not used again.
        unsafe { alloc::dealloc(p, layout) };
        Some((live, p.addr().is_multiple_of(layout.align()), kept))
    });
    let after = gort::stats();
    let (live, aligned, kept) = done?;
    let freed = |s: &gort::MemStats| s.total_alloc - s.heap_alloc;
    Some(Observed {
        usable,
        thread: [thread.bytes, thread.allocs, thread.bytes_freed, thread.frees],
        process: [
            after.total_alloc - before.total_alloc,
            after.mallocs - before.mallocs,
            freed(&after) - freed(&before),
            after.frees - before.frees,
        ],
        live: live.wrapping_sub(before.heap_alloc),
        aligned,
        kept,
    })
}

/// Bytes that an allocation costs by the table and by page rounding; none for alignments above a page, of which neither
/// speaks.
fn expected(layout: Layout) -> Option<u64> {
    let (size, align) = (layout.size(), layout.align());
    let bytes = match class_for(size, align) {
        Some(class) => CLASS_TO_SIZE[usize::from(class)] as usize,
        None if align <= PAGE_SIZE => size.next_multiple_of(PAGE_SIZE),
        None => return None,
    };
    Some(bytes as u64)
}

/// The first difference, in words.
fn compare(layout: Layout, observed: &Observed) -> Option<String> {
    let Observed { usable, thread, process, live, aligned, kept } = *observed;
    let bytes = match expected(layout) {
        Some(bytes) if usable != bytes => {
            let by = if layout.size() <= MAX_SMALL_SIZE { "the table" } else { "page rounding" };
            return Some(format!("usable size is {usable} B, and {bytes} B by {by}"));
        }
        Some(bytes) => bytes,
        None if usable < layout.size() as u64 => return Some(format!("usable size is only {usable} B")),
        None => usable,
    };
    for (who, counted) in [("the thread's counters", thread), ("the process's statistics", process)] {
        let names = ["bytes allocated", "objects allocated", "bytes freed", "objects freed"];
        for ((name, counted), expected) in names.iter().zip(counted).zip([bytes, 1, bytes, 1]) {
            if counted != expected {
                return Some(format!("{who} have {counted} {name}, and {expected} is right"));
            }
        }
    }
    if live != bytes {
        return Some(format!("bytes in use rose by {live}, and {bytes} is right"));
    }
    if !aligned {
        return Some("the address is not aligned".to_owned());
    }
    (!kept).then(|| "the bytes written were not read back".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(bytes: u64) -> Observed {
        let counted = [bytes, 1, bytes, 1];
        Observed { usable: bytes, thread: counted, process: counted, live: bytes, aligned: true, kept: true }
    }

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn what_the_table_says() {
        let cases = [
            (1, 1, 8),
            (1025, 1, 1152),
            (8200, 8, 9472),
            (8200, 512, 9728),
            (32768, 1, 32768),
            (32769, 1, 40960),
            (1, 8192, 8192),
            ((8 << 20) + 8, 8, 8_396_800),
        ];
        for (size, align, bytes) in cases {
            assert_eq!(expected(layout(size, align)), Some(bytes), "{size} {align}");
            assert_eq!(compare(layout(size, align), &right(bytes)), None);
        }
        assert_eq!(expected(layout(1, 16384)), None);
    }

    #[test]
    fn each_difference_is_seen() {
        let l = layout(1025, 1);
        let good = right(1152);
        assert!(compare(l, &right(1024)).is_some_and(|d| d.contains("1152 B by the table")));
        assert!(
            compare(layout(40000, 1), &right(40000)).is_some_and(|d| d.contains("40960 B by page rounding"))
        );
        for i in 0..4 {
            let mut o = good;
            o.thread[i] += 1;
            assert!(compare(l, &o).is_some_and(|d| d.contains("thread")));
            let mut o = good;
            o.process[i] -= 1;
            assert!(compare(l, &o).is_some_and(|d| d.contains("process")));
        }
        assert!(compare(l, &Observed { live: 0, ..good }).is_some());
        assert!(compare(l, &Observed { aligned: false, ..good }).is_some());
        assert!(compare(l, &Observed { kept: false, ..good }).is_some());
        assert!(compare(layout(5, 16384), &right(4)).is_some());
        assert_eq!(compare(layout(5, 16384), &right(8192)), None);
    }

    #[test]
    fn the_sweep_leaves_no_edge_out() {
        let all: std::collections::HashSet<(usize, usize)> =
            layouts().map(|l| (l.size(), l.align())).collect();
        assert!((1..=MAX_SMALL_SIZE).all(|size| all.contains(&(size, 1))));
        for page in MAX_SMALL_SIZE / PAGE_SIZE..LARGEST / PAGE_SIZE {
            let edge = page * PAGE_SIZE;
            assert!([edge - 1, edge, edge + 1].iter().all(|&size| all.contains(&(size, 1))), "{edge}");
        }
        assert!(all.contains(&(LARGEST, 1)));
        assert!(CLASS_TO_SIZE[1..].iter().all(|&size| all.contains(&(size as usize, PAGE_SIZE))));
    }
}
