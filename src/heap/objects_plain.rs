//! What a span does with its objects one by one, as users build it: nothing is known of an object but its bit, and the lowest
//! ones go first.

use super::facts::Owned;
use super::mspan::Span;
use crate::base::Bytes;

/// Addresses for metadata are one byte in so many of the heap: one page in the worst case of 8-byte objects needs three lines of span
/// metadata, 1/43 of the heap; pointer arrays take the rest.
pub(super) const METADATA_SHARE: usize = 32;

/// Eighths of the addresses that the heap takes where they are limited, metadata not counted.
pub(super) const EIGHTHS: usize = 5;

/// Objects of this many bytes or more are huge, unless an option says otherwise.
pub(super) const HUGE_FROM: Bytes = Bytes(128 << 20);

/// Bytes in the metadata of a span for words of its objects.
pub(super) const fn bytes(_nelems: usize) -> usize {
    0
}

/// Fills those words in.
#[inline(always)]
pub(super) fn init(_span: Span) {}

/// The size that an object was asked for with, which is not known in this build, and whether the program owns it, as far as its bit tells.
pub(super) fn known_of(span: Span, object: usize) -> (Option<usize>, Option<Owned>) {
    (None, Some(if span.has(object) { Owned::Free } else { Owned::LiveOrCached }))
}

/// Takes as many free objects as `out` has room for, lowest address first, in descending order. The span has so many.
#[inline(always)]
pub(super) fn take(span: Span, size: usize, out: &mut [*mut u8]) {
    let mut at = out.len();
    let mut w = 0;
    while at > 0 {
        let cell = span.word(w);
        let mut free = cell.get();
        while free != 0 && at > 0 {
            let object = w * 64 + free.trailing_zeros() as usize;
            free &= free - 1;
            at -= 1;
            out[at] = core::ptr::with_exposed_provenance_mut(span.base() + object * size);
        }
        cell.set(free);
        w += 1;
    }
}
