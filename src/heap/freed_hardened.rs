//! What becomes of a huge object that was freed in the hardened build: its frames go at once, its addresses are closed and stay taken for a
//! while. So an access to them is a fault that can be told, and the next object is somewhere else.
//!
//! They wait as small objects do (`Delay`), but never with more addresses together, guard pages included, than a part of the heap's
//! reservation: where addresses are limited other uses need them. And none waits when memory is exhausted.
#![expect(unsafe_code, reason = "closes and unmaps objects")]

use core::ptr::{self, NonNull};

use super::huge::Huge;
use super::objects::random;
use crate::base::{Bytes, Delay};
use crate::sys::{Linux, OBJECT_GUARD};

/// Objects in each of the two parts of a `Delay`.
const PLACES: usize = 256;
/// The part of the heap's reservation that they may have together: 2 GiB of 64 GiB.
const SHARE: usize = 32;
/// The part of that which one of them may have: 256 MiB.
const SHARE_OF_ONE: usize = 8;

/// Those whose addresses are closed.
pub(super) struct Freed {
    objects: Delay<Huge, PLACES>,
    /// Bytes in them, and how many there may be.
    bytes: usize,
    most: usize,
}

impl Freed {
    pub(super) fn new(reserved: Bytes) -> Self {
        Self { objects: Delay::new(), bytes: 0, most: reserved.0 / SHARE }
    }

    /// # Safety
    /// 1. It is an object's mapping, and nothing refers to it.
    pub(super) unsafe fn put(&mut self, h: Huge) {
        let bytes = taken(h);
        // SAFETY: passed on (1).
        if bytes > self.most / SHARE_OF_ONE || !unsafe { close(h) } {
            // SAFETY: passed on (1).
            return unsafe { h.unmap() };
        }
        while self.bytes + bytes > self.most && self.unmap_oldest() {}
        self.bytes += bytes;
        self.objects.put(h, &mut random()).inspect(|&out| self.unmap_one(out));
    }

    /// Unmaps all of them; whether there were any.
    pub(super) fn give_back(&mut self) -> bool {
        let any = self.unmap_oldest();
        while self.unmap_oldest() {}
        any
    }

    /// Unmaps one that waits for long, or by chance; `false` when none waits.
    fn unmap_oldest(&mut self) -> bool {
        self.bytes > 0 && self.objects.take(&mut random()).inspect(|&h| self.unmap_one(h)).is_some()
    }

    /// Unmaps one that was taken out.
    fn unmap_one(&mut self, h: Huge) {
        self.bytes -= taken(h);
        // SAFETY: nothing referred to it when it was put in.
        unsafe { h.unmap() };
    }

    /// The object whose mapping, or what is up to `beside` bytes beside it, an address is in.
    pub(super) fn find_near(&self, addr: usize, beside: usize) -> Option<Huge> {
        self.objects.iter().find(|h| h.is_near(addr, beside))
    }
}

/// Bytes of addresses that an object takes, with its guard pages.
fn taken(h: Huge) -> usize {
    h.bytes + 2 * OBJECT_GUARD
}

/// Takes an object's frames and all access to it; `false` when the kernel refuses.
///
/// # Safety
/// 1. It is an object's mapping, and nothing refers to it.
unsafe fn close(h: Huge) -> bool {
    NonNull::new(ptr::with_exposed_provenance_mut(h.addr)).is_some_and(|at| {
        // SAFETY: passed on (1).
        unsafe { Linux.close_object(at, h.bytes) }
    })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{collections::BTreeMap, vec::Vec};

    #[test]
    fn they_wait_closed_within_their_bounds() {
        // As long as what is beside them.
        let page = OBJECT_GUARD;
        let reserved = 60 * page * SHARE;
        let mut freed = Freed::new(Bytes(reserved));
        let put = |freed: &mut Freed, pages: usize| {
            let at = Linux.map_object(pages * page, page).expect("there is memory");
            let h = Huge { addr: at.as_ptr().expose_provenance(), bytes: pages * page, usable: 1 };
            // SAFETY: a new mapping.
            unsafe { freed.put(h) };
            h
        };
        // One that is too long for itself, and ones that are together.
        let long = put(&mut freed, 7);
        assert_eq!(freed.find_near(long.addr, 0), None);
        let all: Vec<_> = (0..60).map(|i| put(&mut freed, 1 + i % 5)).collect();
        // Two of them may have had the same address, one after the other.
        let waiting: BTreeMap<_, _> = all
            .iter()
            .filter(|&&h| freed.find_near(h.addr, 0) == Some(h))
            .map(|h| (h.addr, taken(*h)))
            .collect();
        let bytes = waiting.values().sum::<usize>();
        assert_eq!(bytes, freed.bytes);
        assert!(bytes <= 60 * page && bytes > 50 * page, "{bytes}");
        let h = freed.objects.iter().next().expect("some wait");
        for (at, beside, found) in
            [(h.addr - 1, 0, false), (h.addr - page, page, true), (h.addr + h.bytes + page, page, false)]
        {
            let near = freed.find_near(at, beside).is_some_and(|near| near == h);
            assert_eq!(near, found, "{at:x} beside {h:x?}");
        }
        assert!(freed.give_back() && !freed.give_back());
        assert_eq!(freed.bytes, 0);
    }
}
