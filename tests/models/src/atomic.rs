//! In the place of gort's `sync/atomic.rs`: the same names, explored by loom.
//!
//! loom knows loads, stores and fences as C11 has them but for this: a load or store that is SeqCst is taken as acquire or release (gort
//! has none), and a SeqCst fence makes all that came before an earlier one visible, which C11 and processors do not.
#![expect(unsafe_code, reason = "reads and writes cells")]

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ptr::NonNull;

pub(crate) use core::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release};
pub(crate) use loom::sync::atomic::fence;
pub(crate) use loom::thread::yield_now;

use crate::execution::Place;
pub(crate) use crate::futex::{self, process_id};
use crate::sys;

/// A word that loom knows: what it holds there is the difference to what it holds at first.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Atomic<T, const N: u8> {
    first: T,
    place: Place,
}

// SAFETY: the threads of a model are one of the system's.
unsafe impl<T, const N: u8> Sync for Atomic<T, N> {}
// SAFETY: as above.
unsafe impl<T, const N: u8> Send for Atomic<T, N> {}

/// What a word may be.
pub(crate) trait Value: Copy {
    fn to(self) -> u64;
    fn from(word: u64) -> Self;
}

macro_rules! values {
    ($($t:ty),*) => { $(impl Value for $t {
        fn to(self) -> u64 { self as u64 }
        fn from(word: u64) -> Self { word as $t }
    })* };
}
values!(u8, u32, u64, i64, usize);

impl Value for bool {
    fn to(self) -> u64 {
        self.into()
    }
    fn from(word: u64) -> Self {
        word != 0
    }
}

impl<T> Value for *mut T {
    fn to(self) -> u64 {
        self.expose_provenance() as u64
    }
    fn from(word: u64) -> Self {
        core::ptr::with_exposed_provenance_mut(word as usize)
    }
}

impl<T: Value, const N: u8> Atomic<T, N> {
    pub(crate) const fn new(first: T) -> Self {
        Self { first, place: Place::none() }
    }

    fn word(&self) -> &'static loom::sync::atomic::AtomicU64 {
        self.place.word()
    }

    fn there(&self, value: T) -> u64 {
        value.to() ^ self.first.to()
    }

    fn here(&self, word: u64) -> T {
        T::from(word ^ self.first.to())
    }

    fn number(&self) -> &'static loom::sync::atomic::AtomicU64 {
        assert_eq!(self.first.to(), 0, "only what begins with zero is added to");
        self.word()
    }

    #[track_caller]
    pub(crate) fn load(&self, order: Ordering) -> T {
        self.here(self.word().load(order))
    }

    #[track_caller]
    pub(crate) fn store(&self, value: T, order: Ordering) {
        self.word().store(self.there(value), order);
    }

    #[track_caller]
    pub(crate) fn swap(&self, value: T, order: Ordering) -> T {
        self.here(self.word().swap(self.there(value), order))
    }

    #[track_caller]
    pub(crate) fn compare_exchange(&self, was: T, new: T, ok: Ordering, fail: Ordering) -> Result<T, T> {
        let got = self.word().compare_exchange(self.there(was), self.there(new), ok, fail);
        got.map(|w| self.here(w)).map_err(|w| self.here(w))
    }

    #[track_caller]
    pub(crate) fn fetch_add(&self, n: T, order: Ordering) -> T {
        T::from(self.number().fetch_add(n.to(), order))
    }

    #[track_caller]
    pub(crate) fn fetch_sub(&self, n: T, order: Ordering) -> T {
        T::from(self.number().fetch_sub(n.to(), order))
    }

    #[track_caller]
    pub(crate) fn fetch_max(&self, n: T, order: Ordering) -> T {
        T::from(self.number().fetch_max(n.to(), order))
    }

    #[track_caller]
    pub(crate) fn try_update(
        &self,
        set: Ordering,
        fetch: Ordering,
        mut f: impl FnMut(T) -> Option<T>,
    ) -> Result<T, T> {
        let mut seen = self.load(fetch);
        while let Some(next) = f(seen) {
            match self.compare_exchange(seen, next, set, fetch) {
                Ok(was) => return Ok(was),
                Err(now) => seen = now,
            }
        }
        Err(seen)
    }
}

/// The word as the kernel reads it: the latest, and nothing comes before or after it for that.
pub(crate) fn peek(word: &AtomicU32) -> u32 {
    // An exchange that fails: the bits are no value's.
    let none = u64::MAX;
    let seen = word.word().compare_exchange(none, none, Relaxed, Relaxed);
    word.here(seen.unwrap_or_else(|seen| seen))
}

pub(crate) type AtomicBool = Atomic<bool, 1>;
pub(crate) type AtomicU8 = Atomic<u8, 1>;
pub(crate) type AtomicU32 = Atomic<u32, 4>;
pub(crate) type AtomicU64 = Atomic<u64, 8>;
pub(crate) type AtomicI64 = Atomic<i64, 8>;
pub(crate) type AtomicUsize = Atomic<usize, 8>;
pub(crate) type AtomicPtr<T> = Atomic<*mut T, 8>;

/// A cell of which loom knows who reads and writes it: two threads at a time, or one after the other without an order, end the model.
///
/// Whoever fills in memory that the execution mapped writes its cells without loom knowing. The first thread to touch them afterwards is
/// taken for the one that filled them in: it is that one, or comes after it, in all models but where a span is looked for that may be there.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Cell<T> {
    first: T,
    value: UnsafeCell<T>,
    place: Place,
    _not_sync: PhantomData<*const ()>,
}

impl<T: Copy> Cell<T> {
    pub(crate) const fn new(first: T) -> Self {
        Self { first, value: UnsafeCell::new(first), place: Place::none(), _not_sync: PhantomData }
    }

    #[track_caller]
    fn begin(&self) -> &'static loom::cell::UnsafeCell<()> {
        if !self.place.is_new() {
            return self.place.cell();
        }
        // SAFETY: nobody has touched it since it was filled in.
        let fill = || unsafe { *self.value.get() = self.first };
        let address = (&raw const *self).addr();
        if !sys::is_made(address) {
            fill();
            return self.place.cell();
        }
        let cell = self.place.cell_again(address);
        cell.with_mut(|_| fill());
        cell
    }

    #[track_caller]
    pub(crate) fn get(&self) -> T {
        // SAFETY: loom has seen to it that nobody writes it.
        self.begin().with(|_| unsafe { *self.value.get() })
    }

    #[track_caller]
    pub(crate) fn replace(&self, value: T) -> T {
        // SAFETY: loom has seen to it that nobody else has it.
        self.begin().with_mut(|_| unsafe { core::mem::replace(&mut *self.value.get(), value) })
    }

    #[track_caller]
    pub(crate) fn set(&self, value: T) {
        self.replace(value);
    }
}

/// One half of a fence of two: here each is one by itself, so that what is wrong without either is found, and what only one of them would
/// allow is not.
pub(crate) fn light_fence() {
    fence(Ordering::SeqCst);
}

/// The other half.
pub(crate) fn fence_all() -> bool {
    fence(Ordering::SeqCst);
    true
}

pub(crate) fn can_fence_all() -> bool {
    true
}

/// Models have no signal handlers.
pub(crate) fn signal_fence() {}

/// A thread that spins lets the others run.
pub(crate) fn spin_loop() {
    yield_now();
}

pub(crate) const fn shrunk(_real: usize, modelled: usize) -> usize {
    modelled
}

pub(crate) unsafe fn write_new<T>(to: NonNull<T>, _like: &'static T, new: fn() -> T) {
    unsafe { to.write(new()) };
}

/// All of the word is read: loom's words have no parts.
pub(crate) fn low_bits(word: &AtomicU64) -> u16 {
    word.load(Ordering::Relaxed) as u16
}

pub(crate) const REAL: bool = false;
