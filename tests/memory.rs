//! How much memory is kept beyond what is alive: by threads that are idle, by a thread that only frees, by a program that has just
//! begun, and after a spike. Bounds are what the constants of the thread's cache allow, all of them used up; the kernel's count
//! may add what huge pages bring along.
#![expect(unsafe_code, reason = "is the allocator of this binary, and hands objects from thread to thread")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use std::{fs, ptr, thread};

use common::{Case, Object, PAGE, class_of, layout, resident, seconds_until};
use gort::GoAlloc;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Bytes that all threads share in the central stores: of each class 256 KiB that were given back, and the rest of a span.
const CENTRAL: usize = 68 * (256 + 80) * KIB;
/// Bytes that the refills of a thread's bins may add up to, and what the bins may hold at first.
const BINS: usize = 2 * MIB + MIB;
/// Bytes of free pages that a thread has to itself, and that huge pages may bring along.
const WINDOW: usize = 512 * KIB;
/// Bytes of a thread's cache itself, with an array for each bin.
const METADATA: usize = 16 * KIB;
/// An idle background thread looks after the heap.
const BACKGROUND: &str = "scavthread=1";
const NOBODY: &str = "scavthread=0";

/// gort, or the system's allocator in a process whose environment says so: a program is the same then but for this.
struct Chosen;

const SYSTEM: &str = "GORT_TEST_SYSTEM";
static IS_SYSTEM: AtomicU8 = AtomicU8::new(2);

fn is_system() -> bool {
    if IS_SYSTEM.load(Relaxed) == 2 {
        // SAFETY: the name ends with a zero, and nobody changes the environment.
        let value = unsafe { libc::getenv(c"GORT_TEST_SYSTEM".as_ptr()) };
        IS_SYSTEM.store(u8::from(!value.is_null()), Relaxed);
    }
    IS_SYSTEM.load(Relaxed) == 1
}

// SAFETY: both are allocators, and the choice is never another.
unsafe impl GlobalAlloc for Chosen {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise, passed on unchanged, here and below.
        if is_system() { unsafe { System.alloc(layout) } } else { unsafe { GoAlloc.alloc(layout) } }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        // SAFETY: as above.
        if is_system() { unsafe { System.dealloc(p, layout) } } else { unsafe { GoAlloc.dealloc(p, layout) } }
    }
}

#[global_allocator]
static GLOBAL: Chosen = Chosen;

/// Bytes in use by the heap's count that nothing alive accounts for.
fn kept() -> usize {
    let stats = gort::stats();
    stats.heap_inuse.saturating_sub(stats.heap_alloc) as usize
}

/// The sizes of all classes.
fn classes() -> Vec<usize> {
    gort::stats().by_size.iter().map(|row| row.size as usize).filter(|&size| size > 0).collect()
}

/// Runs `body` in a process without a background thread and in one with it. Both wait most of the time, and do so together.
fn without_and_with_background(test: &str, body: impl Fn(&str) + Sync) {
    thread::scope(|s| {
        for godebug in [NOBODY, BACKGROUND] {
            let body = &body;
            s.spawn(move || Case::new(test, godebug).env("GODEBUG", godebug).succeeds(|| body(godebug)));
        }
    });
}

/// What other threads' slow paths do: objects of whole pages, of lengths that nobody keeps.
fn slow_paths() {
    for i in 0..32 {
        drop(Object::new(layout(MIB + (1 + i as usize) * 8192, 8), i));
    }
}

/// One step of waiting: with the background thread nothing at all is allocated.
fn go_on(godebug: &str) {
    if godebug == NOBODY {
        slow_paths();
    }
}

/// Runs `body` on `count` threads at once, and, when all have done so and are idle, `judge` with what was resident before.
fn while_idle(count: usize, body: impl Fn() + Sync, judge: impl FnOnce(usize)) {
    let step = Barrier::new(count + 1);
    thread::scope(|s| {
        for _ in 0..count {
            let run = || {
                step.wait();
                step.wait();
                body();
                step.wait();
                step.wait();
            };
            thread::Builder::new().stack_size(128 * KIB).spawn_scoped(s, run).expect("a thread");
        }
        step.wait();
        let floor = resident();
        step.wait();
        step.wait();
        let judged = catch_unwind(AssertUnwindSafe(|| judge(floor)));
        // The threads end in any case.
        step.wait();
        judged.unwrap_or_else(|failure| resume_unwind(failure));
    });
}

/// Fails unless what is kept and what is resident above `floor` are within the bounds before long.
fn settles(godebug: &str, floor: usize, kept_bound: usize, resident_bound: usize) {
    let settled = || kept() <= kept_bound && resident() <= floor + resident_bound;
    let took = seconds_until(20, || {
        go_on(godebug);
        settled()
    });
    let (kept, above) = (kept() / KIB, resident().saturating_sub(floor) / KIB);
    println!("{godebug}: settled after {took:?} s: {kept} KiB kept, {above} KiB resident above the floor");
    assert!(
        took.is_some(),
        "{godebug}: {kept} KiB kept, {} allowed; {above} KiB resident, {} allowed",
        kept_bound / KIB,
        resident_bound / KIB
    );
}

/// What a bin is refilled with at first: half of 8 pointers or of 16 KiB of them, and always one.
fn first_refill(size: usize) -> usize {
    (16 * KIB / size).clamp(2, 8) / 2 * size
}

#[test]
fn a_thousand_idle_threads_keep_their_first_refills() {
    const THREADS: usize = 1_000;
    without_and_with_background("a_thousand_idle_threads_keep_their_first_refills", |godebug| {
        let sizes = classes();
        let refills: usize = sizes.iter().map(|&size| first_refill(size)).sum();
        let bound = THREADS * refills + CENTRAL;
        let each = || sizes.iter().for_each(|&size| drop(Object::new(layout(size, 8), 1)));
        while_idle(THREADS, each, |floor| {
            settles(godebug, floor, bound, bound + THREADS * (WINDOW + METADATA));
            // And so it stays.
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(1) {
                go_on(godebug);
                thread::sleep(Duration::from_millis(20));
            }
            settles(godebug, floor, bound, bound + THREADS * (WINDOW + METADATA));
        });
    });
}

#[test]
fn a_thousand_idle_threads_keep_no_large_objects() {
    const THREADS: usize = 1_000;
    without_and_with_background("a_thousand_idle_threads_keep_no_large_objects", |godebug| {
        // Not touched: 4 GB would be more than some machine has.
        let each = || {
            let objects = [MIB, 3 * MIB].map(|size| (untouched(layout(size, 8)), layout(size, 8)));
            for (p, layout) in objects {
                // SAFETY: allocated a moment ago with this layout.
                unsafe { GoAlloc.dealloc(p, layout) };
            }
        };
        while_idle(THREADS, each, |floor| {
            settles(godebug, floor, THREADS * 32 * KIB + CENTRAL, usize::MAX / 2);
        });
    });
}

/// An object that nobody has written to.
fn untouched(layout: Layout) -> *mut u8 {
    // SAFETY: the layout has a size.
    let p = unsafe { GoAlloc.alloc(layout) };
    assert!(!p.is_null(), "no memory for {layout:?}");
    p
}

#[test]
fn large_objects_of_idle_threads_go_back_to_the_kernel() {
    const THREADS: usize = 50;
    without_and_with_background("large_objects_of_idle_threads_go_back_to_the_kernel", |godebug| {
        let each = || drop([MIB, 3 * MIB].map(|size| Object::new(layout(size, 8), 1)));
        while_idle(THREADS, each, |floor| {
            let bound = THREADS * 32 * KIB + 2 * MIB;
            settles(godebug, floor, bound, bound + THREADS * (WINDOW + METADATA));
        });
    });
}

/// A thread leaves objects in the transfer cache of a class that nobody uses after it; other threads have other sizes.
#[test]
fn what_nobody_needs_any_more_leaves_the_transfer_caches() {
    // Nobody else in the process has objects of this size.
    const SIZE: usize = 1_792;
    let class = class_of(layout(SIZE, 8));
    let transferred = || {
        let row = gort::contention_by_size()[class];
        row.objects_in - row.objects_out
    };
    without_and_with_background("what_nobody_needs_any_more_leaves_the_transfer_caches", |godebug| {
        thread::scope(|s| {
            s.spawn(|| drop((0..2_000).map(|i| Object::new(layout(SIZE, 8), i)).collect::<Vec<_>>()));
        });
        assert!(transferred() > 200, "only {} objects: the test has no subject", transferred());
        let took = seconds_until(10, || {
            go_on(godebug);
            transferred() == 0
        });
        assert!(took.is_some(), "{godebug}: {} objects stay", transferred());
    });
}

#[test]
fn a_thread_that_only_frees_hoards_nothing() {
    const BATCH: usize = 10_000;
    // The checks of the feature `invariants` are at every slow path, of which there is one for few objects here.
    const ROUNDS: usize = if cfg!(feature = "invariants") { 50 } else { 1_000 };
    // One half of the batch is filled while the other is emptied.
    fn half(round: usize) -> impl Iterator<Item = (usize, usize)> {
        (0..BATCH).map(move |i| (i, round % 2 * BATCH + i))
    }
    Case::new("a_thread_that_only_frees_hoards_nothing", "it").succeeds(|| {
        let sizes: Vec<_> = classes().into_iter().filter(|&size| size <= KIB).collect();
        let batch: Vec<_> = (0..2 * BATCH).map(|_| AtomicPtr::new(ptr::null_mut())).collect();
        let (step, freed, allocs) = (Barrier::new(2), AtomicUsize::new(0), AtomicU64::new(0));
        let layout_of = |i: usize| layout(sizes[i * 7 % sizes.len()], 8);
        let (mut floor, mut highest, mut left) = (0, 0, 0);
        thread::scope(|s| {
            s.spawn(|| {
                for round in 0..ROUNDS {
                    step.wait();
                    for (i, at) in half(round) {
                        // SAFETY: the other thread allocated it with this layout, and the barrier lies in between.
                        unsafe { GoAlloc.dealloc(batch[at].load(Relaxed), layout_of(i)) };
                    }
                    freed.fetch_add(BATCH, Relaxed);
                }
                allocs.store(gort::thread_stats().allocs, Relaxed);
                step.wait();
                step.wait();
            });
            s.spawn(|| {
                for round in 0..ROUNDS {
                    for (i, at) in half(round) {
                        batch[at].store(untouched(layout_of(i)), Relaxed);
                    }
                    step.wait();
                    if round == 10 {
                        floor = resident();
                    }
                    highest = highest.max(resident());
                }
                step.wait();
                // This thread's own cache is not what is judged.
                gort::free_os_memory();
                left = kept();
                step.wait();
            });
        });
        assert_eq!(freed.load(Relaxed), ROUNDS * BATCH);
        let allocs = allocs.load(Relaxed);
        assert!(allocs < 100, "{allocs} allocations of a thread that only frees");
        println!("{left} bytes kept; {highest} resident, {floor} after ten batches");
        // Of each class what a bin may hold in a thread that only frees, and spans that those objects keep from going back.
        let bound = sizes.iter().map(|&size| 64 * size + 12 * PAGE).sum();
        assert!(left <= bound, "{left} bytes kept by a thread that only frees, {bound} allowed");
        assert!(highest <= floor + BINS + bound, "{highest} bytes resident, {floor} after ten batches");
    });
}

/// The most memory that this process ever had, in KiB.
fn most_resident() -> usize {
    // Not `fs::read_to_string`, which would have memory of its own.
    let mut status = [0; 4096];
    let len =
        fs::File::open("/proc/self/status").and_then(|mut f| f.read(&mut status)).expect("it can be read");
    let text = str::from_utf8(&status[..len]).expect("it is text");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel counts");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_program_that_says_hello_has_at_most_a_mebibyte_more() {
    let test = "a_program_that_says_hello_has_at_most_a_mebibyte_more";
    let (mut with_gort, mut with_system) = (usize::MAX, usize::MAX);
    for round in 0..3 {
        for (least, name) in [(&mut with_gort, "gort"), (&mut with_system, "system")] {
            let case = Case::new(test, &format!("{name} {round}"));
            let case = if name == "system" { case.env(SYSTEM, "1") } else { case };
            let hello = || {
                println!("\nhello\nmost: {}", most_resident());
                assert_eq!(gort::stats().mallocs == 0, is_system());
            };
            case.judge(hello, |out| {
                let said = String::from_utf8_lossy(&out.stdout);
                assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
                let most = said.lines().find_map(|l| l.strip_prefix("most: ")).expect("it tells");
                *least = (*least).min(most.parse().expect("a number"));
            });
        }
    }
    if with_gort.max(with_system) == usize::MAX {
        // This process is one of the cases.
        return;
    }
    println!("{with_gort} KiB with gort, {with_system} with the system's allocator");
    assert!(with_gort <= with_system + KIB, "{with_gort} KiB with gort, {with_system} KiB without");
}

#[test]
fn small_objects_of_a_spike_go_back_to_the_kernel() {
    const SPIKE: usize = 256 * MIB;
    without_and_with_background("small_objects_of_a_spike_go_back_to_the_kernel", |godebug| {
        let sizes: Vec<_> = classes().into_iter().filter(|&size| size >= 128).collect();
        drop(Object::new(layout(100, 8), 1));
        let floor = resident();
        let mut objects = vec![];
        let mut sum = 0;
        while sum < SPIKE {
            let size = sizes[objects.len() * 5 % sizes.len()];
            objects.push(Object::new(layout(size, 8), objects.len() as u64));
            sum += size;
        }
        assert!(resident() > floor + SPIKE, "{} of {SPIKE} bytes are resident", resident() - floor);
        drop(objects);
        // A headroom of 1 MiB is not worth giving back. Headers of spans are never given back: 1 % of the spike.
        let bound = BINS + CENTRAL + WINDOW + MIB + SPIKE / 100;
        settles(godebug, floor, BINS + CENTRAL, bound);
    });
}
