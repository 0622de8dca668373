//! Real limits of the kernel: mappings used up, locked memory limited, the soft memory limit and the end of the address space or of data reached
//! by several threads at once.
//!
//! The test binary itself allocates from the system, so that the heap starts when a case wants it to.
#![expect(unsafe_code, reason = "maps, locks and sets limits through libc")]

mod common;

use std::ptr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use common::{Case, Object, Random, layout};

const MIB: usize = 1 << 20;
const PAGE: usize = 4096;

/// Takes all mappings that the kernel grants this process, and gives them back when dropped.
struct AllMappings {
    at: *mut libc::c_void,
    bytes: usize,
}

impl AllMappings {
    fn take() -> Self {
        let text = std::fs::read_to_string("/proc/sys/vm/max_map_count").expect("the kernel tells");
        let limit: usize = text.trim().parse().expect("a number");
        let bytes = 2 * (limit + 1) * PAGE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at a place of the kernel's choice.
        let at = unsafe { libc::mmap(ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(at, libc::MAP_FAILED);
        // Each second page with other rights makes mappings of its neighbours.
        let refused = (0..limit).any(|i| {
            let page = at.wrapping_byte_add((2 * i + 1) * PAGE);
            // SAFETY: a page of the mapping above.
            unsafe { libc::mprotect(page, PAGE, libc::PROT_READ) != 0 }
        });
        assert!(refused, "{limit} mappings were granted");
        Self { at, bytes }
    }
}

impl Drop for AllMappings {
    fn drop(&mut self) {
        // SAFETY: all of the mapping, to which nothing refers.
        assert_eq!(unsafe { libc::munmap(self.at, self.bytes) }, 0);
    }
}

/// Objects of all kinds, as many as the heap has; fails when what it gives out is wrong.
fn use_heap(random: &mut Random, count: usize, objects: &mut Vec<Object>) -> usize {
    let mut nulls = 0;
    for tag in 0..count {
        match random.below(8) {
            0..=3 => {
                let bits = if random.one_in(10) { 21 } else { 13 };
                let size = random.magnitude(bits);
                match Object::try_new(layout(size, 8), tag as u64) {
                    Some(object) if objects.len() < objects.capacity() => objects.push(object),
                    Some(_) => {}
                    None => nulls += 1,
                }
            }
            4 if !objects.is_empty() => {
                let object = objects.swap_remove(random.below(objects.len()));
                let size = random.magnitude(21);
                let (Ok(object) | Err(object)) = object.try_resize(size);
                objects.push(object);
            }
            _ if !objects.is_empty() => drop(objects.swap_remove(random.below(objects.len()))),
            _ => {}
        }
    }
    nulls
}

#[test]
fn no_mapping_is_left() {
    let case = Case::new("no_mapping_is_left", "it").env("GODEBUG", "hugemin=1100KiB");
    case.succeeds(|| {
        let mut random = Random::new(41);
        let mut objects = Vec::with_capacity(5_000);
        use_heap(&mut random, 2_000, &mut objects);
        // Neighbours in the address space, some of them: a hole between them would be one more mapping.
        let mut huge: Vec<_> = (0..40).map(|i| Object::new(layout(2 * MIB, 8), i)).collect();
        let all = AllMappings::take();
        let (mut kept, mut freed) = (vec![], 0);
        for (i, object) in huge.drain(..).enumerate() {
            if i % 2 == 0 {
                freed += 1;
                drop(object);
            } else {
                kept.push(object);
            }
        }
        assert_eq!(freed, 20);
        use_heap(&mut random, 5_000, &mut objects);
        gort::free_os_memory();
        objects.iter().chain(&kept).for_each(Object::check);
        drop(all);
        // Mappings are there again: so is all memory.
        let more: Vec<_> = (0..40).map(|i| Object::new(layout(2 * MIB, 8), i)).collect();
        assert_eq!(use_heap(&mut random, 5_000, &mut objects), 0);
        drop((more, kept));
        objects.clear();
        gort::free_os_memory();
        let statm = std::fs::read_to_string("/proc/self/statm").expect("the kernel tells");
        let pages: usize = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a number");
        assert!(pages * PAGE < 40 * MIB, "{} bytes are still resident", pages * PAGE);
    });
}

/// Locks all memory that is to come, of which the kernel lets a process have so much, and root as much as it likes. Returns the limit;
/// `None` where this cannot be had.
fn lock_what_comes() -> Option<usize> {
    const WANTED: libc::rlim_t = 8 << 20;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is valid for a write.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) }, 0);
    let bytes = limit.rlim_max.min(WANTED);
    limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: the limit is valid for a read.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) }, 0);
    // SAFETY: no preconditions.
    let is_root = unsafe { libc::geteuid() } == 0;
    // SAFETY: no preconditions. 65534 is nobody.
    if is_root && unsafe { libc::setresuid(65_534, 65_534, 65_534) } != 0 {
        return None;
    }
    // SAFETY: no preconditions.
    (unsafe { libc::mlockall(libc::MCL_FUTURE) } == 0).then_some(bytes as usize)
}

/// What there is of 20,000 small objects and, beside them, of a hundred of 2 MiB: how many small ones and how many huge ones, and how many
/// bytes of the huge ones have mappings of their own. A huge one that the kernel grants no mapping is the heap's.
fn what_there_is(objects: &mut Vec<Object>) -> (usize, usize, usize) {
    objects.extend((0..SMALL_ONES as u64).map_while(|i| Object::try_new(layout(1_000, 8), i)));
    let huge: Vec<_> = (0..HUGE_ONES as u64).map_while(|i| Object::try_new(layout(2 * MIB, 8), i)).collect();
    let mapped = gort::stats().huge_inuse as usize;
    objects.iter().chain(&huge).for_each(Object::check);
    let small = objects.len();
    objects.clear();
    (small, huge.len(), mapped)
}

const SMALL_ONES: usize = 20_000;
const HUGE_ONES: usize = 100;

/// More bytes than may be locked are refused, what was there once is there again, and all of it when nothing is locked any more. A heap
/// that stands has its addresses: only mappings for huge objects are refused then, and they are served from the heap.
#[test]
fn locked_memory_is_limited() {
    for stands in [false, true] {
        let when = if stands { "with a heap that stands" } else { "before the heap starts" };
        let case = Case::new("locked_memory_is_limited", when).env("GODEBUG", "hugemin=1100KiB");
        case.succeeds(|| {
            let mut objects = Vec::with_capacity(100_000);
            let mut random = Random::new(42);
            if stands {
                drop(Object::new(layout(100, 8), 1));
            }
            let Some(limit) = lock_what_comes() else {
                return println!("skipped: memory cannot be locked here");
            };
            let mut most = (0, 0, 0);
            let mut nulls = 0;
            for round in 0..4 {
                nulls += use_heap(&mut random, 3_000, &mut objects);
                gort::free_os_memory();
                objects.clear();
                let there = what_there_is(&mut objects);
                let (small, huge, mapped) = there;
                nulls += SMALL_ONES - small + HUGE_ONES - huge;
                assert!(mapped <= limit, "round {round}: {mapped} bytes are mapped, {limit} may be locked");
                if stands {
                    assert_eq!((small, huge), (SMALL_ONES, HUGE_ONES), "round {round}: it has its addresses");
                    let least = limit / 2 / (2 * MIB) * (2 * MIB);
                    assert!(
                        mapped >= least,
                        "round {round}: {mapped} bytes are mapped, {limit} may be locked"
                    );
                }
                assert!(small >= most.0 - most.0 / 10, "round {round}: {there:?}, {most:?} before");
                assert!(
                    huge + 1 >= most.1 && mapped + 2 * MIB >= most.2,
                    "round {round}: {there:?}, {most:?} before"
                );
                most = (small.max(most.0), huge.max(most.1), mapped.max(most.2));
            }
            assert_eq!(nulls > 0, !stands, "{nulls} nulls: without a refusal the test has no subject");
            // SAFETY: no preconditions.
            assert_eq!(unsafe { libc::munlockall() }, 0);
            // A huge one that the heap had to serve may be kept by the thread, who would get it again.
            gort::free_os_memory();
            let (small, huge, mapped) = what_there_is(&mut objects);
            // A heap that has started has the addresses that it got.
            let least = if most.0 == 0 { SMALL_ONES } else { most.0 };
            assert!(small >= least, "{small} objects when nothing is locked, {most:?} before");
            assert_eq!(
                (huge, mapped),
                (HUGE_ONES, HUGE_ONES * 2 * MIB),
                "huge objects when nothing is locked"
            );
        });
    }
}

/// Small objects, until memory has ended four times: each null is a refill that got nothing. Returns how often it ended.
fn fill(random: &mut Random, objects: &mut Vec<Object>) -> usize {
    let mut nulls = 0;
    for tag in 0..400_000 {
        match Object::try_new(layout(200 + random.below(2_000), 8), tag) {
            Some(object) => objects.push(object),
            None => {
                nulls += 1;
                objects.truncate(objects.len() / 2);
                if nulls == 4 {
                    break;
                }
            }
        }
    }
    objects.clear();
    nulls
}

/// Threads refill beyond what there is, twice; after each time all is there again.
fn threads_refill(case: Case) {
    case.env("GOMEMLIMIT", "24MiB").succeeds(|| {
        // The heap takes its part of the addresses when it starts: before the C library takes 64 MiB for each thread, or it has too few.
        drop(Object::new(layout(100, 8), 1));
        // What may not be refused is there before the first thread takes the rest: stacks, and the lists of objects.
        let turn = Barrier::new(4);
        let nulls = AtomicUsize::new(0);
        let mut objects = Vec::with_capacity(30_000);
        let mut rounds = [(0, 0); 2];
        thread::scope(|s| {
            for i in 0..3 {
                let (turn, nulls) = (&turn, &nulls);
                s.spawn(move || {
                    let mut random = Random::new(50 + i);
                    let mut objects = Vec::with_capacity(300_000);
                    for _ in 0..2 {
                        turn.wait();
                        nulls.fetch_add(fill(&mut random, &mut objects), Relaxed);
                        turn.wait();
                    }
                });
            }
            for round in &mut rounds {
                turn.wait();
                turn.wait();
                objects.extend((0..30_000).map_while(|i| Object::try_new(layout(2_000, 8), i)));
                *round = (nulls.swap(0, Relaxed), objects.len());
                objects.clear();
            }
        });
        for (round, (nulls, objects)) in rounds.into_iter().enumerate() {
            assert!(nulls > 0, "round {round}: memory did not run out, the test has no subject");
            assert_eq!(objects, 30_000, "round {round}: all was freed, and 60 MB are not there");
        }
    });
}

#[test]
fn threads_refill_at_the_memory_limit_and_at_the_end_of_the_address_space() {
    let name = "threads_refill_at_the_memory_limit_and_at_the_end_of_the_address_space";
    threads_refill(Case::new(name, "it").address_space(400 * MIB as u64));
}

#[test]
fn threads_refill_at_the_memory_limit_and_at_the_limit_of_data() {
    let name = "threads_refill_at_the_memory_limit_and_at_the_limit_of_data";
    threads_refill(Case::new(name, "it").data(250 * MIB as u64));
}

#[test]
fn what_an_idle_thread_keeps_is_used_before_there_is_nothing() {
    let case = Case::new("what_an_idle_thread_keeps_is_used_before_there_is_nothing", "it");
    case.address_space(400 * MIB as u64).succeeds(|| {
        let small = |i| Object::try_new(layout(1_000, 8), i);
        let mut objects = Vec::with_capacity(500_000);
        // What a thread may keep follows the heap.
        objects.extend((0..80_000).map_while(small));
        assert_eq!(objects.len(), 80_000);
        let turn = Barrier::new(2);
        let mut first = 0;
        thread::scope(|s| {
            s.spawn(|| {
                let large: Vec<_> = (0..200).map(|i| Object::new(layout(41_000, 8), i)).collect();
                drop(large);
                turn.wait();
                turn.wait();
            });
            turn.wait();
            objects.extend((0..400_000).map_while(small));
            first = objects.len();
            objects.extend((0..400_000).map_while(small));
            turn.wait();
        });
        assert!(first < 480_000, "memory did not run out, the test has no subject");
        let more = objects.len() - first;
        assert!(more < 200, "{more} further objects were there after all");
    });
}
