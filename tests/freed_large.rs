//! Large objects of the hardened build after they were freed: closed to all access, told when it comes, in nobody's way when memory ends.
//!
//! The test binary itself allocates from the system.
#![cfg(feature = "hardened")]
#![expect(unsafe_code, reason = "asks the doors for raw memory, and uses it after the free on purpose")]

mod common;

use std::alloc::GlobalAlloc;
use std::os::unix::process::ExitStatusExt;

use common::{Case, Object, layout, without_core};
use gort::GoAlloc;

const MIB: usize = 1 << 20;

/// Allocates and frees an object of two mebibytes.
fn freed() -> *mut u8 {
    let large = layout(2 * MIB, 8);
    // SAFETY: the layout has a size.
    let p = unsafe { GoAlloc.alloc(large) };
    assert!(!p.is_null());
    // SAFETY: all of it is there.
    unsafe { p.write_bytes(1, 2 * MIB) };
    // SAFETY: allocated above.
    unsafe { GoAlloc.dealloc(p, large) };
    p
}

extern "C" fn own_handler(_: libc::c_int) {
    // SAFETY: no preconditions.
    unsafe { libc::write(1, b"\nown handler\n".as_ptr().cast(), 13) };
}

/// Handlers that the program installed before there was a large object: they are called after the report, once or until they help.
#[test]
fn after_the_report_comes_what_would_have_come_without_it() {
    const NAME: &str = "after_the_report_comes_what_would_have_come_without_it";
    for (name, flags) in [("none", None), ("once", Some(libc::SA_RESETHAND)), ("sent", Some(0))] {
        let body = || {
            without_core();
            let action = libc::sigaction {
                sa_sigaction: flags.map_or(libc::SIG_DFL, |_| own_handler as *const () as usize),
                sa_flags: flags.unwrap_or(0),
                // SAFETY: all zero is the empty set, and no restorer.
                ..unsafe { std::mem::zeroed() }
            };
            // SAFETY: the handler has this signature.
            unsafe { libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut()) };
            let p = freed();
            if name == "sent" {
                // SAFETY: no preconditions.
                unsafe { libc::raise(libc::SIGSEGV) };
                return;
            }
            // SAFETY: none. It faults.
            unsafe { p.wrapping_add(MIB).write_volatile(2) };
        };
        Case::new(NAME, name).judge(body, |out| {
            let all = format!("{name}: {}\n{out:?}", out.status);
            let called = String::from_utf8_lossy(&out.stdout).matches("own handler").count();
            let told = String::from_utf8_lossy(&out.stderr).matches("gort: fatal: use after free").count();
            let expected = match name {
                "none" => (Some(libc::SIGSEGV), 0, 1),
                "once" => (Some(libc::SIGSEGV), 1, 1),
                _ => (None, 1, 0),
            };
            assert_eq!((out.status.signal(), called, told), expected, "{all}");
        });
    }
}

/// Refused, it takes nothing away from what was freed before.
#[test]
fn a_request_that_no_heap_can_serve_leaves_them_closed() {
    const NAME: &str = "a_request_that_no_heap_can_serve_leaves_them_closed";
    let body = || {
        without_core();
        let p = freed();
        assert!(Object::try_new(layout(1 << 60, 8), 1).is_none());
        // SAFETY: none. It faults.
        unsafe { p.write_volatile(2) };
    };
    Case::new(NAME, "it").judge(body, |out| {
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.signal(), Some(libc::SIGSEGV), "{said}");
        assert!(said.contains("gort: fatal: use after free"), "{said}");
    });
}

/// As many as there were can be had again, although freed ones wait: in so few addresses those of up to a mebibyte do.
#[test]
fn they_make_room_when_addresses_end() {
    Case::new("they_make_room_when_addresses_end", "it").address_space(600 << 20).succeeds(|| {
        let all = || -> Vec<_> { (0..).map_while(|i| Object::try_new(layout(MIB / 4, 8), i)).collect() };
        let first = all().len();
        assert!(first > 500, "{first}");
        for _ in 0..3 {
            let again = all().len();
            assert!(again >= first, "{again} objects, {first} at first");
        }
    });
}
