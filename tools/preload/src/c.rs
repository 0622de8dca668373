//! stdlib.h and malloc.h: the functions that allocate and free.

use core::ffi::c_int;

use heap::c;

/// C17 7.22.3.4.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn malloc(size: usize) -> *mut u8 {
    c::malloc(size)
}

/// C17 7.22.3.2.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn calloc(count: usize, size: usize) -> *mut u8 {
    c::calloc(count, size)
}

/// C17 7.22.3.5, and as glibc where that leaves a choice: size 0 frees and returns null.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realloc(p: *mut u8, size: usize) -> *mut u8 {
    // SAFETY: the C standard's contract is the same.
    unsafe { c::realloc(p, size) }
}

/// POSIX.1-2024 reallocarray. As in glibc it calls the process's `realloc`, which a program may have replaced without replacing this, and
/// which never hears of a product that overflows.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn reallocarray(p: *mut u8, count: usize, size: usize) -> *mut u8 {
    core::arch::naked_asm!(
        "mov rax, rsi",
        "mul rdx",
        "jo {overflows}",
        "mov rsi, rax",
        "jmp qword ptr [rip + realloc@GOTPCREL]",
        overflows = sym overflows,
    )
}

/// What `reallocarray` does instead when the product overflows.
extern "C" fn overflows() -> *mut u8 {
    c::set_errno(libc::ENOMEM);
    core::ptr::null_mut()
}

/// C17 7.22.3.3.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn free(p: *mut u8) {
    // SAFETY: the C standard's contract is the same.
    unsafe { c::free(p) }
}

/// C23 7.24.3.4.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn free_sized(p: *mut u8, size: usize) {
    // SAFETY: the C standard's contract is the same.
    unsafe { c::free_sized(p, size) }
}

/// C23 7.24.3.5.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn free_aligned_sized(p: *mut u8, align: usize, size: usize) {
    // SAFETY: the C standard's contract is the same.
    unsafe { c::free_aligned_sized(p, align, size) }
}

/// C17 7.22.3.1. An alignment that is no power of two is EINVAL.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut u8 {
    c::aligned_alloc(align, size)
}

/// glibc: as `aligned_alloc`.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn memalign(align: usize, size: usize) -> *mut u8 {
    c::aligned_alloc(align, size)
}

/// POSIX: the result is a code, errno stays as it was, and so does `*out` on failure.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn posix_memalign(out: *mut *mut u8, align: usize, size: usize) -> c_int {
    if !align.is_multiple_of(size_of::<*mut u8>()) {
        return libc::EINVAL;
    }
    match c::try_aligned_alloc(align, size) {
        Ok(p) => {
            // SAFETY: the caller passes a place for the result.
            unsafe { *out = p };
            0
        }
        Err(code) => code,
    }
}

/// glibc: aligned to the kernel's page.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn valloc(size: usize) -> *mut u8 {
    c::aligned_alloc(c::kernel_page(), size)
}

/// glibc: aligned to the kernel's page, and whole pages long.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn pvalloc(size: usize) -> *mut u8 {
    let page = c::kernel_page();
    // A size that overflows is more than there is.
    c::aligned_alloc(page, size.max(1).checked_next_multiple_of(page).unwrap_or(usize::MAX))
}

/// glibc: bytes that may be used of the object; 0 for null.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn malloc_usable_size(p: *const u8) -> usize {
    c::usable_size(p)
}
