//! The sized forms of `operator delete` in the hardened build: as others they jump to the ordinary ones, but first the size is held against the
//! object's. "The std::size_t size argument shall equal the size argument passed to the allocation function that returned ptr"
//! ([new.delete.single]).
//!
//! Nothing is checked where the program has operators of its own, which may pass on other sizes than they get.

use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use heap::c;

use crate::cxx::module_of;

/// The forms between an object's `new` and the sized `delete` for it.
const BETWEEN: [&CStr; 12] = [
    c"_Znwm",
    c"_Znam",
    c"_ZnwmSt11align_val_t",
    c"_ZnamSt11align_val_t",
    c"_ZnwmRKSt9nothrow_t",
    c"_ZnamRKSt9nothrow_t",
    c"_ZnwmSt11align_val_tRKSt9nothrow_t",
    c"_ZnamSt11align_val_tRKSt9nothrow_t",
    c"_ZdlPv",
    c"_ZdaPv",
    c"_ZdlPvSt11align_val_t",
    c"_ZdaPvSt11align_val_t",
];

/// Whether all of those that the process uses are this library's.
static OURS: AtomicBool = AtomicBool::new(false);

/// Run by the loader when the process starts. Objects that are deleted before are not checked.
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

extern "C" fn start() {
    let base = |addr| module_of(addr).map(|module| module.dli_fbase);
    let found = |name: &CStr| {
        // SAFETY: the name is NUL-terminated.
        unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
    };
    let here = base((&raw const OURS).cast());
    OURS.store(BETWEEN.iter().all(|name| base(found(name)) == here), Relaxed);
}

/// Ends the process with one line unless the object has that size. Where a `new` found no memory at first, the object is from the C++
/// library's own: that makes one byte of none, and whole alignments, of eight bytes or more, of what is aligned (by `align`, or 0).
extern "C" fn check(p: *const u8, size: usize, align: usize) {
    let is_whole = align == 0 || size.is_multiple_of(align.max(8));
    if !p.is_null() && size > 0 && is_whole && OURS.load(Relaxed) {
        c::check_size("operator delete", p, size);
    }
}

/// Defines sized forms.
macro_rules! sized {
    ($($name:ident = $symbol:literal to $target:literal, align $align:literal, then $mov:literal;)*) => { $(
        #[doc = concat!("`", $symbol, "`")]
        #[unsafe(naked)]
        #[unsafe(export_name = $symbol)]
        pub(crate) extern "C-unwind" fn $name() {
            core::arch::naked_asm!(
                // For walks over the stack, which begin in `check`.
                ".cfi_startproc",
                // Three words: the stack is aligned at the call.
                "push rdi",
                ".cfi_adjust_cfa_offset 8",
                "push rsi",
                ".cfi_adjust_cfa_offset 8",
                "push rdx",
                ".cfi_adjust_cfa_offset 8",
                $align,
                "call {check}",
                "pop rdx",
                ".cfi_adjust_cfa_offset -8",
                "pop rsi",
                ".cfi_adjust_cfa_offset -8",
                "pop rdi",
                ".cfi_adjust_cfa_offset -8",
                $mov,
                concat!("jmp qword ptr [rip + ", $target, "@GOTPCREL]"),
                ".cfi_endproc",
                check = sym check,
            )
        }
    )* };
}

sized! {
    delete = "_ZdlPvm" to "_ZdlPv", align "xor edx, edx", then "";
    delete_array = "_ZdaPvm" to "_ZdaPv", align "xor edx, edx", then "";
    delete_aligned = "_ZdlPvmSt11align_val_t" to "_ZdlPvSt11align_val_t", align "", then "mov rsi, rdx";
    delete_array_aligned = "_ZdaPvmSt11align_val_t" to "_ZdaPvSt11align_val_t", align "", then "mov rsi, rdx";
}
