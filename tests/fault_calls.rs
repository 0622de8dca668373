//! Every call to the operating system, refused in turn with each errno that it may give, under a program of several threads: what is
//! alive stays intact, the counts stay true, and once the fault is over all memory is there again and goes back.
//!
//! The test binary itself allocates from the system, so that only the heap's calls are refused and counted.

mod common;

use std::fs;
use std::io::{Read, Write, pipe};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::thread;

use common::{Case, Ledger, Object, PAGE, check_heap, fork, keeps_errno, layout, seconds_until, wait_for};
use gort::Call;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// What is huge from `GODEBUG` on: little above the size at which pages are moved.
const HUGE: usize = 1100 * KIB;
const THREADS: usize = 3;
/// A child that takes longer hangs.
const SECONDS: u32 = 30;
/// The forked child's answer when its program ended before the refusal's turn came.
const OVER: i32 = 42;
/// Every how manieth call is refused: the hardened build makes so many more that all would take minutes.
const STEP: usize = if cfg!(feature = "hardened") { 7 } else { 1 };
/// Bytes by which the C library's part of what is mapped may differ.
const MAPPED_MORE: usize = 512 * KIB;

/// What a kind of call may be refused with, as its manual page lists it and as filters for system calls answer; the usual one first. And
/// how many refusals in a row are tried.
fn refusals(kind: Call) -> (&'static [i32], u64) {
    use libc::{EACCES, EAGAIN, EBADF, EFAULT, EINTR, EINVAL, EIO, ENOMEM, ENOSYS, EPERM};
    match kind {
        Call::Map => (&[ENOMEM, EAGAIN, EINVAL, EPERM], u64::MAX),
        Call::Unmap => (&[ENOMEM, EINVAL, EPERM], u64::MAX),
        // In a row from the first on: a kernel that does not know them, EINVAL.
        Call::Move => (&[EINVAL, ENOMEM, EAGAIN, EFAULT, EPERM], u64::MAX),
        Call::AdviseHuge | Call::AdviseCold => (&[EINVAL, EAGAIN, ENOMEM, EPERM, ENOSYS], u64::MAX),
        Call::Remap => (&[ENOMEM, EAGAIN, EFAULT, EINVAL, EPERM], u64::MAX),
        Call::Protect => (&[ENOMEM, EACCES, EINVAL, EPERM], u64::MAX),
        Call::Release => (&[EINVAL, EAGAIN, ENOMEM, EPERM, EIO, EBADF, ENOSYS], u64::MAX),
        Call::Name => (&[EINVAL, ENOMEM, EBADF], u64::MAX),
        // For ever would be a kernel that lets threads sleep and never wakes them.
        Call::Futex => (&[EAGAIN, EINTR, EINVAL, EFAULT, ENOSYS], 20),
        Call::Barrier => (&[EPERM, EINVAL, ENOSYS], u64::MAX),
    }
}

/// One thread of the program. It passes objects on to the next one, and frees what it gets.
struct Part {
    number: usize,
    ledger: Ledger,
    objects: Vec<Object>,
    nulls: usize,
    start: Arc<Barrier>,
    to_next: Sender<Vec<Object>>,
    from_last: Receiver<Vec<Object>>,
}

impl Part {
    fn run(&mut self) {
        let sizes = [8, 16, 24, 100, 1_000, 5_000, 20_000, 32_768, 40_000, 300_000];
        for round in 0..2 {
            for i in 0..40 {
                self.alloc(sizes[i % sizes.len()], 8);
            }
            self.alloc(100, MIB);
            self.alloc(HUGE + 5 * PAGE, 2 * MIB);
            self.zeroed(10 * PAGE);
            self.zeroed(HUGE);
            // Two of a mebibyte, the first resized with the second in its way: its pages move, and then it is huge.
            let first = self.objects.len();
            self.alloc(MIB, 8);
            self.alloc(MIB, 8);
            for size in [MIB + PAGE, 2 * HUGE, HUGE, 10_000, 50_000] {
                self.resize(first, size);
            }
            let others = self.objects.split_off(self.objects.len() / 2);
            self.to_next.send(others).expect("the next thread receives");
            let theirs = self.from_last.recv().expect("the last thread sends");
            theirs.into_iter().for_each(|object| self.free(object));
            if round == 0 {
                // Large ones that the thread keeps, until the first thread takes them from all others: twice, because one of them may keep
                // all that may be kept at the first time.
                self.first_takes_all();
                (0..8).for_each(|_| self.pass(64 * KIB));
                self.first_takes_all();
            }
            match round {
                0 => {
                    gort::free_os_memory();
                }
                1 if self.number == 0 => {
                    gort::set_memory_limit(2 * MIB as u64);
                }
                _ => {
                    gort::set_memory_limit(u64::MAX);
                }
            }
            self.objects.iter().for_each(Object::check);
        }
    }

    /// What the threads keep is given back by the first, while all wait.
    fn first_takes_all(&self) {
        self.start.wait();
        if self.number == 0 {
            gort::free_os_memory();
        }
        self.start.wait();
    }

    /// Allocates and frees.
    fn pass(&mut self, size: usize) {
        self.alloc(size, 8);
        if let Some(object) = self.objects.pop() {
            self.free(object);
        }
    }

    fn keep(&mut self, object: Option<Object>) {
        match object {
            Some(object) => {
                self.ledger.allocated(object.layout());
                self.objects.push(object);
            }
            None => self.nulls += 1,
        }
    }

    fn alloc(&mut self, size: usize, align: usize) {
        let object = keeps_errno("alloc", || Object::try_new(layout(size, align), size as u64));
        self.keep(object);
    }

    fn zeroed(&mut self, size: usize) {
        let object = keeps_errno("alloc_zeroed", || Object::try_zeroed(layout(size, 8), size as u64));
        self.keep(object);
    }

    fn resize(&mut self, at: usize, size: usize) {
        if at >= self.objects.len() {
            return;
        }
        let object = self.objects.swap_remove(at);
        let old = object.layout();
        match keeps_errno("realloc", || object.try_resize(size)) {
            Ok(object) => {
                self.ledger.resized(old, object.layout());
                self.objects.insert(at, object);
            }
            Err(object) => {
                self.nulls += 1;
                self.objects.insert(at, object);
            }
        }
    }

    fn free(&mut self, object: Object) {
        self.ledger.freed(object.layout());
        keeps_errno("dealloc", || drop(object));
    }
}

/// Runs the program; returns the counts, what is alive at its end, and how often the heap answered null.
fn program() -> (Ledger, Vec<Object>, usize) {
    let start = Arc::new(Barrier::new(THREADS));
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| channel()).unzip();
    let threads: Vec<_> = receivers
        .into_iter()
        .enumerate()
        .map(|(number, from_last)| {
            let to_next = senders[(number + 1) % THREADS].clone();
            let start = start.clone();
            thread::spawn(move || {
                let mut part = Part {
                    number,
                    ledger: Ledger::new(),
                    objects: Vec::new(),
                    nulls: 0,
                    start,
                    to_next,
                    from_last,
                };
                part.start.wait();
                part.run();
                (part.ledger, part.objects, part.nulls)
            })
        })
        .collect();
    drop(senders);
    let (mut ledger, mut objects, mut nulls) = (Ledger::new(), Vec::new(), 0);
    for thread in threads {
        let part = thread.join().expect("nothing was wrong");
        ledger = ledger + part.0;
        objects.extend(part.1);
        nulls += part.2;
    }
    (ledger, objects, nulls)
}

/// Bytes of address space that the process has mapped.
fn mapped() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").expect("the kernel tells");
    statm
        .split(' ')
        .next()
        .and_then(|pages| pages.parse().ok())
        .map(|pages: usize| pages * 4096)
        .expect("a number")
}

fn free_all(objects: Vec<Object>, ledger: &mut Ledger) {
    for object in objects {
        object.check();
        ledger.freed(object.layout());
    }
}

/// Runs the program while `count` calls are refused after `n` others of their kind, then without refusals; `sum` is what was counted
/// before and is then. `true` when the refusal's turn came.
fn survives(kind: Call, errno: i32, n: u64, count: u64, sum: &mut Ledger) -> bool {
    let what = format!("{kind:?}, errno {errno}, {count} from call {n} on");
    let before = gort::calls(kind);
    gort::refuse_calls(kind, errno, n, count);
    let (ledger, objects, nulls) = program();
    gort::refuse_calls(kind, errno, 0, 0);
    let came = gort::calls(kind) > before + n;
    assert!(came || nulls == 0, "{what}: {nulls} nulls without a refusal");
    let harmless = !matches!(kind, Call::Map | Call::Remap | Call::Protect);
    assert!(nulls == 0 || !harmless, "{what}: {nulls} nulls, and no memory was refused");
    objects.iter().for_each(Object::check);
    *sum = *sum + ledger;
    assert_eq!(Ledger::of(&gort::stats()), *sum, "{what}");
    check_heap();
    // The fault is over.
    let (ledger, more, nulls) = program();
    assert_eq!(nulls, 0, "{what}: the heap refuses memory after the fault is over");
    *sum = *sum + ledger;
    free_all(objects, sum);
    free_all(more, sum);
    assert_eq!(Ledger::of(&gort::stats()), *sum, "{what}, afterwards");
    gort::free_os_memory();
    if std::env::var("GODEBUG").is_ok_and(|v| v.contains("scavthread")) {
        // The background thread may have had some of it in hand.
        let _ = seconds_until(5, || {
            gort::free_os_memory();
            let stats = gort::stats();
            stats.heap_inuse == 0 && stats.heap_released == stats.heap_idle
        });
    }
    let stats = gort::stats();
    assert_eq!((stats.heap_alloc, stats.heap_inuse, stats.huge_inuse), (0, 0, 0), "{what}: not given back");
    assert_eq!(stats.heap_released, stats.heap_idle, "{what}: not with the kernel");
    check_heap();
    came
}

/// Bytes that are mapped after `survives` when nothing is refused.
fn mapped_as_a_rule() -> usize {
    const NEVER: u64 = 1 << 40;
    let (mut from_child, mut to_parent) = pipe().expect("a pipe");
    let pid = fork(SECONDS, || {
        assert!(!survives(Call::Map, libc::ENOMEM, NEVER, 0, &mut Ledger::new()));
        to_parent.write_all(&mapped().to_le_bytes()).expect("the parent reads");
        0
    });
    assert_eq!(wait_for(pid), 0);
    let mut bytes = [0; size_of::<usize>()];
    from_child.read_exact(&mut bytes).expect("the child has written");
    usize::from_le_bytes(bytes)
}

/// How many refusals of one kind come in a fresh heap: each in a child of its own, with the errnos in turn. Every `step`th call is refused.
fn fresh(kind: Call, errnos: &[i32], count: u64, step: usize) -> u64 {
    let most = mapped_as_a_rule() + MAPPED_MORE;
    for (turn, n) in (0..).step_by(step).enumerate() {
        // The parent's heap is never started, so each child starts one of its own.
        let errno = errnos[n as usize % errnos.len()];
        let body = || {
            let came = survives(kind, errno, n, count, &mut Ledger::new());
            let now = mapped();
            assert!(now <= most, "{kind:?} {errno}, call {n}: {} bytes are lost", now - most + MAPPED_MORE);
            if came { 0 } else { OVER }
        };
        match wait_for(fork(SECONDS, body)) {
            0 => {}
            OVER => return turn as u64,
            status => panic!("{kind:?} {errno}, call {n}: the child ended with {status}"),
        }
    }
    0
}

/// A case in which what is mapped does not depend on which threads the C library has arenas for.
fn case(test: &str, case: &str, godebug: &str) -> Case {
    Case::new(test, case).env("GODEBUG", godebug).env("MALLOC_ARENA_MAX", "1")
}

/// Refuses each call of a kind, with the errnos by turns, alone and with those that follow; and every third call with each of the other errnos;
/// of all these every `STEP`th. Fails when fewer calls came than the program must make.
fn each_call(test: &str, kind: Call, least: u64) {
    let (errnos, row) = refusals(kind);
    // The heap is small for advice on huge pages.
    let more = if kind == Call::AdviseHuge { ",thpmin=0" } else { "" };
    case(test, &format!("{kind:?}"), &format!("hugemin=1100KiB{more}")).succeeds(|| {
        common::deadline(1_200);
        for turn in 0..errnos.len() {
            let mut errnos = errnos.to_vec();
            errnos.rotate_left(turn);
            let step = if turn == 0 { STEP } else { 3 * STEP };
            let came = fresh(kind, &errnos, 1, step);
            assert!(came >= (least / step as u64).max(1), "only {came} calls were refused");
            println!("{kind:?}: {came} calls, refused alone, errnos {errnos:?}");
        }
        let came = fresh(kind, errnos, row, STEP);
        assert!(came > 0, "no call was refused");
        println!("{kind:?}: {came} calls, refused in a row, errnos {errnos:?}");
    });
}

#[test]
fn each_map() {
    each_call("each_map", Call::Map, 15);
}

#[test]
fn each_unmap() {
    each_call("each_unmap", Call::Unmap, 10);
}

#[test]
#[cfg_attr(feature = "hardened", ignore = "the hardened build moves no pages")]
fn each_remap() {
    each_call("each_remap", Call::Remap, 10);
}

#[test]
fn each_protect() {
    each_call("each_protect", Call::Protect, 10);
}

#[test]
#[cfg_attr(feature = "hardened", ignore = "the hardened build moves no pages")]
fn each_move() {
    each_call("each_move", Call::Move, 5);
}

#[test]
fn each_release() {
    each_call("each_release", Call::Release, 10);
}

#[test]
fn each_advice_on_huge_pages() {
    each_call("each_advice_on_huge_pages", Call::AdviseHuge, 5);
}

#[test]
#[cfg_attr(feature = "hardened", ignore = "the hardened build moves no pages")]
fn each_advice_on_cold_pages() {
    each_call("each_advice_on_cold_pages", Call::AdviseCold, 5);
}

#[test]
fn each_name() {
    each_call("each_name", Call::Name, 5);
}

#[test]
fn each_futex() {
    each_call("each_futex", Call::Futex, 1);
}

#[test]
fn each_barrier() {
    each_call("each_barrier", Call::Barrier, 1);
}

#[test]
fn what_could_not_be_unmapped_goes_when_it_can() {
    let case = Case::new("what_could_not_be_unmapped_goes_when_it_can", "it");
    case.env("GODEBUG", "hugemin=1100KiB").succeeds(|| {
        drop(Object::new(layout(HUGE, 8), 1));
        let before = mapped();
        gort::refuse_calls(Call::Unmap, libc::ENOMEM, 0, u64::MAX);
        (0..200).for_each(|i| drop(Object::new(layout(HUGE, 2 * MIB), i)));
        assert!(mapped() > before + 200 * MIB, "nothing was refused: the test has no subject");
        assert_eq!(gort::stats().huge_inuse, 0);
        gort::refuse_calls(Call::Unmap, 0, 0, 0);
        drop(Object::new(layout(HUGE, 8), 1));
        // The hardened build keeps the addresses of freed ones for a while.
        gort::free_os_memory();
        assert!(mapped() < before + 4 * MIB, "{} bytes are still mapped", mapped() - before);
    });
}

/// Refuses some of the calls of each of these kinds, alone and with those that follow, with another word in `GODEBUG`.
fn some_calls(test: &str, kinds: &[Call], word: &str) {
    for &kind in kinds {
        let (errnos, row) = refusals(kind);
        case(test, &format!("{kind:?}"), &format!("hugemin=1100KiB,{word}")).succeeds(|| {
            common::deadline(300);
            for count in [1, row] {
                // There are few of them.
                let step = if kind == Call::Futex { 1 } else { 23 };
                let came = fresh(kind, errnos, count, step);
                assert!(came > 0, "no call was refused");
                println!("{kind:?}: {came} refusals with {word}");
            }
        });
    }
}

#[test]
#[cfg_attr(feature = "hardened", ignore = "the hardened build guards no objects")]
fn calls_of_guarded_objects() {
    let kinds = [Call::Map, Call::Unmap, Call::Protect, Call::Release, Call::Name, Call::Futex];
    some_calls("calls_of_guarded_objects", &kinds, "guardrate=1");
}

#[test]
fn calls_beside_a_background_thread() {
    let kinds = [Call::Map, Call::Protect, Call::Release, Call::Futex];
    some_calls("calls_beside_a_background_thread", &kinds, "scavthread=1");
}

#[test]
#[cfg_attr(feature = "hardened", ignore = "the hardened build guards no objects")]
fn pages_of_guarded_objects_that_the_kernel_keeps_are_booked_until_it_takes_them() {
    const NAME: &str = "pages_of_guarded_objects_that_the_kernel_keeps_are_booked_until_it_takes_them";
    /// More than there are places.
    const MANY: u64 = 300;
    Case::new(NAME, "it").env("GODEBUG", "guardrate=1").succeeds(|| {
        drop(Object::new(layout(100, 8), 1));
        gort::free_os_memory();
        let pages = || gort::stats().heap_inuse;
        let before = pages();
        let object = Object::new(layout(100 * KIB, 8), 2);
        let with_one = pages();
        assert!(with_one >= before + 100 * KIB as u64, "it is not counted");
        gort::refuse_calls(Call::Release, libc::EINVAL, 0, u64::MAX);
        drop(object);
        assert_eq!(pages(), with_one, "it has its frames");
        // All places have an object at one end or the other, and what is there is never taken for zeros.
        for i in 0..MANY {
            drop(Object::zeroed(layout(100 + 300 * i as usize, 8), i));
        }
        let kept = pages();
        assert!(kept > with_one + 4 * MIB as u64, "only {} bytes are kept", kept - before);
        check_heap();
        // The kernel takes them when it is asked again,
        gort::refuse_calls(Call::Release, 0, 0, 0);
        gort::free_os_memory();
        assert_eq!(pages(), before, "not all was given back");
        // and when another object was in their place.
        gort::refuse_calls(Call::Release, libc::EINVAL, 0, u64::MAX);
        (0..MANY).for_each(|i| drop(Object::zeroed(layout(5_000, 8), i)));
        gort::refuse_calls(Call::Release, 0, 0, 0);
        assert!(pages() > before);
        (0..MANY).for_each(|i| drop(Object::zeroed(layout(1_000, 8), i)));
        assert_eq!(pages(), before, "not all was given back with the next object");
        check_heap();
    });
}
