//! What becomes of a huge object that was freed: its mapping goes at once.
#![expect(unsafe_code, reason = "unmaps objects")]

use super::huge::Huge;
use crate::base::Bytes;

/// Nothing: none of them is known any more.
pub(super) struct Freed;

impl Freed {
    pub(super) fn new(_reserved: Bytes) -> Self {
        Self
    }

    /// # Safety
    /// 1. It is an object's mapping, and nothing refers to it.
    pub(super) unsafe fn put(&mut self, h: Huge) {
        // SAFETY: passed on (1).
        unsafe { h.unmap() };
    }

    /// Unmaps all of them; whether there were any.
    pub(super) fn give_back(&mut self) -> bool {
        false
    }

    /// The object whose mapping, or what is up to `beside` bytes beside it, an address is in.
    pub(super) fn find_near(&self, _addr: usize, _beside: usize) -> Option<Huge> {
        None
    }
}
