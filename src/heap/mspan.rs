//! Spans: runs of pages cut into objects of one class, or one large object. Answers to Go's mspan (mheap.go, mbitmap.go).
//!
//! All that the heap knows about a span is in its header in the metadata arena; nothing is ever stored in the pages
//! themselves. A header is one cache line; the free bitmap begins in it (192 objects) and runs on into one or two more
//! lines for the four smallest classes:
//!
//! ```text
//! | base next prev | npages nelems nfree | class state list | bits[0..3] | bits[3..11] | bits[11..17] |
//! |<------------------------------- 64 bytes ------------------------------->|<-- 64 -->|<--- 64 --->|
//! ```
//!
//! A set bit is a free object; a clear one is out: with the program, in a bin or in a transfer cache. Invariant: `nfree` is
//! the number of set bits, and bits past `nelems` are clear.
//!
//! Who may touch what: a span that is being made or freed belongs to the thread doing so; a small span in use belongs to the
//! holder of its class's central lock (bits, nfree, list, next, prev); a large span in use belongs to the thread that owns
//! the object. `base`, `class` and `nelems` never change while a span is in use.
#![expect(unsafe_code, reason = "headers live in metadata memory and are reached by address")]

use core::cell;
use core::mem::{offset_of, size_of};
use core::ptr::{self, NonNull};

use super::facts::Facts;
use super::objects;
use crate::base::{Bytes, Class, PAGE_SIZE, Pages};
use crate::sync::atomic::{self, Acquire, AtomicU8, Cell, Release};
use crate::throw::{check, throw};

/// What a span is at the moment. The word changes only by [`Span::transition`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum State {
    /// Not a span: the header is in the arena's free list.
    Dead = 0,
    /// A small span, or a large object that the program owns.
    InUse = 1,
    /// A large span that no object has, and that waits in an mcache for one.
    Cached = 2,
}

#[repr(C, align(64))]
struct Header {
    base: Cell<usize>,
    next: Cell<*mut Header>,
    prev: Cell<*mut Header>,
    npages: Cell<u32>,
    nelems: Cell<u16>,
    nfree: Cell<u16>,
    class: Cell<u8>,
    state: AtomicU8,
    list: Cell<u8>,
    bits: [cell::Cell<u64>; 3],
}

const _: () = assert!(
    size_of::<Header>() == 64 || !atomic::REAL,
    "a span of up to 192 objects has one cache line of metadata"
);

/// A handle on a span's header. Copying it copies no rights: see the module's head for who may touch what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span(NonNull<Header>);

// SAFETY: a handle is an address in metadata, which is never unmapped; the protocol in the module's head says who uses it.
unsafe impl Send for Span {}

impl Span {
    /// Bytes of metadata that a span with this many objects needs.
    pub(crate) fn metadata_bytes(nelems: usize) -> Bytes {
        Bytes(Self::words_at(nelems) + objects::bytes(nelems))
    }

    /// Where the words of its objects' states start in the metadata, if this build has them: behind the bits.
    pub(super) fn words_at(nelems: usize) -> usize {
        offset_of!(Header, bits) + nelems.div_ceil(64).max(3) * 8
    }

    /// Fills in a header for a span of `class` (all objects free) or, with `None`, for one large object (no bits).
    ///
    /// # Safety
    /// 1. `block` is an unused metadata block of at least `metadata_bytes(nelems)`.
    pub(crate) unsafe fn init(block: NonNull<u8>, base: usize, npages: Pages, class: Option<Class>) -> Self {
        let nelems = class.map_or(0, Class::objects);
        let header = block.cast::<Header>();
        // SAFETY: the block is large enough, aligned to a line, and ours (1).
        unsafe {
            header.write(Header {
                base: Cell::new(base),
                next: Cell::new(ptr::null_mut()),
                prev: Cell::new(ptr::null_mut()),
                npages: Cell::new(npages.0 as u32),
                nelems: Cell::new(nelems as u16),
                nfree: Cell::new(nelems as u16),
                class: Cell::new(class.map_or(0, |c| c.index() as u8)),
                state: AtomicU8::new(State::InUse as u8),
                list: Cell::new(NO_LIST),
                bits: [const { cell::Cell::new(0) }; 3],
            });
        }
        let span = Self(header);
        for w in 0..nelems.div_ceil(64) {
            let live = (nelems - w * 64).min(64);
            span.word(w).set(u64::MAX >> (64 - live));
        }
        objects::init(span);
        span
    }

    /// The handle for a header address taken from the page map.
    pub(crate) fn from_address(addr: NonNull<u8>) -> Self {
        Self(addr.cast())
    }

    /// The header's address, for the page map.
    pub(crate) fn address(self) -> NonNull<u8> {
        self.0.cast()
    }

    #[inline(always)]
    fn h(&self) -> &Header {
        // SAFETY: `init` filled the header in, and metadata is never unmapped.
        unsafe { self.0.as_ref() }
    }

    #[inline(always)]
    pub(super) fn word(&self, i: usize) -> &cell::Cell<u64> {
        debug_assert!(i < (self.h().nelems.get() as usize).div_ceil(64));
        // SAFETY: the block has room for the words of nelems bits, starting at `bits` (init 1).
        let p = unsafe { self.0.cast::<u8>().add(offset_of!(Header, bits) + i * 8) };
        // SAFETY: as above; aligned because the header and the offset are.
        unsafe { p.cast().as_ref() }
    }

    /// Address of its first byte.
    #[inline(always)]
    pub(crate) fn base(self) -> usize {
        self.h().base.get()
    }

    /// Its length.
    #[inline(always)]
    pub(crate) fn npages(self) -> Pages {
        Pages(self.h().npages.get() as usize)
    }

    /// Its length in bytes.
    #[inline(always)]
    pub(crate) fn bytes(self) -> Bytes {
        Bytes(self.npages().0 * PAGE_SIZE)
    }

    /// Changes the length of a large object in place.
    pub(crate) fn set_npages(self, n: Pages) {
        self.h().npages.set(n.0 as u32);
    }

    /// Its class; `None` for a large object.
    pub(crate) fn class(self) -> Option<Class> {
        Class::new(self.h().class.get() as usize)
    }

    /// Whether it is one large object.
    #[inline(always)]
    pub(crate) fn is_large(self) -> bool {
        self.h().class.get() == 0
    }

    /// Objects in all.
    pub(crate) fn nelems(self) -> usize {
        self.h().nelems.get() as usize
    }

    /// Free objects.
    #[inline(always)]
    pub(crate) fn nfree(self) -> usize {
        self.h().nfree.get() as usize
    }

    /// Moves the state word along; `false` when it was not `from`, and then nothing changed. Only for who owns the span, or the
    /// object in it: two threads that free one object at the very same time may both be told `true`.
    #[must_use]
    #[inline(always)]
    pub(crate) fn transition(self, from: State, to: State) -> bool {
        // Acquire: pairs with the Release below and in `retire`.
        let ok = self.h().state.load(Acquire) == from as u8;
        if ok {
            // Release: pairs with the Acquire above and in `is`.
            self.h().state.store(to as u8, Release);
        }
        ok
    }

    /// The span that it was chained to. Only while it is in no list.
    #[inline(always)]
    pub(crate) fn chained(self) -> Option<Self> {
        NonNull::new(self.h().next.get()).map(Self)
    }

    /// Chains another span, or none, to it. Only while it is in no list.
    #[inline(always)]
    pub(crate) fn chain(self, to: Option<Self>) {
        self.h().next.set(to.map_or(ptr::null_mut(), |s| s.0.as_ptr()));
    }

    /// Whether it is in `state` now.
    pub(crate) fn is(self, state: State) -> bool {
        // Acquire: pairs with the Release in `transition`.
        self.h().state.load(Acquire) == state as u8
    }

    /// Marks the header dead before its block goes back to the arena.
    pub(crate) fn retire(self) {
        // Release: pairs with the Acquire in `is`.
        self.h().state.store(State::Dead as u8, Release);
    }

    /// Takes up to `out.len()` free objects, lowest address first, and writes them so that popping from the end of what was
    /// written gives ascending addresses: at the end of `out`, in descending order. Returns how many. The hardened build takes
    /// them at random.
    pub(crate) fn take(self, out: &mut [*mut u8]) -> usize {
        let Some(class) = self.class() else { throw!("take: span has no class"; base = self.base()) };
        let size = class.size().0;
        let want = out.len().min(self.nfree());
        let from = out.len() - want;
        objects::take(self, size, &mut out[from..]);
        self.h().nfree.set((self.nfree() - want) as u16);
        want
    }

    /// Takes objects back: as many from the front of `batch` as point into this span, and at least the first, which the caller
    /// knows to. Returns how many. Ends the process with one line when one is not the start of an object, or is free already.
    pub(crate) fn put(self, batch: &[*mut u8]) -> usize {
        let Some(class) = self.class() else {
            throw!("free: object of a small class in a large span"; addr = batch.first())
        };
        let (base, bytes, starts) = (self.base(), self.bytes().0, class.starts());
        let mut taken = 0;
        // The word of the last object: neighbours are often freed together.
        let (mut cell, mut at) = (self.word(0), 0);
        let mut bits = cell.get();
        for &p in batch {
            let offset = p.addr().wrapping_sub(base);
            if offset >= bytes {
                break;
            }
            let Some(object) = starts.object_at(Bytes(offset)) else {
                self.facts_of(p).refuse(p, format_args!("free: pointer into the middle of an object"));
            };
            if object / 64 != at {
                cell.set(bits);
                at = object / 64;
                cell = self.word(at);
                bits = cell.get();
            }
            let bit = 1 << (object % 64);
            if bits & bit != 0 {
                Facts::freed(class).refuse(p, format_args!("free: object is already free"));
            }
            bits |= bit;
            taken += 1;
        }
        cell.set(bits);
        self.h().nfree.set((self.nfree() + taken) as u16);
        taken
    }

    /// Whether the object that starts at `p` is out. `None` when no object starts there.
    pub(crate) fn is_out(self, p: *mut u8) -> Option<bool> {
        let class = self.class()?;
        let offset = p.addr().checked_sub(self.base())?;
        let object = (offset < self.bytes().0).then(|| class.starts().object_at(Bytes(offset))).flatten()?;
        Some(!self.has(object))
    }

    /// Whether an object is in the span, and so free.
    pub(super) fn has(self, object: usize) -> bool {
        self.word(object / 64).get() & (1 << (object % 64)) != 0
    }

    /// Ends the process unless the header agrees with its own bitmap.
    #[cfg(any(test, feature = "invariants"))]
    pub(crate) fn check_invariants(self) {
        check!(self.is(State::InUse); base = self.base());
        let words = self.nelems().div_ceil(64);
        let set: usize = (0..words).map(|w| self.word(w).get().count_ones() as usize).sum();
        check!(set == self.nfree(); base = self.base(); set = set; nfree = self.nfree());
        if let Some(class) = self.class() {
            check!(self.nelems() == class.objects(); base = self.base());
            check!(self.npages() == class.pages(); base = self.base());
            let last = self.nelems() % 64;
            check!(last == 0 || self.word(words - 1).get() >> last == 0; base = self.base());
        }
    }
}

const NO_LIST: u8 = u8::MAX;

/// Doubly linked lists of spans; a span is in at most one. The list number in the header makes removal checkable.
pub(crate) struct SpanList {
    first: *mut Header,
    id: u8,
}

// SAFETY: the list is reached through the lock it lives behind, and so are the spans in it.
unsafe impl Send for SpanList {}

impl SpanList {
    /// An empty list with a number of its own among the lists that share a lock.
    pub(crate) const fn new(id: u8) -> Self {
        Self { first: ptr::null_mut(), id }
    }

    /// The span that was put in last.
    pub(crate) fn first(&self) -> Option<Span> {
        NonNull::new(self.first).map(Span)
    }

    /// Puts a span in that is in no list.
    pub(crate) fn push(&mut self, span: Span) {
        let h = span.h();
        check!(h.list.get() == NO_LIST; base = span.base());
        h.list.set(self.id);
        h.prev.set(ptr::null_mut());
        h.next.set(self.first);
        if let Some(second) = self.first() {
            second.h().prev.set(span.0.as_ptr());
        }
        self.first = span.0.as_ptr();
    }

    /// Takes a span out that is in this list.
    pub(crate) fn remove(&mut self, span: Span) {
        let h = span.h();
        check!(h.list.get() == self.id; base = span.base(); list = h.list.get());
        let (prev, next) = (h.prev.get(), h.next.get());
        match NonNull::new(prev).map(Span) {
            Some(p) => p.h().next.set(next),
            None => self.first = next,
        }
        if let Some(n) = NonNull::new(next).map(Span) {
            n.h().prev.set(prev);
        }
        h.list.set(NO_LIST);
    }

    /// Its spans.
    #[cfg(any(test, feature = "invariants"))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = Span> {
        core::iter::successors(self.first(), |s| NonNull::new(s.h().next.get()).map(Span))
    }
}

impl Span {
    /// The number of the list it is in, if any.
    pub(crate) fn list(self) -> Option<u8> {
        Some(self.h().list.get()).filter(|&l| l != NO_LIST)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{alloc::Layout, collections::BTreeSet, vec, vec::Vec};

    fn header(nelems: usize) -> NonNull<u8> {
        let layout = Layout::from_size_align(Span::metadata_bytes(nelems).0, 64).unwrap();
        // SAFETY: the layout has a size. The block is leaked: it stands for metadata, which is never unmapped.
        NonNull::new(unsafe { std::alloc::alloc(layout) }).unwrap()
    }

    /// A span at an address that is never touched: its bitmap works on numbers only.
    fn span(class: Class) -> Span {
        // SAFETY: a fresh block of the right size.
        unsafe { Span::init(header(class.objects()), 0x10_0000, class.pages(), Some(class)) }
    }

    /// Takes and returns objects at random against a set of free addresses, checking after every step.
    #[test]
    fn take_and_put_match_a_set_for_every_class() {
        for class in Class::all() {
            let s = span(class);
            let all = (0..class.objects()).map(|i| s.base() + i * class.size().0);
            let mut free: BTreeSet<usize> = all.collect();
            let mut out: Vec<usize> = vec![];
            let mut seed = 0x9e37_79b9_7f4a_7c15u64 ^ class.index() as u64;
            for _ in 0..200 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let n = (seed >> 33) as usize % (class.objects() + 2);
                if seed >> 63 == 0 {
                    let mut buf = vec![ptr::null_mut(); n];
                    let got = s.take(&mut buf);
                    assert_eq!(got, n.min(free.len()));
                    for p in buf[n - got..].iter().rev() {
                        let lowest = free.first().copied();
                        assert!(free.remove(&p.addr()), "it was not free");
                        assert!(
                            cfg!(feature = "hardened") || lowest == Some(p.addr()),
                            "lowest address first"
                        );
                        assert_eq!(s.is_out(*p), Some(true));
                        out.push(p.addr());
                    }
                } else {
                    for _ in 0..n.min(out.len()) {
                        let p = out.swap_remove((seed >> 20) as usize % out.len());
                        assert_eq!(
                            s.put(&[ptr::without_provenance_mut(p), ptr::without_provenance_mut(1)]),
                            1
                        );
                        free.insert(p);
                    }
                }
                s.check_invariants();
                assert_eq!(s.nfree(), free.len());
            }
        }
    }

    #[test]
    fn lists_keep_their_members() {
        let mut a = SpanList::new(0);
        let spans: Vec<_> = Class::all().take(5).map(span).collect();
        spans.iter().for_each(|&s| a.push(s));
        a.remove(spans[2]);
        a.remove(spans[4]);
        a.remove(spans[0]);
        assert!(a.iter().eq([spans[3], spans[1]]));
        assert_eq!(spans[0].list(), None);
        assert_eq!(spans[1].list(), Some(0));
    }
}
