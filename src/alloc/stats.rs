//! Statistics: Go's `MemStats`, per-thread counts and the measuring of a closure. Answers to Go's mstats.go.
//!
//! Nothing is stopped or flushed for them: each thread's counts are part of its bins, and a total is a sum over all bins.

use crate::base::{Class, NUM_CLASSES};
use crate::guard;
use crate::heap::{block_size, heap};
use crate::mcache::{self, Counts, Entered, MCache, each_mcache};
use crate::mcentral::{self, CentralCounts, central};
use crate::sync::LockCounts;

/// Counts of one size class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BySize {
    /// Bytes of an object; 0 for class 0, which no object has.
    pub size: u32,
    /// Objects allocated.
    pub mallocs: u64,
    /// Objects freed.
    pub frees: u64,
    /// Allocations whose size before rounding was noted: those that refilled a thread's bin.
    pub sampled: u64,
    /// Bytes that those asked for together.
    pub sampled_bytes: u64,
    /// Objects that came back on another thread than the one they were given to, at least: see [`Contention::remote_frees`].
    pub remote_frees: u64,
}

/// Counts of the objects that have no size class: whole pages, above 32 KiB or aligned above a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WholePages {
    /// Objects allocated.
    pub mallocs: u64,
    /// Objects freed.
    pub frees: u64,
    /// Bytes in all of them that were ever allocated, rounded up to pages.
    pub bytes: u64,
    /// Bytes that they were asked for with.
    pub requested_bytes: u64,
    /// Objects that came back on another thread than the one they were given to, at least: see [`Contention::remote_frees`].
    pub remote_frees: u64,
}

/// What threads shared: how often they met at the heap's locks, and what they passed to one another through it.
///
/// All counts are from the beginning, in numbers of events; [`per_million`](Self::per_million) relates them to the program's work.
/// A thread serves itself from its own cache most of the time, and that is not counted here: it shares nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contention {
    /// Objects allocated and objects freed.
    pub operations: u64,
    /// All central stores together; one by one: [`contention_by_size`].
    pub central: CentralCounts,
    /// The lock of the page heap: taken for a span or a large object, unless the thread has pages for it, and to give one back.
    pub page_heap: LockCounts,
    /// The lock of the metadata: taken for the header of each span and large object, and to give it back.
    pub metadata: LockCounts,
    /// Objects that came back on another thread than the one they were given to, at least: of each class, and of whole pages, what a
    /// thread has freed beyond all it has allocated. A thread that frees others' objects and allocates as many is not
    /// seen here, nor is one that goes on with the cache of a thread that has exited and frees what that one allocated.
    pub remote_frees: u64,
}

impl Contention {
    const ZERO: Self = Self {
        operations: 0,
        central: CentralCounts::ZERO,
        page_heap: LockCounts::ZERO,
        metadata: LockCounts::ZERO,
        remote_frees: 0,
    };

    /// So many `events` for each million operations; nothing before the first operation.
    pub fn per_million(&self, events: u64) -> f64 {
        if self.operations == 0 { 0.0 } else { events as f64 * 1e6 / self.operations as f64 }
    }
}

/// What went through the central store of each size class, in the order of [`MemStats::by_size`].
pub fn contention_by_size() -> [CentralCounts; NUM_CLASSES] {
    let mut rows = [CentralCounts::ZERO; NUM_CLASSES];
    Class::all().for_each(|class| rows[class.index()] = central(class).counts());
    rows
}

/// The heap's statistics, with the fields and meanings of Go's `runtime.MemStats`, in bytes unless they say otherwise.
///
/// Counts are exact at the moment they are read, whatever other threads do: no event is lost or counted twice. An object that
/// one thread allocates and another frees while the sums are taken may appear with one of its two events.
///
/// Differences from Go: `by_size` has all 67 classes behind row 0 (Go's has 60); there is no collector yet, so the fields of the
/// collector are absent; `heap_alloc` is what the program has allocated and not freed.
#[derive(Clone, Copy, Debug)]
pub struct MemStats {
    /// In live objects, rounded up to their classes; the same as `heap_alloc`.
    pub alloc: u64,
    /// In all objects ever allocated.
    pub total_alloc: u64,
    /// Obtained from the OS: `heap_sys` and metadata.
    pub sys: u64,
    /// Objects ever allocated.
    pub mallocs: u64,
    /// Objects ever freed.
    pub frees: u64,
    /// In live objects.
    pub heap_alloc: u64,
    /// Usable for objects: in use, idle and released.
    pub heap_sys: u64,
    /// In pages that hold no object.
    pub heap_idle: u64,
    /// In pages that hold objects, or could at once: spans and huge objects.
    pub heap_inuse: u64,
    /// The most that `heap_inuse` ever was.
    pub heap_inuse_peak: u64,
    /// In idle pages whose frames are with the kernel.
    pub heap_released: u64,
    /// Live objects.
    pub heap_objects: u64,
    /// In thread stacks: always 0, the threads' stacks are not gort's.
    pub stack_inuse: u64,
    /// As `stack_inuse`.
    pub stack_sys: u64,
    /// In huge objects, which have mappings of their own; part of `heap_inuse`.
    pub huge_inuse: u64,
    /// Huge objects.
    pub huge_objects: u64,
    /// In mcaches, one per thread alive at the same time.
    pub mcache_inuse: u64,
    /// Committed for span headers, mcaches, pointer arrays and tables.
    pub other_sys: u64,
    /// The soft memory limit; `u64::MAX` when there is none.
    pub memory_limit: u64,
    /// Per size class.
    pub by_size: [BySize; NUM_CLASSES],
    /// Above the size classes.
    pub whole_pages: WholePages,
    /// What threads shared.
    pub contention: Contention,
}

impl MemStats {
    /// Before anything was counted.
    pub(super) const ZERO: Self = Self {
        alloc: 0,
        total_alloc: 0,
        sys: 0,
        mallocs: 0,
        frees: 0,
        heap_alloc: 0,
        heap_sys: 0,
        heap_idle: 0,
        heap_inuse: 0,
        heap_inuse_peak: 0,
        heap_released: 0,
        heap_objects: 0,
        stack_inuse: 0,
        stack_sys: 0,
        huge_inuse: 0,
        huge_objects: 0,
        mcache_inuse: 0,
        other_sys: 0,
        memory_limit: 0,
        by_size: [BySize { size: 0, mallocs: 0, frees: 0, sampled: 0, sampled_bytes: 0, remote_frees: 0 };
            NUM_CLASSES],
        whole_pages: WholePages { mallocs: 0, frees: 0, bytes: 0, requested_bytes: 0, remote_frees: 0 },
        contention: Contention::ZERO,
    };

    /// The part of all bytes ever allocated that nobody asked for: what rounding up to a size class or to pages added, from 0 to 1.
    /// `None` when nothing was sampled.
    ///
    /// An estimate: of objects with a class only every refill's request is sampled, and each class's average stands for all of its
    /// allocations. Objects of whole pages count exactly.
    pub fn internal_fragmentation(&self) -> Option<f64> {
        let pages = &self.whole_pages;
        let (mut given, mut requested) = (pages.bytes as f64, pages.requested_bytes as f64);
        for row in self.by_size.iter().filter(|row| row.sampled > 0) {
            given += row.mallocs as f64 * f64::from(row.size);
            requested += row.mallocs as f64 * (row.sampled_bytes as f64 / row.sampled as f64);
        }
        (given > 0.0).then(|| (1.0 - requested / given).max(0.0))
    }
}

/// The process's statistics now.
///
/// Source: Go's `runtime.ReadMemStats`, which stops the world; this does not.
pub fn stats() -> MemStats {
    let mut s = MemStats::ZERO;
    fill(&mut s);
    s
}

/// The same in place: it is larger than a small stack has room for twice.
#[inline(never)]
pub(super) fn fill(s: &mut MemStats) {
    *s = MemStats::ZERO;
    let MemStats { by_size, whole_pages, contention, .. } = s;
    let mut sum = Counts::default();
    // All but the shared one, which is no metadata.
    let mcaches = each_mcache().count() - 1;
    for mcache in each_mcache() {
        let large = mcache.large_counts();
        sum.allocs += large.allocs;
        sum.bytes += large.bytes;
        sum.frees += large.frees;
        sum.bytes_freed += large.bytes_freed;
        whole_pages.requested_bytes += mcache.large_requested();
        whole_pages.remote_frees += large.frees.saturating_sub(large.allocs);
        for class in Class::all() {
            let (allocs, frees) = mcache.class_counts(class);
            let row = &mut by_size[class.index()];
            // A thread may free more than it allocates: only sums over all threads are counts of objects.
            row.mallocs = row.mallocs.wrapping_add(allocs);
            row.frees = row.frees.wrapping_add(frees);
            row.remote_frees += frees.saturating_sub(allocs);
        }
    }
    (whole_pages.mallocs, whole_pages.frees, whole_pages.bytes) = (sum.allocs, sum.frees, sum.bytes);
    for class in Class::all() {
        let row = &mut by_size[class.index()];
        (row.sampled, row.sampled_bytes) = mcentral::central(class).sampled();
        row.size = class.size().0 as u32;
        contention.central = contention.central.plus(central(class).counts());
        contention.remote_frees += row.remote_frees;
        sum.add(class.size().0, row.mallocs, row.frees);
    }
    let live = sum.bytes.saturating_sub(sum.bytes_freed);
    let heap = heap();
    contention.operations = sum.allocs + sum.frees;
    contention.remote_frees += whole_pages.remote_frees;
    (contention.page_heap, contention.metadata) =
        heap.map(crate::heap::Heap::lock_counts).unwrap_or_default();
    let pages = heap.map(crate::heap::Heap::stats);
    let bytes = |f: fn(&crate::heap::HeapStats) -> usize| pages.as_ref().map_or(0, |s| f(s) as u64);
    let (heap_sys, heap_inuse) = (bytes(|s| s.usable.0), bytes(|s| s.in_use.0));
    s.alloc = live;
    s.total_alloc = sum.bytes;
    s.sys = heap_sys + bytes(|s| s.metadata.0);
    s.mallocs = sum.allocs;
    s.frees = sum.frees;
    s.heap_alloc = live;
    s.heap_sys = heap_sys;
    s.heap_idle = heap_sys.saturating_sub(heap_inuse);
    s.heap_inuse = heap_inuse;
    s.heap_inuse_peak = bytes(|s| s.peak.0);
    s.heap_released = bytes(|s| s.released.0);
    s.heap_objects = sum.allocs.saturating_sub(sum.frees);
    s.stack_inuse = 0;
    s.stack_sys = 0;
    s.huge_inuse = bytes(|s| s.huge.0);
    s.huge_objects = bytes(|s| s.huge_objects);
    s.mcache_inuse = (mcaches * block_size(MCache::bytes()).0) as u64;
    s.other_sys = bytes(|s| s.metadata.0);
    s.memory_limit =
        heap.map(crate::heap::Heap::memory_limit).filter(|&l| l != usize::MAX).map_or(u64::MAX, |l| l as u64);
}

/// What a thread, or a closure, allocated and freed. Bytes are rounded as the heap rounds them (Go's B/op).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Bytes allocated.
    pub bytes: u64,
    /// Objects allocated.
    pub allocs: u64,
    /// Objects freed.
    pub frees: u64,
    /// Bytes freed.
    pub bytes_freed: u64,
}

impl From<Counts> for Measured {
    fn from(c: Counts) -> Self {
        Self { bytes: c.bytes, allocs: c.allocs, frees: c.frees, bytes_freed: c.bytes_freed }
    }
}

/// What the calling thread has allocated and freed since it first used the heap. It may have freed what others allocated.
/// A thread past its exit hook, or without memory for a cache of its own, is counted in the process's totals only.
pub fn thread_stats() -> Measured {
    mcache::current().thread_counts().into()
}

/// Runs `f` and tells exactly what the calling thread allocated and freed meanwhile; other threads are not counted.
///
/// A `realloc` that changes the rounded size counts as one allocation and one free, whether or not the object moved; one that
/// does not change it counts as nothing.
pub fn measure<R>(f: impl FnOnce() -> R) -> (R, Measured) {
    let before = mcache::current().thread_counts();
    let r = f();
    (r, mcache::current().thread_counts().since(before).into())
}

/// Flushes the calling thread's caches and the central ones, asks other threads to do the same at their next slow path, and
/// releases all free pages to the kernel at once. Returns the bytes released.
///
/// Source: Go's `debug.FreeOSMemory`.
pub fn free_os_memory() -> u64 {
    let Some(heap) = heap() else { return 0 };
    let entered = Entered::new("free_os_memory");
    let mcache = entered.mcache();
    let own = (!mcache.is_stand_in() && !mcache.is_interrupted()).then_some(mcache);
    own.inspect(|mcache| mcache.flush_own(heap));
    mcache::drop_large(heap, own, true);
    mcentral::trim_all(heap, true);
    heap.give_back_freed();
    heap.raise_pressure();
    (heap.release_all().0 + guard::release_all(heap).0) as u64
}

/// Sets the soft memory limit in bytes, and returns the old one. Any value from `i64::MAX` on, which is Go's number for it, means none, and
/// is returned as `u64::MAX`. The limit covers heap and metadata; it is kept by releasing free pages sooner, never by refusing memory.
///
/// Source: Go's `debug.SetMemoryLimit`.
pub fn set_memory_limit(bytes: u64) -> u64 {
    let _entered = Entered::new("set_memory_limit");
    let to = |n: usize| if n == usize::MAX { u64::MAX } else { n as u64 };
    super::init::ready()
        .map_or(u64::MAX, |heap| to(heap.set_memory_limit(usize::try_from(bytes).unwrap_or(usize::MAX))))
}
