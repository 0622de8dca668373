//! The objects of the soak, from all doors, and how large they are.
#![expect(unsafe_code, reason = "calls the allocator's doors")]

use std::alloc::Layout;
use std::mem::ManuallyDrop;
use std::slice;

use gort::{GoAlloc, c};
use std::alloc::GlobalAlloc;

use crate::books;
use crate::common::{Object, Random, layout};

/// What C's objects are aligned to at least.
const C_ALIGN: usize = 16;
/// The largest alignment.
const MOST_ALIGN: usize = 21;

/// Sizes whose frequency falls with a power of the size: the classic mix, many small objects and few large ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mix {
    pub(crate) smallest: usize,
    pub(crate) largest: usize,
    /// At 1 each order of magnitude has as many bytes as another; above, small objects have most.
    pub(crate) power: f64,
}

impl Mix {
    /// One of many.
    pub(crate) fn any(random: &mut Random, largest: usize) -> Self {
        let smallest = random.pick(&[1, 8, 8, 16, 16, 48, 100, 500, 2_000]);
        let largest = (64 << random.below(16)).clamp(smallest * 8, largest);
        Self { smallest, largest, power: random.pick(&[0.7, 0.9, 1.0, 1.0, 1.2, 1.6]) }
    }

    pub(crate) fn size(&self, random: &mut Random) -> usize {
        let part = (random.next() >> 11) as f64 / (1_u64 << 53) as f64;
        let size = self.smallest as f64 * (1.0 - part).powf(-1.0 / self.power);
        if size <= self.largest as f64 { size as usize } else { self.smallest + random.below(self.smallest) }
    }
}

/// A live object that the books know, and which is checked, counted and freed when it is dropped.
pub(crate) struct Thing {
    object: ManuallyDrop<Object>,
    is_c: bool,
}

impl Thing {
    /// One of this size from any door, mostly the usual ones.
    pub(crate) fn new(size: usize, random: &mut Random) -> Self {
        let tag = random.next();
        match random.below(32) {
            0..18 => Self::plain(layout(size, 8), tag),
            18..22 => {
                let layout = layout(size, 8);
                Self::of(books::allocate(layout, || Object::try_zeroed(layout, tag)), layout, false)
            }
            22..25 => Self::plain(layout(size, 1 << random.below(8)), tag),
            25 => {
                // Larger alignments are seldom, the largest most.
                let bits = random.below(MOST_ALIGN + 1).min(random.below(MOST_ALIGN + 1));
                Self::plain(layout(size, 1 << bits), tag)
            }
            26..29 => Self::from_c(layout(size, C_ALIGN), tag, c::malloc),
            29 | 30 => Self::from_c(layout(size, C_ALIGN), tag, |size| {
                let p = c::calloc(size, 1);
                assert!(p.is_null() || is_zero(p, size), "memory from calloc({size}) is not zero");
                p
            }),
            _ => {
                let align = C_ALIGN << random.below(9);
                Self::from_c(layout(size, align), tag, |size| c::aligned_alloc(align, size))
            }
        }
    }

    /// One of this size from the usual door.
    pub(crate) fn plain(layout: Layout, tag: u64) -> Self {
        Self::of(books::allocate(layout, || Object::try_new(layout, tag)), layout, false)
    }

    fn from_c(layout: Layout, tag: u64, door: impl FnOnce(usize) -> *mut u8) -> Self {
        // SAFETY: as it comes from the door.
        let made = || unsafe { Object::adopt(door(layout.size()), layout, tag) };
        Self::of(books::allocate(layout, made), layout, true)
    }

    fn of(object: Option<Object>, layout: Layout, is_c: bool) -> Self {
        let object = object.unwrap_or_else(|| panic!("no memory for {layout:?}"));
        Self { object: ManuallyDrop::new(object), is_c }
    }

    /// The object at another size. C's are as they were: what their `realloc` rounds to depends on the neighbours.
    pub(crate) fn resize(mut self, size: usize) -> Self {
        if self.is_c {
            return self;
        }
        let old = self.object.layout();
        let new = layout(size.max(1), old.align());
        // SAFETY: `self` is forgotten below, and used no more.
        let object = unsafe { ManuallyDrop::take(&mut self.object) };
        std::mem::forget(self);
        let object = books::resize(old, new, || object.resize(new.size()));
        Self { object: ManuallyDrop::new(object), is_c: false }
    }

    pub(crate) fn size(&self) -> usize {
        self.object.layout().size()
    }

    /// Fails unless the contents are as they were written.
    pub(crate) fn check(&self) {
        self.object.check();
    }

    /// Loses the object: the books are told that it was freed, if `told`, and the heap is not.
    pub(crate) fn lose(self, told: bool) {
        let layout = self.object.layout();
        std::mem::forget(self);
        if told {
            books::free(layout, || ());
        }
    }

    /// Changes a byte behind the object's back.
    pub(crate) fn damage(&self) {
        let at: *mut u8 = std::ptr::with_exposed_provenance_mut(self.object.addr());
        // SAFETY: the object is live, and has a first byte.
        unsafe { *at ^= 1 };
    }
}

impl Drop for Thing {
    fn drop(&mut self) {
        let layout = self.object.layout();
        // SAFETY: nobody uses it after drop.
        let object = unsafe { ManuallyDrop::take(&mut self.object) };
        object.check();
        let p = object.into_raw();
        let door = || {
            if !self.is_c {
                // SAFETY: the object is live, has this layout, and is ours.
                unsafe { GoAlloc.dealloc(p, layout) };
            } else if layout.align() == C_ALIGN && layout.size().is_multiple_of(2) {
                // SAFETY: as above.
                unsafe { c::free_sized(p, layout.size()) };
            } else {
                // SAFETY: as above.
                unsafe { c::free(p) };
            }
        };
        books::free(layout, door);
    }
}

fn is_zero(p: *const u8, size: usize) -> bool {
    // SAFETY: calloc has initialised as many bytes, which are its caller's.
    unsafe { slice::from_raw_parts(p, size) }.iter().all(|&b| b == 0)
}
