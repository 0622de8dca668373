//! Small objects that the program freed and that are not handed out yet again. Only the hardened build has them.
//!
//! An object first changes places with one at random in an array, and what falls out there goes through a ring: so it comes back after
//! at least as many frees as the ring has places, and one cannot tell how many more. Objects up to 1 KiB have places of their own, larger ones
//! few, so that a thread keeps at most 1.5 MiB: (256 + 256) x 1 KiB and (16 + 16) x 32 KiB.
//!
//! All that is known here are addresses; the objects are zero and nothing is stored in them.

use core::cell::Cell;
use core::ptr;

use super::MCache;
use super::bin::Bin;
use crate::base::{Class, Random};
use crate::heap::{Heap, random};
use crate::mcentral::central;

/// Objects up to this many bytes have many places.
const SMALL: usize = 1 << 10;

/// An array whose places are taken at random, and the ring behind it.
struct Delay<const N: usize> {
    array: [Cell<*mut u8>; N],
    ring: [Cell<*mut u8>; N],
    next: Cell<usize>,
}

impl<const N: usize> Delay<N> {
    const fn new() -> Self {
        Self {
            array: [const { Cell::new(ptr::null_mut()) }; N],
            ring: [const { Cell::new(ptr::null_mut()) }; N],
            next: Cell::new(0),
        }
    }

    /// Puts an object in; what has to make room for it, or null.
    fn change(&self, p: *mut u8, random: &mut Random) -> *mut u8 {
        let out = self.array[random.below(N)].replace(p);
        if out.is_null() {
            return out;
        }
        let at = self.next.get();
        self.next.set((at + 1) % N);
        self.ring[at].replace(out)
    }

    fn all(&self) -> impl Iterator<Item = &Cell<*mut u8>> {
        self.array.iter().chain(&self.ring)
    }
}

/// What one thread freed last. Owner only, in the mcache's gate.
pub(super) struct Quarantine {
    small: Delay<256>,
    rest: Delay<16>,
    /// The generator, once it was seeded.
    random: Cell<Option<u64>>,
}

impl Quarantine {
    pub(super) const fn new() -> Self {
        Self { small: Delay::new(), rest: Delay::new(), random: Cell::new(None) }
    }

    fn change(&self, class: Class, p: *mut u8) -> *mut u8 {
        let mut random = self.random.get().map_or_else(random, Random::new);
        let out = match class.size().0 <= SMALL {
            true => self.small.change(p, &mut random),
            false => self.rest.change(p, &mut random),
        };
        self.random.set(Some(random.next()));
        out
    }
}

impl Bin<'_> {
    /// Notes that the program freed an object which does not come to the bin yet.
    fn went_to_quarantine(self) {
        self.moved_net(-1);
    }

    /// Notes that such an object is about to be freed into the bin: it was counted before.
    fn came_from_quarantine(self) {
        self.moved_net(1);
    }
}

impl MCache {
    /// Puts a freed object into quarantine. What is to be freed instead of it, if anything: `p` itself in a stand-in, and in a signal handler
    /// that interrupted the gate. Owner only.
    pub(crate) fn quarantine(&self, heap: &Heap, class: Class, p: *mut u8) -> Option<(*mut u8, Class)> {
        let change = || {
            let out = self.quarantine.change(class, p);
            self.bin(class).went_to_quarantine();
            let class = heap.span_of(out)?.class()?;
            self.bin(class).came_from_quarantine();
            Some((out, class))
        };
        self.gate.mark(change).unwrap_or(Some((p, class)))
    }

    /// Gives what is in quarantine back to its spans. Owner only, not for stand-ins.
    pub(super) fn flush_quarantine(&self, heap: &Heap) {
        for place in self.quarantine.small.all().chain(self.quarantine.rest.all()) {
            let p = place.replace(ptr::null_mut());
            if let Some(class) = heap.span_of(p).and_then(|span| span.class()) {
                central(class).flush_to_spans(class, heap, &[p]);
            }
        }
    }
}
