//! Life of a process: the lazy start, threads that come and go, fork, the opt-in background thread. Answers to Go's
//! schedinit and mallocinit as far as a library needs them.
#![expect(unsafe_code, reason = "gives locks back after a fork")]

use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, Ordering::Relaxed};

use super::{options, report, sizes};
use crate::guard;
use crate::heap::{self, Heap};
use crate::mcache::{self, Entered, MCache};
use crate::mcentral;
use crate::sync::atomic::signal_fence;
use crate::sys;

/// How often the background thread looks after an idle heap.
const BACKGROUND_MS: u64 = 100;

/// The heap, which this call builds if it does not stand yet. `None` when the OS has no memory for it.
#[inline]
pub(super) fn ready() -> Option<&'static Heap> {
    match heap::heap() {
        Some(heap) => Some(heap),
        None => start(),
    }
}

/// Whether the fork hooks are registered, or about to be: registered twice, they would wait for themselves. A child that is forked between
/// this word and the registration has none: one of another thread, while this one loads a library with gort in it.
static HOOKED: AtomicBool = AtomicBool::new(false);
/// Whether the environment has been read.
static CONFIGURED: AtomicBool = AtomicBool::new(false);

#[cold]
fn start() -> Option<&'static Heap> {
    heap::init(|heap| {
        configure(heap);
        // Before any other thread sees the heap: a thread that attaches must find the exit hook, a fork the fork hooks. In glibc neither
        // call allocates, as long as it has one of its first few dozen places for them.
        sys::thread::on_exit_init(on_thread_exit);
        hook_forks();
    })
}

/// Reads the environment and does what it says, once, as soon as there is one: an IFUNC resolver may allocate before.
fn configure(heap: &Heap) {
    if sys::has_environment() && !CONFIGURED.swap(true, Relaxed) {
        options::apply(heap);
        report::arm();
    }
}

/// Runs before the constructors of the program or library that gort is linked into, whether it is used there or not.
///
/// Not only with the first operation, because a fork on another thread may have run the process's hooks by then without ours, and its
/// child would wait for what this one locks.
#[used]
// SAFETY: the section holds pointers to C functions, and what they are called with is ignored. The number puts this one before others.
#[cfg_attr(target_os = "linux", unsafe(link_section = ".init_array.00000"))]
static LOAD: extern "C" fn() = load;

/// Runs behind the destructors of the program or library that gort is linked into: a library may be unloaded while threads live that have
/// used it, and the hook at their exit goes with it. Hooks at forks and at the process's exit the C library forgets by itself.
#[used]
// SAFETY: as for `LOAD`; those of the lowest number run last.
#[cfg_attr(target_os = "linux", unsafe(link_section = ".fini_array.00000"))]
static UNLOAD: extern "C" fn() = unload;

extern "C" fn unload() {
    sys::thread::on_exit_over();
}

/// Registers the fork hooks, so that those which the program registers later may allocate: theirs run while the heap is not locked. A C
/// library that allocates for a registration (musl; glibc, when its first few dozen places are taken) does so while the heap is not being
/// built, and holds no lock of its own that building it would wait for. So it is with the hook at the process's exit. Makes up for an
/// environment that came late.
extern "C" fn load() {
    hook_forks();
    report::hook_exit();
    if let Some(heap) = heap::heap() {
        configure(heap);
        if sizes::is_on() {
            // This thread got an mcache before anybody knew.
            mcache::detach(&Entered::new("start"), heap);
        } else {
            let entered = Entered::new("start");
            Some(entered.mcache()).filter(|m| !m.is_stand_in()).inspect(|m| m.begin_sampling());
        }
    }
}

fn hook_forks() {
    if !HOOKED.swap(true, Relaxed) {
        sys::thread::on_fork(before_fork, after_fork_in_parent, after_fork_in_child);
    }
}

/// The calling thread's mcache; `None` when it has none and cannot get one, or must not use it now.
#[inline]
pub(super) fn mine(entered: &Entered, heap: &Heap) -> Option<&'static MCache> {
    if BACKGROUND.load(Relaxed) == WANTED {
        start_background(entered);
    }
    let mcache = entered.mcache();
    if mcache.is_stand_in() { attach(entered, heap) } else { (!mcache.is_interrupted()).then_some(mcache) }
}

#[cold]
fn attach(entered: &Entered, heap: &Heap) -> Option<&'static MCache> {
    if sizes::is_on() {
        // The slow paths record, so all paths are to be slow.
        return None;
    }
    let mcache = mcache::attach(entered, heap)?;
    // The C library may allocate for this; the thread is attached already.
    entered.outside(|| sys::thread::arm_exit(ptr::from_ref(mcache).cast()));
    Some(mcache)
}

/// Runs when a thread that used the heap exits, after its thread-local destructors.
unsafe extern "C" fn on_thread_exit(_: *mut libc::c_void) {
    if let Some(heap) = heap::heap() {
        mcache::detach(&Entered::new("pthread_exit"), heap);
    }
}

/// Whether `before_fork` found a heap to lock; where it did not, nobody builds one before the fork is over. Guarded by the locks that the
/// forking thread holds.
static HEAP_LOCKED: AtomicBool = AtomicBool::new(false);

/// What the forking thread's slot goes back to. Guarded like `HEAP_LOCKED`.
static FORKING: AtomicPtr<MCache> = AtomicPtr::new(ptr::null_mut());

/// The thread that forks and took the locks, and the forks of signal handlers that interrupted it. The thread's number is the C
/// library's, which is the same in the child. Written by the thread that holds the locks; a thread finds its own number there only if
/// it is the one.
static FORKER: AtomicUsize = AtomicUsize::new(0);
static NESTED: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" fn before_fork() {
    if mcache::is_marked() {
        // The fork of a signal handler that interrupted a slow path: its thread may hold any lock. Parent and child go on where they
        // are; a child that needs what another thread held has to do without, as with any lock of the program's.
        if FORKER.load(Relaxed) == sys::thread::current() {
            NESTED.store(NESTED.load(Relaxed) + 1, Relaxed);
        }
        return;
    }
    let mcache = mcache::mark("fork");
    let heap = heap::heap_or_hold();
    mcache::lock_for_fork();
    mcentral::lock_all_for_fork();
    HEAP_LOCKED.store(heap.is_some(), Relaxed);
    FORKING.store(ptr::from_ref(mcache).cast_mut(), Relaxed);
    // Last: a signal handler that interrupts this and forks finds either nothing or all of it.
    signal_fence();
    FORKER.store(sys::thread::current(), Relaxed);
    if let Some(heap) = heap {
        heap.lock_for_fork();
    }
    sizes::lock_for_fork();
    guard::lock_for_fork();
}

/// What the calling thread's slot goes back to, if it is the one that forks and took the locks.
fn forking() -> Option<&'static MCache> {
    if FORKER.load(Relaxed) != sys::thread::current() {
        return None;
    }
    // SAFETY: `before_fork` stored it in this thread, and mcaches live for ever.
    unsafe { FORKING.load(Relaxed).as_ref() }
}

fn unlock_after_fork(in_child: bool) {
    let Some(mcache) = forking() else { return };
    if let Some(rest) = NESTED.load(Relaxed).checked_sub(1) {
        return NESTED.store(rest, Relaxed);
    }
    FORKER.store(0, Relaxed);
    // SAFETY: `before_fork` took it in this thread.
    unsafe { guard::unlock_after_fork(in_child) };
    // SAFETY: as above.
    unsafe { sizes::unlock_after_fork(in_child) };
    match heap::heap().filter(|_| HEAP_LOCKED.load(Relaxed)) {
        // SAFETY: `before_fork` took them in this thread.
        Some(heap) => unsafe { heap.unlock_after_fork(in_child) },
        None => heap::may_start(),
    }
    // SAFETY: as above.
    unsafe { mcentral::unlock_all_after_fork(in_child) };
    // SAFETY: as above.
    unsafe { mcache::unlock_after_fork(in_child) };
    mcache::unmark(mcache);
}

unsafe extern "C" fn after_fork_in_parent() {
    unlock_after_fork(false);
}

unsafe extern "C" fn after_fork_in_child() {
    mcache::close_versions();
    mcache::forget_threads(forking());
    report::close_in_child();
    unlock_after_fork(true);
    // The thread was the parent's; the next slow path starts one here.
    let _ = BACKGROUND.compare_exchange(RUNNING, WANTED, Relaxed, Relaxed);
}

const OFF: u8 = 0;
const WANTED: u8 = 1;
const RUNNING: u8 = 2;
/// Whether there is, or should be, a background thread.
static BACKGROUND: AtomicU8 = AtomicU8::new(OFF);

/// Asks for the background thread (`GODEBUG=scavthread=1`).
pub(super) fn want_background() {
    BACKGROUND.store(WANTED, Relaxed);
}

#[cold]
fn start_background(entered: &Entered) {
    if BACKGROUND.compare_exchange(WANTED, RUNNING, Relaxed, Relaxed).is_ok() {
        // Refused: the heap goes on without, as if the option had not been given.
        // The C library allocates for this.
        let _ = entered.outside(|| sys::thread::spawn(background));
    }
}

/// Looks after the heap while the program is idle; allocates nothing.
extern "C" fn background(_: *mut libc::c_void) -> *mut libc::c_void {
    loop {
        sys::thread::sleep_ms(BACKGROUND_MS);
        let Some(heap) = heap::heap() else { continue };
        if heap.sweep_is_due() {
            mcache::drop_large(heap, None, false);
            mcentral::trim_all(heap, false);
        }
        heap.tick_in_background();
    }
}
