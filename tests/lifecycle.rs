//! Allocation at every moment of a thread's and of a process's life: before `main`, in thread-local destructors, in exit hooks
//! that run after gort's own, at exit; and what an idle process does with its memory.
#![expect(unsafe_code, reason = "registers hooks with the C library")]

mod common;

use std::cell::RefCell;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::{ptr, thread};

use common::{Case, Object, Random, keeps_errno, layout, resident, seconds_until};

#[global_allocator]
static GLOBAL: gort::GoAlloc = gort::GoAlloc;

const MIB: usize = 1 << 20;

/// Something of every kind: small, large, zeroed, resized.
fn exercise(seed: u64) {
    let mut random = Random::new(seed);
    let mut objects = vec![];
    for i in 0..200 {
        objects.push(Object::new(layout(random.magnitude(12), 8), i));
        if random.one_in(3) {
            let object = objects.swap_remove(random.below(objects.len()));
            objects.push(object.resize(random.magnitude(15)));
        }
        if random.one_in(2) {
            objects.swap_remove(random.below(objects.len()));
        }
    }
    objects.push(Object::zeroed(layout(100_000, 8), 1));
    objects.push(Object::zeroed(layout(300, 8), 1));
}

mod before_main {
    use super::{AtomicPtr, Relaxed, exercise, ptr};

    pub(crate) static FROM_CONSTRUCTOR: AtomicPtr<Vec<u64>> = AtomicPtr::new(ptr::null_mut());

    extern "C" fn constructor() {
        exercise(1);
        FROM_CONSTRUCTOR.store(Box::into_raw(Box::new((0..10_000).collect())), Relaxed);
    }

    #[used]
    // SAFETY: the section holds pointers to functions of this signature, which the loader calls before `main`.
    #[unsafe(link_section = ".init_array")]
    static CONSTRUCTOR: extern "C" fn() = constructor;
}

#[test]
fn before_main() {
    let p = before_main::FROM_CONSTRUCTOR.swap(ptr::null_mut(), Relaxed);
    assert!(!p.is_null(), "the constructor did not run");
    // SAFETY: it came from Box::into_raw and was taken out of its place above.
    let made = unsafe { Box::from_raw(p) };
    assert!(made.iter().copied().eq(0..10_000));
}

/// Counts the hooks that ran to their end.
static HOOKS: AtomicU32 = AtomicU32::new(0);

struct AtExit(Vec<Object>);

impl Drop for AtExit {
    fn drop(&mut self) {
        self.0.push(Object::new(layout(50, 8), 9));
        exercise(2);
        self.0.clear();
        HOOKS.fetch_add(1, Relaxed);
    }
}

thread_local! {
    static FIRST: RefCell<AtExit> = const { RefCell::new(AtExit(vec![])) };
    static SECOND: RefCell<AtExit> = const { RefCell::new(AtExit(vec![])) };
}

#[test]
fn in_thread_local_destructors() {
    Case::new("in_thread_local_destructors", "it").succeeds(|| {
        for i in 0..50 {
            thread::spawn(move || {
                // On both sides of the thread's first allocation.
                FIRST.with_borrow_mut(|a| a.0.push(Object::new(layout(100 + i, 8), 1)));
                exercise(3);
                SECOND.with_borrow_mut(|a| a.0.push(Object::new(layout(40_000 + i, 8), 1)));
            })
            .join()
            .expect("nothing was wrong");
        }
        assert_eq!(HOOKS.load(Relaxed), 100);
    });
}

/// The key whose destructor comes after gort's: it was made later.
static KEY: AtomicU32 = AtomicU32::new(0);

/// Arms itself again until the C library gives up.
unsafe extern "C" fn late_hook(value: *mut libc::c_void) {
    // SAFETY: the value came from Box::into_raw in `arm` or below, and the C library hands it out once.
    let rounds = *unsafe { Box::from_raw(value.cast::<u32>()) };
    exercise(u64::from(rounds));
    HOOKS.fetch_add(1, Relaxed);
    if rounds > 1 {
        arm(rounds - 1);
    }
}

fn arm(rounds: u32) {
    let value = Box::into_raw(Box::new(rounds));
    // SAFETY: the key was made before any thread armed it.
    let error = unsafe { libc::pthread_setspecific(KEY.load(Relaxed), value.cast()) };
    assert_eq!(error, 0);
}

#[test]
fn in_key_destructors_after_gorts_own() {
    Case::new("in_key_destructors_after_gorts_own", "it").succeeds(|| {
        let mut key = 0;
        // SAFETY: key is valid for a write; the hook has a destructor's signature.
        let error = unsafe { libc::pthread_key_create(&raw mut key, Some(late_hook)) };
        assert_eq!(error, 0);
        KEY.store(key, Relaxed);
        // Not more rounds than PTHREAD_DESTRUCTOR_ITERATIONS: what is armed after the last one leaks.
        const ROUNDS: u32 = 4;
        let run = || {
            let object = Object::new(layout(70_000, 8), 1);
            thread::spawn(move || {
                arm(ROUNDS);
                drop(object);
                exercise(5);
            })
            .join()
            .expect("nothing was wrong");
        };
        (0..5).for_each(|_| run());
        let before = gort::stats();
        (0..50).for_each(|_| run());
        assert_eq!(HOOKS.load(Relaxed), 55 * ROUNDS);
        let after = gort::stats();
        // What these hooks allocated and freed is counted, and nothing of it is left.
        assert!(after.mallocs - before.mallocs > 50 * u64::from(ROUNDS) * 200);
        let left = after.heap_objects as i64 - before.heap_objects as i64;
        assert!(left.abs() < 50, "{left} objects are left of 50 threads");
        // A thread past gort's hook gets no mcache again: nobody would take that one back.
        let more = after.mcache_inuse - before.mcache_inuse;
        assert!(more * 10 < after.mcache_inuse, "{more} bytes more in mcaches after 50 threads");
    });
}

#[test]
fn in_key_destructors_while_other_threads_begin() {
    Case::new("in_key_destructors_while_other_threads_begin", "it").succeeds(|| {
        let mut key = 0;
        // SAFETY: key is valid for a write; the hook has a destructor's signature.
        let error = unsafe { libc::pthread_key_create(&raw mut key, Some(late_hook)) };
        assert_eq!(error, 0);
        KEY.store(key, Relaxed);
        // Nobody waits for them: while some are in their hooks others begin, and take over what the first gave up.
        let spawn = |n| (0..n).map(|_| thread::spawn(|| arm(4))).collect::<Vec<_>>();
        let spawners: Vec<_> = (0..4).map(|_| thread::spawn(move || spawn(40))).collect();
        for threads in spawners.into_iter().map(|t| t.join().expect("it only starts threads")) {
            threads.into_iter().for_each(|t| t.join().expect("nothing was wrong"));
        }
        assert_eq!(HOOKS.load(Relaxed), 4 * 40 * 4);
    });
}

extern "C" fn at_exit() {
    exercise(6);
    let others = thread::spawn(|| exercise(7)).join();
    // SAFETY: no preconditions.
    unsafe { libc::_exit(if others.is_ok() { 0 } else { 8 }) };
}

#[test]
fn in_handlers_at_exit() {
    Case::new("in_handlers_at_exit", "it").succeeds(|| {
        exercise(8);
        // SAFETY: the handler is a function of this signature.
        let error = unsafe { libc::atexit(at_exit) };
        assert_eq!(error, 0);
        // The handler turns this into success.
        std::process::exit(9);
    });
}

#[test]
fn in_handlers_at_exit_while_other_threads_go_on() {
    for round in ["1", "2", "3", "4"] {
        Case::new("in_handlers_at_exit_while_other_threads_go_on", round).succeeds(|| {
            for i in 0..3 {
                thread::spawn(move || (0..100_000).for_each(|round| exercise(round % 100 + i)));
            }
            exercise(9);
            // SAFETY: the handler is a function of this signature.
            let error = unsafe { libc::atexit(at_exit) };
            assert_eq!(error, 0);
            std::process::exit(9);
        });
    }
}

#[test]
fn errno_stays_as_it_was() {
    let check = || {
        for (size, count) in
            [(1, 4), (100, 4), (5_000, 4), (32_768, 4), (40_000, 4), (MIB, 3), (3 * MIB, 2), (65 * MIB, 1)]
        {
            for align in [8, 4096, 1 << 16].into_iter().take(count) {
                let layout = layout(size, align);
                let mut objects =
                    keeps_errno("alloc", || (0..count).map(|_| Object::new(layout, 1)).collect::<Vec<_>>());
                objects.push(keeps_errno("alloc_zeroed", || Object::zeroed(layout, 1)));
                let object = objects.swap_remove(0);
                objects.push(keeps_errno("realloc", || object.resize(size + size / 2)));
                keeps_errno("dealloc", || drop(objects));
                if size < 100_000 {
                    // Enough to go all the way to the page heap and back.
                    keeps_errno("many objects", || {
                        drop((0..300).map(|_| Object::new(layout, 1)).collect::<Vec<_>>())
                    });
                }
            }
        }
        let impossible = layout(isize::MAX as usize - 7, 8);
        keeps_errno("a refused alloc", || assert!(Object::try_new(impossible, 1).is_none()));
        keeps_errno("free_os_memory", gort::free_os_memory);
        keeps_errno("stats", gort::stats);
        keeps_errno("set_memory_limit", || gort::set_memory_limit(u64::MAX));
    };
    check();
    thread::spawn(check).join().expect("a fresh thread's errno stays as well");
}

/// Memory in use for `bytes` bytes of small and large objects, all freed again.
fn spike(bytes: usize) {
    let mut objects = vec![];
    let mut random = Random::new(11);
    let mut sum = 0;
    while sum < bytes {
        let object = Object::new(layout(512 + random.magnitude(15), 8), 1);
        sum += object.layout().size();
        objects.push(object);
    }
    assert!(resident() > bytes, "{} bytes resident with {bytes} in objects", resident());
}

#[test]
fn an_idle_process_with_the_background_thread_shrinks() {
    Case::new("an_idle_process_with_the_background_thread_shrinks", "it")
        .env("GODEBUG", "scavthread=1")
        .succeeds(|| {
            let floor = resident();
            spike(96 * MIB);
            let (frames, released) = (resident(), gort::stats().heap_released);
            // From here on this process allocates nothing.
            let took = seconds_until(20, || resident() < floor + 24 * MIB);
            let left = resident() - floor.min(resident());
            assert!(took.is_some(), "{left} of {frames} bytes are still resident");
            assert!(gort::stats().heap_released > released);
            // And it goes on working.
            exercise(12);
            spike(8 * MIB);
        });
}

#[test]
#[cfg_attr(feature = "hardened", ignore = "no spans are kept there")]
fn the_background_thread_returns_what_a_sleeping_thread_keeps() {
    Case::new("the_background_thread_returns_what_a_sleeping_thread_keeps", "it")
        .env("GODEBUG", "scavthread=1")
        .succeeds(|| {
            // What may be kept is a part of the heap in use.
            let _much = Object::new(layout(64 * MIB, 8), 0);
            let (start, stop) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
            let sleeper = thread::spawn({
                let (start, stop) = (start.clone(), stop.clone());
                move || {
                    // Two spans of a mebibyte that stay with the thread.
                    drop([Object::new(layout(MIB, 8), 1), Object::new(layout(MIB, 8), 2)]);
                    start.wait();
                    stop.wait();
                    exercise(13);
                    drop(Object::new(layout(MIB, 8), 3));
                }
            });
            start.wait();
            let before = gort::stats().heap_inuse;
            let took = seconds_until(20, || gort::stats().heap_inuse + 2 * MIB as u64 <= before);
            assert!(took.is_some(), "{} of {before} bytes are still in use", gort::stats().heap_inuse);
            stop.wait();
            sleeper.join().expect("the thread goes on");
        });
}

#[test]
fn a_process_with_the_background_thread_ends_at_once() {
    for round in ["1", "2", "3", "4", "5"] {
        Case::new("a_process_with_the_background_thread_ends_at_once", round)
            .env("GODEBUG", "scavthread=1")
            .succeeds(|| exercise(14));
    }
}
