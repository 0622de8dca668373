//! Linux's memory calls behind [`Os`]. Answers to Go's mem_linux.go.
//!
//! Release is MADV_DONTNEED: the frames go at once and the next touch reads zeros, which is what `needzero` relies on.
//! MADV_FREE was rejected, as Go rejected it in 1.16: RSS would stay up until the kernel is under pressure.
#![expect(unsafe_code, reason = "system calls that change mappings")]

use core::ffi::CStr;
use core::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, MprotectFlags, MremapFlags, ProtFlags};

use super::faults::{self, Call};
use super::{Os, leftover};

/// The Linux kernel this process runs on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linux;

impl Os for Linux {
    fn page_size(self) -> usize {
        // From the auxiliary vector; not rustix's, which may allocate when another crate turns its `alloc` feature on.
        // SAFETY: getauxval reads a table that the loader filled in before any code of ours ran.
        unsafe { libc::getauxval(libc::AT_PAGESZ) as usize }
    }

    fn reserve(self, bytes: usize, align: usize, name: &'static CStr) -> Option<NonNull<u8>> {
        let slack = align.saturating_sub(self.page_size());
        let raw = map(bytes.checked_add(slack)?, ProtFlags::empty())?;
        let base = trim(raw, bytes + slack, bytes, align);
        name_mapping(base, bytes, name);
        Some(base)
    }

    unsafe fn unreserve(self, addr: NonNull<u8>, bytes: usize) {
        unmap(addr, bytes);
    }

    unsafe fn commit(self, addr: NonNull<u8>, bytes: usize) -> bool {
        let access = MprotectFlags::READ | MprotectFlags::WRITE;
        faults::call(Call::Protect, || {
            // SAFETY: the caller owns the range (commit 1), and adding access to it hurts no one.
            unsafe { rustix::mm::mprotect(addr.as_ptr().cast(), bytes, access) }
        })
        .is_ok()
    }

    unsafe fn release(self, addr: NonNull<u8>, bytes: usize) -> bool {
        faults::call(Call::Release, || {
            // SAFETY: nobody relies on the contents (release 2).
            unsafe { rustix::mm::madvise(addr.as_ptr().cast(), bytes, Advice::LinuxDontNeed) }
        })
        .is_ok()
    }

    unsafe fn forbid(self, addr: NonNull<u8>, bytes: usize) -> bool {
        faults::call(Call::Protect, || {
            // SAFETY: the caller owns the range, and nothing of its own refers to it (forbid 1, 2).
            unsafe { rustix::mm::mprotect(addr.as_ptr().cast(), bytes, MprotectFlags::empty()) }
        })
        .is_ok()
    }
}

/// A private anonymous mapping. Not MAP_NORESERVE: without access nothing is charged anyway, and with it the kernel would grant objects
/// that no machine has memory for.
fn map(bytes: usize, prot: ProtFlags) -> Option<NonNull<u8>> {
    // What is gone makes room.
    leftover::retry(try_unmap);
    let flags = MapFlags::PRIVATE;
    let p = faults::call(Call::Map, || {
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no existing one.
        unsafe { rustix::mm::mmap_anonymous(core::ptr::null_mut(), bytes, prot, flags) }
    });
    NonNull::new(p.ok()?.cast())
}

fn try_unmap(addr: NonNull<u8>, bytes: usize) -> bool {
    faults::call(Call::Unmap, || {
        // SAFETY: callers pass ranges of their own mappings that nothing refers to any more.
        unsafe { rustix::mm::munmap(addr.as_ptr().cast(), bytes) }
    })
    .is_ok()
}

/// Unmaps a range. What the kernel refuses stays mapped for now, without frames, and goes as soon as the kernel lets it.
fn unmap(addr: NonNull<u8>, bytes: usize) {
    if bytes == 0 {
        return;
    }
    if try_unmap(addr, bytes) {
        leftover::retry(try_unmap);
    } else {
        // Before anybody else may unmap the range, and the kernel give its addresses to others.
        // SAFETY: nobody relies on the contents of what was to be unmapped.
        let _ = unsafe { Linux.release(addr, bytes) };
        leftover::put(addr, bytes);
    }
}

/// Cuts `bytes` aligned to `align` out of a mapping of `total` bytes and unmaps the rest.
fn trim(raw: NonNull<u8>, total: usize, bytes: usize, align: usize) -> NonNull<u8> {
    let head = raw.as_ptr().align_offset(align);
    // SAFETY: head <= total - bytes, because the slack is align minus the page size and raw is page-aligned.
    let base = unsafe { raw.add(head) };
    unmap(raw, head);
    // SAFETY: base + bytes is inside the mapping or one past it.
    unmap(unsafe { base.add(bytes) }, total - head - bytes);
    base
}

/// Names a mapping in /proc/self/maps, where the kernel can (5.17 on, CONFIG_ANON_VMA_NAME); silently not elsewhere.
fn name_mapping(addr: NonNull<u8>, bytes: usize, name: &'static CStr) {
    const PR_SET_VMA: libc::c_int = 0x5356_4d41;
    const PR_SET_VMA_ANON_NAME: libc::c_ulong = 0;
    let _ = faults::call(Call::Name, || {
        // SAFETY: the kernel copies the name; a refusal changes nothing.
        let r = unsafe { libc::prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, addr.as_ptr(), bytes, name.as_ptr()) };
        faults::answer(r != 0)
    });
}

/// Whether objects with a mapping of their own have inaccessible pages on both sides.
const GUARDED: bool = cfg!(feature = "hardened");
/// Bytes of these on each side: a kernel page of any supported size.
const GUARD: usize = 64 << 10;
/// As many as there are.
pub(crate) const OBJECT_GUARD: usize = if GUARDED { GUARD } else { 0 };

impl Linux {
    /// Advises the kernel to back a range with transparent huge pages, or not to. It may do as it likes.
    ///
    /// # Safety
    /// 1. The range is mapped.
    pub(crate) unsafe fn advise_huge_pages(self, addr: NonNull<u8>, bytes: usize, yes: bool) {
        let advice = if yes { Advice::LinuxHugepage } else { Advice::LinuxNoHugepage };
        let _ = faults::call(Call::AdviseHuge, || {
            // SAFETY: the range is mapped (1), and its contents stay what they are.
            unsafe { rustix::mm::madvise(addr.as_ptr().cast(), bytes, advice) }
        });
    }

    /// Maps `bytes` readable and writable, zero, aligned to `align`; for objects with a mapping of their own. In the hardened build
    /// with inaccessible pages on both sides.
    pub(crate) fn map_object(self, bytes: usize, align: usize) -> Option<NonNull<u8>> {
        if GUARDED {
            return self.map_guarded(bytes, align);
        }
        let slack = align.saturating_sub(self.page_size());
        let raw = map(bytes.checked_add(slack)?, ProtFlags::READ | ProtFlags::WRITE)?;
        let base = trim(raw, bytes + slack, bytes, align);
        Some(base)
    }

    fn map_guarded(self, bytes: usize, align: usize) -> Option<NonNull<u8>> {
        let slack = align.max(GUARD) - self.page_size();
        let total = bytes.checked_add(2 * GUARD)?.checked_add(slack)?;
        let raw = map(total, ProtFlags::empty())?;
        let guard = raw.as_ptr().wrapping_add(GUARD);
        let head = guard.align_offset(align);
        let base = NonNull::new(guard.wrapping_add(head))?;
        unmap(raw, head);
        let rest = base.as_ptr().wrapping_add(bytes + GUARD);
        unmap(NonNull::new(rest)?, total - head - bytes - 2 * GUARD);
        // SAFETY: the range lies inside the mapping made above.
        if !unsafe { self.commit(base, bytes) } {
            // SAFETY: nobody knows of it.
            unsafe { self.unmap_object(base, bytes) };
            return None;
        }
        Some(base)
    }

    /// Takes an object's frames and all access to it in one call; its addresses stay taken, are charged to nobody, and are one mapping with the
    /// guard pages beside them. `false` when the kernel refuses: by all of its limits before it takes anything. (Without memory for its own tables
    /// the frames may be gone.)
    ///
    /// # Safety
    /// 1. The range came from `map_object` and nothing refers to it.
    #[cfg(feature = "hardened")]
    pub(crate) unsafe fn close_object(self, addr: NonNull<u8>, bytes: usize) -> bool {
        let flags = MapFlags::PRIVATE | MapFlags::FIXED;
        faults::call(Call::Map, || {
            // SAFETY: what is there is the caller's, and nothing refers to it (1).
            unsafe { rustix::mm::mmap_anonymous(addr.as_ptr().cast(), bytes, ProtFlags::empty(), flags) }
        })
        .is_ok()
    }

    /// Unmaps an object's mapping. Where the kernel refuses (too many mappings), its frames go, and the addresses as soon as it lets them.
    ///
    /// # Safety
    /// 1. The range came from `map_object` or `resize_object` and nothing refers to it.
    pub(crate) unsafe fn unmap_object(self, addr: NonNull<u8>, bytes: usize) {
        if let Some(addr) = NonNull::new(addr.as_ptr().wrapping_sub(OBJECT_GUARD)) {
            unmap(addr, bytes + 2 * OBJECT_GUARD);
        }
    }

    /// Gives the mapping at `addr` a new length, at another address if need be: pages move, bytes are not copied.
    /// `None` when the kernel refuses: then nothing changed.
    ///
    /// # Safety
    /// 1. The range is one whole object mapping.  2. When `Some` is returned the old address is gone.
    pub(crate) unsafe fn resize_object(
        self,
        addr: NonNull<u8>,
        old: usize,
        new: usize,
    ) -> Option<NonNull<u8>> {
        let p = faults::call(Call::Remap, || {
            // SAFETY: 1 and 2 are passed on.
            unsafe { rustix::mm::mremap(addr.as_ptr().cast(), old, new, MremapFlags::MAYMOVE) }
        });
        NonNull::new(p.ok()?.cast())
    }

    /// Whether the program has locked its memory (mlockall), by the page at `addr`, which is mapped.
    pub(crate) fn is_locked(self, addr: NonNull<u8>) -> bool {
        // What is locked cannot be made cold. Asked of a page without a frame, it is a question and nothing else.
        let ask = || {
            // SAFETY: this advice changes no contents.
            unsafe { rustix::mm::madvise(addr.as_ptr().cast(), self.page_size(), Advice::LinuxCold) }
        };
        faults::call(Call::AdviseCold, ask).is_err()
    }

    /// Moves the page frames under `from` to a mapping of their own of `new` bytes; `from` stays mapped and reads as zeros
    /// (MREMAP_DONTUNMAP, Linux 5.7). `None` when the kernel cannot: then nothing changed. It unlocks
    /// all of the kernel's mapping that `from` is a part of: see `is_locked`.
    ///
    /// # Safety
    /// 1. `from` is committed memory of the caller's for `old` bytes.  2. `old <= new`, both multiples of the page size.
    pub(crate) unsafe fn move_to_object(
        self,
        from: NonNull<u8>,
        old: usize,
        new: usize,
    ) -> Option<NonNull<u8>> {
        // Not to a fixed place: a refused fixed move has unmapped its target already, or has moved only the first of several
        // kernel mappings (Linux 6.17 on). A move to a place of the kernel's choice is refused as a whole.
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP;
        // The kernel reads the fifth argument, a hint, with DONTUNMAP; rustix's mremap does not pass one.
        let to = faults::call(Call::Move, || {
            let hint = core::ptr::null_mut::<libc::c_void>();
            // SAFETY: the range belongs to the caller (1), stays mapped, and its contents are the caller's to move.
            let to = unsafe { libc::mremap(from.as_ptr().cast(), old, old, flags, hint) };
            faults::answer(to == libc::MAP_FAILED).map(|()| to)
        });
        let to = NonNull::new(to.ok()?.cast::<u8>())?;
        // SAFETY: the moved pages are one mapping, and nobody knows its address yet.
        let grown = unsafe { self.resize_object(to, old, new) };
        if grown.is_none() {
            // SAFETY: both ranges are mapped, `old` bytes long, and do not overlap.
            unsafe { core::ptr::copy_nonoverlapping(to.as_ptr(), from.as_ptr(), old) };
            unmap(to, old);
        }
        grown
    }
}
