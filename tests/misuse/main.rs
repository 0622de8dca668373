//! Pointers that no program may free, and variables that do not parse: what is noticed, and in which words. `table` has one program for
//! each kind of misuse, for both doors and each build, and makes the README's table of them.
//!
//! The test binary itself allocates from the system, so that nothing but the misuse reaches gort.
#![expect(unsafe_code, reason = "breaks the contract of the doors on purpose")]
#![cfg_attr(
    feature = "hardened",
    allow(dead_code, unused_imports, unused_macros, reason = "part of the tests is not for that build")
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../preload/library.rs"]
mod library;
mod fate;
mod programs;
mod rows;
mod table;

use std::alloc::{GlobalAlloc, Layout};
use std::process::Output;
use std::thread;

use common::{Case, Object, PAGE, layout};
use gort::GoAlloc;

const MIB: usize = 1 << 20;
const LARGE: Layout = make(100_000);
const HUGE: Layout = make(130 << 20);
const SMALL: Layout = make(64);

static STATIC: [u8; 16] = [0; 16];

const fn make(size: usize) -> Layout {
    match Layout::from_size_align(size, 8) {
        Ok(layout) => layout,
        Err(_) => panic!("not a layout"),
    }
}

/// The object's address, for misuse.
fn leak(layout: Layout) -> *mut u8 {
    Object::new(layout, 1).into_raw()
}

fn free(p: *mut u8, layout: Layout) {
    // SAFETY: none. The heap has to notice.
    unsafe { GoAlloc.dealloc(p, layout) };
}

/// The heap, standing.
fn warm_up() {
    drop(Object::new(SMALL, 1));
}

macro_rules! fatal {
    ($($(#[$doc:meta])* $name:ident: $reason:literal, $misuse:expr;)*) => {
        $($(#[$doc])* #[test]
        fn $name() {
            Case::new(stringify!($name), "it").dies_of($reason, $misuse);
        })*
    };
}

// The hardened build notices these sooner, in words of its own: the table has them.
#[cfg(not(feature = "hardened"))]
fatal! {
    double_free_of_a_large_object:
        "free: object is already free (addr=@, class=large, size=106496, state=Freed)", |tell| {
        let p = leak(LARGE);
        tell(p);
        free(p, LARGE);
        free(p, LARGE);
    };
    double_free_of_a_large_object_whose_pages_are_free:
        "free: pointer into the middle of an object, or already free (addr=@)", |tell| {
        let p = leak(LARGE);
        tell(p);
        free(p, LARGE);
        gort::free_os_memory();
        free(p, LARGE);
    };
    double_free_of_a_large_object_by_two_threads: "already free", |tell| {
        let p = leak(LARGE);
        tell(p);
        let addr = p.expose_provenance();
        for _ in 0..2 {
            let _ = thread::spawn(move || free(std::ptr::with_exposed_provenance_mut(addr), LARGE)).join();
        }
    };
    double_free_of_a_huge_object: "free: pointer was never allocated, or is already free (addr=@)", |tell| {
        let p = leak(HUGE);
        tell(p);
        free(p, HUGE);
        free(p, HUGE);
    };
    free_of_a_large_objects_second_byte:
        "free: pointer into the middle of an object (addr=@, class=large, size=106496, state=Live)", |tell| {
        let p = leak(LARGE).wrapping_add(1);
        tell(p);
        free(p, LARGE);
    };
    free_of_a_large_objects_second_page:
        "free: pointer into the middle of an object (addr=@, class=large, size=106496, state=Live)", |tell| {
        let p = leak(LARGE).wrapping_add(PAGE);
        tell(p);
        free(p, LARGE);
    };
    free_of_a_huge_objects_second_page:
        "free: pointer into the middle of an object (addr=@, class=large, size=136314880, state=Live)", |tell| {
        let p = leak(HUGE).wrapping_add(PAGE);
        tell(p);
        free(p, HUGE);
    };
    free_of_a_stack_address_as_a_large_object:
        "free: pointer was never allocated, or is already free (addr=@)", |tell| {
        warm_up();
        let mut local = [0u8; 16];
        tell(local.as_mut_ptr());
        free(local.as_mut_ptr(), LARGE);
    };
    free_of_a_static_as_a_large_object: "free: pointer was never allocated, or is already free (addr=@)", |tell| {
        warm_up();
        let p = STATIC.as_ptr().cast_mut();
        tell(p);
        free(p, LARGE);
    };
    free_of_null_as_a_large_object: "free: pointer was never allocated, or is already free (addr=@)", |tell| {
        warm_up();
        tell(std::ptr::null_mut());
        free(std::ptr::null_mut(), LARGE);
    };
    free_of_a_page_that_was_never_used: "free: pointer into the middle of an object, or already free (addr=@)", |tell| {
        let p = leak(LARGE).wrapping_add(8 * MIB);
        tell(p);
        free(p, LARGE);
    };
    free_of_a_large_object_before_the_first_allocation: "free: pointer was never allocated (addr=@)", |tell| {
        let p = STATIC.as_ptr().cast_mut();
        tell(p);
        free(p, LARGE);
    };
    free_of_a_small_object_before_the_first_allocation: "free: pointer was never allocated (addr=@)", |tell| {
        let p = STATIC.as_ptr().cast_mut();
        tell(p);
        free(p, SMALL);
    };
    free_of_a_small_object_as_a_large_one: "free: object is smaller than its layout says (addr=@, said=100000, class=8192, state=LiveOrCached)", |tell| {
        // The first object of its span: only there is the start of a large object thinkable.
        let p = leak(layout(8192, 8));
        tell(p);
        free(p, LARGE);
    };
    free_of_a_small_object_inside_its_span_as_a_large_one:
        "free: object is smaller than its layout says (addr=@, said=100000, class=64, state=LiveOrCached)", |tell| {
        let (_first, p) = (leak(SMALL), leak(SMALL));
        tell(p);
        free(p, LARGE);
    };
    realloc_of_a_large_object_that_is_free:
        "realloc: object is already free (addr=@, class=large, size=106496, state=Freed)", |tell| {
        let p = leak(LARGE);
        tell(p);
        free(p, LARGE);
        // SAFETY: none. The heap has to notice.
        unsafe { GoAlloc.realloc(p, LARGE, 200_000) };
    };
    realloc_of_a_small_object_as_a_large_one:
        "realloc: object is smaller than its layout says (addr=@, class=64, state=LiveOrCached)", |tell| {
        let (_first, p) = (leak(SMALL), leak(SMALL));
        tell(p);
        // SAFETY: none. The heap has to notice.
        unsafe { GoAlloc.realloc(p, LARGE, 200_000) };
    };
    realloc_of_a_large_objects_second_page:
        "realloc: pointer into the middle of an object (addr=@, class=large, size=106496, state=Live)", |tell| {
        let p = leak(LARGE).wrapping_add(PAGE);
        tell(p);
        // SAFETY: none. The heap has to notice.
        unsafe { GoAlloc.realloc(p, LARGE, 200_000) };
    };
    realloc_of_a_stack_address_as_a_large_object:
        "realloc: pointer was never allocated, or is already free (addr=@)", |tell| {
        warm_up();
        let mut local = [0u8; 16];
        tell(local.as_mut_ptr());
        // SAFETY: none. The heap has to notice.
        unsafe { GoAlloc.realloc(local.as_mut_ptr(), LARGE, 200_000) };
    };

    // Small objects are not looked at when they are freed, but when they leave the thread's cache.
    double_free_of_a_small_object: "free: object is already free (addr=@, class=64, state=Freed)", |tell| {
        let (p, _neighbour) = (leak(SMALL), leak(SMALL));
        tell(p);
        free(p, SMALL);
        free(p, SMALL);
        gort::free_os_memory();
    };
    double_free_of_a_small_object_among_many: "free: object is already free (addr=@, class=64, state=Freed)", |tell| {
        let p = leak(SMALL);
        tell(p);
        let mut others: Vec<_> = (0..20_000).map(|_| leak(SMALL)).collect();
        let rest = others.split_off(10_000);
        others.into_iter().for_each(|o| free(o, SMALL));
        free(p, SMALL);
        free(p, SMALL);
        rest.into_iter().for_each(|o| free(o, SMALL));
    };
    double_free_of_a_small_object_by_two_threads:
        "free: object is already free (addr=@, class=64, state=Freed)", |tell| {
        let (p, _neighbour) = (leak(SMALL), leak(SMALL));
        tell(p);
        let addr = p.expose_provenance();
        for _ in 0..2 {
            let _ = thread::spawn(move || free(std::ptr::with_exposed_provenance_mut(addr), SMALL)).join();
        }
        gort::free_os_memory();
    };
    free_of_a_small_objects_middle: "free: pointer into the middle of an object (addr=@, class=64, state=LiveOrCached)", |tell| {
        let p = leak(SMALL).wrapping_add(8);
        tell(p);
        free(p, SMALL);
        gort::free_os_memory();
    };
    free_of_a_small_object_as_one_of_another_class:
        "free: object is not of this size class (addr=@, said=80, class=64, state=LiveOrCached)", |tell| {
        let p = leak(SMALL);
        tell(p);
        free(p, layout(65, 8));
        gort::free_os_memory();
    };
    free_of_a_large_object_as_a_small_one:
        "free: object is not of this size class (addr=@, said=64, class=large, size=106496, state=Live)", |tell| {
        let p = leak(LARGE);
        tell(p);
        free(p, SMALL);
        gort::free_os_memory();
    };
    free_of_a_huge_object_as_a_small_one:
        "free: object is not of this size class (addr=@, said=64, class=large, size=136314880, state=Live)", |tell| {
        let p = leak(HUGE);
        tell(p);
        free(p, SMALL);
        gort::free_os_memory();
    };
    free_of_a_stack_address_as_a_small_object: "free: pointer was never allocated (addr=@)", |tell| {
        warm_up();
        let mut local = [0u8; 16];
        tell(local.as_mut_ptr());
        free(local.as_mut_ptr(), SMALL);
        gort::free_os_memory();
    };
}

/// Runs a process with a variable that must be reported `bad` times, each time in one line that names the variable and what is
/// accepted, and goes on.
fn variable(test: &str, case: &str, name: &str, value: &[u8], bad: usize) {
    let body = || {
        assert_eq!(gort::bad_variables(), 0, "before the first allocation nothing was read");
        let object = Object::new(SMALL, 1);
        thread::spawn(|| drop(Object::new(LARGE, 2))).join().expect("the process goes on");
        drop(object);
        println!("\nbad variables: {}", gort::bad_variables());
        println!("limit: {}", gort::stats().memory_limit);
    };
    Case::new(test, case).env_bytes(name, value).judge(body, |out: &Output| {
        let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        let shown = String::from_utf8_lossy(value);
        assert!(out.status.success(), "{name}={shown}: {}: {stderr}", out.status);
        assert!(stdout.contains(&format!("\nbad variables: {bad}\n")), "{name}={shown}: {stdout}");
        assert_eq!(stderr.lines().count(), bad, "{name}={shown}: {stderr}");
        for line in stderr.lines() {
            assert!(line.starts_with(&format!("gort: {name}=")), "{name}={shown}: {line}");
            assert!(line.contains("accepted is "), "{name}={shown}: {line}");
        }
        if bad > 0 {
            assert!(stdout.contains(&format!("\nlimit: {}\n", u64::MAX)), "the default holds: {stdout}");
        }
    });
}

fn variables(test: &str, name: &str, values: &[&[u8]], bad: usize) {
    for (i, value) in values.iter().enumerate() {
        variable(test, &i.to_string(), name, value, bad);
    }
}

/// What the C door writes into what is free may come back into the object when it is live: it is no proof.
#[cfg(not(feature = "hardened"))]
#[test]
fn a_live_object_with_the_contents_of_a_free_one_is_freed() {
    Case::new("a_live_object_with_the_contents_of_a_free_one_is_freed", "it").succeeds(|| {
        for size in [1, 48, 512, 4096, 30_000] {
            let p = gort::c::malloc(size).cast::<u64>();
            // SAFETY: the object is live.
            unsafe { gort::c::free(p.cast()) };
            // SAFETY: its memory stays mapped, and only this thread has it.
            let mark = unsafe { p.read_volatile() };
            let again = gort::c::malloc(size).cast::<u64>();
            assert_eq!(again, p, "the object that was freed last is not the next one");
            // SAFETY: every object of the C door has sixteen bytes, and this one is live.
            let there = unsafe { again.replace(mark) };
            assert_ne!(there, mark, "it is handed out with its mark");
            // SAFETY: as above.
            let again = unsafe { gort::c::realloc(again.cast(), size) };
            // SAFETY: as above.
            unsafe { gort::c::free(again) };
        }
    });
}

#[test]
fn memory_limits_that_do_not_parse() {
    let long = [b'9'; 5_000];
    let values: [&[u8]; 16] = [
        b"x",
        b"10MB",
        b"10mib",
        b"-1",
        b"+1",
        b"1.5GiB",
        b"10 MiB",
        b" 10MiB",
        b"MiB",
        b"0x10",
        b"OFF",
        b"99999999TiB",
        b"9223372036854775808",
        b"1\n2",
        b"\xff\xfe",
        &long,
    ];
    variables("memory_limits_that_do_not_parse", "GOMEMLIMIT", &values, 1);
}

#[test]
fn memory_limits_that_parse_are_silent() {
    let values: [&[u8]; 9] = [b"", b"off", b"auto", b"0", b"1", b"1000000B", b"100MiB", b"64GiB", b"1TiB"];
    variables("memory_limits_that_parse_are_silent", "GOMEMLIMIT", &values, 0);
}

#[test]
fn memory_limits_from_the_environment_hold() {
    for (text, bytes) in
        [("100MiB", 100 << 20), ("off", u64::MAX), ("12345678", 12_345_678), ("3GiB", 3 << 30)]
    {
        Case::new("memory_limits_from_the_environment_hold", text).env("GOMEMLIMIT", text).succeeds(|| {
            warm_up();
            assert_eq!(gort::stats().memory_limit, bytes);
        });
    }
}

#[test]
fn debug_options_that_do_not_parse() {
    let values: [&[u8]; 17] = [
        b"guardrate=",
        b"guardrate=often",
        b"guardrate=-1",
        b"guardrate=1099511627777",
        b"membarrier=2",
        b"disablethp=2",
        b"thpmin=",
        b"thpmin=8MB",
        b"scavthread=2",
        b"scavthread=",
        b"scavthread=yes",
        b"hugemin=0",
        b"hugemin=32KiB",
        b"hugemin=-1",
        b"hugemin=many",
        b"hugemin=",
        b"gctrace=1,hugemin=1MB,madvdontneed=1",
    ];
    variables("debug_options_that_do_not_parse", "GODEBUG", &values, 1);
}

#[test]
fn each_debug_option_that_does_not_parse_is_reported() {
    let values: [&[u8]; 2] = [b"scavthread=7,hugemin=x", b"hugemin=x,hugemin=1MiB,scavthread=01"];
    variables("each_debug_option_that_does_not_parse_is_reported", "GODEBUG", &values, 2);
}

#[test]
fn debug_options_that_parse_and_those_of_others_are_silent() {
    let values: [&[u8]; 12] = [
        b"",
        b",",
        b"guardrate=0",
        b"guardrate=0,guardrate=00",
        b"disablethp=0,thpmin=0",
        b"disablethp=1,thpmin=1GiB",
        b"scavthread=0",
        b"scavthread=1",
        b"hugemin=40000",
        b"hugemin=1GiB,scavthread=1",
        b"gctrace=1,madvdontneed=1,http2client=0",
        b"schedtrace=x=y",
    ];
    variables("debug_options_that_parse_and_those_of_others_are_silent", "GODEBUG", &values, 0);
}
