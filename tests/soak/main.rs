//! The soak: threads in changing numbers do everything to one heap that programs do, for as long as one likes, and what is alive is known.
//!
//! Two to two hundred threads come and go. They allocate through all doors objects of sizes from ever other mixes, fill them, check them
//! when they are freed, resize them, pass them to each other and inherit them from threads that have ended. Some fork, and their children
//! go on with what they have. Memory limits are set and lifted, free memory is given back, and readers look at the statistics all the time.
//! Held against books that are kept beside the heap (`books`):
//!
//! - each reading of the statistics lies between what was done before it and what had begun after it, class by class (`reader`);
//! - when all threads rest, the counts are the books', to the object and the byte;
//! - what is resident stays under a bound made of what is alive, while threads go on and, tighter, at rest (`bound`);
//! - at the end as many objects and bytes are alive as at the start, and the memory is back with the kernel.
//!
//! Every thread makes its choices from the printed seed and its own number; how they meet is the scheduler's. Time only says how long: no
//! check is of time.
//!
//! ```text
//! cargo test --release --test soak                                            a minute; and that planted errors are found
//! cargo test --release --test soak -- --minutes 60 --plot soak.svg            by hand
//! ```

#[path = "../common/mod.rs"]
mod common;

mod actor;
mod books;
mod bound;
mod driver;
mod options;
mod plant;
mod plot;
mod progress;
mod reader;
mod thing;
mod world;

use std::fs;
use std::process::ExitCode;

use bound::Sample;
use driver::{Outcome, Plan};
use options::{Asked, Options};

#[global_allocator]
static GLOBAL: books::Booked = books::Booked;

fn main() -> ExitCode {
    plant::failures_end_the_process();
    match Options::asked() {
        Asked::Nothing => ExitCode::SUCCESS,
        Asked::Refused(why) => {
            eprintln!("soak: {why}");
            ExitCode::from(2)
        }
        Asked::ByHarness(options) => {
            plant::all_are_found();
            soak(&options)
        }
        Asked::ByHand(options) => soak(&options),
    }
}

fn soak(options: &Options) -> ExitCode {
    let plan = options.plan();
    println!(
        "soak: seed {:#x}, {} s, up to {} threads, up to {} MiB alive",
        plan.seed,
        plan.time.as_secs_f64(),
        plan.most_threads,
        plan.most_live >> 20
    );
    let outcome = driver::run(&plan);
    println!("{outcome}");
    let written = write(options, &plan, &outcome);
    if let Err(why) = &written {
        eprintln!("soak: {why}");
    }
    ExitCode::from(u8::from(written.is_err()))
}

fn write(options: &Options, plan: &Plan, outcome: &Outcome) -> Result<(), String> {
    let save = |path: &std::path::Path, text: String| {
        fs::write(path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))
    };
    if let Some(path) = &options.samples {
        let lines: Result<Vec<_>, _> = outcome.samples.iter().map(serde_json::to_string::<Sample>).collect();
        save(path, lines.map_err(|e| e.to_string())?.join("\n") + "\n")?;
    }
    if let Some(path) = &options.plot {
        save(path, plot::svg(plan, outcome).map_err(|e| format!("cannot draw: {e}"))?)?;
    }
    Ok(())
}
