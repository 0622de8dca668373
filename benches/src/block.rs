//! A block of memory that knows its allocator: `GlobalAlloc` called directly, by code that is safe.
#![expect(unsafe_code, reason = "calls the methods of GlobalAlloc, for which a Block holds the obligations")]

use std::alloc::{GlobalAlloc, Layout, System, handle_alloc_error};
use std::marker::PhantomData;
use std::mem;
use std::ptr::NonNull;

/// An allocator to be measured.
///
/// # Safety
/// All values of the type are the same allocator: what one gave, every other takes back, on any thread.
pub unsafe trait Subject: GlobalAlloc + Send + 'static {
    /// The allocator.
    const SELF: Self;
}

// SAFETY: a unit type whose state is the process's.
unsafe impl Subject for gort::GoAlloc {
    const SELF: Self = gort::GoAlloc;
}

// SAFETY: a unit type whose state is the process's.
unsafe impl Subject for System {
    const SELF: Self = System;
}

/// A block that `S` gave, freed when it is dropped.
#[derive(Debug)]
pub struct Block<S: Subject> {
    start: NonNull<u8>,
    /// What the block was last allocated with.
    layout: Layout,
    subject: PhantomData<S>,
}

// SAFETY: a block is owned like a `Box<[MaybeUninit<u8>]>`, and a subject's blocks may be freed on any thread.
unsafe impl<S: Subject> Send for Block<S> {}

impl<S: Subject> Block<S> {
    /// A block of `size` bytes, aligned to 8.
    ///
    /// # Panics
    /// If `size` is 0 or absurd.
    #[inline]
    pub fn new(size: usize) -> Self {
        let layout = layout(size);
        // SAFETY: `layout` saw to it that the size is not 0.
        Self::from_raw(unsafe { S::SELF.alloc(layout) }, layout)
    }

    /// A block of `size` bytes of zero.
    ///
    /// # Panics
    /// If `size` is 0 or absurd.
    #[inline]
    pub fn zeroed(size: usize) -> Self {
        let layout = layout(size);
        // SAFETY: `layout` saw to it that the size is not 0.
        Self::from_raw(unsafe { S::SELF.alloc_zeroed(layout) }, layout)
    }

    #[inline]
    fn from_raw(start: *mut u8, layout: Layout) -> Self {
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        Block { start, layout, subject: PhantomData }
    }

    /// The same block with room for `size` bytes, perhaps elsewhere.
    ///
    /// # Panics
    /// If `size` is 0 or absurd.
    #[inline]
    #[must_use]
    pub fn resized(self, size: usize) -> Self {
        let (old, new) = (self.layout, layout(size));
        let start = self.start;
        mem::forget(self);
        // SAFETY: the block came from `S` with the layout `old` and ends here; the new size fits a layout and is not 0.
        Self::from_raw(unsafe { S::SELF.realloc(start.as_ptr(), old, size) }, new)
    }

    /// Writes one byte to every 4096, so that the kernel must provide the pages.
    #[inline]
    pub fn touch(&mut self) {
        for offset in (0..self.layout.size()).step_by(4096) {
            // SAFETY: the offset is within the block.
            let byte = unsafe { self.start.add(offset) };
            // SAFETY: the block is owned, and this borrow of it is unique. Volatile, so that it is not left out.
            unsafe { byte.write_volatile(1) };
        }
    }

    /// Where the block starts; to be handed to `black_box`.
    #[inline]
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl<S: Subject> Drop for Block<S> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the block came from `S` with this layout, and a drop happens once.
        unsafe { S::SELF.dealloc(self.start.as_ptr(), self.layout) }
    }
}

#[inline]
fn layout(size: usize) -> Layout {
    assert!(size > 0, "GlobalAlloc knows no empty blocks");
    Layout::from_size_align(size, 8).expect("a size that fits the address space")
}
