//! Asynchronous tasks.

use super::Workload;
use crate::job::{Job, Outcome, Sum, mix, parameter};
use std::future::Future;
use std::pin::Pin;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;

pub(super) const ROWS: &[Workload] = &[Workload {
    name: "async-tasks",
    group: "passing between threads",
    about: "tasks of a tokio runtime, each with a few boxed futures, a request to another task and an answer",
    published: "none",
    threads: 2,
    parameters: &[
        parameter("rounds", 200, "how many waves of tasks"),
        parameter("tasks", 2000, "how many tasks of a wave"),
        parameter("depth", 4, "how many boxed futures await each other in a task"),
        parameter("threads", 2, "how many worker threads"),
    ],
    run: async_tasks,
}];

/// A question, and where the answer goes.
struct Request {
    question: Vec<u8>,
    answer: oneshot::Sender<String>,
}

fn nested(depth: usize, tag: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if depth == 0 {
            yield_now().await;
            return tag;
        }
        mix(nested(depth - 1, tag).await.wrapping_add(depth as u64))
    })
}

async fn task(number: u64, tag: u64, depth: usize, ask: mpsc::Sender<Request>) -> Sum {
    let mut sum = Sum::default();
    let tag = nested(depth, tag).await;
    let (answer, answered) = oneshot::channel();
    let question = format!("{number}: {tag:x}").into_bytes();
    if ask.send(Request { question, answer }).await.is_ok() {
        sum.text(&answered.await.expect("every request is answered"));
    }
    sum
}

/// Objects of one worker that are dropped by another, as tasks move: futures, channels, buffers.
fn async_tasks(job: &Job) -> Outcome {
    let (rounds, tasks, depth) = (job.times("rounds"), job.get("tasks") as u64, job.get("depth"));
    let mut random = job.random(0);
    let runtime = Builder::new_multi_thread().worker_threads(job.get("threads")).build().expect("a runtime");
    job.measure(rounds * tasks, || {
        runtime.block_on(async {
            let (ask, mut asked) = mpsc::channel::<Request>(64);
            let answers = tokio::spawn(async move {
                while let Some(Request { question, answer }) = asked.recv().await {
                    // A task that ended without waiting is none of this one's business.
                    let _ = answer.send(String::from_utf8_lossy(&question).to_uppercase());
                }
            });
            let mut sum = Sum::default();
            for _ in 0..rounds {
                let start = |number| tokio::spawn(task(number, random.word(), depth, ask.clone()));
                let wave: Vec<_> = (0..tasks).map(start).collect();
                for one in wave {
                    sum += one.await.expect("a task that does not panic");
                }
            }
            drop(ask);
            answers.await.expect("a task that does not panic");
            sum
        })
    })
}
