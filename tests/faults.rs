//! Memory calls that the kernel refuses: each single one of a program's, and all from each one on. The doors answer null at
//! worst, what is alive stays intact, the counts stay true, and afterwards the heap works on.
//!
//! The test binary itself allocates from the system, so that only the heap's calls are refused and counted.

mod common;

use std::sync::Barrier;
use std::thread;

use common::{Case, Ledger, Object, PAGE, Random, check_heap, fork, layout, wait_for};
use gort::Call;

const MIB: usize = 1 << 20;
/// What is huge from `GODEBUG` on: little above the size at which pages are moved.
const HUGE: usize = 1100 << 10;
/// A child that takes longer hangs.
const SECONDS: u32 = 20;
/// The forked child's answer when its program ended before the refusal's turn came.
const OVER: i32 = 42;

/// Whether one call is refused, or all that follow as well.
#[derive(Clone, Copy, Debug)]
enum Refused {
    One,
    AllFromThere,
}

impl Refused {
    fn count(self) -> u64 {
        match self {
            Self::One => 1,
            Self::AllFromThere => u64::MAX,
        }
    }
}

/// Refuses nothing any more; returns how many calls were made so far.
fn refuse_nothing() -> u64 {
    gort::refuse_after(0, 0)
}

/// The same operations each time, as far as the heap answers.
#[derive(Default)]
struct Program {
    objects: Vec<Object>,
    nulls: usize,
}

impl Program {
    fn run(&mut self, ledger: &mut Ledger) {
        let mut random = Random::new(1);
        for round in 0..3 {
            for class in 0..120 {
                self.alloc(ledger, 8 + class * 67, 8);
            }
            self.alloc(ledger, 40_000, 8);
            self.alloc(ledger, 300_000, 8);
            self.alloc(ledger, 100, MIB);
            self.zeroed(ledger, 10 * PAGE);
            self.zeroed(ledger, HUGE);
            self.alloc(ledger, HUGE + 5 * PAGE, 2 * MIB);
            // Two of a mebibyte, the first resized with the second in its way: its pages move, and then it is huge.
            let first = self.objects.len();
            self.alloc(ledger, MIB, 8);
            self.alloc(ledger, MIB, 8);
            for size in [MIB + PAGE, HUGE, MIB / 4, 10_000, HUGE] {
                self.resize(ledger, first, size);
            }
            for _ in 0..40 {
                let size = random.magnitude(16);
                self.resize(ledger, random.below(self.objects.len().max(1)), size);
            }
            for _ in 0..self.objects.len() * 2 / 3 {
                self.free(ledger, random.below(self.objects.len()));
            }
            if round == 1 {
                gort::free_os_memory();
            }
            if round == 2 {
                gort::set_memory_limit(2 * MIB as u64);
            }
        }
        gort::set_memory_limit(u64::MAX);
        let in_thread = thread::spawn(|| {
            let mut program = Self::default();
            let mut ledger = Ledger::new();
            for size in [50, 1_000, 60_000, HUGE] {
                program.alloc(&mut ledger, size, 8);
                program.zeroed(&mut ledger, size);
                program.resize(&mut ledger, 0, size * 2);
            }
            // A thread for which there was no memory for a cache counts in the process's totals only.
            let counted = gort::thread_stats();
            assert!(
                counted == ledger.total || counted == gort::Measured::default(),
                "{counted:?} instead of {:?}",
                ledger.total
            );
            (program, ledger)
        });
        let (program, in_thread) = in_thread.join().expect("nothing was wrong");
        self.objects.extend(program.objects);
        self.nulls += program.nulls;
        *ledger = *ledger + in_thread;
        self.objects.iter().for_each(Object::check);
    }

    fn keep(&mut self, ledger: &mut Ledger, object: Option<Object>) {
        match object {
            Some(object) => {
                ledger.allocated(object.layout());
                self.objects.push(object);
            }
            None => self.nulls += 1,
        }
    }

    fn alloc(&mut self, ledger: &mut Ledger, size: usize, align: usize) {
        self.keep(ledger, Object::try_new(layout(size, align), size as u64));
    }

    fn zeroed(&mut self, ledger: &mut Ledger, size: usize) {
        self.keep(ledger, Object::try_zeroed(layout(size, 8), size as u64));
    }

    fn resize(&mut self, ledger: &mut Ledger, at: usize, size: usize) {
        if at >= self.objects.len() {
            return;
        }
        let object = self.objects.swap_remove(at);
        let old = object.layout();
        match object.try_resize(size) {
            Ok(object) => {
                ledger.resized(old, object.layout());
                self.objects.push(object);
            }
            Err(object) => {
                self.nulls += 1;
                self.objects.push(object);
            }
        }
    }

    fn free(&mut self, ledger: &mut Ledger, at: usize) {
        let object = self.objects.swap_remove(at);
        ledger.freed(object.layout());
        drop(object);
    }

    fn free_all(&mut self, ledger: &mut Ledger) {
        while !self.objects.is_empty() {
            self.free(ledger, 0);
        }
    }
}

/// Runs the program while the `n`th call from now on is refused, then once more without refusals. `true` when the refusal's
/// turn came.
fn survives(n: u64, refused: Refused, ledger: &mut Ledger) -> bool {
    let mut program = Program::default();
    let start = gort::refuse_after(n, refused.count());
    program.run(ledger);
    let came = refuse_nothing() > start + n;
    assert!(came || program.nulls == 0, "{} nulls without a refusal", program.nulls);
    program.objects.iter().for_each(Object::check);
    assert_eq!(Ledger::of(&gort::stats()), *ledger, "{refused:?} from call {n} on");
    check_heap();
    // The fault is over.
    let nulls = program.nulls;
    program.run(ledger);
    assert_eq!(program.nulls, nulls, "the heap refuses memory after the fault is over");
    program.free_all(ledger);
    assert_eq!(Ledger::of(&gort::stats()), *ledger, "{refused:?} from call {n} on, afterwards");
    gort::free_os_memory();
    let stats = gort::stats();
    assert_eq!((stats.heap_alloc, stats.heap_inuse), (0, 0), "{refused:?} from call {n} on");
    came
}

/// The numbers of the calls to refuse: each of the first ones, then some.
fn calls() -> impl Iterator<Item = u64> {
    (0..150).chain((150..).step_by(7))
}

#[test]
fn each_call_of_a_fresh_heap() {
    for refused in [Refused::One, Refused::AllFromThere] {
        let case = Case::new("each_call_of_a_fresh_heap", &format!("{refused:?}"));
        case.env("GODEBUG", "hugemin=1100KiB").succeeds(|| {
            for n in calls() {
                // The parent's heap is never started, so each child starts one of its own.
                let pid = fork(SECONDS, || if survives(n, refused, &mut Ledger::new()) { 0 } else { OVER });
                match wait_for(pid) {
                    0 => {}
                    OVER => return assert!(n > 50, "a program of only {n} calls tests nothing"),
                    status => panic!("call {n}: the child ended with {status}"),
                }
            }
        });
    }
}

#[test]
fn each_call_of_a_heap_that_goes_on() {
    for refused in [Refused::One, Refused::AllFromThere] {
        let case = Case::new("each_call_of_a_heap_that_goes_on", &format!("{refused:?}"));
        case.env("GODEBUG", "hugemin=1100KiB").succeeds(|| {
            let mut ledger = Ledger::new();
            let mut program = Program::default();
            program.run(&mut ledger);
            program.free_all(&mut ledger);
            let came = calls().take_while(|&n| survives(n, refused, &mut ledger)).count();
            assert!(came > 20, "a program of only {came} calls tests nothing");
        });
    }
}

#[test]
fn calls_refused_at_random_on_several_threads() {
    for words in ["hugemin=1100KiB", "hugemin=1100KiB,guardrate=1"] {
        Case::new("calls_refused_at_random_on_several_threads", words).env("GODEBUG", words).succeeds(|| {
            let mut random = Random::new(2);
            let mut sum = Ledger::new();
            for _ in 0..15 {
                gort::refuse_after(random.below(100) as u64, 1 + random.below(30) as u64);
                let threads: Vec<_> = (0..3)
                    .map(|_| {
                        thread::spawn(|| {
                            let (mut program, mut ledger) = (Program::default(), Ledger::new());
                            program.run(&mut ledger);
                            program.free_all(&mut ledger);
                            ledger
                        })
                    })
                    .collect();
                for thread in threads {
                    sum = sum + thread.join().expect("nothing was wrong");
                }
                refuse_nothing();
                assert_eq!(Ledger::of(&gort::stats()), sum);
            }
            let mut program = Program::default();
            program.run(&mut sum);
            assert_eq!(program.nulls, 0);
            program.free_all(&mut sum);
            gort::free_os_memory();
            assert_eq!(gort::stats().heap_inuse, 0);
        });
    }
}

#[test]
fn data_outlives_any_number_of_refusals() {
    Case::new("data_outlives_any_number_of_refusals", "it").env("GODEBUG", "hugemin=1100KiB").succeeds(
        || {
            let kept: Vec<_> = (0..2_000).map(|i| Object::new(layout(1 + i * 13, 8), i as u64)).collect();
            let large: Vec<_> = (1..6).map(|i| Object::new(layout(i * 700_000, 8), i as u64)).collect();
            let mut ledger = Ledger::of(&gort::stats());
            for n in 0..40 {
                survives_with_others_alive(n, &mut ledger);
                kept.iter().chain(&large).for_each(Object::check);
            }
        },
    );
}

/// As `survives`, without the check that nothing is left.
fn survives_with_others_alive(n: u64, ledger: &mut Ledger) {
    let mut program = Program::default();
    gort::refuse_after(n * 3, 5);
    program.run(ledger);
    refuse_nothing();
    program.free_all(ledger);
    assert_eq!(Ledger::of(&gort::stats()), *ledger);
}

/// From the ninth thread on, threads have their pages from allocators of their own. What those have free serves all when the heap cannot grow.
#[test]
fn no_page_stays_with_a_group_when_memory_ends() {
    Case::new("no_page_stays_with_a_group_when_memory_ends", "it").succeeds(|| {
        const LARGE: usize = 400_000;
        let (many, done) = (40 * MIB / LARGE, Barrier::new(17));
        let make_spans = || drop((0..2_500).map(|i| Object::new(layout(40_000, 8), i)).collect::<Vec<_>>());
        // Chunks that can be lent.
        make_spans();
        thread::scope(|s| {
            let work = || {
                drop((0..many).map(|i| Object::new(layout(LARGE, 8), i as u64)).collect::<Vec<_>>());
                done.wait();
                done.wait();
            };
            (0..16).for_each(|_| _ = s.spawn(work));
            done.wait();
            // Headers for all that is to come: those of before may be in the threads' caches.
            make_spans();
            gort::free_os_memory();
            // The heap cannot grow.
            gort::refuse_calls(Call::Protect, libc::ENOMEM, 0, u64::MAX);
            let mut all = Vec::with_capacity((1 << 30) / LARGE);
            while let Some(object) = Object::try_new(layout(LARGE, 8), all.len() as u64) {
                all.push(object);
            }
            gort::refuse_calls(Call::Protect, 0, 0, 0);
            let stats = gort::stats();
            done.wait();
            // A little less than an object between others, and what the threads' caches have.
            assert!(
                stats.heap_idle < 4 * MIB as u64,
                "{} are free, {} in use",
                stats.heap_idle,
                stats.heap_inuse
            );
        });
    });
}
