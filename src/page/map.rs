//! The page map: from a page of the reservation to what it belongs to. Answers to Go's heapArena.spans and spanOf (mheap.go).
//!
//! One word a page, so that an address is resolved with one load:
//!
//! ```text
//! 63                                     22 21             16 15         8 7          0
//! | address of the owner's header / 64      | page of the span | size class | kind, 1.. |     0 = nobody's
//! ```
//!
//! Written by whoever makes or frees a span, which owns the pages at that moment; read by anyone at any time without a lock,
//! also while the map grows: it never moves, and the committed length only goes up. What a reader does with an entry is safe
//! only while the span is known to live (it holds an object of it); for any other address it is a hint.
//!
//! Rejected: Go's map of arenas, two loads: the reservation is contiguous.

use core::ptr::{self, NonNull};

use super::OutOfMemory;
use super::table::Table;
use crate::base::{Bytes, PageIdx, PageRange, Pages};
use crate::sync::atomic::{Acquire, AtomicU64, Release};
use crate::sys::Os;
use crate::throw::throw;

const CLASS_SHIFT: u32 = 8;
/// Where the header's address begins, and in its six lowest bits, which are zero, the page's number in its span.
const OWNER_SHIFT: u32 = 16;
/// Headers are aligned to this; a span whose pages are all named has at most as many pages.
const OWNER_ALIGN: usize = 64;
/// One page further in the same span.
const NEXT_PAGE: u64 = 1 << OWNER_SHIFT;

/// What a page that has an owner is used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Objects of one size class that the program frees.
    ManualSmall = 1,
    /// Objects of one size class that the collector frees.
    CollectedSmall = 2,
    /// One object of whole pages.
    Large = 3,
    /// A goroutine's stack.
    Stack = 4,
}

/// What is known of a page that has an owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    /// The owner's header, in memory that is never unmapped, aligned to a cache line.
    pub(crate) span: NonNull<u8>,
    /// Number of its size class; 0 when it has none.
    pub(crate) class: u8,
    /// What it is used for.
    pub(crate) kind: Kind,
    /// The page's number in its span, counted from 0. `PageMap::set` numbers the pages of its range itself.
    pub(crate) page: u8,
}

impl Entry {
    #[inline]
    fn pack(self) -> u64 {
        let owner = self.span.as_ptr().expose_provenance() as u64;
        debug_assert!(owner >> (64 - OWNER_SHIFT) == 0, "user addresses have 47 bits");
        debug_assert!(owner.is_multiple_of(OWNER_ALIGN as u64) && usize::from(self.page) < OWNER_ALIGN);
        (owner | u64::from(self.page)) << OWNER_SHIFT
            | u64::from(self.class) << CLASS_SHIFT
            | self.kind as u64
    }

    /// Whole words only ever come from `pack`, so the last kind needs no test.
    #[inline]
    fn unpack(word: u64) -> Option<Self> {
        let owner = (word >> OWNER_SHIFT) as usize;
        let span = NonNull::new(ptr::with_exposed_provenance_mut(owner & !(OWNER_ALIGN - 1)))?;
        let kind = match word as u8 {
            1 => Kind::ManualSmall,
            2 => Kind::CollectedSmall,
            3 => Kind::Large,
            _ => Kind::Stack,
        };
        Some(Self { span, class: (word >> CLASS_SHIFT) as u8, kind, page: (owner % OWNER_ALIGN) as u8 })
    }
}

/// The map.
pub(crate) struct PageMap<O: Os> {
    words: Table<AtomicU64, O>,
}

impl<O: Os> PageMap<O> {
    /// Reserves a map of `max` pages; `None` when the OS refuses.
    pub(crate) fn new(os: O, max: Pages) -> Option<Self> {
        Some(Self { words: Table::new(os, max.0, c"gort: page map")? })
    }

    /// Makes the entries of all pages before `end` settable. On `Err` nothing changed.
    pub(crate) fn grow_to(&self, end: PageIdx) -> Result<(), OutOfMemory> {
        self.words.grow_to(end.0)
    }

    /// Enters an owner for each page of the range, for which `grow_to` must have made room. `entry` is the first page's.
    #[inline]
    pub(crate) fn set(&self, r: PageRange, entry: Entry) {
        self.store(r, entry.pack(), NEXT_PAGE);
    }

    /// Makes each page of the range nobody's.
    #[inline]
    pub(crate) fn clear(&self, r: PageRange) {
        self.store(r, 0, 0);
    }

    #[inline]
    fn store(&self, r: PageRange, mut word: u64, step: u64) {
        let Some(words) = self.words.get(r.start.0..r.end().0) else {
            throw!("page: range is not in the page map"; start = r.start.0, pages = r.len.0)
        };
        for w in words {
            // Release: publishes the header that the owner filled in. Pairs with the Acquire in `get`.
            w.store(word, Release);
            word = word.wrapping_add(step);
        }
    }

    /// The entry of a page; `None` when it is nobody's, or no page that was ever usable.
    #[inline(always)]
    pub(crate) fn get(&self, page: PageIdx) -> Option<Entry> {
        // Acquire: whoever sees the entry sees the header it names. Pairs with the Release in `store`.
        Entry::unpack(self.words.get(page.0)?.load(Acquire))
    }

    /// Size class and place in its span of a page: all that a free needs to know. Class 0 when the page is nobody's, or has no class;
    /// `None` when it is no page that was ever usable.
    #[inline(always)]
    pub(crate) fn class_and_page(&self, page: PageIdx) -> Option<(u8, u8)> {
        // Acquire: as in `get`.
        let word = self.words.get(page.0)?.load(Acquire);
        Some(((word >> CLASS_SHIFT) as u8, (word >> OWNER_SHIFT) as u8 % OWNER_ALIGN as u8))
    }

    /// Bytes of the map that can be read and written, most of them without a frame.
    pub(crate) fn committed_bytes(&self) -> Bytes {
        self.words.committed_bytes()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::base::Random;
    use crate::page::testing::{Choices as _, FakeOs};
    use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::vec::Vec;

    const KINDS: [Kind; 4] = [Kind::ManualSmall, Kind::CollectedSmall, Kind::Large, Kind::Stack];

    #[repr(align(64))]
    struct Header(AtomicUsize);

    fn header(addr: usize) -> NonNull<u8> {
        NonNull::new(ptr::without_provenance_mut(addr)).unwrap()
    }

    #[test]
    fn packing_keeps_every_field() {
        for kind in KINDS {
            for class in 0..=255 {
                for addr in [64, 128, 0x7fff_ffff_ffc0, (1 << 48) - 64] {
                    for page in [0, 1, 9, 63] {
                        let e = Entry { span: header(addr), class, kind, page };
                        assert_eq!(Entry::unpack(e.pack()), Some(e));
                    }
                }
            }
        }
        assert_eq!(Entry::unpack(0), None);
    }

    #[test]
    fn matches_a_plain_vector() {
        let mut rng = Random::from_env("matches_a_plain_vector", 31);
        let os = FakeOs::new(4096);
        let max = 100_000;
        let map = PageMap::new(os, Pages(max)).unwrap();
        assert_eq!(map.get(PageIdx(0)), None);
        let mut usable = 0;
        let mut model: Vec<Option<Entry>> = std::vec![None; max];
        for _ in 0..3_000 {
            if rng.one_in(50) {
                let end = (usable + rng.below(20_000)).min(max);
                if rng.one_in(3) {
                    os.refuse(0, 1);
                }
                if map.grow_to(PageIdx(end)).is_ok() {
                    usable = usable.max(end);
                }
                os.refuse(0, 0);
            }
            if usable > 0 {
                let start = rng.below(usable);
                let r = PageRange { start: PageIdx(start), len: Pages(rng.size(64).min(usable - start)) };
                let kind = KINDS[rng.below(4)];
                let e =
                    Entry { span: header(rng.size(1 << 41) * 64), class: rng.next() as u8, kind, page: 0 };
                let new = (!rng.one_in(3)).then_some(e);
                match new {
                    Some(e) => map.set(r, e),
                    None => map.clear(r),
                }
                for (page, m) in model[start..r.end().0].iter_mut().enumerate() {
                    *m = new.map(|e| Entry { page: page as u8, ..e });
                }
            }
            for _ in 0..20 {
                let i = rng.below(max);
                assert_eq!(map.get(PageIdx(i)), model[i]);
                let all_a_free_needs = map.class_and_page(PageIdx(i)).unwrap_or((0, 0));
                assert_eq!(all_a_free_needs, model[i].map_or((0, 0), |e| (e.class, e.page)));
            }
        }
        assert_eq!(map.class_and_page(PageIdx(max)), None);
        assert!(map.grow_to(PageIdx(max + 1)).is_err());
        assert_eq!(map.get(PageIdx(usize::MAX)), None);
    }

    /// A reader that sees an entry sees what its header held when the entry was stored.
    #[test]
    fn readers_see_finished_headers_while_the_map_grows() {
        let pages = 40_000;
        let map = PageMap::new(FakeOs::new(4096), Pages(pages)).unwrap();
        let headers: Vec<Header> = (0..pages).map(|_| Header(AtomicUsize::new(0))).collect();
        std::thread::scope(|s| {
            s.spawn(|| {
                for (i, h) in headers.iter().enumerate() {
                    map.grow_to(PageIdx(i + 1)).unwrap();
                    h.0.store(i + 1, Relaxed);
                    let span = NonNull::from(h).cast();
                    let r = PageRange { start: PageIdx(i), len: Pages(1) };
                    map.set(r, Entry { span, class: i as u8, kind: Kind::Large, page: 0 });
                }
            });
            s.spawn(|| {
                let mut rng = Random::from_env("readers_see_finished_headers_while_the_map_grows", 32);
                while map.get(PageIdx(pages - 1)).is_none() {
                    let i = rng.below(pages);
                    if let Some(e) = map.get(PageIdx(i)) {
                        assert_eq!((e.span, e.class), (NonNull::from(&headers[i]).cast(), i as u8));
                        assert_eq!(headers[i].0.load(Relaxed), i + 1);
                    }
                }
            });
        });
    }
}
