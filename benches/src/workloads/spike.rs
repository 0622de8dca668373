//! A load that comes and goes: how much memory does the process have afterwards?

use super::{Workload, mixed, piece};
use crate::job::{Job, Outcome, Sum, parameter};
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// Between the requests of an idle server.
const PULSE: Duration = Duration::from_millis(10);

pub(super) const ROWS: &[Workload] = &[Workload {
    name: "spike",
    group: mixed::GROUP,
    about: "threads make very many small objects and drop them all; the next spike finds what was kept",
    published: "none",
    threads: 2,
    parameters: &[
        parameter("spikes", 3, "how many spikes"),
        parameter("objects", 600_000, "how many objects each thread has at the top of a spike"),
        parameter("smallest", 16, "bytes of the smallest object"),
        parameter("largest", 256, "bytes of the largest object"),
        parameter("threads", 2, "how many threads"),
        parameter("hold", 0, "milliseconds for which the process stays afterwards, and its threads wait"),
        parameter("pulse", 0, "how many objects the main thread makes and drops every 10 ms meanwhile"),
    ],
    run: spike,
}];

fn spike(job: &Job) -> Outcome {
    let (spikes, threads, objects) = (job.times("spikes"), job.get("threads"), job.get("objects"));
    let (smallest, largest) = (job.get("smallest"), job.get("largest"));
    let load = |random: &mut crate::Random, sum: &mut Sum| {
        let all: Vec<_> = (0..objects).map(|i| piece(random.within(smallest..=largest), i as u64)).collect();
        sum.add(all.iter().map(|object| object[0] + object.capacity() as u64).sum());
    };
    let (done, all_done) = channel();
    // The threads outlive the load, as those of a server do.
    let end = Barrier::new(threads + 1);
    thread::scope(|s| {
        let outcome = job.measure(spikes * (threads * objects) as u64, || {
            for thread in 0..threads as u64 {
                let (done, end) = (done.clone(), &end);
                s.spawn(move || {
                    let (mut random, mut sum) = (job.random(thread), Sum::default());
                    for _ in 0..spikes {
                        load(&mut random, &mut sum);
                    }
                    done.send(sum).expect("somebody waits");
                    end.wait();
                });
            }
            all_done.iter().take(threads).sum()
        });
        hold(job);
        end.wait();
        outcome
    })
}

fn hold(job: &Job) {
    let (time, pulse) = (Duration::from_millis(job.get("hold") as u64), job.get("pulse") as u64);
    let started = Instant::now();
    while let Some(left) = time.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) {
        thread::sleep(if pulse > 0 { left.min(PULSE) } else { left });
        let all: Vec<_> = (0..pulse).map(|i| piece(64, i)).collect();
        drop(black_box(all));
    }
}
