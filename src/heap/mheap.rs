//! The heap: one address-space reservation, its page map and page allocator, and the spans made of its pages. Answers to Go's
//! mheap.go.
//!
//! Invariants: a page is in at most one span; the page map names the span for every page of a small span and for the first
//! page of a large one, and nothing for a free page; `in_use + free (with page caches) = usable`; `released` counts free
//! pages whose frames the kernel has.
#![expect(unsafe_code, reason = "turns page numbers into spans and hands their memory out")]

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use super::huge::HugeTable;
use super::meta::Meta;
use super::mspan::{Span, State};
use super::objects;
use super::pace::Pace;
use super::shards::{Group, Shards};
use super::spancache::SpanCache;
use super::thp::Thp;
use crate::base::{Bytes, Class, PAGE_SIZE, PageIdx, PageRange, Pages};
use crate::page::{AddressSpace, Entry, Kind, PageAlloc, PageMap};
use crate::sync::{Mutex, Once, rank};
use crate::sys::{self, Linux, Os};
use crate::throw::check;

/// Spans below this many pages come from the thread's page cache (Go: a quarter of the cache's 64 pages).
const CACHED_PAGES: usize = 16;

/// Least addresses for metadata, where the heap is small: room for bins and transfer caches.
const LEAST_META: usize = 2 << 20;

/// What the lock of rank HEAP guards.
pub(crate) struct PageHeap {
    pub(super) alloc: PageAlloc<Linux>,
    space: AddressSpace<Linux>,
    /// Pages that are committed but not usable yet, because the OS refused memory for their tables.
    pending: Option<PageRange>,
}

/// The process's heap. In this order, because each free of a C program reads the first ones.
#[repr(C)]
pub(crate) struct Heap {
    base: usize,
    map: PageMap<Linux>,
    pub(super) reserved: Bytes,
    /// Of which marks in free objects, and canaries, are made. The kernel's number.
    secret: u64,
    /// The largest alignment in bytes that pages of the heap can have: that of the reservation.
    max_align: usize,
    /// Free and used pages. Rank HEAP: only META comes after it.
    pub(super) pages: Mutex<PageHeap, { rank::HEAP }>,
    /// Pages of it that groups of threads have for themselves, with locks of the same rank.
    pub(super) shards: Shards,
    /// Memory for spans, mcaches and arrays of pointers. Rank META: the last.
    pub(super) meta: Mutex<Meta<Linux>, { rank::META }>,
    /// Objects with a mapping of their own.
    pub(super) huge: Mutex<HugeTable<Linux>, { rank::HUGE }>,
    /// When to give memory back, and the memory limit.
    pub(super) pace: Pace,
    /// Where huge pages are wanted.
    pub(super) thp: Thp,
    /// Pages in spans. Written by whoever makes or frees a span, read by anyone.
    pub(super) in_use: AtomicUsize,
    /// Pages that arenas have made usable.
    pub(super) usable: AtomicUsize,
    /// Free pages whose frames are with the kernel.
    pub(super) released: AtomicUsize,
    /// Bytes in huge objects.
    pub(super) huge_bytes: AtomicUsize,
    /// Huge objects.
    pub(super) huge_objects: AtomicUsize,
    /// Bytes of guarded objects' pages, and of those that the kernel did not take back.
    pub(super) guarded: AtomicUsize,
    /// The most bytes that spans and huge objects ever had together.
    pub(super) peak: AtomicUsize,
    /// Objects of this many bytes or more are huge.
    huge_from: AtomicUsize,
    /// Bytes of metadata committed: the arena's, and the tables'.
    pub(super) meta_committed: AtomicUsize,
    pub(super) tables_committed: AtomicUsize,
    /// Goes up when memory is short: each thread flushes its caches when it sees a new value.
    pressure: AtomicU32,
}

/// The heap and its gate, side by side.
#[repr(C)]
struct Cell {
    once: Once,
    heap: UnsafeCell<MaybeUninit<Heap>>,
}
// SAFETY: written once under `once`, then only shared references are given out.
unsafe impl Sync for Cell {}

static HEAP: Cell = Cell { once: Once::new(), heap: UnsafeCell::new(MaybeUninit::uninit()) };

/// The heap, once it stands.
#[inline(always)]
pub(crate) fn heap() -> Option<&'static Heap> {
    // SAFETY: `is_done` says that it was written, and it is never written again.
    HEAP.once.is_done().then(|| unsafe { &*HEAP.heap.get().cast::<Heap>() })
}

/// The heap, which this call builds if it does not stand yet; `configure` sets it up before any other thread sees it. `None`
/// when the OS refuses: the next caller tries again.
pub(crate) fn init(configure: impl FnOnce(&Heap)) -> Option<&'static Heap> {
    HEAP.once.call(|| {
        // SAFETY: `Once` lets one thread in, and nobody reads before it is done.
        configure(Heap::build(unsafe { &mut *HEAP.heap.get() }, Linux)?);
        Some(())
    });
    heap()
}

/// The heap, before a fork. `None`: there is none, and nobody builds one before `may_start`; a child may at once.
pub(crate) fn heap_or_hold() -> Option<&'static Heap> {
    HEAP.once.hold();
    heap()
}

/// Ends what `heap_or_hold` began.
pub(crate) fn may_start() {
    HEAP.once.give_up();
}

/// The heap for a test of the layers above, alone: another test's spans must not come and go where this one looks.
#[cfg(test)]
pub(crate) fn heap_alone() -> (&'static Heap, impl Drop) {
    extern crate std;
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    (init(|_| {}).expect("the OS has memory for a heap"), alone)
}

impl Heap {
    /// Builds a heap where it stays: it is too large for the stack of a signal handler. Not inlined, for the same reason.
    #[cold]
    #[inline(never)]
    fn build(place: &mut MaybeUninit<Self>, os: Linux) -> Option<&Self> {
        let space = AddressSpace::reserve(os, Bytes(sys::physical_memory()), objects::EIGHTHS)?;
        let pages = space.pages();
        // The reservation costs nothing until it is committed.
        let meta = Meta::new(os, Bytes((pages.bytes().0 / objects::METADATA_SHARE).max(LEAST_META)))?;
        let (map, alloc) = (PageMap::new(os, pages)?, PageAlloc::new(os, pages)?);
        let (shards, huge) = (Shards::new(pages)?, HugeTable::new(os, pages.bytes())?);
        Some(place.write(Self {
            base: space.base(),
            reserved: pages.bytes(),
            // Neither 0 nor, mixed with an address, another address, wherever the number came from.
            secret: sys::random() | 1 << 63,
            max_align: space.align(),
            map,
            pages: Mutex::new(PageHeap { alloc, space, pending: None }),
            shards,
            meta: Mutex::new(meta),
            huge: Mutex::new(huge),
            pace: Pace::new(),
            thp: Thp::new(),
            in_use: AtomicUsize::new(0),
            usable: AtomicUsize::new(0),
            released: AtomicUsize::new(0),
            huge_bytes: AtomicUsize::new(0),
            huge_objects: AtomicUsize::new(0),
            guarded: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            huge_from: AtomicUsize::new(objects::HUGE_FROM.0),
            meta_committed: AtomicUsize::new(0),
            tables_committed: AtomicUsize::new(0),
            pressure: AtomicU32::new(0),
        }))
    }

    /// Whether the address lies in the reservation: then it belongs to a span, or to nothing.
    #[inline(always)]
    pub(crate) fn contains(&self, p: *const u8) -> bool {
        p.addr().wrapping_sub(self.base) < self.reserved.0
    }

    /// The first address of the reservation, and its length.
    pub(crate) fn reservation(&self) -> (usize, Bytes) {
        (self.base, self.reserved)
    }

    /// What is written into an object at `p` to be known again: not what a copy of another one's would be, and nothing that tells an address.
    #[inline(always)]
    pub(crate) fn mark_of(&self, p: *const u8) -> u64 {
        self.secret ^ p.addr() as u64
    }

    pub(super) fn page_of(&self, addr: usize) -> PageIdx {
        PageIdx((addr - self.base) / PAGE_SIZE)
    }

    pub(super) fn address_of(&self, page: PageIdx) -> usize {
        self.base + page.0 * PAGE_SIZE
    }

    /// The span that the page map names for an address of the reservation.
    #[inline(always)]
    pub(crate) fn span_of(&self, p: *const u8) -> Option<Span> {
        // An address outside wraps or lies behind the map, which checks its bounds.
        self.map
            .get(PageIdx(p.addr().wrapping_sub(self.base) / PAGE_SIZE))
            .map(|e| Span::from_address(e.span))
    }

    /// The large object that starts at `p`, or did.
    #[inline(always)]
    pub(crate) fn large_at(&self, p: *const u8) -> Option<Span> {
        self.span_of(p).filter(|span| span.is_large() && span.base() == p.addr())
    }

    /// The class of the live or free small object that starts at `p`. `None` when no small object starts there: `p` may be an
    /// object of whole pages, point into the middle of an object, or be foreign.
    #[inline(always)]
    pub(crate) fn small_object_at(&self, p: *const u8) -> Option<Class> {
        let offset = p.addr().wrapping_sub(self.base);
        // An address outside wraps or lies behind the map, which checks its bounds.
        let (class, page) = self.map.class_and_page(PageIdx(offset / PAGE_SIZE))?;
        Class::of_object_at(class, Bytes(usize::from(page) * PAGE_SIZE + offset % PAGE_SIZE))
    }

    /// A new span of `n` pages: of `class` with all objects free, or one large object. `align` in pages. Made of what the thread's
    /// cache has, when one is given, but that a large object's pages never come from its window: there it could not grow in place.
    /// Beside it, how many of its pages, counted from the first, may hold something else than zeros (Go's needzero, finer). `None`
    /// when memory is exhausted.
    pub(crate) fn alloc_span(
        &self,
        n: Pages,
        class: Option<Class>,
        align: Pages,
        cache: Option<&mut SpanCache>,
    ) -> Option<(Span, Pages)> {
        self.new_span(n, n, class, align, cache)
    }

    /// As `alloc_span` for a large object, but that the span takes with it what is free behind its `n` pages and has frames, in multiples of
    /// `n`, up to `most` in all.
    pub(crate) fn alloc_ahead(&self, n: Pages, most: Pages, cache: &mut SpanCache) -> Option<(Span, Pages)> {
        self.new_span(n, most, None, Pages(1), Some(cache))
    }

    fn new_span(
        &self,
        n: Pages,
        most: Pages,
        class: Option<Class>,
        align: Pages,
        mut cache: Option<&mut SpanCache>,
    ) -> Option<(Span, Pages)> {
        let metadata = Span::metadata_bytes(class.map_or(0, Class::objects));
        let block = self.alloc_header(metadata, cache.as_deref_mut())?;
        let Some((range, scavenged, dirty)) = self.alloc_pages(n, most, align, cache, class.is_some()) else {
            // SAFETY: the block was allocated above with this size and has not been used.
            unsafe { self.free_metadata(block, metadata) };
            return None;
        };
        let span = self.name_span(block, range.start, range.len, class);
        self.took_pages(range.len, scavenged);
        Some((span, dirty))
    }

    /// Makes a span of pages that are the caller's, with a header in `block`, which has the length for it.
    fn name_span(&self, block: NonNull<u8>, start: PageIdx, n: Pages, class: Option<Class>) -> Span {
        // SAFETY: the block has metadata_bytes for this class.
        let span = unsafe { Span::init(block, self.address_of(start), n, class) };
        self.map.set(
            PageRange { start, len: named_pages(span) },
            Entry { span: block, class: class.map_or(0, |c| c.index() as u8), kind: kind(class), page: 0 },
        );
        span
    }

    /// `n` pages, or what `alloc_ahead` takes, how many of them were scavenged, and how many, counted from the first, are not sure to be
    /// zero. Of the thread's window only if `window`.
    fn alloc_pages(
        &self,
        n: Pages,
        most: Pages,
        align: Pages,
        cache: Option<&mut SpanCache>,
        window: bool,
    ) -> Option<(PageRange, Pages, Pages)> {
        if let Some(cache) = cache {
            if window
                && n.0 < CACHED_PAGES
                && align.0 == 1
                && let Some((start, scavenged)) = self.alloc_cached(n, cache)
            {
                let dirty = if scavenged == n { Pages(0) } else { n };
                return Some((PageRange { start, len: n }, scavenged, dirty));
            }
            let got = self.alloc_in_group(cache.group(), n, most, align);
            if got.is_some() {
                return got;
            }
        }
        let mut pages = self.pages.lock();
        loop {
            let got = pages.alloc.alloc_with_dirt(n, most, align);
            if got.is_some() {
                return got;
            }
            if self.grow(&mut pages, Pages(n.0.checked_add(align.0 - 1)?)).is_none() {
                drop(pages);
                return self.alloc_in_any_group(n, align);
            }
        }
    }

    /// Addresses above all pages of the heap, for another use, that nobody may touch until they are committed; `None` when it has none
    /// to spare.
    pub(crate) fn take_addresses(&self, bytes: Bytes) -> Option<NonNull<u8>> {
        self.pages.lock().space.take_end(bytes)
    }

    /// Makes at least `n` more pages usable.
    pub(super) fn grow(&self, pages: &mut PageHeap, n: Pages) -> Option<()> {
        let PageHeap { alloc, space, pending } = pages;
        let tables = |alloc: &PageAlloc<Linux>| self.map.committed_bytes().0 + alloc.committed_bytes().0;
        let before = tables(alloc);
        let range = match *pending {
            Some(range) => range,
            None => space.commit_more(n).ok()?,
        };
        *pending = Some(range);
        let grown = self.map.grow_to(range.end()).and_then(|()| alloc.grow(range));
        // A part of them may be there although another was refused.
        self.tables_committed.fetch_add(tables(alloc) - before, Relaxed);
        grown.ok()?;
        *pending = None;
        if range.start.0 == 0 {
            self.advise_reservation();
        }
        self.usable.fetch_add(range.len.0, Relaxed);
        self.released.fetch_add(range.len.0, Relaxed);
        Some(())
    }

    /// Books pages that became part of a span, and keeps the memory limit.
    pub(super) fn took_pages(&self, n: Pages, scavenged: Pages) {
        let before = self.in_use.fetch_add(n.0, Relaxed);
        self.note_in_use(before + n.0);
        self.note_peak();
        if scavenged.0 > 0 {
            self.released.fetch_sub(scavenged.0, Relaxed);
            self.enforce_limit();
        }
    }

    /// Cuts a large span of a thread behind its first `n` pages; the rest is a span that is kept. `None`, and nothing
    /// done, without memory for its header.
    pub(crate) fn split(&self, span: Span, n: Pages, cache: &mut SpanCache) -> Option<Span> {
        let block = self.alloc_header(Span::metadata_bytes(0), Some(cache))?;
        let range = self.range_of(span);
        span.set_npages(n);
        let rest = self.name_span(block, range.start + n, range.len - n, None);
        check!(rest.transition(State::InUse, State::Cached));
        Some(rest)
    }

    /// Gives a span's pages back to the page allocator, and its header to the thread's cache or to the arena.
    pub(crate) fn free_span(&self, span: Span, cache: Option<&mut SpanCache>) {
        span.chain(None);
        self.free_chain(Some(span), cache);
    }

    /// As `free_span` for spans that are chained to one another.
    pub(crate) fn free_chain(&self, first: Option<Span>, cache: Option<&mut SpanCache>) {
        let each = || core::iter::successors(first, |s| s.chained());
        if first.is_none() {
            return;
        }
        let mut freed = 0;
        each().for_each(|span| {
            self.unmap_span(span);
            freed += span.npages().0;
        });
        self.in_use.fetch_sub(freed, Relaxed);
        self.free_pages_of(first);
        self.free_headers(first, cache);
        self.enforce_limit();
    }

    /// As `free_span` for a span whose frames the kernel has already taken.
    pub(super) fn free_span_scavenged(&self, span: Span) {
        self.unmap_span(span);
        let range = self.range_of(span);
        self.in_use.fetch_sub(range.len.0, Relaxed);
        self.released.fetch_add(range.len.0, Relaxed);
        self.free_pages(range, true);
        span.chain(None);
        self.free_headers(Some(span), None);
    }

    /// Takes a span out of the page map, and marks its header as dead.
    fn unmap_span(&self, span: Span) {
        if span.class().is_none() {
            self.gives_up(self.range_of(span));
        }
        self.map.clear(PageRange { start: self.range_of(span).start, len: named_pages(span) });
        span.retire();
    }

    pub(super) fn range_of(&self, span: Span) -> PageRange {
        PageRange { start: self.page_of(span.base()), len: span.npages() }
    }

    /// A block of metadata for the layers above.
    pub(crate) fn alloc_metadata(&self, bytes: Bytes) -> Option<NonNull<u8>> {
        let mut meta = self.meta.lock();
        let block = meta.alloc(bytes);
        self.note_metadata(&meta);
        block
    }

    /// Books what the arena has committed.
    pub(super) fn note_metadata(&self, meta: &Meta<Linux>) {
        self.meta_committed.store(meta.committed().0, Relaxed);
    }

    /// Takes a block of metadata back.
    ///
    /// # Safety
    /// As for [`Meta::free`].
    pub(crate) unsafe fn free_metadata(&self, block: NonNull<u8>, bytes: Bytes) {
        // SAFETY: passed on unchanged.
        unsafe { self.meta.lock().free(block, bytes) };
    }

    /// Releases up to `want` free pages to the kernel, from the top of the address space down. Without `force` it leaves
    /// pages in nearly full chunks alone. Returns how many it released; what the OS refuses is left
    /// alone.
    pub(super) fn scavenge(&self, want: Pages, step: Pages, force: bool) -> Pages {
        self.groups().fold(Pages(0), |done, group| {
            if done < want { done + self.scavenge_in(group, want - done, step, force) } else { done }
        })
    }

    /// As `scavenge`, from the allocator of one group.
    pub(super) fn scavenge_in(&self, group: Group, want: Pages, step: Pages, force: bool) -> Pages {
        let mut done = Pages(0);
        while done < want {
            let ask = step.min(want - done);
            let Some(range) = self.with_group(group, |alloc| alloc.take_for_scavenge(ask, force)).flatten()
            else {
                break;
            };
            let at = NonNull::new(core::ptr::with_exposed_provenance_mut(self.address_of(range.start)));
            // SAFETY: take_for_scavenge made the pages ours, so nobody relies on their contents (release 2); they are committed.
            let ok = at.is_some_and(|at| unsafe { Linux.release(at, range.len.bytes().0) });
            let mut taken = Some(range);
            self.give_back(group, |alloc| {
                let range = taken.take()?;
                if ok {
                    // Before anyone can take the pages: `took_pages` subtracts them.
                    self.released.fetch_add(range.len.0, Relaxed);
                    alloc.scavenged(range);
                } else {
                    alloc.refused(range);
                }
                Some(range)
            });
            done.0 += if ok { range.len.0 } else { 0 };
        }
        done
    }

    /// The largest alignment in bytes that an object in the heap can have.
    pub(crate) fn max_align(&self) -> usize {
        self.max_align
    }

    /// Objects of this many bytes or more get a mapping of their own.
    pub(crate) fn huge_from(&self) -> usize {
        self.huge_from.load(Relaxed)
    }

    /// Books pages that have frames for a guarded object now; negative: no more.
    pub(crate) fn book_guarded(&self, bytes: isize) {
        self.guarded.fetch_add(bytes as usize, Relaxed);
        if bytes > 0 {
            self.note_peak();
            self.enforce_limit();
        }
    }

    /// Changes that size.
    pub(crate) fn set_huge_from(&self, bytes: usize) {
        self.huge_from.store(bytes, Relaxed);
    }

    /// The current pressure epoch; a thread that sees a new one flushes its caches.
    pub(crate) fn pressure(&self) -> u32 {
        self.pressure.load(Relaxed)
    }

    /// Asks all threads to flush their caches at their next slow path.
    pub(crate) fn raise_pressure(&self) {
        self.pressure.fetch_add(1, Relaxed);
    }

    /// Takes all locks of this layer, in rank order, before a fork.
    pub(crate) fn lock_for_fork(&self) {
        self.huge.lock_for_fork();
        self.pages.lock_for_fork();
        self.shards.lock_for_fork();
        self.thp.lock_for_fork();
        self.meta.lock_for_fork();
    }

    /// Gives them back.
    ///
    /// # Safety
    /// 1. This thread (in the child: the thread that forked) took them with `lock_for_fork`.
    pub(crate) unsafe fn unlock_after_fork(&self, in_child: bool) {
        // SAFETY: passed on unchanged (1).
        unsafe { self.meta.unlock_after_fork(in_child) };
        // SAFETY: passed on unchanged (1).
        unsafe { self.thp.unlock_after_fork(in_child) };
        // SAFETY: passed on unchanged (1).
        unsafe { self.shards.unlock_after_fork(in_child) };
        // SAFETY: passed on unchanged (1).
        unsafe { self.pages.unlock_after_fork(in_child) };
        // SAFETY: passed on unchanged (1).
        unsafe { self.huge.unlock_after_fork(in_child) };
    }

    /// Ends the process unless the page allocator and the counters agree. Slow: walks all summaries.
    #[cfg(feature = "invariants")]
    pub(crate) fn check_invariants(&self) {
        let pages = self.pages.lock();
        pages.alloc.check_invariants();
        check!(pages.alloc.usable_pages().0 == self.usable.load(Relaxed));
        check!(self.released.load(Relaxed) <= self.usable.load(Relaxed));
        drop(pages);
        self.shards.check_invariants();
        check!(self.in_use.load(Relaxed) <= self.usable.load(Relaxed));
        let huge = self.huge.lock();
        huge.check_invariants();
        check!(huge.bytes().0 == self.huge_bytes.load(Relaxed));
    }
}

/// Pages of a span that the page map names: all of a small span, the first of a large one (its inner pages stay unnamed, so
/// a pointer into the middle is noticed).
fn named_pages(span: Span) -> Pages {
    if span.class().is_some() { span.npages() } else { Pages(1) }
}

fn kind(class: Option<Class>) -> Kind {
    if class.is_some() { Kind::ManualSmall } else { Kind::Large }
}
