//! The recording of the sizes that a program asks for (`GORT_SIZES`). Answers to nothing in Go.
//!
//! While it is on no thread gets an mcache: its slot keeps a stand-in, every door takes its slow path, and those note what they do
//! here. So it costs the fast paths nothing when it is off, and a program that is recorded is slow.
//!
//! What an object was asked for with stands in a **shadow** of the heap, one word for each 16 bytes, because C does not say it on
//! free. A **cell** for each size and alignment counts allocations and live objects, and how many lived when the heap held most. That
//! needs no copy of all cells at each new peak: the peaks are numbered, and a cell that is about to change for the first time since the
//! last peak puts aside what it counts.
//!
//! An object that `realloc` leaves where it is counts with the largest size it had there, at the C door; the Rust door resizes
//! within a class without a call, so there it counts with its first.
#![expect(unsafe_code, reason = "tables in mappings of their own")]

use core::alloc::Layout;
use core::mem::size_of;
use core::ptr::{self, NonNull};
use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::base::{Bytes, Class, MAX_SMALL_SIZE, PAGE_SIZE, class_of};
use crate::heap::{Heap, heap};
use crate::mcache::Entered;
use crate::sync::{Mutex, rank};
use crate::sys::{Linux, Os};

/// Bytes of the heap for each word of the shadow. Objects of smaller classes have no word: they count with their class's size.
const GRANULE: usize = 16;
/// The shadow becomes writable in steps of this many bytes.
const STEP: usize = 4 << 20;
/// Alignments that are told apart: 8 and less, 16, .., a page.
const ALIGNS: usize = (PAGE_SIZE / LEAST_ALIGN).ilog2() as usize + 1;
const LEAST_ALIGN: usize = 8;
/// Sizes from 0; those of whole pages count as 0.
const SIZES: usize = MAX_SMALL_SIZE + 1;

/// Counts of one size and alignment. Written under the lock, read by anyone.
struct Cell {
    allocs: AtomicU64,
    live: AtomicU64,
    /// What `live` was at peak number `peak`; at later ones it was what it is now.
    put_aside: AtomicU64,
    peak: AtomicU64,
}

const CELLS_BYTES: usize = (ALIGNS * SIZES * size_of::<Cell>()).next_multiple_of(64 << 10);

/// Whether the recording is on; then the tables stand.
static ON: AtomicBool = AtomicBool::new(false);
/// `ALIGNS` rows of `SIZES` cells. Written once, before `ON`.
static CELLS: AtomicPtr<Cell> = AtomicPtr::new(ptr::null_mut());
/// The words of the whole reservation. Written once, before `ON`.
static SHADOW: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());
/// Bytes of the shadow that are writable. Under the lock.
static WRITABLE: AtomicUsize = AtomicUsize::new(0);
/// Bytes that the live objects were asked for with, whole pages rounded; the most they ever were; the number of that peak. Under the lock.
static LIVE_BYTES: AtomicU64 = AtomicU64::new(0);
static PEAK_BYTES: AtomicU64 = AtomicU64::new(0);
static PEAK: AtomicU64 = AtomicU64::new(1);

static LOCK: Mutex<(), { rank::SIZES }> = Mutex::new(());

/// What an object was asked for with, as a word of the shadow; 0 is none.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Asked {
    size: usize,
    /// 0 for alignment 8 and less, 1 for 16, and so on.
    row: usize,
}

impl Asked {
    const ROW_SHIFT: u32 = 16;

    /// What led to an object of this class: the least alignment that explains it.
    fn new(size: usize, class: Class) -> Self {
        let size = if class.size().0 < GRANULE { class.size().0 } else { size.max(1) };
        let explains = |row: &usize| {
            Layout::from_size_align(size, LEAST_ALIGN << row).is_ok_and(|l| class_of(l) == Some(class))
        };
        Self { size, row: (0..ALIGNS).find(explains).unwrap_or(0) }
    }

    fn word(self) -> u32 {
        self.size as u32 | (self.row as u32) << Self::ROW_SHIFT
    }

    fn from_word(word: u32) -> Option<Self> {
        let (size, row) =
            ((word & ((1 << Self::ROW_SHIFT) - 1)) as usize, (word >> Self::ROW_SHIFT) as usize);
        (word != 0).then_some(Self { size, row })
    }
}

/// Starts the recording; `false` when there is no memory for it. Once, while the heap is set up.
pub(super) fn start(heap: &Heap) -> bool {
    let (_, bytes) = heap.reservation();
    let shadow = (bytes.0 / GRANULE * size_of::<u32>()).next_multiple_of(STEP);
    let page = Linux.page_size();
    let Some(cells) = Linux.reserve(CELLS_BYTES, page, c"gort: sizes") else { return false };
    let Some(words) = Linux.reserve(shadow, page, c"gort: sizes of objects") else { return false };
    // SAFETY: it was reserved above, and nobody else knows of it.
    if !unsafe { Linux.commit(cells, CELLS_BYTES) } {
        return false;
    }
    CELLS.store(cells.cast().as_ptr(), Relaxed);
    SHADOW.store(words.cast().as_ptr(), Relaxed);
    // Release: publishes the tables. Pairs with the Acquire in `is_on`.
    ON.store(true, Release);
    true
}

/// Whether the recording is on.
#[inline]
pub(super) fn is_on() -> bool {
    // Acquire: pairs with the Release in `start`.
    ON.load(Acquire)
}

/// The cell of a size and a row of alignments. The recording is on.
fn cell(asked: Asked) -> &'static Cell {
    // SAFETY: the table has a cell for each size of each row and is never unmapped; zero bytes are a cell.
    unsafe { &*CELLS.load(Relaxed).wrapping_add(asked.row * SIZES + asked.size) }
}

/// The word of the object at `p`, if it can be written. Under the lock.
fn word(heap: &Heap, p: *const u8) -> Option<&'static AtomicU32> {
    let (base, bytes) = heap.reservation();
    let index = Some(p.addr().wrapping_sub(base)).filter(|&offset| offset < bytes.0)? / GRANULE;
    let (shadow, end) = (SHADOW.load(Relaxed), (index + 1) * size_of::<u32>());
    let writable = WRITABLE.load(Relaxed);
    if end > writable {
        let end = end.next_multiple_of(STEP);
        let from = NonNull::new(shadow.wrapping_byte_add(writable).cast())?;
        // SAFETY: the range is in the shadow's reservation, whose length is a multiple of the step.
        if !unsafe { Linux.commit(from, end - writable) } {
            return None;
        }
        WRITABLE.store(end, Relaxed);
    }
    // SAFETY: the shadow has a word for each granule of the reservation, this one is writable, and it is never unmapped.
    Some(unsafe { &*shadow.wrapping_add(index) })
}

impl Cell {
    /// Under the lock.
    fn add(&self, allocs: u64, live: u64) {
        let (peak, before) = (PEAK.load(Relaxed), self.live.load(Relaxed));
        if self.peak.load(Relaxed) != peak {
            self.put_aside.store(before, Relaxed);
            self.peak.store(peak, Relaxed);
        }
        self.allocs.store(self.allocs.load(Relaxed).wrapping_add(allocs), Relaxed);
        self.live.store(before.wrapping_add(live), Relaxed);
    }

    fn live_at_peak(&self) -> u64 {
        let changed_since = self.peak.load(Relaxed) == PEAK.load(Relaxed);
        if changed_since { self.put_aside.load(Relaxed) } else { self.live.load(Relaxed) }
    }
}

/// Books bytes that became live (negative: ended), after the cells. Under the lock.
fn total(bytes: i64) {
    let now = LIVE_BYTES.load(Relaxed).wrapping_add_signed(bytes);
    LIVE_BYTES.store(now, Relaxed);
    if now > PEAK_BYTES.load(Relaxed) {
        PEAK_BYTES.store(now, Relaxed);
        PEAK.store(PEAK.load(Relaxed) + 1, Relaxed);
    }
}

/// Books an object (or, negative, its end) under what it was asked for with. Under the lock.
fn book(asked: Asked, n: i64) {
    cell(asked).add(n as u64, n as u64);
    total(n * asked.size as i64);
}

/// Notes an allocation of a class; null is none. For the slow path of a thread without an mcache.
pub(super) fn allocated(heap: &Heap, p: *const u8, size: usize, class: Class) {
    if p.is_null() || !is_on() {
        return;
    }
    let _lock = LOCK.lock();
    let asked = Asked::new(size, class);
    if class.size().0 >= GRANULE {
        // Without memory for its word an object does not count.
        let Some(word) = word(heap, p) else { return };
        word.store(asked.word(), Relaxed);
    }
    book(asked, 1);
}

/// Notes a free, before the object goes back.
pub(super) fn freed(heap: &Heap, p: *const u8, class: Class) {
    if !is_on() {
        return;
    }
    let _lock = LOCK.lock();
    let asked = if class.size().0 < GRANULE {
        Some(Asked::new(class.size().0, class))
    } else {
        // Zeroed: an object that the recording has not seen, or that is freed twice, does not count.
        word(heap, p).and_then(|word| Asked::from_word(word.swap(0, Relaxed)))
    };
    if let Some(asked) = asked {
        cell(asked).add(0, u64::MAX);
        total(-(asked.size as i64));
    }
}

/// Notes objects of whole pages.
pub(super) fn whole_pages(allocated: Option<Bytes>, freed: Option<Bytes>) {
    if !is_on() {
        return;
    }
    let _lock = LOCK.lock();
    let (objects, bytes) = pages_cells();
    for (new, n) in [(freed, -1), (allocated, 1)] {
        let Some(new) = new else { continue };
        objects.add((n > 0).into(), n as u64);
        bytes.add(0, (new.0 as i64 * n) as u64);
        total(new.0 as i64 * n);
    }
}

/// Whole pages count as size 0: objects in the first row, bytes in the second.
fn pages_cells() -> (&'static Cell, &'static Cell) {
    (cell(Asked { size: 0, row: 0 }), cell(Asked { size: 0, row: 1 }))
}

/// Notes that the object at `p` turned out to be asked for with an alignment above a word pair, or has grown to a size in its place.
#[cold]
pub(super) fn corrected(p: *const u8, size: usize, align: usize) {
    let _entered = Entered::new("malloc");
    let Some(heap) = heap().filter(|h| !p.is_null() && h.small_object_at(p).is_some()) else { return };
    let _lock = LOCK.lock();
    let Some(word) = word(heap, p) else { return };
    let Some(old) = Asked::from_word(word.load(Relaxed)) else { return };
    let row = (align.max(LEAST_ALIGN) / LEAST_ALIGN).ilog2() as usize;
    let new = Asked { size: old.size.max(size), row: old.row.max(row) };
    if new != old {
        word.store(new.word(), Relaxed);
        book(old, -1);
        book(new, 1);
    }
}

/// For a fork, in which no other thread may be recording.
pub(super) fn lock_for_fork() {
    LOCK.lock_for_fork();
}

/// Gives the lock back.
///
/// # Safety
/// 1. The thread that forked took it with `lock_for_fork`.
pub(super) unsafe fn unlock_after_fork(in_child: bool) {
    // SAFETY: passed on unchanged (1).
    unsafe { LOCK.unlock_after_fork(in_child) };
}

/// What was recorded of one size and alignment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Recorded {
    pub(super) size: usize,
    pub(super) align: usize,
    pub(super) allocs: u64,
    pub(super) live_at_peak: u64,
}

/// All sizes that were allocated, in ascending order, alignments below `least_align` as that one; nothing when the recording is off.
pub(super) fn each(least_align: usize, mut f: impl FnMut(Recorded)) {
    if !is_on() {
        return;
    }
    for size in 1..SIZES {
        let mut sum = Recorded::default();
        for row in 0..ALIGNS {
            let (align, cell) = (LEAST_ALIGN << row, cell(Asked { size, row }));
            sum.allocs += cell.allocs.load(Relaxed);
            sum.live_at_peak += cell.live_at_peak();
            if align >= least_align && sum.allocs > 0 {
                f(Recorded { size, align, ..sum });
                sum = Recorded::default();
            }
        }
    }
}

/// Objects of whole pages that were ever allocated; how many lived at the peak, and how many bytes they had.
pub(super) fn pages() -> (u64, u64, u64) {
    if !is_on() {
        return (0, 0, 0);
    }
    let (objects, bytes) = pages_cells();
    (objects.allocs.load(Relaxed), objects.live_at_peak(), bytes.live_at_peak())
}

/// Bytes at the peak.
pub(super) fn peak_bytes() -> u64 {
    PEAK_BYTES.load(Relaxed)
}
