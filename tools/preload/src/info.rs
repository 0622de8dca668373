//! malloc.h: the functions that tell about the heap and tune it.

use core::ffi::c_int;
use core::fmt::{self, Write};

/// glibc: gives free memory back to the system, whatever `pad` says; 1 when there was some.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn malloc_trim(_pad: usize) -> c_int {
    c_int::from(heap::free_os_memory() > 0)
}

/// glibc: tunes glibc's own allocator; accepted, and without effect.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn mallopt(_param: c_int, _value: c_int) -> c_int {
    1
}

/// glibc's `struct mallinfo2`.
#[repr(C)]
pub(crate) struct MallInfo<T> {
    /// Bytes in the heap.
    arena: T,
    /// Free objects: not counted here.
    ordblks: T,
    smblks: T,
    /// Objects with mappings of their own.
    hblks: T,
    /// Bytes in them.
    hblkhd: T,
    usmblks: T,
    fsmblks: T,
    /// Bytes in live objects.
    uordblks: T,
    /// Bytes in the heap that are not in live objects.
    fordblks: T,
    /// Bytes that `malloc_trim` could give back at least.
    keepcost: T,
}

impl<T: Default> MallInfo<T> {
    /// `door` is the function that the program called; `to` converts a number of bytes.
    fn now(door: &'static str, to: impl Fn(u64) -> T) -> Self {
        let s = heap::c::stats(door);
        let huge = s.huge_inuse;
        let arena = s.heap_sys - huge;
        let used = s.heap_alloc.saturating_sub(huge);
        Self {
            arena: to(arena),
            ordblks: T::default(),
            smblks: T::default(),
            hblks: to(s.huge_objects),
            hblkhd: to(huge),
            usmblks: T::default(),
            fsmblks: T::default(),
            uordblks: to(used),
            fordblks: to(arena.saturating_sub(used)),
            keepcost: to(s.heap_idle.saturating_sub(s.heap_released)),
        }
    }
}

/// glibc: the heap's figures.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn mallinfo2() -> MallInfo<usize> {
    MallInfo::now("mallinfo2", |n| n as usize)
}

/// glibc: the same in `int`, which ends at 2 GiB.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn mallinfo() -> MallInfo<c_int> {
    MallInfo::now("mallinfo", |n| c_int::try_from(n).unwrap_or(c_int::MAX))
}

/// A stream of the C library.
struct Stream(*mut libc::FILE);

impl Write for Stream {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        // SAFETY: the string is valid for its length; the stream is the caller's.
        let n = unsafe { libc::fwrite(s.as_ptr().cast(), 1, s.len(), self.0) };
        if n == s.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// glibc: writes the heap's state as XML. `options` must be 0; -1 and EINVAL otherwise.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn malloc_info(options: c_int, stream: *mut libc::FILE) -> c_int {
    if options != 0 {
        heap::c::set_errno(libc::EINVAL);
        return -1;
    }
    match heap::c::write_xml(&mut Stream(stream)) {
        Ok(()) => 0,
        Err(fmt::Error) => -1,
    }
}

/// glibc: writes the heap's state to stderr.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn malloc_stats() {
    heap::c::report_to_stderr();
}

/// Run by the loader before the program.
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = {
    extern "C" fn start() {
        heap::c::start_for_report();
    }
    start
};
