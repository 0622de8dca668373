//! What the heap asks of an operating system, as a trait, so that the layers above run alone in a test and a call can
//! be refused on purpose.
//!
//! The states of memory are Go's: Reserved (address space only, not charged) -> Ready (readable and writable, zero until
//! written) -> released (still Ready; the kernel has taken the page frames back and hands out zeros at the next touch).

use core::ptr::NonNull;

/// The door to the operating system's memory. All addresses and lengths are multiples of [`Os::page_size`].
#[expect(unsafe_code, reason = "the methods change mappings that others may be using")]
pub(crate) trait Os: Copy + Send + Sync {
    /// Bytes of a kernel page: a power of two, 4096 or more.
    fn page_size(self) -> usize;

    /// Reserves `bytes` of address space aligned to `align` (a power of two); `None` when the kernel refuses.
    /// Nothing may be read or written there until [`Os::commit`]. `name` shows in `/proc/self/maps`.
    fn reserve(self, bytes: usize, align: usize, name: &'static core::ffi::CStr) -> Option<NonNull<u8>>;

    /// Gives back a whole reservation.
    ///
    /// # Safety
    /// 1. The range is exactly one that `reserve` returned.  2. Nothing refers to it any more.
    unsafe fn unreserve(self, addr: NonNull<u8>, bytes: usize);

    /// Makes reserved memory readable and writable; it reads as zeros; what is committed already keeps its contents.
    /// `false` when the kernel refuses: then nothing changed.
    ///
    /// # Safety
    /// 1. The range lies inside a reservation of this process that the caller owns.
    unsafe fn commit(self, addr: NonNull<u8>, bytes: usize) -> bool;

    /// Returns the page frames of committed memory to the kernel; it reads as zeros from then on. `false` when the kernel
    /// refuses, perhaps half way (the program locked a page): then what is where is unknown.
    ///
    /// # Safety
    /// 1. The range is committed.  2. Nobody relies on its contents.
    unsafe fn release(self, addr: NonNull<u8>, bytes: usize) -> bool;

    /// Takes away all access to committed memory, until it is committed again; its contents stay, as long as they are not released.
    /// `false` when the kernel refuses: then nothing changed.
    ///
    /// # Safety
    /// 1. The range lies inside a reservation of this process that the caller owns.  2. Nothing refers to it any more, or is to be
    ///    stopped when it does.
    unsafe fn forbid(self, addr: NonNull<u8>, bytes: usize) -> bool;
}
