//! A server whose load changes: what the survivors of one phase cost the next.

use super::{Workload, mixed, parallel};
use crate::Random;
use crate::job::{Job, Mark, Outcome, Sum, parameter};
use mixed::{count, filled};
use std::fs;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

pub(super) const ROWS: &[Workload] = &[Workload {
    name: "phases",
    group: mixed::GROUP,
    about: "a server whose sizes change: each phase fills the heap, works, and leaves a twentieth behind, for good",
    published: "none",
    threads: 1,
    parameters: &[
        parameter("phases", 5, "how many phases"),
        parameter("bytes", 16 << 20, "how much is alive in a phase, of all threads"),
        parameter("turnover", 2, "how many times as many objects are replaced"),
        parameter("rest", 0, "milliseconds of idling after each phase"),
        parameter("threads", 1, "how many threads, in the same phase; each is left with what another leaves"),
        parameter(
            "mixes",
            0,
            "draw so many mixes of sizes, amounts and survivors instead of five fixed ones",
        ),
        parameter("lives", 0, "what is left behind goes after at most so many phases; 0 is for good"),
        parameter(
            "pace",
            0,
            "milliseconds that a phase takes at least; if set, memory is looked at in each phase",
        ),
    ],
    run: phases,
}];

/// What a phase has.
#[derive(Clone, Copy)]
struct Mix {
    smallest: usize,
    largest: usize,
    /// Whether each order of magnitude is as likely as another, or each size.
    skewed: bool,
    /// Of the bytes that may be alive, so many sixteenths are.
    sixteenths: usize,
    /// One object in so many is left behind.
    left: usize,
}

/// After the last the first comes again.
const FIXED: [(usize, usize); 5] = [(16, 64), (500, 700), (80, 160), (3000, 12_000), (24, 2000)];

impl Mix {
    /// Small, middling or large objects, or all of them; few or many; from one in five to one in 50 stays.
    fn any(random: &mut Random) -> Self {
        let smallest = random.skewed(16..=4 << 10);
        let largest = (smallest << (1 + random.below(8))).min(128 << 10);
        let (skewed, sixteenths) = (random.below(3) > 0, random.within(4..=16));
        Self { smallest, largest, skewed, sixteenths, left: random.within(5..=50) }
    }

    fn size(self, random: &mut Random) -> usize {
        let range = self.smallest..=self.largest;
        if self.skewed { random.skewed(range) } else { random.within(range) }
    }

    /// Objects that a phase has, of so many bytes.
    fn live(self, bytes: usize) -> usize {
        let mean = match self.skewed {
            // Each doubling is as likely as another, and its mean is one and a half times its start.
            true => {
                let doublings = (self.largest / self.smallest).ilog2() as usize + 1;
                self.smallest * 3 / 2 * ((1 << doublings) - 1) / doublings
            }
            false => (self.smallest + self.largest).div_ceil(2),
        };
        (bytes * self.sixteenths / 16 / mean).max(1)
    }
}

/// An object that outlives its phase.
struct Left {
    object: Vec<u64>,
    /// The phase before which it goes.
    until: u64,
}

fn mixes(job: &Job) -> Vec<Mix> {
    let mut random = job.random(u64::MAX);
    match job.get("mixes") {
        0 => FIXED
            .iter()
            .map(|&(smallest, largest)| Mix { smallest, largest, skewed: false, sixteenths: 16, left: 20 })
            .collect(),
        n => (0..n).map(|_| Mix::any(&mut random)).collect(),
    }
}

fn bytes(object: &[u64]) -> u64 {
    size_of_val(object) as u64
}

/// What a long-lived server does to a heap: few survivors of each phase hold pages that the next one, of other sizes, cannot use.
fn phases(job: &Job) -> Outcome {
    let (phases, threads, turnover) = (job.times("phases"), job.get("threads"), job.get("turnover"));
    let (share, lives) = (job.get("bytes") / threads, job.get("lives") as u64);
    let [rest, pace] = ["rest", "pace"].map(|name| Duration::from_millis(job.get(name) as u64));
    let mixes = mixes(job);
    let mix = |phase: u64| mixes[phase as usize % mixes.len()];
    let live = |phase: u64| mix(phase).live(share);
    let operations = (0..phases).map(|phase| (live(phase) * threads * (1 + turnover)) as u64).sum();
    let left: Vec<Mutex<Vec<Left>>> = (0..threads).map(|_| Mutex::default()).collect();
    let (together, alive) = (Barrier::new(threads), AtomicU64::new(0));
    let (marks, started) = (Mutex::new(Vec::new()), Instant::now());
    // All wait, one looks, and all go on.
    let look = || {
        if together.wait().is_leader() && !pace.is_zero() {
            let mark = Mark {
                seconds: started.elapsed().as_secs_f64(),
                live: alive.load(Relaxed),
                resident: resident(),
            };
            marks.lock().expect("no thread panics").push(mark);
        }
        together.wait();
    };
    let work = |thread: u64| {
        let (mut random, mut sum) = (job.random(thread), Sum::default());
        let next = (thread as usize + 1) % threads;
        for phase in 0..phases {
            let began = Instant::now();
            let (mix, live) = (mix(phase), live(phase));
            let mut objects: Vec<_> = (0..live as u64).map(|i| filled(mix.size(&mut random), i)).collect();
            for i in 0..(live * turnover) as u64 {
                let at = random.below(live);
                count(&mut sum, &objects[at]);
                objects[at] = filled(mix.size(&mut random), i);
            }
            alive.fetch_add(objects.iter().map(|object| bytes(object)).sum(), Relaxed);
            look();
            let mut gone = 0;
            let mut ours = mem::take(&mut *left[thread as usize].lock().expect("no thread panics"));
            for object in objects {
                if random.below(mix.left) == 0 {
                    let until =
                        if lives > 0 { phase + 1 + random.below(lives as usize) as u64 } else { u64::MAX };
                    ours.push(Left { object, until });
                } else {
                    gone += bytes(&object);
                    count(&mut sum, &object);
                }
            }
            ours.retain(|left| {
                let stays = left.until > phase;
                if !stays {
                    gone += bytes(&left.object);
                    count(&mut sum, &left.object);
                }
                stays
            });
            alive.fetch_sub(gone, Relaxed);
            look();
            *left[next].lock().expect("no thread panics") = ours;
            thread::sleep(rest.max(pace.saturating_sub(began.elapsed())));
            // Nobody takes what is left before it is there.
            together.wait();
        }
        sum
    };
    let mut outcome = job.measure(operations, || {
        let mut sum = if threads == 1 { work(0) } else { parallel(threads as u64, work) };
        let all = left.iter().flat_map(|left| mem::take(&mut *left.lock().expect("no thread panics")));
        all.for_each(|left| count(&mut sum, &left.object));
        sum
    });
    outcome.marks = marks.into_inner().expect("no thread panics");
    outcome
}

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
