//! Objects that one thread makes and another drops.

use super::{Workload, parallel, piece};
use crate::job::{Job, Outcome, Parameter, Sum, parameter};
use std::mem;
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;
use std::thread;

const GROUP: &str = "passing between threads";

const fn one_way(producers: u64, batches: u64) -> [Parameter; 5] {
    [
        parameter("batches", batches, "how many batches each producer makes"),
        parameter("batch", 200, "objects of a batch"),
        parameter("smallest", 16, "bytes of the smallest object"),
        parameter("largest", 256, "bytes of the largest object"),
        parameter("producers", producers, "threads that only allocate; one more only frees"),
    ]
}

pub(super) const ROWS: &[Workload] = &[
    Workload {
        name: "xmalloc-1-1",
        group: GROUP,
        about: "one thread only allocates, another only frees",
        published: "xmalloc-test",
        threads: 2,
        parameters: &one_way(1, 35_000),
        run: xmalloc,
    },
    Workload {
        name: "xmalloc-3-1",
        group: GROUP,
        about: "three threads only allocate, a fourth only frees",
        published: "xmalloc-test",
        threads: 4,
        parameters: &one_way(3, 8000),
        run: xmalloc,
    },
    Workload {
        name: "channel-batches",
        group: GROUP,
        about: "records in batches over channels: one thread makes them, one rewrites them, one sums them up",
        published: "xmalloc-test, with a user's code around it",
        threads: 3,
        parameters: &[
            parameter("batches", 8000, "how many batches"),
            parameter("batch", 100, "records of a batch"),
            parameter("fields", 3, "strings of a record"),
        ],
        run: pipeline,
    },
    Workload {
        name: "rptest",
        group: GROUP,
        about: "threads with objects of 16 B to 64 KB, each of which gives a third of its objects to the next to drop",
        published: "rptest (rpmalloc-benchmark)",
        threads: 2,
        parameters: &[
            parameter("loops", 70, "how many loops each thread does"),
            parameter("objects", 5000, "how many objects in each loop"),
            parameter("smallest", 16, "bytes of the smallest object"),
            parameter("largest", 64 << 10, "bytes of the largest object"),
            parameter("threads", 2, "how many threads"),
        ],
        run: rptest,
    },
];

/// A producer's heap only shrinks, the consumer's only grows: what is freed must find its way back.
fn xmalloc(job: &Job) -> Outcome {
    let (batches, batch, producers) =
        (job.times("batches"), job.get("batch") as u64, job.get("producers") as u64);
    let (smallest, largest) = (job.get("smallest"), job.get("largest"));
    job.measure(producers * batches * batch, || {
        thread::scope(|s| {
            let (send, receive) = sync_channel::<Vec<Vec<u64>>>(16);
            for producer in 0..producers {
                let send = send.clone();
                s.spawn(move || {
                    let mut random = job.random(producer);
                    for _ in 0..batches {
                        let object = |i| piece(random.within(smallest..=largest), i);
                        send.send((0..batch).map(object).collect()).expect("the consumer takes all");
                    }
                });
            }
            drop(send);
            let mut sum = Sum::default();
            receive.into_iter().flatten().for_each(|object| sum.add(object[0] + object.capacity() as u64));
            sum
        })
    })
}

struct Record {
    number: u64,
    fields: Vec<String>,
}

/// A program in stages, as parsers, encoders and loggers are.
fn pipeline(job: &Job) -> Outcome {
    let (batches, batch, fields) = (job.times("batches"), job.get("batch") as u64, job.get("fields"));
    job.measure(batches * batch, || {
        thread::scope(|s| {
            let (send, read) = sync_channel::<Vec<Record>>(8);
            let (rewritten, receive) = sync_channel::<Vec<Record>>(8);
            s.spawn(move || {
                let mut random = job.random(0);
                let mut field = |number: u64| format!("{number}: {:x}", random.word() >> random.below(60));
                for i in 0..batches {
                    let record =
                        |number| Record { number, fields: (0..fields).map(|_| field(number)).collect() };
                    send.send((i * batch..(i + 1) * batch).map(record).collect())
                        .expect("the next stage takes all");
                }
            });
            s.spawn(move || {
                for mut records in read {
                    for field in records.iter_mut().flat_map(|record| &mut record.fields) {
                        *field = field.to_uppercase();
                    }
                    rewritten.send(records).expect("the last stage takes all");
                }
            });
            let mut sum = Sum::default();
            for record in receive.into_iter().flatten() {
                sum.add(record.number);
                record.fields.iter().for_each(|field| sum.text(field));
            }
            sum
        })
    })
}

/// Every size there is, and a part of the frees on another thread than the allocation.
fn rptest(job: &Job) -> Outcome {
    let (loops, objects, threads) = (job.times("loops"), job.get("objects") as u64, job.get("threads"));
    let (smallest, largest) = (job.get("smallest"), job.get("largest"));
    let boxes: Vec<Mutex<Vec<Vec<u64>>>> = (0..threads).map(|_| Mutex::default()).collect();
    let count = |sum: &mut Sum, object: &Vec<u64>| sum.add(object[0] + object.capacity() as u64);
    job.measure(threads as u64 * loops * objects, || {
        let mut sum = parallel(threads as u64, |thread| {
            let (mut random, mut sum) = (job.random(thread), Sum::default());
            let next = &boxes[(thread as usize + 1) % threads];
            for _ in 0..loops {
                let mut own: Vec<_> =
                    (0..objects).map(|i| piece(random.skewed(smallest..=largest), i)).collect();
                let given = own.split_off(own.len() - own.len() / 3);
                next.lock().expect("no thread panics").extend(given);
                // In no order, as lives end.
                while !own.is_empty() {
                    let object = own.swap_remove(random.below(own.len()));
                    count(&mut sum, &object);
                }
                let got = mem::take(&mut *boxes[thread as usize].lock().expect("no thread panics"));
                got.iter().for_each(|object| count(&mut sum, object));
            }
            sum
        });
        for left in &boxes {
            mem::take(&mut *left.lock().expect("no thread panics"))
                .iter()
                .for_each(|object| count(&mut sum, object));
        }
        sum
    })
}
