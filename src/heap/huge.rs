//! Huge objects: each has a mapping of its own, found by its address in a side table.
//!
//! The table is an array sorted by address in memory of its own: a lookup is a binary search, an insertion moves at most
//! one and a half megabytes, and both are small beside the `mmap` that goes with them. A hash table was rejected: it needs rehashing, which
//! needs memory at a bad moment, and gains nothing at the at most 65,530 mappings that Linux grants by default.

#![expect(unsafe_code, reason = "promises that zeros are an entry; unmaps objects")]

use core::ptr::{self, NonNull};

use super::facts::Owned;
use super::freed::Freed;
use crate::base::Bytes;
use crate::page::{Table, Zeroable};
use crate::sys::{Linux, Os};
#[cfg(any(test, feature = "invariants"))]
use crate::throw::check;

/// Most huge objects at one time.
const MAX_OBJECTS: usize = 1 << 17;

/// One huge object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Huge {
    /// Its first byte.
    pub(crate) addr: usize,
    /// Length of its mapping.
    pub(crate) bytes: usize,
    /// How many of them the program may use: all, but for the hardened build, where it may use those that it asked for.
    pub(crate) usable: usize,
}

// SAFETY: three numbers, nothing to drop.
unsafe impl Zeroable for Huge {}

impl Huge {
    /// Unmaps it. Refused, that is done later; its frames go now.
    ///
    /// # Safety
    /// 1. It is an object's mapping, and nothing refers to it.
    pub(super) unsafe fn unmap(self) {
        if let Some(at) = NonNull::new(ptr::with_exposed_provenance_mut(self.addr)) {
            // SAFETY: passed on (1).
            unsafe { Linux.unmap_object(at, self.bytes) };
        }
    }

    /// Whether an address is in its mapping, or up to `beside` bytes beside it.
    pub(super) fn is_near(self, addr: usize, beside: usize) -> bool {
        addr.wrapping_sub(self.addr.wrapping_sub(beside)) < self.bytes + 2 * beside
    }
}

/// The objects, sorted by address, and those that were freed. Lives behind the lock of rank HUGE.
pub(crate) struct HugeTable<O: Os> {
    entries: Table<Huge, O>,
    count: usize,
    pub(super) freed: Freed,
}

impl<O: Os> HugeTable<O> {
    /// An empty table, beside a heap with so many addresses; `None` when the OS refuses.
    pub(crate) fn new(os: O, reserved: Bytes) -> Option<Self> {
        let entries = Table::new(os, MAX_OBJECTS, c"gort: huge table")?;
        Some(Self { entries, count: 0, freed: Freed::new(reserved) })
    }

    fn live(&self) -> &[Huge] {
        &self.entries[..self.count]
    }

    /// Makes room for one more entry, so that the next `insert` cannot fail. `false` when the OS refuses.
    #[must_use]
    pub(crate) fn reserve_one(&mut self) -> bool {
        self.entries.grow_to(self.count + 1).is_ok()
    }

    /// Enters an object; `reserve_one` must have made room.
    pub(crate) fn insert(&mut self, h: Huge) {
        let at = self.live().partition_point(|e| e.addr < h.addr);
        self.entries[at..=self.count].rotate_right(1);
        self.entries[at] = h;
        self.count += 1;
    }

    /// The object that starts at `addr`.
    pub(crate) fn find(&self, addr: usize) -> Option<Huge> {
        self.index(addr).map(|i| self.entries[i])
    }

    /// The object whose mapping, or what is up to `beside` bytes beside it, an address is in. No two of them are nearer to one another
    /// than that.
    pub(super) fn find_near(&self, addr: usize, beside: usize) -> Option<Huge> {
        let up_to = self.live().partition_point(|e| e.addr <= addr.saturating_add(beside));
        self.live()[..up_to].last().copied().filter(|h| h.is_near(addr, beside))
    }

    /// As `find_near`, among those that were freed as well.
    pub(super) fn whose(&self, addr: usize, beside: usize) -> Option<(Huge, Owned)> {
        let live = self.find_near(addr, beside).map(|h| (h, Owned::Live));
        live.or_else(|| Some((self.freed.find_near(addr, beside)?, Owned::Freed)))
    }

    /// Notes how many bytes the program may use of the object that starts at `addr`; `false` when none does.
    #[cfg(feature = "hardened")]
    pub(super) fn set_usable(&mut self, addr: usize, usable: usize) -> bool {
        self.index(addr).map(|i| self.entries[i].usable = usable).is_some()
    }

    fn index(&self, addr: usize) -> Option<usize> {
        self.live().binary_search_by_key(&addr, |e| e.addr).ok()
    }

    /// Takes the object out that starts at `addr`.
    pub(crate) fn remove(&mut self, addr: usize) -> Option<Huge> {
        let i = self.index(addr)?;
        let h = self.entries[i];
        self.entries[i..self.count].rotate_left(1);
        self.count -= 1;
        Some(h)
    }

    /// Bytes of all objects.
    #[cfg(any(test, feature = "invariants"))]
    pub(crate) fn bytes(&self) -> Bytes {
        Bytes(self.live().iter().map(|h| h.bytes).sum())
    }

    /// Bytes that the table itself has committed.
    pub(crate) fn committed(&self) -> Bytes {
        self.entries.committed_bytes()
    }

    /// Ends the process unless the objects are sorted and disjoint.
    #[cfg(any(test, feature = "invariants"))]
    pub(crate) fn check_invariants(&self) {
        for w in self.live().windows(2) {
            check!(w[0].addr + w[0].bytes <= w[1].addr; first = w[0]; second = w[1]);
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::{BTreeMap, btree_map::Entry};

    #[test]
    fn matches_a_map() {
        let mut table = HugeTable::new(Linux, Bytes(0)).unwrap();
        let mut model = BTreeMap::new();
        let mut x = 1u64;
        for _ in 0..5_000 {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let addr = ((x >> 33) % 300 + 1) as usize * 0x10_0000;
            if x >> 63 == 0 {
                if let Entry::Vacant(place) = model.entry(addr) {
                    assert!(table.reserve_one());
                    table.insert(Huge { addr, bytes: 0x1000, usable: 0x1000 });
                    place.insert(0x1000);
                }
            } else {
                assert_eq!(table.remove(addr).map(|h| h.bytes), model.remove(&addr));
            }
            assert_eq!(table.find(addr).is_some(), model.contains_key(&addr));
            for (offset, beside, is_near) in [
                (0, 0, true),
                (1, 0, true),
                (0xfff, 0, true),
                (0x1000, 0, false),
                (0x1fff, 0x1000, true),
                (0x2000, 0x1000, false),
            ] {
                let near = table.find_near(addr + offset, beside).map(|h| h.addr);
                assert_eq!(near, (is_near && model.contains_key(&addr)).then_some(addr));
                if is_near && beside > 0 {
                    let near = table.find_near(addr - (offset - 0xfff), beside).map(|h| h.addr);
                    assert_eq!(near, model.contains_key(&addr).then_some(addr), "before it");
                }
            }
            assert_eq!(table.bytes().0, model.values().sum());
            table.check_invariants();
        }
    }
}
