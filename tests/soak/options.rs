//! What the command line asks for: by hand in words of our own, by `cargo test` in those of its harness.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::common::given_seed;
use crate::driver::{MOST_THREADS, Plan};
use crate::plant::Plant;

/// What this test is called for filters.
const NAME: &str = "soak";
const DEFAULT_SEED: u64 = 1;
/// How long `cargo test` has it run.
const SHORT: f64 = 1.0;
/// The harness's options that have a value.
const WITH_VALUE: [&str; 4] = ["--skip", "--test-threads", "--format", "--color"];

/// Lets threads do everything to one heap for a while, and checks what comes of it
#[derive(Parser)]
#[command(name = "soak")]
pub(crate) struct Options {
    /// How long
    #[arg(long, value_parser = minutes)]
    minutes: Option<f64>,
    /// Decides the choices of all threads, in decimal or 0x and hexadecimal [default: GORT_TEST_SEED, or 1]
    #[arg(long, value_parser = seed)]
    seed: Option<u64>,
    /// The most threads at a time
    #[arg(long, default_value_t = MOST_THREADS as u64, value_parser = clap::value_parser!(u64).range(2..=2_000))]
    threads: u64,
    /// The most MiB of objects that are to be alive; those of a mapping of their own come on top
    #[arg(long, default_value_t = 512, value_name = "MIB", value_parser = clap::value_parser!(u64).range(32..=1 << 20))]
    live: u64,
    /// Draw what was alive, what was resident and what could have been
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
    /// Write the same in figures, a line of JSON for each look
    #[arg(long, value_name = "FILE.jsonl")]
    pub(crate) samples: Option<PathBuf>,
    /// Do something wrong on purpose, which must be found
    #[arg(long, value_enum)]
    plant: Option<Plant>,
}

/// What is to be done.
pub(crate) enum Asked {
    /// The harness's filter leaves it out, or help was printed.
    Nothing,
    Refused(String),
    ByHarness(Options),
    ByHand(Options),
}

fn minutes(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|n: &f64| (0.01..=100_000.0).contains(n));
    number.ok_or_else(|| "not a number from 0.01 to 100000".to_owned())
}

fn seed(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|e| e.to_string())
}

impl Options {
    pub(crate) fn asked() -> Asked {
        let given: Vec<String> = env::args().skip(1).collect();
        let ours =
            ["--minutes", "--seed", "--threads", "--live", "--plot", "--samples", "--plant", "--help", "-h"];
        if !given.iter().any(|arg| ours.contains(&arg.split('=').next().unwrap_or_default())) {
            let nothing = given.iter().any(|arg| arg == "--list") || is_left_out(&given);
            return if nothing { Asked::Nothing } else { Asked::ByHarness(Self::parse_from([NAME])) };
        }
        match Self::try_parse() {
            Ok(options) => Asked::ByHand(options),
            Err(e) if !e.use_stderr() => {
                let _ = e.print();
                Asked::Nothing
            }
            Err(e) => {
                let text = e.to_string();
                Asked::Refused(
                    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned(),
                )
            }
        }
    }

    pub(crate) fn plan(&self) -> Plan {
        Plan {
            time: Duration::from_secs_f64(60.0 * self.minutes.unwrap_or(SHORT)),
            seed: self.seed.or_else(given_seed).unwrap_or(DEFAULT_SEED),
            most_live: self.live << 20,
            most_threads: self.threads as usize,
            by_hand: self.minutes.is_some_and(|minutes| minutes >= 1.0),
            plant: self.plant,
        }
    }
}

/// Whether a filter of the harness names other tests, or leaves this one out.
fn is_left_out(given: &[String]) -> bool {
    let (mut names, mut skipped, mut args) = (vec![], vec![], given.iter());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--skip" => skipped.extend(args.next()),
            option if WITH_VALUE.contains(&option) => drop(args.next()),
            option if option.starts_with('-') => {}
            _ => names.push(arg),
        }
    }
    let named = names.is_empty() || names.iter().any(|name| NAME.contains(name.as_str()));
    !named || skipped.iter().any(|name| NAME.contains(name.as_str()))
}
