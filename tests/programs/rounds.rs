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

/// What one run took.
#[derive(Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) seconds: f64,
    /// Of all processors, which says more than the time while others want them too.
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_kib: f64,
}

/// One round.
#[derive(Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) without: Figures,
    pub(crate) with: Figures,
}

impl Pair {
    /// With, by without, of the figure that `of` picks.
    pub(crate) fn ratio(&self, of: fn(&Figures) -> f64) -> f64 {
        of(&self.with) / of(&self.without)
    }
}

/// What became of one program.
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) pairs: Vec<Pair>,
    /// The first line says it all, more may follow.
    pub(crate) failure: Option<String>,
}

/// Runs all rounds, or as many as pass.
pub(crate) fn run(
    scenario: &Scenario,
    place: &Place,
    prefix: &Prefix,
    rounds: Option<u32>,
    progress: &mut Progress,
) -> Outcome {
    let mut outcome =
        Outcome { name: scenario.name.clone(), version: String::new(), pairs: Vec::new(), failure: None };
    progress.started(&scenario.name);
    outcome.failure = measure(scenario, place, prefix, rounds, progress, &mut outcome).err();
    place.done_with(&scenario.name);
    outcome
}

fn measure(
    scenario: &Scenario,
    place: &Place,
    prefix: &Prefix,
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
    let mut round = 1;
    while round <= rounds {
        let mut figures = [None; 2];
        // Another one goes first in each round, but what is expected is found without.
        let order = if round % 2 == 1 { [false, true] } else { [true, false] };
        for (turn, with) in order.into_iter().enumerate() {
            let left = (rounds - round) * 2 + 2 - turn as u32;
            let who = if with { prefix.name() } else { "glibc" };
            progress.step(&format!("round {round} of {rounds}, {who}"), Some(left));
            let mut run = scenario.run(place, with.then_some(prefix));
            if let (false, Err(why)) = (with || process::interrupted(), &run) {
                // Not gort's failure: a program may have bad days of its own.
                progress.note(&format!("round {round}, {who}, {why}: once more"));
                run = scenario.run(place, None);
            }
            let run = run.map_err(|e| format!("round {round}, {who}, {e}"))?;
            match &expected {
                Some(expected) => {
                    compare(expected, &run.stdout).map_err(|e| format!("round {round}, {who}: {e}"))?;
                }
                None if run.stdout.is_empty() => {
                    return Err(format!("run, {who}: prints nothing to compare"));
                }
                None => expected = Some(run.stdout.clone()),
            }
            figures[usize::from(with)] = Some(run.figures);
        }
        if let [Some(without), Some(with)] = figures {
            outcome.pairs.push(Pair { without, with });
            if asked.is_none() && without.seconds + with.seconds > LONG_SECONDS {
                rounds = FEW_ROUNDS.max(round);
            }
        }
        round += 1;
    }
    if process::interrupted() { Err("interrupted".to_owned()) } else { Ok(()) }
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
