//! Guarded objects (`GODEBUG=guardrate=N`) as a program meets them that misuses nothing: contents, counts, threads, forks, and faults that
//! are no business of theirs. What becomes of misuse is in `tests/misuse`.
//!
//! The test binary itself allocates from the system, so that it counts nothing but what it asks gort for.
#![cfg(not(feature = "hardened"))]
#![expect(unsafe_code, reason = "asks the doors for raw memory, and faults on purpose")]

mod common;

use std::alloc::GlobalAlloc;
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::thread;

use common::{Case, Object, Random, fork, layout, wait_for, without_core};
use gort::GoAlloc;

const SECONDS: u32 = 30;

/// A case with one allocation in `rate` guarded.
fn guarded(test: &str, rate: u64) -> Case {
    Case::new(test, &rate.to_string()).env("GODEBUG", &format!("guardrate={rate}"))
}

/// The heap's first arena, in which all objects of a small heap are but the guarded ones.
fn first_arena() -> Range<usize> {
    const ARENA: usize = 64 << 20;
    // Longer than any object that is guarded.
    let first = Object::new(layout(1 << 20, 8), 0).into_raw().addr();
    let start = first - first % ARENA;
    start..start + ARENA
}

fn any(random: &mut Random) -> Object {
    let size = if random.one_in(10) { random.magnitude(18) } else { random.magnitude(12) };
    Object::new(layout(size, 1 << random.below(13)), random.next())
}

/// Allocates, resizes and frees a while; contents are looked at in each step.
fn churn(random: &mut Random, steps: usize, most: usize) -> Vec<Object> {
    let mut live = vec![];
    for _ in 0..steps {
        live.push(any(random));
        if random.one_in(3) {
            let object = live.swap_remove(random.below(live.len()));
            live.push(object.resize(random.magnitude(18)));
        }
        while live.len() > most || (random.one_in(2) && !live.is_empty()) {
            live.swap_remove(random.below(live.len()));
        }
    }
    live
}

#[test]
fn one_in_so_many_is_guarded() {
    // The bounds are five and more standard deviations from the mean.
    for (rate, n, least, most) in [
        (1, 2_000, 2_000, 2_000),
        (10, 20_000, 1_780, 2_220),
        (1_000, 300_000, 210, 390),
        (1 << 40, 300_000, 0, 0),
    ] {
        guarded("one_in_so_many_is_guarded", rate).succeeds(|| {
            let arena = first_arena();
            let small = layout(48, 8);
            let mut outside = 0;
            for _ in 0..n {
                // SAFETY: the layout has a size.
                let p = unsafe { GoAlloc.alloc(small) };
                outside += usize::from(!arena.contains(&p.addr()));
                // SAFETY: allocated above.
                unsafe { GoAlloc.dealloc(p, small) };
            }
            assert!((least..=most).contains(&outside), "one in {rate}: {outside} of {n}");
        });
    }
}

#[test]
fn counts_are_those_of_an_unguarded_heap() {
    for rate in [0, 1, 2, 7, 50] {
        guarded("counts_are_those_of_an_unguarded_heap", rate).succeeds(|| {
            let mut random = Random::new(7);
            let before = gort::stats();
            let (mut allocs, mut bytes, mut by_size) = (0, 0, vec![0; before.by_size.len()]);
            let ((), measured) = gort::measure(|| {
                let mut live = vec![];
                for _ in 0..20_000 {
                    let size =
                        if random.one_in(20) { random.magnitude(18) } else { random.magnitude(10) }.max(1);
                    let wanted = layout(size, 8);
                    let given = gort::usable_size(wanted);
                    allocs += 1;
                    bytes += given as u64;
                    if let Some(i) = before.by_size.iter().position(|row| row.size as usize == given) {
                        by_size[i] += 1;
                    }
                    live.push(Object::new(wanted, 1));
                    if live.len() > 300 || random.one_in(2) {
                        live.swap_remove(random.below(live.len()));
                    }
                }
            });
            assert_eq!((measured.allocs, measured.frees), (allocs, allocs));
            assert_eq!((measured.bytes, measured.bytes_freed), (bytes, bytes));
            let after = gort::stats();
            assert_eq!((after.mallocs - before.mallocs, after.frees - before.frees), (allocs, allocs));
            assert_eq!(after.total_alloc - before.total_alloc, bytes);
            assert_eq!(after.heap_alloc, before.heap_alloc);
            assert!(after.heap_inuse >= after.heap_alloc && after.heap_sys >= after.heap_inuse);
            for (i, row) in after.by_size.iter().enumerate() {
                assert_eq!(row.mallocs - before.by_size[i].mallocs, by_size[i], "of {} bytes", row.size);
            }
        });
    }
}

#[test]
fn resizing_counts_as_without_guards() {
    for rate in [0, 1, 5] {
        guarded("resizing_counts_as_without_guards", rate).succeeds(|| {
            let mut random = Random::new(3);
            // One allocation and one free for each change of what is accounted, whether or not the object moves.
            let (mut expected, mut size) = (1, 1);
            let ((), measured) = gort::measure(|| {
                let mut object = Object::new(layout(size, 8), 1);
                for _ in 0..1_500 {
                    let new = if random.one_in(2) { size + 1 } else { random.magnitude(17).max(1) };
                    object = object.resize(new);
                    let given = |size| gort::usable_size(layout(size, 8));
                    expected += u64::from(given(size) != given(new));
                    size = new;
                }
            });
            assert_eq!((measured.allocs, measured.frees), (expected, expected));
            assert_eq!(measured.bytes, measured.bytes_freed);
        });
    }
}

#[test]
fn contents_stay_and_new_memory_that_is_to_be_zero_is() {
    for rate in [1, 3, 40] {
        guarded("contents_stay_and_new_memory_that_is_to_be_zero_is", rate).succeeds(|| {
            let mut random = Random::new(rate);
            drop(churn(&mut random, 20_000, 150));
            for _ in 0..2_000 {
                let wanted = layout(random.magnitude(17).max(1), 8);
                // SAFETY: the layout has a size.
                let p = unsafe { GoAlloc.alloc_zeroed(wanted) };
                // SAFETY: an object of this length.
                let bytes = unsafe { std::slice::from_raw_parts_mut(p, wanted.size()) };
                assert!(bytes.iter().all(|&b| b == 0));
                bytes.fill(1);
                // SAFETY: allocated above.
                unsafe { GoAlloc.dealloc(p, wanted) };
            }
        });
    }
}

#[test]
fn threads_free_each_others_objects_and_end() {
    for rate in [1, 20] {
        guarded("threads_free_each_others_objects_and_end", rate).succeeds(|| {
            let before = gort::stats();
            for round in 0..5 {
                let made: Vec<_> = (0..4)
                    .map(|i| thread::spawn(move || churn(&mut Random::new(round * 10 + i), 3_000, 40)))
                    .collect();
                let live: Vec<Object> =
                    made.into_iter().flat_map(|t| t.join().expect("no thread fails")).collect();
                let _ = thread::spawn(move || drop(live)).join();
            }
            let after = gort::stats();
            assert_eq!(after.mallocs - before.mallocs, after.frees - before.frees);
            assert_eq!(after.heap_alloc, before.heap_alloc);
        });
    }
}

#[test]
fn forked_children_go_on() {
    guarded("forked_children_go_on", 2).succeeds(|| {
        let mut random = Random::new(1);
        let live = churn(&mut random, 2_000, 60);
        let busy = thread::spawn(|| drop(churn(&mut Random::new(2), 30_000, 60)));
        let children: Vec<_> = (0..10)
            .map(|i| {
                let live = &live;
                fork(SECONDS, move || {
                    live.iter().for_each(Object::check);
                    drop(churn(&mut Random::new(i), 2_000, 60));
                    0
                })
            })
            .collect();
        for child in children {
            assert_eq!(wait_for(child), 0);
        }
        busy.join().expect("no thread fails");
        drop(live);
    });
}

extern "C" fn own_handler(_: libc::c_int) {
    // SAFETY: no preconditions; it ends the process.
    unsafe { libc::write(1, b"\nown handler\n".as_ptr().cast(), 13) };
    // SAFETY: as above.
    unsafe { libc::_exit(42) };
}

/// What is done at a fault: nothing was installed, or a handler of the program's, before the first object is guarded.
fn fault(with_handler: bool, in_guarded: bool) {
    without_core();
    if with_handler {
        // SAFETY: the handler has this signature.
        unsafe { libc::signal(libc::SIGSEGV, own_handler as *const () as usize) };
    }
    let small = layout(64, 8);
    // SAFETY: the layout has a size.
    let p = unsafe { GoAlloc.alloc(small) };
    // SAFETY: allocated above.
    unsafe { GoAlloc.dealloc(p, small) };
    let at = if in_guarded { p } else { std::ptr::without_provenance_mut(4096) };
    // SAFETY: none. It faults.
    unsafe { at.write_volatile(1) };
}

#[test]
fn after_the_report_comes_what_would_have_come_without_it() {
    const NAME: &str = "after_the_report_comes_what_would_have_come_without_it";
    for (i, (with_handler, in_guarded)) in
        [(false, false), (false, true), (true, false), (true, true)].into_iter().enumerate()
    {
        let case = Case::new(NAME, &format!("case{i}")).env("GODEBUG", "guardrate=1");
        case.judge(
            || fault(with_handler, in_guarded),
            |out| {
                let all = format!("{i}: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr));
                let (signal, code) = (out.status.signal(), out.status.code());
                let expected = if with_handler { (None, Some(42)) } else { (Some(libc::SIGSEGV), None) };
                assert_eq!((signal, code), expected, "{all}");
                assert_eq!(all.contains("gort: fatal: use after free: write of byte 0"), in_guarded, "{all}");
                assert!(in_guarded || out.stderr.is_empty(), "{all}");
            },
        );
    }
}

extern "C" fn returning_handler(_: libc::c_int) {
    // SAFETY: no preconditions.
    unsafe { libc::write(1, b"\nown handler\n".as_ptr().cast(), 13) };
}

/// A handler that wants to be called once is called once, and then the fault has its way.
#[test]
fn a_handler_for_one_fault_has_one() {
    const NAME: &str = "a_handler_for_one_fault_has_one";
    for in_guarded in [false, true] {
        let case = Case::new(NAME, &in_guarded.to_string()).env("GODEBUG", "guardrate=1");
        let body = || {
            let action = libc::sigaction {
                sa_sigaction: returning_handler as *const () as usize,
                sa_flags: libc::SA_RESETHAND,
                // SAFETY: all zero is the empty set, and no restorer.
                ..unsafe { std::mem::zeroed() }
            };
            // SAFETY: the handler has this signature.
            unsafe { libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut()) };
            fault(false, in_guarded);
        };
        case.judge(body, |out| {
            let all = format!("{}\n{out:?}", out.status);
            assert_eq!(out.status.signal(), Some(libc::SIGSEGV), "{all}");
            assert_eq!(String::from_utf8_lossy(&out.stdout).matches("own handler").count(), 1, "{all}");
            let told = String::from_utf8_lossy(&out.stderr).matches("gort: fatal: use after free").count();
            assert_eq!(told, usize::from(in_guarded), "{all}");
        });
    }
}

/// A handler that was there before may stand in the way of a signal that a process sends, too.
#[test]
fn a_signal_that_was_sent_is_passed_on() {
    const NAME: &str = "a_signal_that_was_sent_is_passed_on";
    for with_handler in [false, true] {
        let body = || {
            without_core();
            if with_handler {
                // SAFETY: the handler has this signature.
                unsafe { libc::signal(libc::SIGSEGV, own_handler as *const () as usize) };
            } else {
                // SAFETY: as before the standard library started.
                unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
            }
            drop(Object::new(layout(64, 8), 1));
            // SAFETY: no preconditions.
            unsafe { libc::kill(std::process::id().cast_signed(), libc::SIGSEGV) };
            thread::sleep(std::time::Duration::from_secs(5));
        };
        let case = Case::new(NAME, &with_handler.to_string()).env("GODEBUG", "guardrate=1");
        case.judge(body, |out| {
            let expected = if with_handler { (None, Some(42)) } else { (Some(libc::SIGSEGV), None) };
            assert_eq!((out.status.signal(), out.status.code()), expected);
            assert!(out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
        });
    }
}

/// Guarded objects are above the heap, so that frees tell them by one comparison, unless the heap has few addresses. Then they are where
/// the kernel puts them, and may be below.
#[test]
fn small_address_spaces_do_without_places_above_the_heap() {
    const NAME: &str = "small_address_spaces_do_without_places_above_the_heap";
    for mebibytes in [300, 1 << 20] {
        let case = Case::new(NAME, &mebibytes.to_string()).env("GODEBUG", "guardrate=5");
        case.address_space(mebibytes << 20).succeeds(|| {
            let first = Object::new(layout(1 << 20, 8), 0).into_raw().addr();
            // A heap in few addresses begins at any multiple of 4 MiB.
            let start = first - first % (4 << 20);
            let heap = start..start + (64 << 20);
            let before = gort::stats();
            let small = layout(48, 8);
            let (mut below, mut above) = (0, 0);
            let mut random = Random::new(3);
            for _ in 0..20 {
                drop(churn(&mut random, 500, 100));
                for _ in 0..100 {
                    let object = Object::new(small, 2).into_raw();
                    below += usize::from(object.addr() < heap.start);
                    above += usize::from(object.addr() >= heap.end);
                    // SAFETY: allocated above.
                    unsafe { GoAlloc.dealloc(object, small) };
                }
            }
            println!("{below} below and {above} above the heap");
            assert!((200..=600).contains(&(below + above)), "one in 5: {below} and {above} of 2000");
            assert!(mebibytes == 300 || below == 0, "{below} below, with addresses to spare");
            assert_eq!(gort::stats().heap_objects, before.heap_objects);
        });
    }
}

#[test]
fn memory_of_what_is_freed_goes_back() {
    guarded("memory_of_what_is_freed_goes_back", 1).succeeds(|| {
        let before = gort::stats().heap_inuse;
        let cycle = || {
            let p: Vec<_> = (0..200).map(|_| Object::new(layout(100_000, 8), 1)).collect();
            let most = gort::stats().heap_inuse;
            drop(p);
            most
        };
        let most = cycle();
        assert!(most - before >= 200 * 106_496, "{before} {most}");
        for _ in 0..3 {
            cycle();
            gort::free_os_memory();
            let after = gort::stats().heap_inuse;
            assert!(after <= before + (64 << 10), "{before} {after}");
        }
    });
}
