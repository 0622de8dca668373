//! C++: the replaceable `operator new` and `operator delete` (C++17 21.6.2), under their names in the Itanium ABI.
//!
//! When memory is exhausted the standard wants the new-handler called until it helps, and `std::bad_alloc` thrown. Both belong to
//! the C++ library, so the slow path is its own function of the same name: that calls `malloc` and does the rest. It is looked up
//! when it is needed, because a C program may load a C++ library late and out of sight.
//!
//! A program may replace the ordinary forms alone, and the others must then call those. So the array and the sized forms jump to the
//! ordinary ones by way of the loader's table, which knows whose they are. The `nothrow` forms of `new` are left to the C++ library:
//! they call the ordinary ones and catch what those throw, which takes C++.

use core::ffi::{CStr, c_void};
use core::mem::transmute;
use core::ptr::NonNull;

use heap::c;

/// The C++ libraries that may be in the process.
const LIBRARIES: [&CStr; 3] = [c"libstdc++.so.6", c"libc++abi.so.1", c"libc++.so.1"];

/// The C++ library's own function of that name. Ends the process with one line when there is none: then there is no exception either.
fn library_function(name: &CStr) -> NonNull<c_void> {
    let found = LIBRARIES.into_iter().find_map(|library| {
        // SAFETY: the name is NUL-terminated; nothing is loaded that is not there yet.
        let handle =
            NonNull::new(unsafe { libc::dlopen(library.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) })?;
        // SAFETY: a handle of the loader's, which this very reference keeps valid; the name is NUL-terminated.
        NonNull::new(unsafe { libc::dlsym(handle.as_ptr(), name.as_ptr()) })
    });
    found.unwrap_or_else(|| {
        c::abort_with(format_args!(
            "operator new: memory is exhausted, and std::bad_alloc is not in the process"
        ))
    })
}

/// `operator new(std::size_t)`
#[unsafe(export_name = "_Znwm")]
pub(crate) extern "C-unwind" fn new(size: usize) -> *mut u8 {
    let p = c::malloc(size);
    if p.is_null() { new_slow(size) } else { p }
}

#[cold]
#[inline(never)]
extern "C-unwind" fn new_slow(size: usize) -> *mut u8 {
    type Own = extern "C-unwind" fn(usize) -> *mut u8;
    // SAFETY: the C++ library's function of this name has this signature.
    let own = unsafe { transmute::<NonNull<c_void>, Own>(library_function(c"_Znwm")) };
    own(size)
}

/// `operator new(std::size_t, std::align_val_t)`
#[unsafe(export_name = "_ZnwmSt11align_val_t")]
pub(crate) extern "C-unwind" fn new_aligned(size: usize, align: usize) -> *mut u8 {
    let p = c::aligned_alloc(align, size);
    if p.is_null() { new_aligned_slow(size, align) } else { p }
}

#[cold]
#[inline(never)]
extern "C-unwind" fn new_aligned_slow(size: usize, align: usize) -> *mut u8 {
    type Own = extern "C-unwind" fn(usize, usize) -> *mut u8;
    // SAFETY: as above.
    let own = unsafe { transmute::<NonNull<c_void>, Own>(library_function(c"_ZnwmSt11align_val_t")) };
    // It rounds the size up to the alignment, and must not come out at zero.
    own(size.min(isize::MAX as usize), align)
}

/// `operator delete(void*)`
#[unsafe(export_name = "_ZdlPv")]
pub(crate) unsafe extern "C" fn delete(p: *mut u8) {
    // SAFETY: the C++ standard's contract is that of `free`.
    unsafe { c::free(p) }
}

/// `operator delete(void*, std::align_val_t)`
#[unsafe(export_name = "_ZdlPvSt11align_val_t")]
pub(crate) unsafe extern "C" fn delete_aligned(p: *mut u8, _align: usize) {
    // SAFETY: as above.
    unsafe { c::free(p) }
}

/// Defines forms that jump to another form with the same first arguments, after moving the alignment to where that expects it.
macro_rules! jump {
    ($($name:ident = $symbol:literal to $target:literal $(after $mov:literal)?),* $(,)?) => { $(
        #[doc = concat!("`", $symbol, "`")]
        #[unsafe(naked)]
        #[unsafe(export_name = $symbol)]
        pub(crate) extern "C-unwind" fn $name() {
            core::arch::naked_asm!($($mov,)? concat!("jmp qword ptr [rip + ", $target, "@GOTPCREL]"))
        }
    )* };
}

jump!(
    new_array = "_Znam" to "_Znwm",
    new_array_aligned = "_ZnamSt11align_val_t" to "_ZnwmSt11align_val_t",
    delete_array = "_ZdaPv" to "_ZdlPv",
    delete_sized = "_ZdlPvm" to "_ZdlPv",
    delete_nothrow = "_ZdlPvRKSt9nothrow_t" to "_ZdlPv",
    delete_array_sized = "_ZdaPvm" to "_ZdaPv",
    delete_array_nothrow = "_ZdaPvRKSt9nothrow_t" to "_ZdaPv",
    delete_array_aligned = "_ZdaPvSt11align_val_t" to "_ZdlPvSt11align_val_t",
    delete_aligned_sized = "_ZdlPvmSt11align_val_t" to "_ZdlPvSt11align_val_t" after "mov rsi, rdx",
    delete_aligned_nothrow = "_ZdlPvSt11align_val_tRKSt9nothrow_t" to "_ZdlPvSt11align_val_t",
    delete_array_aligned_sized = "_ZdaPvmSt11align_val_t" to "_ZdaPvSt11align_val_t" after "mov rsi, rdx",
    delete_array_aligned_nothrow = "_ZdaPvSt11align_val_tRKSt9nothrow_t" to "_ZdaPvSt11align_val_t",
);
