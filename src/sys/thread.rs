//! Threads as the C library knows them: exit hooks, fork hooks, a helper thread.
#![expect(unsafe_code, reason = "pthread calls")]

use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

use super::faults::{self, Call};

/// The key whose destructor runs when a thread exits; -1 before `on_exit_init`.
static KEY: AtomicI64 = AtomicI64::new(-1);

/// Makes `hook` run at the exit of each thread that called [`arm_exit`]. Once per process. When the process has no key left,
/// threads' caches are not flushed at exit.
pub(crate) fn on_exit_init(hook: unsafe extern "C" fn(*mut libc::c_void)) {
    let mut key = 0;
    // SAFETY: key is valid for a write; hook has the signature of a destructor.
    if unsafe { libc::pthread_key_create(&raw mut key, Some(hook)) } == 0 {
        KEY.store(i64::from(key), Relaxed);
    }
}

/// Forgets the hook, before the code of it is gone.
pub(crate) fn on_exit_over() {
    let key = KEY.swap(-1, Relaxed);
    if key >= 0 {
        // SAFETY: the key was created here, and is deleted once.
        unsafe { libc::pthread_key_delete(key as libc::pthread_key_t) };
    }
}

/// Arms the exit hook for the calling thread with a value that is not null. May allocate through the C library.
pub(crate) fn arm_exit(value: *const u8) {
    let key = KEY.load(Relaxed);
    if key >= 0 {
        // SAFETY: the key was created, and is deleted when nobody calls this any more.
        unsafe { libc::pthread_setspecific(key as libc::pthread_key_t, value.cast()) };
    }
}

/// Makes the three hooks run around every `fork` of the process. May allocate through the C library.
pub(crate) fn on_fork(
    prepare: unsafe extern "C" fn(),
    parent: unsafe extern "C" fn(),
    child: unsafe extern "C" fn(),
) {
    // SAFETY: the hooks are functions without arguments that live as long as the process.
    let _ = unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
}

/// Makes `hook` run when the process exits by `exit`, or returns from `main`. May allocate through the C library.
pub(crate) fn on_process_exit(hook: extern "C" fn()) {
    // SAFETY: the hook is a function without arguments that lives as long as the program is loaded.
    let _ = unsafe { libc::atexit(hook) };
}

/// As `on_process_exit`, but behind all hooks that are registered later, the destructors of other libraries among them, if it is
/// called before the program's start. For a hook that is never unloaded: the C library does not forget it. `false` when it refuses.
pub(crate) fn on_process_exit_last(hook: extern "C" fn(*mut libc::c_void)) -> bool {
    unsafe extern "C" {
        fn __cxa_atexit(
            hook: extern "C" fn(*mut libc::c_void),
            arg: *mut libc::c_void,
            library: *mut libc::c_void,
        ) -> libc::c_int;
    }
    // SAFETY: the hook ignores its argument and is never unloaded.
    unsafe { __cxa_atexit(hook, ptr::null_mut(), ptr::null_mut()) == 0 }
}

/// The number of this process.
pub(crate) fn process_id() -> u32 {
    // SAFETY: no preconditions.
    unsafe { libc::getpid() }.unsigned_abs()
}

/// Starts a detached thread with a small stack and all signals blocked: it must not run the program's handlers. `false` when the
/// system refuses.
pub(crate) fn spawn(body: extern "C" fn(*mut libc::c_void) -> *mut libc::c_void) -> bool {
    super::errno::preserve(|| {
        let mut attr = core::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
        // SAFETY: attr is valid for a write.
        if unsafe { libc::pthread_attr_init(attr.as_mut_ptr()) } != 0 {
            return false;
        }
        // SAFETY: attr was initialised above; a refused size leaves the default.
        unsafe { libc::pthread_attr_setstacksize(attr.as_mut_ptr(), 64 << 10) };
        // SAFETY: as above.
        unsafe { libc::pthread_attr_setdetachstate(attr.as_mut_ptr(), libc::PTHREAD_CREATE_DETACHED) };
        let mut all = core::mem::MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = core::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: all is valid for a write.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        // SAFETY: all was filled in above, before is valid for a write. The new thread inherits the mask.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
        // A number with glibc, a pointer with musl.
        let mut id = core::mem::MaybeUninit::<libc::pthread_t>::uninit();
        // SAFETY: attr is initialised, id valid for a write; body has the signature of a thread's entry.
        let ok = unsafe { libc::pthread_create(id.as_mut_ptr(), attr.as_ptr(), body, ptr::null_mut()) } == 0;
        // SAFETY: filled in by the call that blocked them.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
        // SAFETY: initialised above, not used afterwards.
        unsafe { libc::pthread_attr_destroy(attr.as_mut_ptr()) };
        ok
    })
}

/// The C library's number of the calling thread: another for each living thread, and the same in a forked child.
pub(crate) fn current() -> usize {
    // SAFETY: no preconditions.
    unsafe { libc::pthread_self() as usize }
}

/// The kernel's number of the calling thread, as debuggers show it.
pub(crate) fn kernel_id() -> u32 {
    // SAFETY: no preconditions.
    unsafe { libc::syscall(libc::SYS_gettid) as u32 }
}

/// Sleeps for about `ms` milliseconds.
pub(crate) fn sleep_ms(ms: u64) {
    let t = libc::timespec { tv_sec: (ms / 1000) as i64, tv_nsec: (ms % 1000 * 1_000_000) as i64 };
    // SAFETY: t is valid; the remainder is not wanted.
    super::errno::preserve(|| unsafe { libc::nanosleep(&raw const t, ptr::null_mut()) });
}

/// Whether `fence_all` has failed, or must not be tried.
static NO_FENCE: AtomicBool = AtomicBool::new(false);

/// Whether `fence_all` works, as far as is known.
#[inline(always)]
pub(crate) fn can_fence_all() -> bool {
    !NO_FENCE.load(Relaxed)
}

/// Does without `fence_all`, for a process under a filter that kills it for system calls it does not expect.
pub(crate) fn forbid_fence() {
    NO_FENCE.store(true, Relaxed);
}

/// Makes every running thread of the process pass a full memory fence (membarrier, Linux 4.14). `false` where the kernel cannot.
pub(crate) fn fence_all() -> bool {
    let fence = || membarrier(PRIVATE_EXPEDITED);
    // The registration holds for the process, and the child of a fork has it as well.
    let done = can_fence_all() && (fence() || (membarrier(REGISTER_PRIVATE_EXPEDITED) && fence()));
    if !done {
        forbid_fence();
    }
    done
}

const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: touches no memory.
    let fence = || unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) };
    faults::call(Call::Barrier, || faults::answer(fence() != 0)).is_ok()
}

/// Lets another thread run.
pub(crate) fn yield_now() {
    // SAFETY: no preconditions.
    unsafe { libc::sched_yield() };
}
