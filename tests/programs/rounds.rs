//! The rounds of one program: without and with, in turns, and what each said held against the first.

use super::library::Prefix;
use super::process;
use super::report::Progress;
use super::scenario::{Place, Scenario};

/// The rounds, unless somebody says otherwise.
const ROUNDS: u32 = 3;
/// The rounds of a program whose first round takes longer than this: some twenty programs have eight minutes.
const FEW_ROUNDS: u32 = 2;
const LONG_SECONDS: f64 = 8.0;
/// Fewer allocations than this, in all processes together, and the library was there without being used.
const LEAST_ALLOCATIONS: f64 = 100.0;

/// What one run took.
#[derive(Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) seconds: f64,
    /// Of all processors, which says more than the time while others want them too.
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_kib: f64,
    /// Objects that the library allocated, in all processes that could say so; where it counts, in the first round.
    pub(crate) allocations: Option<f64>,
}

/// One round: the figures without, then those under each prefix that has not failed before.
pub(crate) struct Round(pub(crate) Vec<Option<Figures>>);

impl Round {
    /// Under a prefix, by without, of the figure that `of` picks.
    pub(crate) fn ratio(&self, prefix: usize, of: fn(&Figures) -> f64) -> Option<f64> {
        let under = self.0.get(prefix + 1).copied().flatten()?;
        Some(of(&under) / of(&self.0[0]?))
    }
}

/// What became of one program.
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) rounds: Vec<Round>,
    /// The first line says it all, more may follow.
    pub(crate) failure: Option<String>,
    /// It is of the program as it is, or of what all have in common.
    pub(crate) failed_without: bool,
    /// Why the program does not run on under a prefix.
    pub(crate) dropped: Vec<Option<String>>,
}

/// Runs all rounds, or as many as pass.
pub(crate) fn run(
    scenario: &Scenario,
    place: &Place,
    prefixes: &[Prefix],
    rounds: Option<u32>,
    progress: &mut Progress,
) -> Outcome {
    let mut outcome = Outcome {
        name: scenario.name.clone(),
        version: String::new(),
        rounds: Vec::new(),
        failure: None,
        failed_without: false,
        dropped: vec![None; prefixes.len()],
    };
    progress.started(&scenario.name);
    let failure = measure(scenario, place, prefixes, rounds, progress, &mut outcome).err();
    outcome.failed_without = failure.is_some();
    outcome.failure = failure.or_else(|| outcome.dropped.iter().flatten().next().cloned());
    place.done_with(&scenario.name);
    outcome
}

fn measure(
    scenario: &Scenario,
    place: &Place,
    prefixes: &[Prefix],
    asked: Option<u32>,
    progress: &mut Progress,
    outcome: &mut Outcome,
) -> Result<(), String> {
    progress.step("inputs", None);
    outcome.version = scenario.version(place)?;
    for note in scenario.prepare(place)? {
        progress.note(&note);
    }

    let mut rounds = asked.unwrap_or(ROUNDS);
    let mut expected: Option<Vec<u8>> = None;
    let mut number = 1;
    let all = prefixes.len() + 1;
    while number <= rounds {
        let mut figures = vec![None; all];
        for turn in 0..all {
            // Another one goes first in each round, but what is expected is found without; and every second round goes backwards, so that
            // nobody always comes after the same other.
            let step = if number % 2 == 0 { all - turn } else { turn };
            let which = (step + number as usize - 1) % all;
            let prefix = which.checked_sub(1).map(|prefix| &prefixes[prefix]);
            if which > 0 && outcome.dropped[which - 1].is_some() {
                continue;
            }
            let left = (rounds - number) * all as u32 + (all - turn) as u32;
            let who = format!("round {number}, {}", prefix.map_or("glibc", Prefix::name));
            progress.step(&format!("{who} (of {rounds})"), Some(left));
            match one(scenario, place, prefix, number == 1, &who, &mut expected, progress) {
                Ok(run) => figures[which] = Some(run),
                Err(why) if which > 0 && !process::interrupted() => {
                    if prefixes.len() > 1 {
                        progress.note(&format!("{why}: not run again"));
                    }
                    outcome.dropped[which - 1] = Some(why);
                }
                Err(why) => return Err(why),
            }
        }
        let seconds: f64 = figures.iter().flatten().map(|f: &Figures| f.seconds).sum();
        if asked.is_none() && seconds > LONG_SECONDS {
            rounds = FEW_ROUNDS.max(number);
        }
        outcome.rounds.push(Round(figures));
        if outcome.dropped.iter().all(Option::is_some) {
            break;
        }
        number += 1;
    }
    if process::interrupted() { Err("interrupted".to_owned()) } else { Ok(()) }
}

/// One run, that must say what all say.
fn one(
    scenario: &Scenario,
    place: &Place,
    prefix: Option<&Prefix>,
    counted: bool,
    who: &str,
    expected: &mut Option<Vec<u8>>,
    progress: &Progress,
) -> Result<Figures, String> {
    let mut run = scenario.run(place, prefix, counted);
    if let (false, Err(why)) = (prefix.is_some() || process::interrupted(), &run) {
        // Not gort's failure: a program may have bad days of its own.
        progress.note(&format!("{who}, {why}: once more"));
        run = scenario.run(place, None, false);
    }
    let run = run.map_err(|e| format!("{who}, {e}"))?;
    if let Some(n) = run.figures.allocations.filter(|&n| n < LEAST_ALLOCATIONS) {
        return Err(format!("{who}: gort was asked for {n} objects only: something else serves the program"));
    }
    match expected {
        Some(expected) => compare(expected, &run.stdout).map_err(|e| format!("{who}: {e}"))?,
        None if run.stdout.is_empty() => return Err(format!("{who}: prints nothing to compare")),
        None => *expected = Some(run.stdout),
    }
    Ok(run.figures)
}

/// Says where `found` first differs from `expected`.
fn compare(expected: &[u8], found: &[u8]) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let [expected, found] = [expected, found].map(String::from_utf8_lossy);
    let (mut a, mut b) = (expected.lines(), found.lines());
    let mut number = 0;
    loop {
        number += 1;
        match (a.next(), b.next()) {
            (Some(a), Some(b)) if a == b => {}
            (None, None) => return Err("prints other line ends than the first run".to_owned()),
            (a, b) => {
                let [a, b] = [a, b].map(|line| line.unwrap_or("(end)"));
                return Err(format!(
                    "prints something else in line {number}\n    first run: {a}\n    this run:  {b}"
                ));
            }
        }
    }
}
