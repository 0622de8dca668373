//! What the hardened build knows of each object, beside its bit: a word with its state, which is also the size it was asked for with.
//!
//! The words are in the span's metadata, behind the bits, two bytes an object: an eighth of the heap for objects of 16 bytes, and less
//! for larger ones. A word says what is true for the program, at once: the bit is set only when the object comes back to its span.
//! Who frees an object changes its word with a compare-and-swap, so of two threads that free it at the same time one is told.
//!
//! Free objects are taken at random: from a random place on, cyclically, one at a time. The numbers are wyrand's, seeded by the
//! kernel: fast, and not secret to someone who sees enough of them.
#![expect(unsafe_code, reason = "words in metadata, reached by address")]

use core::ptr;
use core::sync::atomic::{AtomicU16, AtomicU64, Ordering::Relaxed};

use super::facts::Owned;
use super::mspan::Span;
use crate::base::{Bytes, MAX_SMALL_SIZE, PAGE_SIZE, Random};
use crate::sys;

/// As in the plain build, with two bytes for each object of 8: the reservation for metadata is then full when the heap's is half full,
/// which is twice the machine's memory.
pub(super) const METADATA_SHARE: usize = 4;

/// Eighths of the addresses that the heap takes where they are limited: with its metadata as many as in the plain build.
pub(super) const EIGHTHS: usize = 4;

/// All objects of whole pages have mappings of their own, between guard pages.
pub(super) const HUGE_FROM: Bytes = Bytes(PAGE_SIZE);

/// The word of an object that was never handed out since its span was made.
const NEVER: u16 = u16::MAX;
/// The word of an object that was freed: it is in a quarantine, a cache, or its span.
const FREED: u16 = u16::MAX - 1;

const _: () = assert!(MAX_SMALL_SIZE < FREED as usize, "every size is a word of its own");

/// What an object's word says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ObjectState {
    /// Not handed out since its span was made.
    NeverAllocated,
    /// Freed by the program.
    Freed,
    /// The program's, who asked for so many bytes.
    Live(usize),
}

impl ObjectState {
    fn of(word: u16) -> Self {
        match word {
            NEVER => Self::NeverAllocated,
            FREED => Self::Freed,
            size => Self::Live(size.into()),
        }
    }

    fn word(self) -> u16 {
        match self {
            Self::NeverAllocated => NEVER,
            Self::Freed => FREED,
            Self::Live(size) => size as u16,
        }
    }
}

/// The word of one object of a small span in use.
#[derive(Clone, Copy)]
pub(crate) struct ObjectWord(&'static AtomicU16);

impl ObjectWord {
    /// What it says now.
    #[inline]
    pub(crate) fn get(self) -> ObjectState {
        ObjectState::of(self.0.load(Relaxed))
    }

    /// Makes it say something else; for who owns the object.
    #[inline]
    pub(crate) fn set(self, state: ObjectState) {
        self.0.store(state.word(), Relaxed);
    }

    /// Turns what it says into `Freed`; `false` when it says something else than `from` by now.
    #[inline]
    #[must_use]
    pub(crate) fn free(self, from: ObjectState) -> bool {
        self.0.compare_exchange(from.word(), FREED, Relaxed, Relaxed).is_ok()
    }
}

/// Bytes in the metadata of a span for the words.
pub(super) const fn bytes(nelems: usize) -> usize {
    nelems * size_of::<AtomicU16>()
}

/// Fills the words in: no object was handed out.
pub(super) fn init(span: Span) {
    (0..span.nelems()).for_each(|i| word(span, i).set(ObjectState::NeverAllocated));
}

fn word(span: Span, object: usize) -> ObjectWord {
    debug_assert!(object < span.nelems());
    let at = Span::words_at(span.nelems()) + object * size_of::<AtomicU16>();
    // SAFETY: the metadata block has a word for each object behind the bits (`Span::metadata_bytes`), and is never unmapped.
    let word = unsafe { span.address().add(at) };
    // SAFETY: as above; an even offset in a block that is aligned to a line. Any bytes are a word.
    ObjectWord(unsafe { word.cast().as_ref() })
}

/// The size that an object was asked for with, if the program owns it, and whether it does.
pub(super) fn known_of(span: Span, object: usize) -> (Option<usize>, Option<Owned>) {
    match word(span, object).get() {
        ObjectState::Live(asked) => (Some(asked), Some(Owned::Live)),
        ObjectState::Freed => (None, Some(Owned::Freed)),
        ObjectState::NeverAllocated => (None, Some(Owned::NeverAllocated)),
    }
}

impl Span {
    /// The word of the object that starts at `p`, an address in this small span; `None` when none starts there.
    #[inline]
    pub(crate) fn word_of(self, p: *const u8) -> Option<ObjectWord> {
        let class = self.class()?;
        let offset = Bytes(p.addr() - self.base());
        class.starts().object_at(offset).map(|object| word(self, object))
    }
}

/// Takes as many free objects as `out` has room for, at random. The span has so many.
pub(super) fn take(span: Span, size: usize, out: &mut [*mut u8]) {
    let mut random = random();
    let words = span.nelems().div_ceil(64);
    for slot in out {
        let start = random.below(span.nelems());
        let (first, from) = (start / 64, u64::MAX << (start % 64));
        // The first word is looked at twice: its upper part at first, the rest of it at last.
        let masks = (0..=words).map(|i| match i {
            0 => (first, from),
            _ => ((first + i) % words, u64::MAX),
        });
        for (w, mask) in masks {
            let (cell, free) = (span.word(w), span.word(w).get() & mask);
            if free != 0 {
                cell.set(cell.get() & !(free & free.wrapping_neg()));
                let object = w * 64 + free.trailing_zeros() as usize;
                *slot = ptr::with_exposed_provenance_mut(span.base() + object * size);
                break;
            }
        }
    }
}

/// Where the next generator starts. The kernel's number at first, 0 before it was asked.
static SEED: AtomicU64 = AtomicU64::new(0);

/// A generator whose numbers differ in each call and each process.
pub(crate) fn random() -> Random {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    if SEED.load(Relaxed) == 0 {
        SEED.store(sys::random(), Relaxed);
    }
    Random::new(SEED.fetch_add(STEP, Relaxed))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::base::Class;
    use core::ptr::NonNull;
    use std::{alloc::Layout, vec, vec::Vec};

    /// A span at an address that is never touched.
    fn span(class: Class) -> Span {
        let layout = Layout::from_size_align(Span::metadata_bytes(class.objects()).0, 64).unwrap();
        // SAFETY: the layout has a size. The block is leaked: it stands for metadata, which is never unmapped.
        let block = NonNull::new(unsafe { std::alloc::alloc(layout) }).unwrap();
        // SAFETY: a fresh block of the right size.
        unsafe { Span::init(block, 0x10_0000, class.pages(), Some(class)) }
    }

    #[test]
    fn objects_are_taken_in_another_order_each_time() {
        let class = Class::all().find(|class| class.objects() > 100).unwrap();
        let order = || {
            let mut out = vec![ptr::null_mut(); class.objects()];
            span(class).take(&mut out);
            out.iter().map(|p| p.addr()).collect::<Vec<_>>()
        };
        let (first, second) = (order(), order());
        let (mut a, mut b) = (first.clone(), second.clone());
        a.sort_unstable();
        b.sort_unstable();
        assert_eq!(a, b, "the same objects");
        assert_ne!(first, second);
        assert!(first != a && first.iter().rev().ne(&a), "not in the order of addresses");
    }

    #[test]
    fn words_are_told_apart_and_freed_once() {
        for class in Class::all() {
            let s = span(class);
            for i in 0..class.objects() {
                let p = ptr::without_provenance::<u8>(s.base() + i * class.size().0);
                let word = s.word_of(p).unwrap();
                assert_eq!(word.get(), ObjectState::NeverAllocated);
                word.set(ObjectState::Live(i.min(class.size().0)));
                assert!(s.word_of(p.wrapping_add(1)).is_none());
            }
            for i in 0..class.objects() {
                let p = ptr::without_provenance::<u8>(s.base() + i * class.size().0);
                let (word, live) = (s.word_of(p).unwrap(), ObjectState::Live(i.min(class.size().0)));
                assert_eq!(word.get(), live);
                assert!(word.free(live) && !word.free(live));
            }
            s.check_invariants();
        }
    }
}
