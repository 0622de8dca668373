//! Small objects that the program freed and that are not handed out yet again. Only the hardened build has them.
//!
//! An object waits (`Delay`) until at least as many others were freed as a ring has places. Objects up to 1 KiB have places of their own,
//! larger ones few, so that a thread keeps at most 1.5 MiB: (256 + 256) x 1 KiB and (16 + 16) x 32 KiB.
//!
//! All that is known here are addresses; the objects are zero and nothing is stored in them.

use core::cell::Cell;
use core::ptr::NonNull;

use super::{Entered, MCache};
use crate::base::{Class, Delay, Random};
use crate::heap::{Heap, random};
use crate::mcentral::central;

/// Objects up to this many bytes have many places.
const SMALL: usize = 1 << 10;

/// What one thread freed last. Owner only, in the mcache's gate.
pub(super) struct Quarantine {
    small: Delay<NonNull<u8>, 256>,
    rest: Delay<NonNull<u8>, 16>,
    /// The generator, once it was seeded.
    random: Cell<Option<u64>>,
}

impl Quarantine {
    pub(super) const fn new() -> Self {
        Self { small: Delay::new(), rest: Delay::new(), random: Cell::new(None) }
    }

    /// Puts an object in; what has to make room for it.
    fn put(&self, class: Class, p: NonNull<u8>) -> Option<NonNull<u8>> {
        let mut random = self.random.get().map_or_else(random, Random::new);
        let out = match class.size().0 <= SMALL {
            true => self.small.put(p, &mut random),
            false => self.rest.put(p, &mut random),
        };
        self.random.set(Some(random.next()));
        out
    }
}

impl MCache {
    /// Puts a freed object into quarantine, and what has to make room for it into its bin. `false`, and nothing done, in a stand-in and in a
    /// signal handler that interrupted the gate. Owner only.
    #[must_use]
    pub(crate) fn quarantine(&self, heap: &Heap, class: Class, p: *mut u8) -> bool {
        let change = || {
            let out = NonNull::new(p).and_then(|p| self.quarantine.put(class, p));
            self.bin(class).count_free();
            let out = out?.as_ptr();
            let class = heap.span_of(out)?.class()?;
            (!self.bin(class).push_returned(out)).then_some((out, class))
        };
        let Some(full) = self.gate.mark(change) else { return false };
        if let Some((out, class)) = full {
            self.return_slow(heap, class, out);
        }
        true
    }

    /// Puts what comes out of quarantine into a bin that is full.
    #[cold]
    #[inline(never)]
    fn return_slow(&self, heap: &Heap, class: Class, p: *mut u8) {
        let _entered = Entered::new("free");
        if !self.make_room_in(class, heap) || !self.bin(class).push_returned(p) {
            central(class).flush_to_spans(class, heap, &[p]);
        }
    }

    /// Gives what is in quarantine back to its spans. Owner only, not for stand-ins.
    pub(super) fn flush_quarantine(&self, heap: &Heap) {
        let Quarantine { small, rest, .. } = &self.quarantine;
        for p in small.take_all().chain(rest.take_all()) {
            let p = p.as_ptr();
            if let Some(class) = heap.span_of(p).and_then(|span| span.class()) {
                central(class).flush_to_spans(class, heap, &[p]);
            }
        }
    }
}
