//! All mcaches of the process: attaching one to a thread, taking it back, walking over all.

use core::ptr::{self, NonNull};

use super::large::{LONG, LargeCache};
use super::{EMPTY, EXITED, Entered, MCache, budget};
use crate::base::Class;
use crate::heap::Heap;
use crate::sync::atomic::{Acquire, AtomicBool, AtomicPtr, Relaxed, Release, fence_all, write_new};
use crate::sync::{Mutex, rank};

/// The mcaches that no thread has, last in first out.
struct Idle(*const MCache);
// SAFETY: mcaches are in metadata memory and not bound to a thread while they are idle.
unsafe impl Send for Idle {}

static IDLE: Mutex<Idle, { rank::ATTACH }> = Mutex::new(Idle(ptr::null()));

/// The mcache made last; the others follow by `next`. Grows only, and is read without a lock.
static ALL: AtomicPtr<MCache> = AtomicPtr::new((&raw const FALLBACK).cast_mut());

/// The cache of threads that have none: those past their exit hook, and those for which there was no memory.
static FALLBACK: MCache = MCache::new();
static FALLBACK_LOCK: Mutex<(), { rank::FALLBACK }> = Mutex::new(());

/// Gives the calling thread an mcache, an idle one if there is one. `None` for a thread past its exit hook and when there is
/// no memory for one.
pub(crate) fn attach(entered: &Entered, heap: &Heap) -> Option<&'static MCache> {
    if entered.mcache().is_exited() {
        return None;
    }
    let mut idle = IDLE.lock();
    // SAFETY: idle mcaches are mcaches, and mcaches are never unmapped.
    let mcache = match unsafe { idle.0.as_ref() } {
        Some(mcache) => {
            idle.0 = mcache.next_idle.get();
            drop(idle);
            mcache
        }
        None => {
            drop(idle);
            make(heap)?
        }
    };
    mcache.begin_sampling();
    mcache.at_attach.set(mcache.totals());
    mcache.pressure.set(heap.pressure());
    entered.set(mcache);
    Some(mcache)
}

/// Makes an mcache and enters it into the list of all.
fn make(heap: &Heap) -> Option<&'static MCache> {
    let block = heap.alloc_metadata(MCache::bytes())?.cast::<MCache>();
    // SAFETY: the block is ours, aligned to a cache line, and long enough; the stand-in is never written.
    unsafe { write_new(block, &EMPTY, MCache::stand_in) };
    // SAFETY: written above; metadata is never unmapped.
    let mcache = unsafe { block.as_ref() };
    mcache.gate.leave();
    mcache.spans().join_next_group(heap);
    // Release: publishes the new mcache. Pairs with the Acquire in `each_mcache`.
    let _ = ALL.try_update(Release, Relaxed, |first| {
        mcache.next.store(first, Relaxed);
        Some(block.as_ptr())
    });
    Some(mcache)
}

/// Empties the calling thread's mcache and leaves it to the next thread. From here on the thread uses the shared cache.
pub(crate) fn detach(entered: &Entered, heap: &Heap) {
    let mcache = entered.mcache();
    if mcache.is_stand_in() {
        return;
    }
    mcache.flush_own(heap);
    mcache.drop_arrays(heap);
    mcache.budget.give_all_back();
    // A fast path that a signal handler jumped out of is never gone on with.
    mcache.gate.leave();
    entered.set(&EXITED);
    let mut idle = IDLE.lock();
    mcache.next_idle.set(idle.0);
    idle.0 = ptr::from_ref(mcache);
}

/// All mcaches ever made, with the shared one.
pub(crate) fn each_mcache() -> impl Iterator<Item = &'static MCache> {
    // Acquire: pairs with the Release in `make`. The links of older ones were published before it.
    core::iter::successors(NonNull::new(ALL.load(Acquire)), |m| {
        // SAFETY: mcaches are never unmapped.
        NonNull::new(unsafe { m.as_ref() }.next.load(Relaxed))
    })
    // SAFETY: as above.
    .map(|m| unsafe { m.as_ref() })
}

/// Whether a thread looks after the large spans of others: one at a time.
static SWEEPING: AtomicBool = AtomicBool::new(false);

/// Gives back the large spans that their threads have not used since the last call; with `all`, all of them. `own` is the calling
/// thread's mcache, if it has one and may use it. Those of a thread that is at it this very moment stay.
pub(crate) fn drop_large(heap: &Heap, own: Option<&MCache>, all: bool) {
    heap.free_chain(if all { LONG.take_any() } else { LONG.take_idle() }, None);
    let which = if all { LargeCache::take_all } else { LargeCache::take_idle };
    if let Some(own) = own {
        own.drop_own_large(heap, which);
    }
    // Acquire: pairs with the Release below, of the last to sweep.
    if SWEEPING.compare_exchange(false, true, Acquire, Relaxed).is_err() {
        return;
    }
    let mut any = false;
    for m in each_mcache().filter(|&m| !m.large.is_empty() && !own.is_some_and(|own| ptr::eq(own, m))) {
        m.gate.claim();
        any = true;
    }
    if any {
        // One fence for all.
        let fenced = fence_all();
        for m in each_mcache().filter(|m| m.gate.is_claimed()) {
            heap.free_chain(m.gate.unclaim_after(fenced, || which(&m.large)).flatten(), None);
        }
    }
    // Release: pairs with the Acquire above.
    SWEEPING.store(false, Release);
}

impl MCache {
    /// Runs `f` on the shared cache, for a thread that has none of its own.
    pub(super) fn shared<R>(f: impl FnOnce(&Self) -> R) -> R {
        let _guard = FALLBACK_LOCK.lock();
        f(&FALLBACK)
    }

    /// Allocates for a thread without an mcache.
    pub(crate) fn alloc_shared(class: Class, heap: &Heap) -> *mut u8 {
        Self::shared(|m| {
            m.rearm(class);
            m.alloc_direct(class, heap)
        })
    }

    /// Frees for a thread without an mcache.
    pub(crate) fn free_shared(class: Class, heap: &Heap, p: *mut u8) {
        Self::shared(|m| m.free_direct(class, heap, p));
    }

    /// Books an object of whole pages for a thread without an mcache.
    pub(crate) fn count_large_shared(
        allocated: Option<(crate::base::Bytes, usize)>,
        freed: Option<crate::base::Bytes>,
    ) {
        Self::shared(|m| m.count_large(allocated, freed));
    }
}

/// Takes the locks of this layer before a fork.
pub(crate) fn lock_for_fork() {
    IDLE.lock_for_fork();
    FALLBACK_LOCK.lock_for_fork();
}

/// Gives them back.
///
/// # Safety
/// 1. The thread that forked took them with `lock_for_fork`.
pub(crate) unsafe fn unlock_after_fork(in_child: bool) {
    // SAFETY: passed on unchanged (1).
    unsafe { FALLBACK_LOCK.unlock_after_fork(in_child) };
    // SAFETY: passed on unchanged (1).
    unsafe { IDLE.unlock_after_fork(in_child) };
}

/// For a forked child: the threads that swept, and that earned a budget, stayed behind in the parent. `own` is the mcache of the one that did not.
pub(crate) fn forget_threads(own: Option<&MCache>) {
    each_mcache().for_each(|m| m.gate.forget_claim());
    SWEEPING.store(false, Relaxed);
    budget::keep_only(own.map(|own| &own.budget));
}

/// For a forked child, and for a process that exits out of a slow path: threads that were changing something do not go on; it stays as
/// it is and can be read again.
pub(crate) fn close_versions() {
    each_mcache().for_each(|m| m.version.close());
}
