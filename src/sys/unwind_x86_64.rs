//! Walks of the stack, for reports: who called.
//!
//! Compilers keep no chain of frame pointers unless asked to, so each step follows the call frame information of the loaded object that the
//! address is in (see `cfi`), and the frame pointer only where there is none: code that was made while the program runs. Words of the
//! stack come through `process_vm_readv`, so a walk that is led astray ends instead of faulting. Nothing is allocated, and no lock is
//! taken where the C library finds objects without one (`_dl_find_object`, glibc 2.35); elsewhere the loader's, for a moment.
//!
//! Rejected: `_Unwind_Backtrace`: it is not in every program, may allocate when it is first called, and reads what it is led to.
#![expect(unsafe_code, reason = "reads registers, and asks the C library where objects are")]

use core::arch::asm;
use core::ffi::{CStr, c_char, c_void};
use core::mem::{MaybeUninit, transmute};
use core::ptr;

pub(crate) use super::cfi::Registers;
use super::cfi::{self, Memory, Object, RBP, RIP, RSP, Step};
use super::{Path, errno, path_of_program, thread};

/// Words of the stack that are read at a time.
const WORDS: usize = 256;

/// A window of the stack.
struct Stack {
    start: usize,
    len: usize,
    words: [usize; WORDS],
}

impl Memory for Stack {
    fn word(&mut self, addr: usize) -> Option<usize> {
        if !addr.is_multiple_of(size_of::<usize>()) {
            return None;
        }
        let index = |stack: &Self| addr.wrapping_sub(stack.start) / size_of::<usize>();
        if addr < self.start || index(self) >= self.len {
            self.start = addr;
            self.len = read(addr, &mut self.words);
        }
        self.words[..self.len].get(index(self)).copied()
    }
}

/// Reads memory that may not be there; returns how many words were.
pub(crate) fn read(addr: usize, words: &mut [usize]) -> usize {
    let to = libc::iovec { iov_base: words.as_mut_ptr().cast(), iov_len: size_of_val(words) };
    let from = libc::iovec { iov_base: ptr::without_provenance_mut(addr), iov_len: to.iov_len };
    let me = thread::process_id() as libc::pid_t;
    let call = || {
        // SAFETY: the kernel writes to `words` alone, and refuses what is not mapped.
        unsafe { libc::process_vm_readv(me, &raw const to, 1, &raw const from, 1, 0) }
    };
    usize::try_from(errno::preserve(call)).unwrap_or(0) / size_of::<usize>()
}

/// Writes the addresses of the calls that led to the frame that `inside` points into, its own caller first, and returns how many.
/// They are those of the calls' last bytes, so that they belong to the line of the call.
#[inline(never)]
pub(crate) fn callers(inside: *const u8, calls: &mut [usize]) -> usize {
    let mut regs: Registers = [0; _];
    // SAFETY: reads registers into the array, which is long enough.
    unsafe {
        asm!(
            "mov [{regs} + 3*8], rbx",
            "mov [{regs} + 6*8], rbp",
            "mov [{regs} + 7*8], rsp",
            "mov [{regs} + 12*8], r12",
            "mov [{regs} + 13*8], r13",
            "mov [{regs} + 14*8], r14",
            "mov [{regs} + 15*8], r15",
            "lea {pc}, [rip]",
            "mov [{regs} + 16*8], {pc}",
            regs = in(reg) regs.as_mut_ptr(),
            pc = out(reg) _,
            options(nostack, preserves_flags),
        );
    }
    walk(regs, inside.addr(), calls)
}

/// The registers of a thread that a signal interrupted, and whether it was for a write that was refused.
///
/// # Safety
/// 1. `context` is what the kernel passes to a handler.
pub(crate) unsafe fn registers_of(context: *const c_void) -> (Registers, bool) {
    // SAFETY: 1.
    let gregs = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let get = |i: libc::c_int| gregs[i as usize] as usize;
    let registers = [
        libc::REG_RAX,
        libc::REG_RDX,
        libc::REG_RCX,
        libc::REG_RBX,
        libc::REG_RSI,
        libc::REG_RDI,
        libc::REG_RBP,
        libc::REG_RSP,
        libc::REG_R8,
        libc::REG_R9,
        libc::REG_R10,
        libc::REG_R11,
        libc::REG_R12,
        libc::REG_R13,
        libc::REG_R14,
        libc::REG_R15,
        libc::REG_RIP,
    ]
    .map(get);
    // The processor's word on a page fault has a bit for writes.
    (registers, get(libc::REG_ERR) & 2 != 0)
}

/// As `callers`, from where a signal interrupted the program, which comes first.
pub(crate) fn callers_of(regs: &Registers, calls: &mut [usize]) -> usize {
    let Some((first, rest)) = calls.split_first_mut() else { return 0 };
    *first = regs[RIP];
    1 + walk(*regs, 0, rest)
}

/// Frames whose callers' stack starts at or below `above` are left out.
fn walk(mut regs: Registers, above: usize, calls: &mut [usize]) -> usize {
    let mut stack = Stack { start: 0, len: 0, words: [0; _] };
    let (mut n, mut is_exact) = (0, true);
    while n < calls.len() {
        let pc = regs[RIP].wrapping_sub(usize::from(!is_exact));
        let known = find(pc).and_then(|(object, ..)| cfi::step(&object, pc, &regs, &mut stack));
        let Some(step) = known.or_else(|| by_frame_pointer(&regs, &mut stack)) else { break };
        // A stack grows downwards; a signal handler may have another.
        if step.caller[RIP] == 0 || (!step.is_exact && step.caller[RSP] <= regs[RSP]) {
            break;
        }
        Step { caller: regs, is_exact } = step;
        if regs[RSP] > above {
            calls[n] = regs[RIP].wrapping_sub(usize::from(!is_exact));
            n += 1;
        }
    }
    n
}

fn by_frame_pointer(regs: &Registers, stack: &mut Stack) -> Option<Step> {
    let frame = Some(regs[RBP]).filter(|&frame| frame >= regs[RSP])?;
    let mut caller = *regs;
    caller[RBP] = stack.word(frame)?;
    caller[RIP] = stack.word(frame + 8)?;
    caller[RSP] = frame + 16;
    Some(Step { caller, is_exact: false })
}

/// The file that an address was loaded from.
pub(crate) struct Module {
    name: Path,
    /// The address, as the file has it.
    pub(crate) offset: usize,
}

impl Module {
    /// Its path, as far as it is text.
    pub(crate) fn name(&self) -> &str {
        let bytes = self.name.as_bytes();
        match core::str::from_utf8(bytes) {
            Ok(name) => name,
            Err(e) => core::str::from_utf8(&bytes[..e.valid_up_to()]).unwrap_or_default(),
        }
    }
}

/// Where an address is; `None` when it is in no loaded object.
pub(crate) fn module_of(pc: usize) -> Option<Module> {
    let (_, base, c_name) = find(pc)?;
    let mut name = Path::new();
    if !c_name.is_null() {
        // SAFETY: the loader's name of the object, which has code on the stack of a thread.
        name.push(unsafe { CStr::from_ptr(c_name) }.to_bytes()).ok()?;
    }
    if name.as_bytes().is_empty() {
        // The program itself.
        path_of_program(&mut name).ok()?;
    }
    Some(Module { name, offset: pc.wrapping_sub(base) })
}

/// A loaded object, what its addresses were moved by, and its name.
type Loaded = (Object, usize, *const c_char);

/// The start of the loader's own description (link.h).
#[repr(C)]
struct LinkMap {
    addr: usize,
    name: *const c_char,
}

/// What glibc says of a loaded object (dlfcn.h).
#[repr(C)]
struct Found {
    flags: u64,
    start: *const u8,
    end: *const u8,
    link_map: *const LinkMap,
    eh_frame: *const u8,
    reserved: [u64; 7],
}

type FindObject = unsafe extern "C" fn(*const u8, *mut Found) -> libc::c_int;

fn find_object() -> Option<FindObject> {
    let address: usize;
    // Not in every C library, and null there: said where it is used, because it holds for one unit of code alone.
    // SAFETY: reads the linker's word for the symbol.
    unsafe {
        asm!(
            ".weak _dl_find_object",
            "mov {address}, qword ptr [rip + _dl_find_object@GOTPCREL]",
            address = out(reg) address,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    // SAFETY: null, or the address of the function with this signature.
    unsafe { transmute::<usize, Option<FindObject>>(address) }
}

/// The loaded object that an address is in, if it has call frame information.
fn find(pc: usize) -> Option<Loaded> {
    let Some(find) = find_object() else { return find_by_walk(pc) };
    let Found { start, end, link_map, eh_frame, .. } = find_at(find, pc)?;
    let table = Some(eh_frame.expose_provenance()).filter(|&table| table != 0)?;
    let (mut start, mut end) = (start.expose_provenance(), end.expose_provenance());
    if !(start..end).contains(&table) {
        // A program with a gap between its segments is found segment by segment, and the table is in another one than the code.
        let segment = find_at(find, table)?;
        (start, end) = (segment.start.expose_provenance(), segment.end.expose_provenance());
    }
    // SAFETY: the loader's, as long as the object is loaded.
    let LinkMap { addr, name } = unsafe { link_map.read() };
    Some((Object { start, end, table }, addr, name))
}

fn find_at(find: FindObject, address: usize) -> Option<Found> {
    let mut found = MaybeUninit::<Found>::uninit();
    // SAFETY: `found` is valid for a write.
    let failed = unsafe { find(ptr::without_provenance(address), found.as_mut_ptr()) } != 0;
    // SAFETY: filled in by the call, unless it failed.
    (!failed).then(|| unsafe { found.assume_init() })
}

/// The same where the C library has no function for it.
fn find_by_walk(pc: usize) -> Option<Loaded> {
    struct Search {
        pc: usize,
        found: Option<Loaded>,
    }
    unsafe extern "C" fn look(info: *mut libc::dl_phdr_info, _: usize, search: *mut c_void) -> libc::c_int {
        // SAFETY: the C library passes a description.
        let info = unsafe { &*info };
        // SAFETY: and what it was called with.
        let search = unsafe { &mut *search.cast::<Search>() };
        let mut object = Object { start: usize::MAX, end: 0, table: 0 };
        let mut holds = false;
        for i in 0..usize::from(info.dlpi_phnum) {
            // SAFETY: the description has so many headers.
            let header = unsafe { &*info.dlpi_phdr.wrapping_add(i) };
            let start = (info.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize);
            match header.p_type {
                libc::PT_LOAD => {
                    object.start = object.start.min(start);
                    object.end = object.end.max(start.wrapping_add(header.p_memsz as usize));
                    holds |= search.pc.wrapping_sub(start) < header.p_memsz as usize;
                }
                libc::PT_GNU_EH_FRAME => object.table = start,
                _ => {}
            }
        }
        if holds && object.table != 0 {
            search.found = Some((object, info.dlpi_addr as usize, info.dlpi_name));
        }
        holds.into()
    }
    let mut search = Search { pc, found: None };
    // SAFETY: `look` gets the search that it expects, for the time of the call.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut search).cast()) };
    search.found
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::hint::black_box;

    /// Addresses of calls: no vector, which a signal handler must not make.
    struct Calls([usize; 200], usize);

    impl Calls {
        fn all(&self) -> &[usize] {
            &self.0[..self.1]
        }
    }

    unsafe extern "C" {
        fn _Unwind_Backtrace(
            each: extern "C" fn(*mut c_void, *mut c_void) -> libc::c_int,
            to: *mut c_void,
        ) -> libc::c_int;
        fn _Unwind_GetIPInfo(context: *mut c_void, is_exact: *mut libc::c_int) -> usize;
    }

    extern "C" fn each(context: *mut c_void, to: *mut c_void) -> libc::c_int {
        // SAFETY: what `twin` passes.
        let Calls(to, n) = unsafe { &mut *to.cast::<Calls>() };
        let mut is_exact = 0;
        // SAFETY: the unwinder's own context, and a number that is valid for a write.
        let pc = unsafe { _Unwind_GetIPInfo(context, &raw mut is_exact) };
        to[*n] = pc.wrapping_sub(usize::from(is_exact == 0));
        *n += 1;
        0
    }

    /// The compiler's own unwinder.
    fn twin() -> Calls {
        let mut calls = Calls([0; 200], 0);
        // SAFETY: `each` gets what it expects.
        unsafe { _Unwind_Backtrace(each, (&raw mut calls).cast()) };
        calls
    }

    fn ours(inside: *const u8) -> Calls {
        let mut calls = [0; 200];
        let n = callers(inside, &mut calls);
        Calls(calls, n)
    }

    /// Both walks, from the frame that the pointer is into on. They differ where they were called.
    #[inline(never)]
    fn both(depth: usize) {
        let here = 0u8;
        let (ours, twin) = (ours(&raw const here), twin());
        let (ours, twin) = (ours.all(), twin.all());
        assert!(ours.len() > depth, "{} frames of {depth} calls", ours.len());
        let from = twin.iter().position(|pc| *pc == ours[0]).expect("the caller is in both");
        let twin = &twin[from..];
        // The last frame has no caller; the twin says so in a frame of its own. Where nothing is known of that frame, as with musl, the
        // twin leaves it out.
        let unknown = usize::from(cfg!(target_env = "musl"));
        let common = ours.len().min(twin.len());
        assert!(ours[..common] == twin[..common], "\n{ours:x?}\n{twin:x?}");
        assert!(ours.len() <= twin.len() + unknown && twin.len() <= ours.len() + 1, "\n{ours:x?}\n{twin:x?}");
    }

    #[inline(never)]
    fn deep(n: usize, depth: usize) {
        // Frames of many sizes, aligned ones among them.
        #[repr(align(64))]
        struct Aligned([u8; 100]);
        match n % 3 {
            _ if n == 0 => both(depth),
            0 => deep(black_box(n - 1), depth),
            1 => {
                let local = black_box([n; 300]);
                deep(n - 1, depth);
                black_box(&local);
            }
            _ => {
                let local = black_box(Aligned([1; 100]));
                deep(n - 1, depth);
                black_box(&local.0);
            }
        }
    }

    #[test]
    fn the_walk_is_that_of_the_compilers_unwinder() {
        for depth in [0, 1, 2, 3, 10, 40] {
            deep(depth, depth);
        }
        // Through frames of the C library's.
        extern "C" fn compare(_: *const c_void, _: *const c_void) -> libc::c_int {
            both(1);
            0
        }
        let mut two = [1, 2];
        // SAFETY: two elements of this size.
        unsafe { libc::qsort(two.as_mut_ptr().cast(), 2, 4, Some(compare)) };
    }

    #[test]
    #[cfg_attr(
        target_env = "musl",
        ignore = "musl has no call frame information for the return from a handler"
    )]
    fn a_walk_crosses_the_frame_of_a_signal_handler() {
        extern "C" fn handler(_: libc::c_int) {
            both(3);
        }
        // SAFETY: the handler has this signature; nobody else uses the signal.
        unsafe { libc::signal(libc::SIGUSR2, handler as *const () as usize) };
        // SAFETY: no preconditions.
        unsafe { libc::raise(libc::SIGUSR2) };
    }

    #[test]
    fn objects_are_the_same_without_the_function_that_finds_them() {
        for pc in [
            objects_are_the_same_without_the_function_that_finds_them as *const () as usize,
            libc::qsort as *const () as usize,
        ] {
            let (a, b) = (find(pc).expect("it is loaded"), find_by_walk(pc).expect("it is loaded"));
            assert_eq!((a.0.table, a.1, a.2), (b.0.table, b.1, b.2));
            // All of the object, or the segment that the table is in.
            for object in [a.0, b.0] {
                assert!((object.start..object.end).contains(&object.table), "{object:x?}");
            }
            assert!(a.0.start >= b.0.start && a.0.end <= b.0.end.next_multiple_of(4096), "{a:x?} {b:x?}");
        }
        assert!(find(8).is_none() && find_by_walk(8).is_none());
    }

    #[test]
    fn what_is_not_there_is_not_read() {
        assert_eq!(read(8, &mut [0; 4]), 0);
        assert_eq!(read([7usize, 8].as_ptr().addr(), &mut [0; 2]), 2);
        let mut calls = [0; 10];
        let wild: Registers = core::array::from_fn(|i| i << 44 | 8);
        assert_eq!(callers_of(&wild, &mut calls), 1);
    }
}
