//! Little memory: limits of the address space, the soft memory limit, and what goes back to the kernel, by gort's count and by
//! the kernel's.
#![expect(unsafe_code, reason = "asks the kernel for its counts")]

mod common;

use std::os::unix::process::ExitStatusExt;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use common::{Case, Object, PAGE, Random, fill_caches, layout, resident, seconds_until};

#[global_allocator]
static GLOBAL: gort::GoAlloc = gort::GoAlloc;

const MIB: usize = 1 << 20;

/// Allocates objects of `size` bytes until the heap answers null; `room` bytes are more than there can be.
fn exhaust(size: usize, room: usize) -> Vec<Object> {
    // The list itself must not need memory when there is none left.
    let mut objects = Vec::with_capacity(room / size);
    while let Some(object) = Object::try_new(layout(size, 8), objects.len() as u64) {
        objects.push(object);
        assert!(objects.len() < objects.capacity(), "more memory than the limit allows");
    }
    objects
}

#[test]
fn a_small_address_space_is_used_to_its_end_and_again() {
    for (limit, sizes) in [(200_000_000, [MIB, 50_000, 1_000]), (1_000_000_000, [MIB, 200_000, 20_000])] {
        let case = Case::new("a_small_address_space_is_used_to_its_end_and_again", &limit.to_string());
        case.address_space(limit as u64).succeeds(|| {
            for size in sizes {
                // Dropping checks that what was allocated before the end is intact. Small objects get what the heap reserved,
                // which leaves the larger part to others; large ones get that as well.
                let first = exhaust(size, limit).len();
                let least = if size > 32_768 { limit / 2 } else { limit / 4 };
                assert!(first * size > least, "{first} objects of {size} bytes in {limit}");
                let second = exhaust(size, limit).len();
                assert!(second >= first - first / 10, "{first} objects of {size} bytes, then {second}");
            }
        });
    }
}

#[test]
fn what_is_freed_at_the_end_serves_other_sizes() {
    Case::new("what_is_freed_at_the_end_serves_other_sizes", "it").address_space(200_000_000).succeeds(
        || {
            let mut objects = exhaust(4_000, 200_000_000);
            // Whole spans in the middle.
            objects.drain(5_000..10_000);
            let others: Vec<_> = (0..150).map_while(|i| Object::try_new(layout(50_000, 8), i)).collect();
            assert_eq!(others.len(), 150, "20 MB were freed, and 7.5 MB are not there");
            let small: Vec<_> = (0..5_000).map_while(|i| Object::try_new(layout(500, 8), i)).collect();
            assert_eq!(small.len(), 5_000);
        },
    );
}

#[test]
fn threads_share_a_small_address_space() {
    Case::new("threads_share_a_small_address_space", "it").address_space(400_000_000).succeeds(|| {
        for round in 0..3 {
            // What may not be refused is there before the first thread takes the rest: stacks, and the lists of objects.
            let begun = Barrier::new(3);
            thread::scope(|s| {
                for i in 0..3 {
                    let begun = &begun;
                    s.spawn(move || {
                        let mut random = Random::new(i);
                        let mut objects = Vec::with_capacity(100_000);
                        begun.wait();
                        let mut nulls = 0;
                        for tag in 0..30_000 {
                            let size = random.magnitude(if i == 0 { 17 } else { 14 });
                            match Object::try_new(layout(size, 8), tag) {
                                Some(object) => objects.push(object),
                                None => nulls += 1,
                            }
                            if nulls > 20 {
                                nulls = 0;
                                objects.truncate(objects.len() / 2);
                            }
                        }
                    });
                }
            });
            let objects: Vec<_> = (0..40).map_while(|i| Object::try_new(layout(MIB, 8), i)).collect();
            assert_eq!(objects.len(), 40, "round {round}: everything was freed, and 40 MiB are not there");
        }
    });
}

#[test]
fn try_reserve_is_an_error_and_the_program_goes_on() {
    Case::new("try_reserve_is_an_error_and_the_program_goes_on", "it").address_space(300_000_000).succeeds(
        || {
            let mut v: Vec<u8> = vec![1; 1_000];
            for bytes in [1 << 30, 1 << 40, 1 << 46, isize::MAX as usize - 2_000] {
                assert!(v.try_reserve_exact(bytes).is_err(), "{bytes} bytes");
            }
            let mut held = vec![];
            loop {
                let mut more: Vec<u64> = vec![];
                if held.try_reserve(1).is_err() || more.try_reserve(100_000).is_err() {
                    break;
                }
                held.push(more);
                assert!(held.len() < 1_000, "more memory than the limit allows");
            }
            drop(held);
            v.resize(50 * MIB, 2);
            assert!(v[..1_000].iter().all(|&b| b == 1) && v[1_000..].iter().all(|&b| b == 2));
        },
    );
}

#[test]
fn handle_alloc_error_says_what_it_could_not_have() {
    let case =
        Case::new("handle_alloc_error_says_what_it_could_not_have", "it").address_space(300 * MIB as u64);
    case.judge(
        || {
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            // SAFETY: the limit is valid for a read.
            unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
            // A request that is refused and seen to, and one that is not.
            assert!(Vec::<u8>::new().try_reserve_exact(1 << 40).is_err());
            let v = Vec::<u8>::with_capacity(1 << 40);
            println!("{:?}", v.as_ptr());
        },
        |out| {
            let stderr = String::from_utf8_lossy(&out.stderr);
            assert_eq!(out.status.signal(), Some(libc::SIGABRT), "{stderr}");
            assert!(stderr.contains("memory allocation of 1099511627776 bytes failed"), "{stderr}");
            assert!(!stderr.contains("gort"), "{stderr}");
        },
    );
}

/// What the memory limit is about.
fn ready() -> usize {
    let stats = gort::stats();
    (stats.heap_sys - stats.heap_released + stats.other_sys) as usize
}

/// Keeps `live` bytes of one size after the other, and returns the highest `ready()` that a step left behind.
fn churn(live: usize) -> usize {
    let mut random = Random::new(5);
    let mut highest = 0;
    for round in 0..12 {
        let base = [300, 5_000, 40_000, 700_000, 24, 9_000, 2 * MIB, 1_500][round % 8];
        let mut objects = vec![];
        let mut sum = 0;
        while sum < live {
            let object = Object::new(layout(base + random.below(base), 8), 1);
            sum += object.layout().size();
            objects.push(object);
            if objects.len() % 64 == 0 {
                highest = highest.max(ready());
            }
        }
        highest = highest.max(ready());
    }
    highest
}

#[test]
fn a_memory_limit_holds_under_churn() {
    const LIMIT: usize = 64 * MIB;
    const LIVE: usize = 24 * MIB;
    let body = || {
        assert_eq!(gort::stats().memory_limit, LIMIT as u64);
        let highest = churn(LIVE);
        assert!(highest < LIMIT + LIMIT / 8, "{highest} bytes ready with a limit of {LIMIT}");
        assert!(resident() < LIMIT + LIMIT / 4, "{} bytes resident with a limit of {LIMIT}", resident());
    };
    let case = |name| Case::new("a_memory_limit_holds_under_churn", name);
    case("environment").env("GOMEMLIMIT", "64MiB").succeeds(body);
    case("call").succeeds(|| {
        assert_eq!(gort::set_memory_limit(LIMIT as u64), u64::MAX);
        body();
        // Go's number for none.
        assert_eq!(gort::set_memory_limit(i64::MAX as u64), LIMIT as u64);
        assert_eq!(gort::set_memory_limit(u64::MAX), u64::MAX);
        assert_eq!(gort::stats().memory_limit, u64::MAX);
    });
}

#[test]
fn a_memory_limit_holds_for_threads_together() {
    const LIMIT: usize = 64 * MIB;
    Case::new("a_memory_limit_holds_for_threads_together", "it").env("GOMEMLIMIT", "64MiB").succeeds(|| {
        let highest = thread::scope(|s| {
            let threads: Vec<_> = (0..3).map(|_| s.spawn(|| churn(8 * MIB))).collect();
            threads.into_iter().map(|t| t.join().expect("nothing was wrong")).max()
        });
        assert!(highest < Some(LIMIT + LIMIT / 8), "{highest:?} bytes ready with a limit of {LIMIT}");
    });
}

#[test]
fn a_memory_limit_covers_huge_objects() {
    const LIMIT: usize = 64 * MIB;
    let case = Case::new("a_memory_limit_covers_huge_objects", "it").env("GOMEMLIMIT", "64MiB");
    case.env("GODEBUG", "hugemin=1MiB").succeeds(|| {
        drop(objects(40 * MIB));
        assert!(ready() > 40 * MIB, "{} bytes are ready", ready());
        // Not both: what is free has to go for the huge object.
        let huge = Object::new(layout(40 * MIB, 8), 1);
        assert!(ready() < LIMIT + LIMIT / 8, "{} bytes ready with a limit of {LIMIT}", ready());
        let huge = huge.resize(56 * MIB);
        assert!(ready() < LIMIT + LIMIT / 8, "{} bytes ready with a limit of {LIMIT}", ready());
        drop(huge);
    });
}

#[test]
fn at_the_memory_limit_other_threads_empty_their_caches() {
    Case::new("at_the_memory_limit_other_threads_empty_their_caches", "it").succeeds(|| {
        let step = Arc::new(Barrier::new(2));
        let keeper = thread::spawn({
            let step = step.clone();
            move || {
                fill_caches();
                step.wait();
                step.wait();
                // A slow path, where it learns of the limit.
                drop(Object::new(layout(50_000, 8), 2));
                step.wait();
            }
        });
        step.wait();
        let live = objects(4 * MIB);
        let kept = gort::stats().heap_inuse;
        // Nothing that is free is enough: what threads keep has to go as well.
        gort::set_memory_limit(MIB as u64);
        step.wait();
        step.wait();
        keeper.join().expect("nothing was wrong");
        let left = gort::stats().heap_inuse;
        assert!(left + (MIB / 4) as u64 <= kept, "{kept} bytes were in use, {left} still are");
        drop(live);
    });
}

#[test]
fn a_memory_limit_that_is_set_late_takes_effect_at_once() {
    Case::new("a_memory_limit_that_is_set_late_takes_effect_at_once", "it").succeeds(|| {
        drop(kept_when_free(100 * MIB));
        assert!(ready() > 80 * MIB, "{} bytes are ready", ready());
        gort::set_memory_limit(32 * MIB as u64);
        assert!(ready() < 36 * MIB, "{} bytes are still ready", ready());
    });
}

#[test]
fn a_memory_limit_below_the_live_data_refuses_nothing() {
    for limit in ["0", "1MiB", "8MiB"] {
        Case::new("a_memory_limit_below_the_live_data_refuses_nothing", limit)
            .env("GOMEMLIMIT", limit)
            .succeeds(|| {
                let objects: Vec<_> =
                    (0..20_000).map(|i| Object::new(layout(100 + i % 4_000, 8), i as u64)).collect();
                churn(4 * MIB);
                drop(objects);
            });
    }
}

#[test]
fn the_limit_of_the_control_group_is_no_failure() {
    Case::new("the_limit_of_the_control_group_is_no_failure", "it").env("GOMEMLIMIT", "auto").succeeds(
        || {
            churn(8 * MIB);
            assert_eq!(gort::bad_variables(), 0);
            let limit = gort::stats().memory_limit;
            assert!(limit > 16 * MIB as u64, "the control group allows this process {limit} bytes");
        },
    );
}

/// Objects of many sizes, `bytes` in all, every page of them touched.
fn objects(bytes: usize) -> Vec<Object> {
    // Below the size at which frames could be moved to mappings of their own.
    objects_up_to(18, bytes)
}

/// As `objects`, of those whose memory the heap keeps when they are freed: in the hardened build only what has a size class.
fn kept_when_free(bytes: usize) -> Vec<Object> {
    objects_up_to(if cfg!(feature = "hardened") { 14 } else { 18 }, bytes)
}

/// Objects of many sizes, one in twenty below 2^(`bits` + 1) bytes, the others below 16 KiB.
fn objects_up_to(bits: usize, bytes: usize) -> Vec<Object> {
    let mut random = Random::new(6);
    let mut objects = vec![];
    let mut sum = 0;
    while sum < bytes {
        let size = if random.one_in(20) { random.magnitude(bits) } else { 200 + random.magnitude(13) };
        let object = Object::new(layout(size, 8), 1);
        sum += object.layout().size();
        objects.push(object);
    }
    objects
}

#[test]
fn free_os_memory_lowers_what_is_resident() {
    Case::new("free_os_memory_lowers_what_is_resident", "it").succeeds(|| {
        let floor = resident();
        let held = kept_when_free(128 * MIB);
        let full = resident();
        assert!(full > floor + 128 * MIB, "{full} bytes resident");
        drop(held);
        let released = gort::free_os_memory();
        let left = resident();
        assert!(left < floor + 8 * MIB, "{floor} bytes resident at first, {full} when full, {left} at last");
        assert!(released as usize > 100 * MIB, "{released} bytes released");
        // The memory is there again when it is needed.
        drop(objects(32 * MIB));
    });
}

#[test]
fn huge_objects_go_back_to_the_kernel_at_once() {
    let case = Case::new("huge_objects_go_back_to_the_kernel_at_once", "it");
    case.env("GODEBUG", "hugemin=64MiB").succeeds(|| {
        let floor = resident();
        let huge = Object::new(layout(100 * MIB, 8), 1);
        assert!(resident() > floor + 99 * MIB);
        let huge = huge.resize(70 * MIB);
        assert!(resident() < floor + 72 * MIB, "{} bytes resident after it shrank", resident() - floor);
        drop(huge);
        assert!(resident() < floor + 4 * MIB);
    });
}

#[test]
fn memory_goes_back_after_a_spike_while_the_program_goes_on() {
    Case::new("memory_goes_back_after_a_spike_while_the_program_goes_on", "it").succeeds(|| {
        let floor = resident();
        drop(objects(128 * MIB));
        let before = gort::stats().heap_released;
        let mut random = Random::new(7);
        // A program that goes on with little: now and then a whole span, which is when the heap looks after itself.
        let took = seconds_until(25, || {
            drop(
                (0..4).map(|_| Object::new(layout((5 + random.below(30)) * PAGE, 8), 1)).collect::<Vec<_>>(),
            );
            resident() < floor + 48 * MIB
        });
        assert!(took.is_some(), "{} bytes are still resident", resident() - floor);
        assert!(gort::stats().heap_released > before);
    });
}

fn page_faults() -> i64 {
    // SAFETY: rusage is plain data, for which all zeros is valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: usage is valid for a write.
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) }, 0);
    usage.ru_minflt
}

#[test]
fn memory_that_is_needed_again_soon_is_kept() {
    // A heap that breathes must not give back what it takes again a moment later: that shows in page faults.
    Case::new("memory_that_is_needed_again_soon_is_kept", "it").succeeds(|| {
        let breathe = || {
            drop(kept_when_free(32 * MIB));
            for n in 5..10 {
                thread::sleep(Duration::from_millis(20));
                // A slow path, which may look after the heap.
                drop(Object::new(layout(n * PAGE, 8), 1));
            }
        };
        (0..3).for_each(|_| breathe());
        let before = page_faults();
        (0..6).for_each(|_| breathe());
        let faults = page_faults() - before;
        assert!(faults < 8_000, "{faults} page faults in six breaths of 8,000 pages each");
    });
}

#[test]
fn the_heaps_count_follows_the_kernels() {
    Case::new("the_heaps_count_follows_the_kernels", "it").succeeds(|| {
        let drift = |floor: usize, ready_at_floor: usize, when: &str| {
            let by_kernel = resident() as i64 - floor as i64;
            let by_us = ready() as i64 - ready_at_floor as i64;
            let bound = 8 * MIB as i64 + by_kernel.max(by_us) / 10;
            assert!(
                (by_kernel - by_us).abs() < bound,
                "{when}: {by_kernel} bytes resident, {by_us} by our count"
            );
        };
        drop(objects(MIB));
        let (floor, ready_at_floor) = (resident(), ready());
        let mut held = vec![];
        for step in 0..4 {
            held.extend(objects(30 * MIB));
            drift(floor, ready_at_floor, &format!("step {step}"));
        }
        // Holes of all sizes.
        let mut random = Random::new(8);
        held.retain(|_| !random.one_in(3));
        drift(floor, ready_at_floor, "with holes");
        gort::free_os_memory();
        drift(floor, ready_at_floor, "with holes, released");
        held.extend(objects(20 * MIB));
        drift(floor, ready_at_floor, "refilled");
        let huge = Object::new(layout(70 * MIB, 8), 1);
        drift(floor, ready_at_floor, "with a huge object");
        drop((held, huge));
        drift(floor, ready_at_floor, "empty");
        gort::free_os_memory();
        drift(floor, ready_at_floor, "empty, released");
    });
}
