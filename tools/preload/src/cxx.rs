//! C++: the replaceable `operator new` and `operator delete` (C++17 21.6.2), under their names in the Itanium ABI.
//!
//! When memory is exhausted the standard wants the new-handler called until it helps, and `std::bad_alloc` thrown. Both belong to
//! the C++ library, so the slow path is its own function of the same name: that calls `malloc` and does the rest. It is looked up
//! when it is needed, because a C program may load a C++ library late and out of sight.
//!
//! A program may replace the ordinary forms alone, and the others must then call those. So the array and the sized forms jump to the
//! ordinary ones by way of the loader's table, which knows whose they are. The `nothrow` forms of `new` call the C++ library's own,
//! which call the ordinary ones and catch what those throw: that takes C++.

use core::ffi::{CStr, c_void};
use core::mem::{MaybeUninit, transmute};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use heap::c::{self, FreeDoor};

/// The C++ libraries that may be in the process.
const LIBRARIES: [&CStr; 3] = [c"libstdc++.so.6", c"libc++abi.so.1", c"libc++.so.1"];

/// What the loader knows of the library or program that an address is in.
pub(crate) fn module_of(addr: *const c_void) -> Option<libc::Dl_info> {
    let mut info = MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: info is valid for a write.
    if unsafe { libc::dladdr(addr, info.as_mut_ptr()) } == 0 {
        return None;
    }
    // SAFETY: dladdr has filled it in.
    Some(unsafe { info.assume_init() })
}

/// The function of that name that comes after this library's, if it is a C++ library's. The loader allocates nothing to find it: memory
/// may be exhausted.
fn next(name: &CStr) -> Option<NonNull<c_void>> {
    // SAFETY: the name is NUL-terminated.
    let function = NonNull::new(unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) })?;
    let file = module_of(function.as_ptr())?.dli_fname;
    // SAFETY: the loader's name of a library that is loaded, which ends in NUL.
    let file = unsafe { CStr::from_ptr(file) }.to_bytes();
    let file = file.rsplit(|&b| b == b'/').next()?;
    LIBRARIES.iter().any(|library| library.to_bytes() == file).then_some(function)
}

/// The C++ library's own function of that name, in a process that has a C++ library.
fn find(name: &CStr) -> Option<NonNull<c_void>> {
    next(name).or_else(|| find_loaded(name))
}

/// As `find`, also where only a part of the process sees the C++ library. The loader allocates.
fn find_loaded(name: &CStr) -> Option<NonNull<c_void>> {
    LIBRARIES.into_iter().find_map(|library| {
        // SAFETY: the name is NUL-terminated; nothing is loaded that is not there yet.
        let handle =
            NonNull::new(unsafe { libc::dlopen(library.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) })?;
        // SAFETY: a handle of the loader's, which this very reference keeps valid; the name is NUL-terminated.
        NonNull::new(unsafe { libc::dlsym(handle.as_ptr(), name.as_ptr()) })
    })
}

/// As `find`; ends the process with one line when there is none: then there is no exception either.
fn library_function(name: &CStr) -> NonNull<c_void> {
    find(name).unwrap_or_else(|| {
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

/// Defines a `nothrow` form of `new` that is the C++ library's own, looked up once, or `$otherwise` in a process without one.
macro_rules! library_new {
    ($name:ident = $symbol:literal ($($arg:ident: $type:ty),*), $otherwise:expr) => {
        #[doc = concat!("`", $symbol, "`")]
        #[unsafe(export_name = $symbol)]
        pub(crate) extern "C-unwind" fn $name($($arg: $type),*) -> *mut u8 {
            type Own = extern "C-unwind" fn($($type),*) -> *mut u8;
            static OWN: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
            // SAFETY: the symbol is a string without NUL, and a NUL is put behind it.
            let name = unsafe { CStr::from_bytes_with_nul_unchecked(concat!($symbol, "\0").as_bytes()) };
            // Relaxed: an address of code that was there before.
            let Some(own) = NonNull::new(OWN.load(Relaxed)).or_else(|| find(name)) else { return $otherwise };
            OWN.store(own.as_ptr(), Relaxed);
            // SAFETY: the C++ library's function of this name has this signature.
            let own = unsafe { transmute::<NonNull<c_void>, Own>(own) };
            own($($arg),*)
        }
    };
}

/// `std::nothrow`, by reference.
type NoThrow = *const c_void;

library_new!(new_nothrow = "_ZnwmRKSt9nothrow_t"(size: usize, _n: NoThrow), c::malloc(size));
library_new!(new_array_nothrow = "_ZnamRKSt9nothrow_t"(size: usize, _n: NoThrow), c::malloc(size));
library_new!(
    new_aligned_nothrow = "_ZnwmSt11align_val_tRKSt9nothrow_t"(size: usize, align: usize, _n: NoThrow),
    c::aligned_alloc(align, size)
);
library_new!(
    new_array_aligned_nothrow = "_ZnamSt11align_val_tRKSt9nothrow_t"(size: usize, align: usize, _n: NoThrow),
    c::aligned_alloc(align, size)
);

/// `operator delete(void*)`
#[unsafe(export_name = "_ZdlPv")]
pub(crate) unsafe extern "C" fn delete(p: *mut u8) {
    // SAFETY: the C++ standard's contract is that of `free`.
    unsafe { c::free_by(FreeDoor::Delete, p) }
}

/// `operator delete(void*, std::align_val_t)`
#[unsafe(export_name = "_ZdlPvSt11align_val_t")]
pub(crate) unsafe extern "C" fn delete_aligned(p: *mut u8, _align: usize) {
    // SAFETY: as above.
    unsafe { c::free_by(FreeDoor::Delete, p) }
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
    delete_nothrow = "_ZdlPvRKSt9nothrow_t" to "_ZdlPv",
    delete_array_nothrow = "_ZdaPvRKSt9nothrow_t" to "_ZdaPv",
    delete_array_aligned = "_ZdaPvSt11align_val_t" to "_ZdlPvSt11align_val_t",
    delete_aligned_nothrow = "_ZdlPvSt11align_val_tRKSt9nothrow_t" to "_ZdlPvSt11align_val_t",
    delete_array_aligned_nothrow = "_ZdaPvSt11align_val_tRKSt9nothrow_t" to "_ZdaPvSt11align_val_t",
);

#[cfg(not(feature = "hardened"))]
jump!(
    delete_sized = "_ZdlPvm" to "_ZdlPv",
    delete_array_sized = "_ZdaPvm" to "_ZdaPv",
    delete_aligned_sized = "_ZdlPvmSt11align_val_t" to "_ZdlPvSt11align_val_t" after "mov rsi, rdx",
    delete_array_aligned_sized = "_ZdaPvmSt11align_val_t" to "_ZdaPvSt11align_val_t" after "mov rsi, rdx",
);
