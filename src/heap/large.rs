//! Objects of whole pages: large ones are spans of the heap, huge ones have a mapping of their own. Answers to Go's
//! mcache.allocLarge, and to nothing in Go for `resize_object`.
//!
//! An object is resized without copying wherever that is possible: it shrinks in place (unless a small rest is worth a
//! copy), grows in place when the pages
//! behind it are free, and from 1 MiB on its page frames are moved to a mapping with room (`mremap`), after which it is a
//! huge object and the kernel grows it. Moving frames within the reservation was rejected: each move would leave a mapping
//! of its own there for good, and Linux grants a process 65,530 of them.

use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;

use super::facts::{Facts, Owned};
use super::huge::{Huge, HugeTable};
use super::mheap::Heap;
use super::mspan::{Span, State};
use super::shards::Group;
use crate::base::{Bytes, PAGE_SIZE, PageIdx, PageRange, Pages};
use crate::sys::{Linux, OBJECT_GUARD, Os};

/// From this many bytes on, frames are moved instead of copied.
const MOVE_FROM: usize = 1 << 20;

/// An object of whole pages.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Object {
    /// A span of the heap.
    Large(Span),
    /// A mapping of its own.
    Huge(Huge),
}

impl Object {
    /// Bytes that the object takes: a multiple of 8192.
    pub(crate) fn bytes(self) -> Bytes {
        match self {
            Self::Large(span) => span.bytes(),
            Self::Huge(h) => Bytes(h.bytes),
        }
    }

    /// Bytes of it that the program may use.
    pub(crate) fn usable(self) -> Bytes {
        match self {
            Self::Large(span) => span.bytes(),
            Self::Huge(h) => Bytes(h.usable),
        }
    }

    /// Whether an object of `n` pages takes as many bytes.
    pub(crate) fn has_pages(self, n: Pages) -> bool {
        match self {
            Self::Large(span) => span.npages() == n,
            Self::Huge(h) => mapped_bytes(n) == Some(h.bytes),
        }
    }
}

/// Length of the mapping of a huge object of `n` pages: the kernel's page may be larger than ours, and it is whole pages of both.
fn mapped_bytes(n: Pages) -> Option<usize> {
    n.0.checked_mul(PAGE_SIZE)?.checked_next_multiple_of(Linux.page_size())
}

impl Heap {
    /// The live object of whole pages that starts at `p`.
    pub(crate) fn object_at(&self, p: *const u8) -> Option<Object> {
        if !self.contains(p) {
            return self.huge.lock().find(p.addr()).map(Object::Huge);
        }
        let span = self.span_of(p)?;
        (span.class().is_none() && span.base() == p.addr() && span.is(State::InUse))
            .then_some(Object::Large(span))
    }

    /// The huge object that an access was for which the kernel refused, and what is known of it: one that was freed, or the one that the
    /// access was beside. `Some(None)` also where the program itself has taken the access away; `None` as long as the table is in use,
    /// perhaps by the thread itself.
    pub(crate) fn huge_of_fault(&self, addr: usize) -> Option<Option<(Huge, Facts)>> {
        let found = self.huge.try_lock()?.whose(addr, OBJECT_GUARD);
        let is_inside = |h: Huge| addr.wrapping_sub(h.addr) < h.bytes;
        let refused = found.filter(|&(h, owned)| owned == Owned::Freed || !is_inside(h));
        Some(refused.map(|(h, owned)| (h, Facts::large(h.addr, Bytes(h.usable), owned))))
    }

    /// Notes how many bytes the program may use of the huge object that starts at `p`; `false` when none does.
    #[cfg(feature = "hardened")]
    pub(crate) fn set_usable(&self, p: *const u8, usable: usize) -> bool {
        self.huge.lock().set_usable(p.addr(), usable)
    }

    /// What is known of the huge object that started at `p` until it was freed.
    #[cfg(feature = "hardened")]
    pub(crate) fn freed_at(&self, p: *const u8) -> Option<Facts> {
        let (h, owned) = self.huge.lock().whose(p.addr(), 0)?;
        (owned == Owned::Freed && h.addr == p.addr()).then(|| Facts::large(h.addr, Bytes(h.usable), owned))
    }

    /// A new huge object, zero; `None` when the OS refuses.
    pub(crate) fn alloc_huge(&self, n: Pages, align: usize) -> Option<NonNull<u8>> {
        let most = (isize::MAX as usize).checked_sub(align)?;
        let bytes = mapped_bytes(n).filter(|&bytes| bytes <= most)?;
        let mut table = self.huge.lock();
        if !self.reserve_huge(&mut table) {
            return None;
        }
        let map = || Linux.map_object(bytes, align);
        // What was freed may stand in the way.
        let p = map().or_else(|| (self.may_have(n) && table.freed.give_back()).then(map).flatten())?;
        self.mapped(p, bytes);
        table.insert(Huge { addr: p.as_ptr().expose_provenance(), bytes, usable: bytes });
        self.huge_bytes.fetch_add(bytes, Relaxed);
        self.huge_objects.fetch_add(1, Relaxed);
        self.note_peak();
        drop(table);
        self.enforce_limit();
        Some(p)
    }

    /// Whether there could be an object of `n` pages if all else were gone.
    pub(crate) fn may_have(&self, n: Pages) -> bool {
        n.0 <= self.reserved.0 / PAGE_SIZE
    }

    /// Unmaps huge objects that were freed and wait.
    pub(crate) fn give_back_freed(&self) {
        self.huge.lock().freed.give_back();
    }

    /// Makes room for one more entry in the table, and books the memory that takes.
    fn reserve_huge(&self, table: &mut HugeTable<Linux>) -> bool {
        let before = table.committed();
        let ok = table.reserve_one();
        self.tables_committed.fetch_add(table.committed().0 - before.0, Relaxed);
        ok
    }

    /// Frees a huge object. `None` when none starts at `p`.
    #[expect(unsafe_code, reason = "unmaps the object")]
    pub(crate) fn free_huge(&self, p: *mut u8) -> Option<Bytes> {
        let mut table = self.huge.lock();
        let h = table.remove(p.addr())?;
        // SAFETY: the table had it, so it is an object's mapping; the caller gave it up.
        unsafe { table.freed.put(h) };
        self.huge_bytes.fetch_sub(h.bytes, Relaxed);
        self.huge_objects.fetch_sub(1, Relaxed);
        drop(table);
        Some(Bytes(h.bytes))
    }

    /// Gives an object a new length without copying, perhaps at another address: then the old address is gone. `None` when
    /// only a copy can do it; then nothing changed. `align` is what the object's address must keep. `make_way` is asked to free what
    /// is behind a large object that cannot grow where it is, and says whether it did.
    pub(crate) fn resize_object(
        &self,
        object: Object,
        n: Pages,
        align: usize,
        make_way: impl FnOnce(Span) -> bool,
    ) -> Option<NonNull<u8>> {
        match object {
            Object::Large(span) => self.resize_large(span, n, align, make_way),
            Object::Huge(h) => self.resize_huge(h, n, align),
        }
    }

    #[expect(unsafe_code, reason = "moves the object's page frames")]
    fn resize_large(
        &self,
        span: Span,
        n: Pages,
        align: usize,
        make_way: impl FnOnce(Span) -> bool,
    ) -> Option<NonNull<u8>> {
        let at = NonNull::new(core::ptr::with_exposed_provenance_mut(span.base()))?;
        let old = span.npages();
        if n.0 <= old.0 {
            if n.0 < old.0 {
                self.truncate(span, n);
            }
            return Some(at);
        }
        if self.extend(span, n) || (make_way(span) && self.extend(span, n)) {
            return Some(at);
        }
        let os_page = Linux.page_size();
        if old.bytes().0 < MOVE_FROM || align > os_page || !old.bytes().0.is_multiple_of(os_page) {
            return None;
        }
        let new = n.bytes().0.checked_next_multiple_of(os_page)?;
        // The kernel would unlock all of the heap. The last page of the reservation is as locked as the others, and the last to be used.
        let (base, reserved) = self.reservation();
        let last = base + reserved.0 - os_page;
        if NonNull::new(core::ptr::with_exposed_provenance_mut(last)).is_none_or(|last| Linux.is_locked(last))
        {
            return None;
        }
        self.gives_up(self.range_of(span));
        let mut table = self.huge.lock();
        if !self.reserve_huge(&mut table) {
            return None;
        }
        // SAFETY: the span's pages are committed and the object's owner is resizing it; old <= new.
        let moved = unsafe { Linux.move_to_object(at, old.bytes().0, new) }?;
        table.insert(Huge { addr: moved.as_ptr().expose_provenance(), bytes: new, usable: new });
        self.huge_bytes.fetch_add(new, Relaxed);
        self.huge_objects.fetch_add(1, Relaxed);
        drop(table);
        self.resized(moved, new);
        self.free_span_scavenged(span);
        self.note_peak();
        self.enforce_limit();
        Some(moved)
    }

    /// Grows a large span in place to `n` pages if the pages behind it are free; `false` when not.
    #[must_use]
    fn extend(&self, span: Span, n: Pages) -> bool {
        let old = self.range_of(span);
        let more = PageRange { start: old.end(), len: Pages(n.0 - old.len.0) };
        // From the allocator that the span's pages are from: all of them go back to one.
        let scavenged = self.with_owner(old.start, |alloc| alloc.alloc_at(more));
        let Some(scavenged) = scavenged.or_else(|| self.extend_at_end(old.start, more)) else { return false };
        span.set_npages(n);
        self.took_pages(more.len, scavenged);
        if scavenged == more.len {
            self.grew_by(more);
        }
        true
    }

    /// Takes exactly these pages where the heap ends, which grows for that if the way there is clear. They are for a span that starts
    /// with `first`.
    fn extend_at_end(&self, first: PageIdx, more: PageRange) -> Option<Pages> {
        let end = more.end().0;
        let beyond = end > self.usable.load(Relaxed) && end * PAGE_SIZE <= self.reserved.0;
        if !beyond || self.owner_of(first) != Group::FIRST {
            return None;
        }
        let mut pages = self.pages.lock();
        let usable = self.usable.load(Relaxed);
        if end > usable && more.start.0 <= usable {
            let free_tail = PageRange { start: more.start, len: Pages(usable - more.start.0) };
            if pages.alloc.is_free(free_tail) {
                let _ = self.grow(&mut pages, Pages(end - usable));
            }
        }
        pages.alloc.alloc_at(more)
    }

    /// Shrinks a large span in place to `n` pages.
    pub(crate) fn truncate(&self, span: Span, n: Pages) {
        let old = self.range_of(span);
        span.set_npages(n);
        let tail = PageRange { start: PageIdx(old.start.0 + n.0), len: Pages(old.len.0 - n.0) };
        self.gives_up(tail);
        self.in_use.fetch_sub(tail.len.0, Relaxed);
        self.free_pages(tail, false);
        self.enforce_limit();
    }

    #[expect(unsafe_code, reason = "resizes the object's mapping")]
    fn resize_huge(&self, h: Huge, n: Pages, align: usize) -> Option<NonNull<u8>> {
        let new = mapped_bytes(n)?;
        let at = NonNull::new(core::ptr::with_exposed_provenance_mut(h.addr))?;
        if new == h.bytes {
            return Some(at);
        }
        // A larger alignment than a page's may be lost when the kernel moves the object.
        if new > isize::MAX as usize || (new > h.bytes && align > Linux.page_size()) {
            return None;
        }
        let mut table = self.huge.lock();
        // SAFETY: h is one object mapping, and its owner is resizing it.
        let p = unsafe { Linux.resize_object(at, h.bytes, new) }?;
        table.remove(h.addr);
        table.insert(Huge { addr: p.as_ptr().expose_provenance(), bytes: new, usable: new });
        self.huge_bytes.fetch_add(new.wrapping_sub(h.bytes), Relaxed);
        self.note_peak();
        drop(table);
        self.resized(p, new);
        self.enforce_limit();
        Some(p)
    }
}
