//! What the kernel refuses although memory is there: locked pages, a data limit, mappings; and what other threads keep.
#![expect(unsafe_code, reason = "locks pages and sets limits")]

mod common;

use std::sync::mpsc;
use std::thread;

use common::{Case, Object, PAGE, layout, resident, seconds_until};

const MIB: usize = 1 << 20;
/// From here on an object has a mapping of its own.
const HUGE: usize = 128 * MIB;

/// Keeps the page frames of an object's bytes in place; the kernel then refuses to take them back.
fn lock(at: usize, bytes: usize) {
    // SAFETY: locking changes no contents.
    let locked = unsafe { libc::mlock(at as *const libc::c_void, bytes) };
    assert_eq!(locked, 0, "mlock: {}", std::io::Error::last_os_error());
}

/// Allows `more` bytes of private writable memory above what there is.
fn limit_data(more: usize) {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let line = status.lines().find(|l| l.starts_with("VmData:")).expect("it has data");
    let kib: usize = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    let limit = libc::rlimit { rlim_cur: (kib * 1024 + more) as u64, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the limit is valid for a read.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_DATA, &raw const limit) }, 0);
}

#[test]
fn a_move_that_is_refused_half_way_keeps_the_contents() {
    for (room, locked) in [(6, true), (6, false), (14, true), (200, true)] {
        let case = Case::new(
            "a_move_that_is_refused_half_way_keeps_the_contents",
            &format!("{room} MiB of room, {}", if locked { "half of it locked" } else { "nothing locked" }),
        );
        case.succeeds(|| {
            let object = Object::new(layout(8 * MIB, 8), 1);
            let neighbour = Object::new(layout(MIB, 8), 2);
            assert_eq!(neighbour.addr(), object.end(), "the neighbour blocks the way");
            if locked {
                // From here on the object is two mappings to the kernel.
                lock(object.addr() + 4 * MIB, MIB);
            }
            limit_data(room * MIB);
            // Moved, copied or refused: the contents are checked when the object is dropped.
            match object.try_resize(12 * MIB) {
                Ok(object) | Err(object) => object.check(),
            }
        });
    }
}

#[test]
fn a_huge_request_finds_room_in_the_heap() {
    Case::new("a_huge_request_finds_room_in_the_heap", "it").address_space(600 * MIB as u64).succeeds(|| {
        let mut objects = Vec::with_capacity(20);
        objects.extend((0..20).map_while(|i| Object::try_new(layout(HUGE, 8), i)));
        let least = HUGE - PAGE;
        assert!(
            Object::try_new(layout(least, 8), 99).is_none(),
            "{} huge objects, and {least} bytes still fit",
            objects.len()
        );
    });
}

#[test]
fn an_object_shrinks_without_memory_for_a_copy() {
    Case::new("an_object_shrinks_without_memory_for_a_copy", "it").address_space(300 * MIB as u64).succeeds(
        || {
            let object = Object::new(layout(512 << 10, 8), 1);
            let at = object.addr();
            let mut others = Vec::with_capacity(100_000);
            for size in [MIB, 40_000, 33_000] {
                others.extend((0..10_000).map_while(|i| Object::try_new(layout(size, 8), i)));
            }
            let object = object.try_resize(40_000).unwrap_or_else(|_| panic!("shrinking was refused"));
            assert_eq!(object.addr(), at);
        },
    );
}

#[test]
fn a_locked_page_does_not_hold_up_the_others() {
    Case::new("a_locked_page_does_not_hold_up_the_others", "it").succeeds(|| {
        let floor = resident();
        let objects: Vec<_> = (0..40).map(|i| Object::new(layout(MIB, 8), i)).collect();
        let top = objects.iter().map(Object::addr).max().expect("there are some");
        lock(top + MIB / 2, 1);
        drop(objects);
        gort::free_os_memory();
        assert!(resident() < floor + 8 * MIB, "{} of 40 MiB are still there", resident() - floor);
    });
}

#[test]
fn what_an_idle_thread_keeps_is_given_back_by_others() {
    Case::new("what_an_idle_thread_keeps_is_given_back_by_others", "it").succeeds(|| {
        // What may be kept is a part of the heap in use.
        let _much = Object::new(layout(64 * MIB, 8), 0);
        let (done, wait) = mpsc::channel::<()>();
        let (kept, is_kept) = mpsc::channel();
        let idle = thread::spawn(move || {
            drop([1, 2, 3].map(|i| Object::new(layout(MIB, 8), i)));
            kept.send(()).expect("the main thread waits");
            let _ = wait.recv();
        });
        is_kept.recv().expect("the thread has freed its objects");
        assert!(gort::stats().heap_inuse >= 67 * MIB as u64, "nothing was kept: the test has no subject");
        let took = seconds_until(20, || {
            // Slow paths of this thread, of lengths it does not keep.
            for i in 0..32 {
                drop(Object::new(layout(MIB + (1 + i as usize) * 8192, 8), i));
            }
            gort::stats().heap_inuse < 66 * MIB as u64
        });
        assert!(took.is_some(), "{:?}", gort::stats().heap_inuse);
        drop(done);
        idle.join().expect("it only waits");
    });
}
