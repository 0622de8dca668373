//! What a person reads: on the terminal, and the same as Markdown.

use std::fmt::Write;

use super::judged::{Judged, Measure};
use super::over_time::OverTime;
use super::results::{Kind, Machine, Results};
use super::tables::{self, Form};

/// The machine is called busy from this load per core on.
const BUSY: f64 = 0.25;

/// All of it.
pub(super) fn write(results: &Results, details: bool, form: Form) -> String {
    let judged = [Measure::Time, Measure::Peak].map(|measure| Judged::new(results, measure));
    let mut text = heading(results);
    let mut section =
        |title: &str, explanation: &[String], body: &str| add(&mut text, form, title, explanation, body);
    section("Allocators", &[], &tables::versions(results.allocators.iter(), form));
    for (title, judged) in ["Time", "Peak memory"].iter().zip(&judged) {
        section(title, &explained(judged.measure, results), &tables::ratios(judged, form));
    }
    if details {
        section("Details", &["Medians of the rounds.".to_owned()], &tables::details(results, form));
    }
    let mut verdicts: Vec<String> = judged.iter().filter_map(verdict).collect();
    verdicts.extend(
        results.failures().map(|(row, allocator, why)| format!("{}, {}: {why}", row.label(), allocator.name)),
    );
    let separator = if form == Form::Markdown { "\n\n" } else { "\n" };
    section("In short", &[], &verdicts.join(separator));
    text
}

/// What `--over-time` has seen.
pub(super) fn over_time(seen: &OverTime, form: Form) -> String {
    let what = if seen.is_phases() { "while its load changes" } else { "after a spike" };
    let mut text = format!(
        "gort {}: what a process holds {what}; {} {}, on {}.\n",
        seen.gort,
        seen.workload,
        seen.set.join(" "),
        place(&seen.machine)
    );
    let allocators = seen.series.iter().map(|series| &series.allocator);
    add(&mut text, form, "Allocators", &[], &tables::versions(allocators, form));
    let mut section = |title: &str, explanation: &str, table: &str| {
        add(&mut text, form, title, &[explanation.to_owned()], table);
    };
    if seen.is_phases() {
        section(
            "Memory over time",
            "Resident bytes for each live one when phases were full, mean and most; MiB of that when they were over; at its peak; and on average.",
            &tables::of_phases(seen, form),
        );
        section(
            "Phase by phase",
            "MiB that were alive when the phase was full and when it was over, and resident bytes for each live one then.",
            &tables::by_phase(seen, form),
        );
    } else {
        section(
            "Memory over time",
            "Resident memory of the process at its peak, and so long after the load was over.",
            &tables::over_time(seen, form),
        );
    }
    for (allocator, why) in seen.failures() {
        let _ = writeln!(text, "\n{allocator}: {why}");
    }
    text
}

/// A section.
fn add(text: &mut String, form: Form, title: &str, explanation: &[String], body: &str) {
    let (mark, gap, line_end) = match form {
        Form::Terminal => ("", "\n", "\n"),
        Form::Markdown => ("### ", "\n\n", " "),
    };
    let explanation = explanation.join(line_end);
    let gap_after = if explanation.is_empty() { "" } else { gap };
    let _ = write!(text, "\n{mark}{title}{gap}{explanation}{gap_after}{body}\n");
}

/// Sentences, each of which is a line on a terminal.
fn explained(measure: Measure, results: &Results) -> Vec<String> {
    let what = if results.kind == Kind::Programs { "the load" } else { "the work itself" };
    let rounds = rounds(results);
    let mut lines = match measure {
        Measure::Time => vec![
            format!("Time of {what}, median of {rounds}, by the fastest of the row."),
            "To best peer: gort by the fastest of the others, and how far the rounds of either spread, by the same.".to_owned(),
            "The spread goes from the least to the most of the middle half of the rounds: of five, all but the two at the ends.".to_owned(),
            "Where it is more than the two differ, the row is noisy.".to_owned(),
        ],
        Measure::Peak => vec![
            format!("Peak resident memory of the process, median of {rounds}, by the leanest of the row."),
            "To lean peer: gort by the leanest of the three fastest others.".to_owned(),
        ],
    };
    if results.failures().next().is_some() {
        lines.push("A star: the mean of those rows that the allocator has completed.".to_owned());
    }
    lines
}

fn rounds(results: &Results) -> String {
    match results.settings.rounds {
        1 => "one round".to_owned(),
        n => format!("{n} rounds"),
    }
}

/// What was measured, where, and what is special about it.
fn heading(results: &Results) -> String {
    let (machine, settings) = (&results.machine, &results.settings);
    let peers: Vec<&str> = results.allocators.iter().filter(|a| !a.ours).map(|a| a.name.as_str()).collect();
    let count = results.rows.len();
    let mut text = format!(
        "gort {} beside {}: {} {}, {} in turns, on {}.\n",
        results.gort,
        peers.join(", "),
        count,
        match (results.kind, count) {
            (Kind::Programs, 1) => "program",
            (Kind::Programs, _) => "programs",
            (_, 1) => "row",
            (_, _) => "rows of a workload and a seed",
        },
        rounds(results),
        place(machine),
    );
    if settings.quick {
        let _ = writeln!(text, "Quick: few rounds of little work, for a glance and not to be quoted.");
    }
    if settings.scale != 1.0 {
        let _ = writeln!(text, "Each workload did {} times its usual work.", settings.scale);
    }
    if !settings.set.is_empty() {
        let _ = writeln!(text, "Set by hand: {}.", settings.set.join(", "));
    }
    if !settings.environment.is_empty() {
        let all: Vec<String> =
            settings.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let _ = writeln!(text, "In the environment: {}.", all.join(", "));
    }
    if machine.load > BUSY * machine.cores as f64 {
        let _ =
            writeln!(text, "The machine was busy with other work when this began: load {:.2}.", machine.load);
    }
    text
}

fn place(machine: &Machine) -> String {
    format!(
        "{}, {} cores, {:.0} GiB, Linux {}, huge pages: {}",
        machine.processor,
        machine.cores,
        machine.memory_bytes as f64 / f64::from(1 << 30),
        machine.kernel,
        machine.huge_pages,
    )
}

/// How many rows have which end, and the worst; nothing if gort was held against no one.
fn verdict(judged: &Judged) -> Option<String> {
    let tally = judged.tally();
    let rows = tally.won + tally.noise + tally.lost + tally.failed;
    if rows == 0 {
        return None;
    }
    let (name, won, lost) = match judged.measure {
        Measure::Time => ("Time", "first", "behind"),
        Measure::Peak => ("Peak memory", "lean", "heavier"),
    };
    let mut text = format!(
        "{name}: of {rows} rows gort is {won} on {}, {lost} on {}, noisy on {}",
        tally.won, tally.lost, tally.noise
    );
    if tally.failed > 0 {
        let _ = write!(text, ", crashed on {}", tally.failed);
    }
    if let Some(ratio) = judged.against_peer.ratio {
        let _ = write!(text, "; geometric mean to the peer {}", tables::ratio(ratio));
    }
    if let Some((label, ratio, peer)) = judged.worst() {
        let _ = write!(text, "; worst: {label}, {} times {peer}", tables::ratio(ratio));
    }
    text.push('.');
    if tally.noise * 2 > rows {
        text.push_str(" The machine was too noisy to tell on most rows: more rounds (--rounds), or less other work, may tell.");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::super::judged::tests::results;
    use super::*;

    #[test]
    fn losses_are_as_plain_as_wins() {
        let results = results(&[
            &[Some((1.0, 40.0)), Some((2.0, 20.0))],
            &[Some((3.0, 10.0)), Some((2.0, 20.0))],
            &[None, Some((2.0, 20.0))],
        ]);
        for form in [Form::Terminal, Form::Markdown] {
            let text = write(&results, true, form);
            for line in [
                "Time: of 3 rows gort is first on 1, behind on 1, noisy on 0, crashed on 1; geometric mean to the peer 0.87; \
                 worst: row1 seed 1, 1.50 times glibc.",
                "Peak memory: of 3 rows gort is lean on 1, heavier on 1, noisy on 0, crashed on 1; geometric mean to the peer \
                 1.00; worst: row0 seed 1, 2.00 times glibc.",
                "row2 seed 1, gort: signal: 11 (SIGSEGV)",
            ] {
                assert!(text.contains(line), "{line} is not in:\n{text}");
            }
        }
    }

    #[test]
    fn a_machine_that_is_too_noisy_is_named() {
        let mut results = results(&[&[Some((1.0, 1.0)), Some((1.1, 1.0))]]);
        for cell in &mut results.rows[0].cells {
            cell.runs[0].seconds *= 2.0;
        }
        assert!(write(&results, false, Form::Terminal).contains("too noisy to tell on most rows"));
    }

    #[test]
    fn what_is_special_is_said() {
        let mut results = results(&[&[Some((1.0, 1.0)), Some((1.1, 1.0))]]);
        let plain = heading(&results);
        assert_eq!(plain.lines().count(), 1, "{plain}");
        results.settings.quick = true;
        results.settings.scale = 0.5;
        results.settings.set = vec!["threads=4".to_owned()];
        results.settings.environment.insert("MALLOC_ARENA_MAX".to_owned(), "1".to_owned());
        results.machine.load = 1.5;
        let special = heading(&results);
        for word in ["Quick", "0.5 times", "threads=4", "MALLOC_ARENA_MAX=1", "busy"] {
            assert!(special.contains(word), "{word} is not in {special}");
        }
    }
}
