//! The sized forms of `operator delete` in the hardened build: as others they jump to the ordinary ones, but first the size is held against the
//! object's. "The std::size_t size argument shall equal the size argument passed to the allocation function that returned ptr"
//! ([new.delete.single]).
//!
//! Nothing is checked where the program has operators of its own, which may pass on other sizes than they get.

use core::ffi::{CStr, c_void};
use core::mem::MaybeUninit;
use core::ptr::null;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use heap::c;

/// The forms between an object's `new` and the sized `delete` for it.
const BETWEEN: [&CStr; 8] = [
    c"_Znwm",
    c"_Znam",
    c"_ZnwmSt11align_val_t",
    c"_ZnamSt11align_val_t",
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
    let here = module_of((&raw const OURS).cast());
    let found = |name: &CStr| {
        // SAFETY: the name is NUL-terminated.
        unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
    };
    OURS.store(BETWEEN.iter().all(|name| module_of(found(name)) == here), Relaxed);
}

/// Where the library or program begins that an address is in; null for none.
fn module_of(addr: *const c_void) -> *const c_void {
    let mut info = MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: info is valid for a write.
    if unsafe { libc::dladdr(addr, info.as_mut_ptr()) } == 0 {
        return null();
    }
    // SAFETY: dladdr has filled it in.
    unsafe { info.assume_init() }.dli_fbase
}

/// Ends the process with one line unless the object has that size. Where a `new` found no memory at first, the object is from the C++
/// library's own: that makes one byte of none, and whole alignments of what is aligned. No type has such a size.
extern "C" fn check(p: *const u8, size: usize, align: usize) {
    if !p.is_null() && size > 0 && size.is_multiple_of(align) && OURS.load(Relaxed) {
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
                // Three words: the stack is aligned at the call.
                "push rdi",
                "push rsi",
                "push rdx",
                $align,
                "call {check}",
                "pop rdx",
                "pop rsi",
                "pop rdi",
                $mov,
                concat!("jmp qword ptr [rip + ", $target, "@GOTPCREL]"),
                check = sym check,
            )
        }
    )* };
}

sized! {
    delete = "_ZdlPvm" to "_ZdlPv", align "mov edx, 1", then "";
    delete_array = "_ZdaPvm" to "_ZdaPv", align "mov edx, 1", then "";
    delete_aligned = "_ZdlPvmSt11align_val_t" to "_ZdlPvSt11align_val_t", align "", then "mov rsi, rdx";
    delete_array_aligned = "_ZdaPvmSt11align_val_t" to "_ZdaPvSt11align_val_t", align "", then "mov rsi, rdx";
}
