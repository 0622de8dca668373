//! Objects of gort's that know what they should contain.
#![expect(unsafe_code, reason = "calls the allocator's doors and writes to what they give out")]

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;
use std::{slice, thread};

use gort::GoAlloc;

/// Contents are written and compared in pieces of this many bytes.
const PIECE: usize = 8;
/// Above this size only one piece in `SPARSE`, the last one, and so every page, is written and compared.
const DENSE: usize = 16 << 10;
const SPARSE: usize = 32;

/// A live object, freed through gort when it is dropped. It belongs to whoever holds it, and moves between threads.
pub(crate) struct Object {
    p: NonNull<u8>,
    layout: Layout,
    /// Tells the contents.
    tag: u64,
}

// SAFETY: it is plain memory that only its holder reaches, and gort's objects may be freed by any thread.
unsafe impl Send for Object {}

/// A layout that the caller knows to be one.
pub(crate) fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a layout")
}

fn piece(tag: u64, at: usize) -> [u8; PIECE] {
    (tag ^ (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes()
}

/// Where the pieces of an object of `len` bytes start.
fn pieces(len: usize) -> impl Iterator<Item = usize> {
    let step = if len <= DENSE { PIECE } else { PIECE * SPARSE };
    let last = (len > DENSE).then(|| (len - 1) / PIECE * PIECE);
    (0..len).step_by(step).chain(last)
}

impl Object {
    /// Takes charge of what a door of gort's returned for `layout`: checks the alignment and writes the contents. `None` for
    /// null.
    ///
    /// # Safety
    /// 1. `p` is null, or an object of gort's of this layout that nobody else has.
    pub(crate) unsafe fn adopt(p: *mut u8, layout: Layout, tag: u64) -> Option<Self> {
        let p = NonNull::new(p)?;
        assert!(p.addr().get().is_multiple_of(layout.align()), "{p:?} is not aligned for {layout:?}");
        let object = Self { p, layout, tag };
        object.write();
        Some(object)
    }

    /// A new object with the contents that `tag` tells; `None` when the heap answers null.
    pub(crate) fn try_new(layout: Layout, tag: u64) -> Option<Self> {
        // SAFETY: gort answers layouts without a size as well.
        let p = unsafe { GoAlloc.alloc(layout) };
        // SAFETY: as it came from the door (1).
        unsafe { Self::adopt(p, layout, tag) }
    }

    /// As `try_new`, where the heap must not be exhausted.
    pub(crate) fn new(layout: Layout, tag: u64) -> Self {
        Self::try_new(layout, tag).unwrap_or_else(|| panic!("no memory for {layout:?}"))
    }

    /// As `try_new`, by way of `alloc_zeroed`; fails unless every byte was zero.
    pub(crate) fn try_zeroed(layout: Layout, tag: u64) -> Option<Self> {
        // SAFETY: as in `try_new`.
        let p = unsafe { GoAlloc.alloc_zeroed(layout) };
        if !p.is_null() {
            // SAFETY: the object is that long, initialised by `alloc_zeroed`, and nobody else's.
            let bytes = unsafe { slice::from_raw_parts(p, layout.size()) };
            assert_zero(bytes, layout);
        }
        // SAFETY: as it came from the door (1).
        unsafe { Self::adopt(p, layout, tag) }
    }

    /// As `new`, by way of `alloc_zeroed`.
    pub(crate) fn zeroed(layout: Layout, tag: u64) -> Self {
        Self::try_zeroed(layout, tag).unwrap_or_else(|| panic!("no memory for {layout:?}"))
    }

    /// The object at another size, which is not 0. What both sizes have must have been kept; when the heap answers null the
    /// object must be as it was, and comes back as the error.
    pub(crate) fn try_resize(self, size: usize) -> Result<Self, Self> {
        // SAFETY: the object is live and has this layout; `try_resize_by` checks the new one.
        self.try_resize_by(size, |p, old| unsafe { GoAlloc.realloc(p, old, size) })
    }

    /// As `try_resize`, by way of another door, which gets the address and the old layout.
    pub(crate) fn try_resize_by(
        self,
        size: usize,
        door: impl FnOnce(*mut u8, Layout) -> *mut u8,
    ) -> Result<Self, Self> {
        let new = layout(size, self.layout.align());
        let (old_len, tag) = (self.layout.size(), self.tag);
        let Some(p) = NonNull::new(door(self.p.as_ptr(), self.layout)) else {
            self.check();
            return Err(self);
        };
        std::mem::forget(self);
        assert!(p.addr().get().is_multiple_of(new.align()), "{p:?} is not aligned for {new:?}");
        let object = Self { p, layout: new, tag };
        object.compare(old_len, size);
        object.write();
        Ok(object)
    }

    /// As `try_resize`, where the heap must not be exhausted.
    pub(crate) fn resize(self, size: usize) -> Self {
        let old = self.layout;
        self.try_resize(size).unwrap_or_else(|_| panic!("no memory to resize {old:?} to {size}"))
    }

    fn write(&self) {
        let len = self.layout.size();
        for at in pieces(len) {
            let bytes = piece(self.tag, at);
            // SAFETY: the piece is cut off at the object's end, and the object is ours.
            unsafe {
                self.p.as_ptr().wrapping_add(at).copy_from_nonoverlapping(bytes.as_ptr(), PIECE.min(len - at))
            };
        }
    }

    /// Compares the contents of an object that was written at `old_len` bytes, up to `len` bytes.
    fn compare(&self, old_len: usize, len: usize) {
        for at in pieces(old_len).filter(|&at| at < len) {
            let n = PIECE.min(old_len - at).min(len - at);
            // SAFETY: the bytes were written when the object was that long, and are within what it is long now.
            let bytes = unsafe { slice::from_raw_parts(self.p.as_ptr().wrapping_add(at), n) };
            assert_eq!(
                bytes,
                &piece(self.tag, at)[..n],
                "contents changed at byte {at} of {:?} ({:?})",
                self.layout,
                self.p
            );
        }
    }

    /// Fails unless the contents are as they were written.
    pub(crate) fn check(&self) {
        self.compare(self.layout.size(), self.layout.size());
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    pub(crate) fn addr(&self) -> usize {
        self.p.addr().get()
    }

    /// One byte past what the heap has set aside.
    pub(crate) fn end(&self) -> usize {
        self.addr() + gort::usable_size(self.layout)
    }

    /// The address, for a case that frees it in a way of its own; the object is leaked otherwise.
    pub(crate) fn into_raw(self) -> *mut u8 {
        let p = self.p.as_ptr();
        std::mem::forget(self);
        p
    }
}

fn assert_zero(bytes: &[u8], layout: Layout) {
    // SAFETY: every value is valid for both types.
    let (head, middle, tail) = unsafe { bytes.align_to::<u128>() };
    let zero = head.iter().chain(tail).all(|&b| b == 0) && middle.iter().all(|&w| w == 0);
    assert!(zero, "memory from alloc_zeroed is not zero: {layout:?} at {:?}", bytes.as_ptr());
}

impl Drop for Object {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.check();
        }
        // SAFETY: the object is live, has this layout, and is ours.
        unsafe { GoAlloc.dealloc(self.p.as_ptr(), self.layout) };
    }
}

/// Leaves some objects of many sizes in the calling thread's caches, ready for the next of those sizes.
pub(crate) fn fill_caches() {
    for _ in 0..50 {
        drop((0..120).map(|i| Object::new(layout(1_500 * (1 + i % 20), 8), 1)).collect::<Vec<_>>());
    }
}
