//! The runner: a process for each model, two at a time, and a line for each.

use std::process::{Command, ExitCode, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::{env, thread};

use crate::models::ALL;
use crate::weakened;

/// Says that this process is to run one model.
const ONE: &str = "GORT_MODEL";

/// How `timeout` ends when the program did not: the model found nothing, as far as it came.
const TIMED_OUT: i32 = 124;

fn child(name: &str, seconds: &str) -> Output {
    let exe = env::current_exe().expect("the program knows where it is");
    let child =
        Command::new("timeout").arg(seconds).arg(exe).env(ONE, name).env("RUST_BACKTRACE", "0").output();
    child.expect("the program runs")
}

pub(crate) fn main() -> ExitCode {
    if let Ok(name) = env::var(ONE) {
        let (_, model) = ALL.iter().find(|(n, _)| *n == name).expect("the name of a model");
        model();
        return ExitCode::SUCCESS;
    }
    let mut wanted: Vec<String> = env::args().skip(1).collect();
    if wanted.first().is_some_and(|w| w == "--weakened") {
        return weakened::main(&wanted[1..]);
    }
    if wanted.is_empty() {
        weakened::check_places();
    }
    // A model that goes wrong may go on for ever.
    let mut seconds = "300".to_owned();
    if wanted.first().is_some_and(|w| w == "--seconds") {
        seconds = wanted.drain(..2).nth(1).expect("a number of seconds");
    }
    let chosen: Vec<_> = ALL
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| wanted.is_empty() || wanted.iter().any(|w| name.starts_with(w.as_str())))
        .collect();
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(0));
    thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                while let Some(name) = chosen.get(next.fetch_add(1, Relaxed)) {
                    let out = child(name, &seconds);
                    let said = String::from_utf8_lossy(&out.stdout);
                    let mut failed = failed.lock().expect("nobody failed");
                    if out.status.success() {
                        println!("model {name} ... ok ({})", said.trim().replace('\n', "; "));
                    } else {
                        *failed += 1;
                        let what = if out.status.code() == Some(TIMED_OUT) { "NOT DONE" } else { "FAILED" };
                        println!("model {name} ... {what} ({})", out.status);
                        print!("{said}{}", String::from_utf8_lossy(&out.stderr));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("nobody failed");
    println!("{} passed, {failed} failed", chosen.len() - failed);
    ExitCode::from(u8::from(failed > 0 || chosen.is_empty()))
}
