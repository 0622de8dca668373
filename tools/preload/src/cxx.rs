//! C++: the replaceable `operator new` and `operator delete` (C++17 21.6.2), under their names in the Itanium ABI.
//!
//! When memory is exhausted the standard wants the new-handler called until it helps, and `std::bad_alloc` thrown. Both belong to
//! the C++ library, so the slow path is its own function of the same name: that calls `malloc` and does the rest. It is looked up
//! when it is needed, because a C program may load a C++ library late and out of sight. In a statically linked program it is not
//! there, having been replaced: then the same is done here with what the C++ library has for it.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::transmute;
use core::ptr::{NonNull, null_mut};

use heap::c;

/// The C++ libraries that may be in the process.
const LIBRARIES: [&CStr; 3] = [c"libstdc++.so.6", c"libc++abi.so.1", c"libc++.so.1"];

/// The address of a function that may be absent from the process.
macro_rules! weak {
    ($symbol:literal as $signature:ty) => {{
        let address: *const c_void;
        // SAFETY: loads a word that the linker fills in, with null when the symbol is nowhere.
        unsafe {
            core::arch::asm!(
                concat!(".weak ", $symbol),
                concat!("mov {a}, qword ptr [rip + ", $symbol, "@GOTPCREL]"),
                a = out(reg) address,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        // SAFETY: null is None, and the symbol has this signature.
        unsafe { transmute::<*const c_void, Option<$signature>>(address) }
    }};
}

/// The C++ library's own function of that name.
fn library_function(name: &CStr) -> Option<NonNull<c_void>> {
    // Absent from older C libraries that keep them in a library of their own, and from static programs.
    let dlopen = weak!("dlopen" as unsafe extern "C" fn(*const c_char, c_int) -> *mut c_void)?;
    let dlsym = weak!("dlsym" as unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void)?;
    LIBRARIES.into_iter().find_map(|library| {
        // SAFETY: the name is NUL-terminated; nothing is loaded that is not there yet.
        let handle = unsafe { dlopen(library.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
        // SAFETY: a handle of the loader's, which a library that is in use keeps valid; the name is NUL-terminated.
        (!handle.is_null()).then(|| unsafe { dlsym(handle, name.as_ptr()) }).and_then(NonNull::new)
    })
}

/// Calls the new-handler until `again` succeeds, without the C++ library's own function. Null when there is no handler.
fn handle(again: impl Fn() -> *mut u8) -> *mut u8 {
    let get = weak!("_ZSt15get_new_handlerv" as extern "C" fn() -> Option<extern "C-unwind" fn()>);
    while let Some(handler) = get.and_then(|get| get()) {
        handler();
        let p = again();
        if !p.is_null() {
            return p;
        }
    }
    null_mut()
}

/// What a form of `operator new` does when there is no memory and no handler.
enum Else {
    Throws,
    ReturnsNull,
}

/// The end of a form that the C++ library has no function of its own for.
fn end(p: *mut u8, otherwise: Else) -> *mut u8 {
    if p.is_null() && matches!(otherwise, Else::Throws) {
        match weak!("_ZSt17__throw_bad_allocv" as extern "C-unwind" fn() -> !) {
            Some(throw) => throw(),
            None => c::abort_with(format_args!(
                "operator new: memory is exhausted, and std::bad_alloc is not in the program"
            )),
        }
    }
    p
}

/// Defines one form of `operator new`: its parameters after the size as the fast path and the C++ library's own function take them.
macro_rules! new {
    ($name:ident = $symbol:literal ($size:ident $(, $arg:ident: $type:ty)*), $allocate:expr, $otherwise:expr) => {
        #[doc = concat!("`", $symbol, "`")]
        #[unsafe(export_name = $symbol)]
        pub(crate) extern "C-unwind" fn $name($size: usize $(, $arg: $type)*) -> *mut u8 {
            #[cold]
            #[inline(never)]
            extern "C-unwind" fn slow($size: usize $(, $arg: $type)*) -> *mut u8 {
                type Own = extern "C-unwind" fn(usize $(, $type)*) -> *mut u8;
                // SAFETY: the symbol is a string without NUL, and a NUL is put behind it.
                let name = unsafe { CStr::from_bytes_with_nul_unchecked(concat!($symbol, "\0").as_bytes()) };
                match library_function(name) {
                    // SAFETY: the C++ library's function of this name has this signature.
                    Some(own) => (unsafe { transmute::<NonNull<c_void>, Own>(own) })($size $(, $arg)*),
                    None => end(handle(|| $allocate), $otherwise),
                }
            }
            let p = $allocate;
            if p.is_null() { slow($size $(, $arg)*) } else { p }
        }
    };
}

/// `std::nothrow`, by reference.
type NoThrow = *const c_void;

new!(new = "_Znwm"(size), c::malloc(size), Else::Throws);
new!(new_array = "_Znam"(size), c::malloc(size), Else::Throws);
new!(new_nothrow = "_ZnwmRKSt9nothrow_t"(size, _n: NoThrow), c::malloc(size), Else::ReturnsNull);
new!(new_array_nothrow = "_ZnamRKSt9nothrow_t"(size, _n: NoThrow), c::malloc(size), Else::ReturnsNull);
new!(new_aligned = "_ZnwmSt11align_val_t"(size, align: usize), c::aligned_alloc(align, size), Else::Throws);
new!(new_array_aligned = "_ZnamSt11align_val_t"(size, align: usize), c::aligned_alloc(align, size), Else::Throws);
new!(
    new_aligned_nothrow = "_ZnwmSt11align_val_tRKSt9nothrow_t"(size, align: usize, _n: NoThrow),
    c::aligned_alloc(align, size),
    Else::ReturnsNull
);
new!(
    new_array_aligned_nothrow = "_ZnamSt11align_val_tRKSt9nothrow_t"(size, align: usize, _n: NoThrow),
    c::aligned_alloc(align, size),
    Else::ReturnsNull
);

/// Defines forms of `operator delete` that do not say the size. What comes after the pointer is not needed.
macro_rules! delete {
    ($($name:ident = $symbol:literal),* $(,)?) => { $(
        #[doc = concat!("`", $symbol, "`")]
        #[unsafe(export_name = $symbol)]
        pub(crate) unsafe extern "C" fn $name(p: *mut u8) {
            // SAFETY: the C++ standard's contract is that of `free`.
            unsafe { c::free(p) }
        }
    )* };
}

/// As `delete`, for the forms that say the size.
macro_rules! delete_sized {
    ($($name:ident = $symbol:literal),* $(,)?) => { $(
        #[doc = concat!("`", $symbol, "`")]
        #[unsafe(export_name = $symbol)]
        pub(crate) unsafe extern "C" fn $name(p: *mut u8, size: usize) {
            // SAFETY: the C++ standard's contract is that of `free_sized`.
            unsafe { c::free_sized(p, size) }
        }
    )* };
}

delete!(
    delete = "_ZdlPv",
    delete_array = "_ZdaPv",
    delete_nothrow = "_ZdlPvRKSt9nothrow_t",
    delete_array_nothrow = "_ZdaPvRKSt9nothrow_t",
    delete_aligned = "_ZdlPvSt11align_val_t",
    delete_array_aligned = "_ZdaPvSt11align_val_t",
    delete_aligned_nothrow = "_ZdlPvSt11align_val_tRKSt9nothrow_t",
    delete_array_aligned_nothrow = "_ZdaPvSt11align_val_tRKSt9nothrow_t",
);
delete_sized!(
    delete_sized = "_ZdlPvm",
    delete_array_sized = "_ZdaPvm",
    delete_aligned_sized = "_ZdlPvmSt11align_val_t",
    delete_array_aligned_sized = "_ZdaPvmSt11align_val_t",
);
