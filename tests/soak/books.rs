//! What the program allocates and frees, counted beside the heap, from the size-class table alone.
//!
//! Each event is counted twice: when it begins and when it is done. Whatever the heap says at any moment lies between what was done before
//! the question and what had begun when it was answered, class by class, so a single event that is lost or counted twice shows while all
//! threads go on. When nothing is under way the two are the same, and the heap's counts must be that.
#![expect(unsafe_code, reason = "is the allocator of this binary")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{
    AtomicI64, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};

use gort::{GoAlloc, Measured};
use gort_size_classes::class_for;
use gort_size_classes::table::{CLASS_TO_SIZE, NUM_CLASSES};

use crate::common::{Ledger, PAGE};

/// Counters are spread over so many places, so that threads seldom meet at them.
const STRIPES: usize = 64;

/// Objects of one class, and of whole pages also their bytes: allocated and freed.
struct Counts {
    objects: [AtomicU64; 2],
    bytes: [AtomicU64; 2],
}

/// The counters of some threads.
#[repr(align(128))]
struct Stripe {
    begun: [Counts; NUM_CLASSES],
    done: [Counts; NUM_CLASSES],
    /// Bytes that live objects were asked for with.
    requested: AtomicI64,
}

const ALLOCATED: usize = 0;
const FREED: usize = 1;

static STRIPES_OF_ALL: [Stripe; STRIPES] = [const { Stripe::new() }; STRIPES];
/// Threads that have a stripe.
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// This thread's stripe; none before its first event.
    static STRIPE: Cell<Option<&'static Stripe>> = const { Cell::new(None) };
    /// What this thread has allocated and freed.
    static TALLY: Cell<Measured> =
        const { Cell::new(Measured { bytes: 0, allocs: 0, frees: 0, bytes_freed: 0 }) };
}

impl Counts {
    const fn new() -> Self {
        Self { objects: [const { AtomicU64::new(0) }; 2], bytes: [const { AtomicU64::new(0) }; 2] }
    }
}

impl Stripe {
    const fn new() -> Self {
        Self {
            begun: [const { Counts::new() }; NUM_CLASSES],
            done: [const { Counts::new() }; NUM_CLASSES],
            requested: AtomicI64::new(0),
        }
    }

    fn own() -> &'static Self {
        STRIPE.get().unwrap_or_else(|| {
            let stripe = &STRIPES_OF_ALL[THREADS.fetch_add(1, Relaxed) % STRIPES];
            STRIPE.set(Some(stripe));
            stripe
        })
    }

    fn begin(&self, event: usize, class: usize, bytes: u64) {
        // SeqCst: a reader that has met the event in the heap's counts finds it here (`begun`).
        self.begun[class].bytes[event].fetch_add(if class == 0 { bytes } else { 0 }, SeqCst);
        self.begun[class].objects[event].fetch_add(1, SeqCst);
    }

    fn end(&self, event: usize, class: usize, bytes: u64) {
        // Release: whoever reads this finds the event in the heap's counts (`done`).
        self.done[class].bytes[event].fetch_add(if class == 0 { bytes } else { 0 }, Release);
        self.done[class].objects[event].fetch_add(1, Release);
    }
}

/// The class that serves a layout, 0 for whole pages, and the bytes that it is rounded up to.
fn rounded(layout: Layout) -> (usize, u64) {
    match class_for(layout.size(), layout.align()) {
        Some(class) => (usize::from(class), u64::from(CLASS_TO_SIZE[usize::from(class)])),
        None => (0, layout.size().max(1).next_multiple_of(PAGE) as u64),
    }
}

fn tally(f: impl FnOnce(&mut Measured)) {
    let mut tally = TALLY.get();
    f(&mut tally);
    TALLY.set(tally);
}

/// Counts an allocation, which `door` makes.
pub(crate) fn allocate<R>(layout: Layout, door: impl FnOnce() -> R) -> R {
    let ((class, bytes), stripe) = (rounded(layout), Stripe::own());
    stripe.begin(ALLOCATED, class, bytes);
    // Before there are page frames: what is alive is never said to be less than it is.
    stripe.requested.fetch_add(layout.size() as i64, Relaxed);
    let made = door();
    tally(|t| (t.allocs, t.bytes) = (t.allocs + 1, t.bytes + bytes));
    stripe.end(ALLOCATED, class, bytes);
    made
}

/// Counts a free, which `door` makes.
pub(crate) fn free(layout: Layout, door: impl FnOnce()) {
    let ((class, bytes), stripe) = (rounded(layout), Stripe::own());
    stripe.begin(FREED, class, bytes);
    door();
    stripe.requested.fetch_sub(layout.size() as i64, Relaxed);
    tally(|t| (t.frees, t.bytes_freed) = (t.frees + 1, t.bytes_freed + bytes));
    stripe.end(FREED, class, bytes);
}

/// Counts a change of size, which `door` makes: an allocation and a free if the rounded size changes.
pub(crate) fn resize<R>(old: Layout, new: Layout, door: impl FnOnce() -> R) -> R {
    if rounded(old) == rounded(new) {
        Stripe::own().requested.fetch_add(new.size() as i64 - old.size() as i64, Relaxed);
        return door();
    }
    let mut made = None;
    allocate(new, || free(old, || made = Some(door())));
    made.expect("both have called what they were given")
}

/// Bytes that live objects were asked for with; while threads go on, some moment's.
pub(crate) fn live() -> u64 {
    STRIPES_OF_ALL.iter().map(|stripe| stripe.requested.load(Relaxed)).sum::<i64>().max(0) as u64
}

/// Events that were over a moment ago.
pub(crate) fn done() -> Ledger {
    // Acquire: pairs with `end`.
    sum(|stripe| &stripe.done, |count| count.load(Acquire))
}

/// Events that have begun, and surely all that the caller has met in the heap's counts.
pub(crate) fn begun() -> Ledger {
    // Loads keep their order on x86-64; the compiler keeps it here.
    fence(SeqCst);
    sum(|stripe| &stripe.begun, |count| count.load(SeqCst))
}

fn sum(
    of: impl Fn(&'static Stripe) -> &'static [Counts; NUM_CLASSES],
    load: impl Fn(&AtomicU64) -> u64,
) -> Ledger {
    let mut all = Ledger::new();
    for stripe in &STRIPES_OF_ALL {
        for (class, counts) in of(stripe).iter().enumerate() {
            let [allocs, frees] = [0, 1].map(|event| load(&counts.objects[event]));
            let [bytes, freed] = [0, 1].map(|event| load(&counts.bytes[event]));
            let size = u64::from(CLASS_TO_SIZE[class]);
            all.classes[class].0 += allocs;
            all.classes[class].1 += frees;
            all.total.allocs += allocs;
            all.total.frees += frees;
            all.total.bytes += bytes + allocs * size;
            all.total.bytes_freed += freed + frees * size;
        }
    }
    all
}

/// What this thread has allocated and freed.
pub(crate) fn own() -> Measured {
    TALLY.get()
}

/// gort, with all that goes through it counted: what the standard library allocates for threads, and this test for itself.
pub(crate) struct Booked;

// SAFETY: each method is the same method of gort's.
unsafe impl GlobalAlloc for Booked {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise, passed on unchanged, here and below.
        allocate(layout, || unsafe { GoAlloc.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        allocate(layout, || unsafe { GoAlloc.alloc_zeroed(layout) })
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        // SAFETY: as above.
        free(layout, || unsafe { GoAlloc.dealloc(p, layout) });
    }

    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the new size is valid with the old alignment.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: as above.
        resize(layout, new, || unsafe { GoAlloc.realloc(p, layout, size) })
    }
}
