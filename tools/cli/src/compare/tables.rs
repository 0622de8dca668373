//! The tables: for a terminal, and as Markdown.

use comfy_table::{CellAlignment, Table, presets};

use super::judged::{Contest, Judged, JudgedRow, Mean, Measure};
use super::over_time::{OverTime, Series};
use super::results::{Allocator, Results};
use super::statistics::{Figure, Verdict};
use super::workloads::Mark;

/// Where a table goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Terminal,
    Markdown,
}

impl Form {
    fn render(self, header: &[String], rows: Vec<Vec<String>>, words: &[&str]) -> String {
        let mut table = Table::new();
        table.load_style(match self {
            Self::Terminal => presets::NOTHING,
            Self::Markdown => presets::ASCII_MARKDOWN,
        });
        table.set_header(header.to_vec());
        table.add_rows(rows);
        for (column, title) in table.column_iter_mut().zip(header) {
            let aligned =
                if words.contains(&title.as_str()) { CellAlignment::Left } else { CellAlignment::Right };
            column.set_cell_alignment(aligned);
        }
        table.trim_fmt()
    }

    fn strong(self, text: String) -> String {
        if self == Self::Markdown && !text.is_empty() { format!("**{text}**") } else { text }
    }
}

/// The columns that hold words, which begin on the left.
const WORDS: [&str; 6] = ["workload", "program", "allocator", "version", "build", "gort is"];

/// Each allocator beside the best on each row, and what that says of gort.
pub(super) fn ratios(judged: &Judged, form: Form) -> String {
    let seeds = judged.rows.iter().any(|row| row.row.seed.is_some());
    let mut header = vec![if seeds { "workload" } else { "program" }];
    header.extend(seeds.then_some("seed"));
    header.push(match judged.measure {
        Measure::Time => "fastest",
        Measure::Peak => "leanest",
    });
    header.extend(judged.allocators.iter().map(|a| a.name.as_str()));
    header.extend([
        match judged.measure {
            Measure::Time => "to best peer",
            Measure::Peak => "to lean peer",
        },
        "spread",
        "gort is",
    ]);
    let header: Vec<String> = header.into_iter().map(str::to_owned).collect();
    let mut rows: Vec<Vec<String>> = judged.rows.iter().map(|row| line(judged, row, seeds, form)).collect();
    let mut means = vec![form.strong("geometric mean".to_owned())];
    means.extend(seeds.then(String::new));
    means.push(String::new());
    means.extend(judged.means.iter().map(|mean| form.strong(shown_mean(*mean, judged.rows.len()))));
    means.push(form.strong(shown_mean(judged.against_peer, judged.rows.len())));
    means.extend([String::new(), String::new()]);
    rows.push(means);
    form.render(&header, rows, &WORDS)
}

fn line(judged: &Judged, row: &JudgedRow, seeds: bool, form: Form) -> Vec<String> {
    let mut cells = vec![row.row.name.clone()];
    cells.extend(seeds.then(|| row.row.seed.map_or_else(String::new, |seed| seed.to_string())));
    cells.push(row.best.map_or_else(String::new, |best| amount(judged.measure, best)));
    for (number, cell) in row.row.cells.iter().enumerate() {
        cells.push(match row.ratio(number) {
            Some(best) if best <= 1.0 => form.strong(ratio(best)),
            Some(other) => ratio(other),
            None if cell.failure.is_some() => "crashed".to_owned(),
            None => String::new(),
        });
    }
    let (to_peer, spread) = match row.contest {
        Contest::Held { peer, ratio: r, spread, .. } => {
            (format!("{} {}", ratio(r), judged.allocators[peer].name), percent(spread))
        }
        Contest::None | Contest::Failed => (String::new(), String::new()),
    };
    cells.extend([to_peer, spread, verdict(judged.measure, row.contest).to_owned()]);
    cells
}

/// In a word.
fn verdict(measure: Measure, contest: Contest) -> &'static str {
    match (contest, measure) {
        (Contest::None, _) => "",
        (Contest::Failed, _) => "crashed",
        (Contest::Held { verdict: Verdict::Noise, .. }, _) => "noisy",
        (Contest::Held { verdict: Verdict::Won, .. }, Measure::Time) => "first",
        (Contest::Held { verdict: Verdict::Lost, .. }, Measure::Time) => "behind",
        (Contest::Held { verdict: Verdict::Won, .. }, Measure::Peak) => "lean",
        (Contest::Held { verdict: Verdict::Lost, .. }, Measure::Peak) => "heavier",
    }
}

/// Every figure of every allocator: medians, with the spread as a part of them.
pub(super) fn details(results: &Results, form: Form) -> String {
    let seeds = results.rows.iter().any(|row| row.seed.is_some());
    let mut header = vec![if seeds { "workload" } else { "program" }];
    header.extend(seeds.then_some("seed"));
    header.extend(["allocator", "time", "spread", "user", "system", "peak memory", "spread", "page faults"]);
    let header: Vec<String> = header.into_iter().map(str::to_owned).collect();
    let mut rows = Vec::new();
    for row in &results.rows {
        for (allocator, cell) in results.allocators.iter().zip(&row.cells) {
            let figure = |of: &dyn Fn(&super::results::Run) -> Option<f64>| Figure::of(cell.figures(of)?);
            let shown = |figure: Option<Figure>, how: &dyn Fn(f64) -> String| {
                figure.map_or_else(String::new, |figure| how(figure.median))
            };
            let time = figure(&|run| Some(run.seconds));
            let peak = figure(&|run| Some(run.peak_kib));
            let mut cells = vec![row.name.clone()];
            cells.extend(seeds.then(|| row.seed.map_or_else(String::new, |seed| seed.to_string())));
            cells.extend([
                allocator.name.clone(),
                if cell.failure.is_some() { "crashed".to_owned() } else { shown(time, &seconds) },
                percent(time.and_then(|f| f.relative_spread())),
                shown(figure(&|run| Some(run.user_seconds)), &seconds),
                shown(figure(&|run| run.system_seconds), &seconds),
                shown(peak, &mebibytes),
                percent(peak.and_then(|f| f.relative_spread())),
                shown(figure(&|run| Some((run.minor_faults? + run.major_faults?) as f64)), &|n| {
                    format!("{n:.0}")
                }),
            ]);
            rows.push(cells);
        }
    }
    form.render(&header, rows, &WORDS)
}

/// What was compared.
pub(super) fn versions<'a>(allocators: impl Iterator<Item = &'a Allocator>, form: Form) -> String {
    let header = ["allocator", "version", "build"].map(str::to_owned);
    let rows = allocators.map(|a| vec![a.name.clone(), a.version.clone(), a.build.clone()]);
    form.render(&header, rows.collect(), &WORDS)
}

/// What each process held at its peak and some time after the load.
pub(super) fn over_time(seen: &OverTime, form: Form) -> String {
    let header =
        ["allocator", "peak", "after 0.1 s", "after 1 s", "after 5 s", "at the end"].map(str::to_owned);
    let rows = seen.series.iter().map(|series| {
        let at = |seconds| series.at(seconds).map_or_else(String::new, mebibytes);
        let name = series.allocator.name.clone();
        let peak = if series.failure.is_some() { "crashed".to_owned() } else { mebibytes(series.peak()) };
        vec![name, peak, at(0.1), at(1.0), at(5.0), series.last().map_or_else(String::new, mebibytes)]
    });
    form.render(&header, rows.collect(), &WORDS)
}

/// The same of a workload of phases.
pub(super) fn of_phases(seen: &OverTime, form: Form) -> String {
    let header =
        ["allocator", "full, mean", "full, most", "over, mean", "peak", "on average"].map(str::to_owned);
    let rows = seen.series.iter().map(|series| {
        let name = series.allocator.name.clone();
        if series.failure.is_some() {
            return vec![name, "crashed".to_owned()];
        }
        let full: Vec<f64> = series.phases(true).map(Mark::ratio).collect();
        let over: Vec<f64> = series.phases(false).map(|mark| mark.resident as f64 / 1024.0).collect();
        let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len().max(1) as f64;
        let most = full.iter().copied().fold(0.0, f64::max);
        let on_average = series.mean().map_or_else(String::new, mebibytes);
        vec![
            name,
            ratio(mean(&full)),
            ratio(most),
            mebibytes(mean(&over)),
            mebibytes(series.peak()),
            on_average,
        ]
    });
    form.render(&header, rows.collect(), &WORDS)
}

/// A row for each phase.
pub(super) fn by_phase(seen: &OverTime, form: Form) -> String {
    let series: Vec<&Series> = seen.series.iter().filter(|s| !s.marks.is_empty()).collect();
    let mut header = vec!["phase".to_owned(), "alive".to_owned()];
    header.extend(series.iter().map(|s| s.allocator.name.clone()));
    let phases = series.iter().map(|s| s.marks.len() / 2).min().unwrap_or(0);
    let rows = (0..phases).map(|phase| {
        let [full, over] = [2 * phase, 2 * phase + 1];
        let mib = |at: usize| series[0].marks[at].live as f64 / f64::from(1 << 20);
        let mut row = vec![(phase + 1).to_string(), format!("{:.1}, {:.1}", mib(full), mib(over))];
        row.extend(
            series
                .iter()
                .map(|s| format!("{}, {}", ratio(s.marks[full].ratio()), ratio(s.marks[over].ratio()))),
        );
        row
    });
    form.render(&header, rows.collect(), &WORDS)
}

/// A mean over fewer rows than there are has a star.
fn shown_mean(mean: Mean, rows: usize) -> String {
    match mean.ratio {
        None => String::new(),
        Some(r) if mean.rows == rows => ratio(r),
        Some(r) => format!("{}*", ratio(r)),
    }
}

fn amount(measure: Measure, value: f64) -> String {
    match measure {
        Measure::Time => seconds(value),
        Measure::Peak => mebibytes(value),
    }
}

fn seconds(value: f64) -> String {
    if value < 0.999_95 { format!("{:.1} ms", value * 1e3) } else { format!("{value:.2} s") }
}

fn mebibytes(kib: f64) -> String {
    format!("{:.1} MiB", kib / 1024.0)
}

/// Three digits.
pub(super) fn ratio(value: f64) -> String {
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$}")
}

fn percent(part: Option<f64>) -> String {
    part.map_or_else(String::new, |part| format!("{:.1} %", part * 100.0))
}

#[cfg(test)]
mod tests {
    use super::super::judged::tests::results;
    use super::*;

    #[test]
    fn three_digits() {
        let shown: Vec<String> = [0.956, 1.0, 9.994, 9.996, 99.9, 123.4].into_iter().map(ratio).collect();
        assert_eq!(shown, ["0.96", "1.00", "9.99", "10.0", "99.9", "123"]);
    }

    #[test]
    fn every_row_is_there_with_its_verdict() {
        let results = results(&[
            &[Some((1.0, 4096.0)), Some((2.0, 2048.0)), Some((4.0, 8192.0))],
            &[Some((3.0, 1024.0)), Some((2.0, 2048.0)), None],
        ]);
        let time = ratios(&Judged::new(&results, Measure::Time), Form::Markdown);
        let lines: Vec<Vec<&str>> =
            time.lines().map(|line| line.split('|').map(str::trim).collect()).collect();
        let cells = |n: usize| &lines[n][1..lines[n].len() - 1];
        assert_eq!(
            cells(0),
            ["workload", "seed", "fastest", "gort", "glibc", "second", "to best peer", "spread", "gort is"]
        );
        assert_eq!(
            cells(2),
            ["row0", "1", "1.00 s", "**1.00**", "2.00", "4.00", "0.50 glibc", "0.0 %", "first"]
        );
        assert_eq!(
            cells(3),
            ["row1", "1", "2.00 s", "1.50", "**1.00**", "crashed", "1.50 glibc", "0.0 %", "behind"]
        );
        assert_eq!(
            cells(4),
            ["**geometric mean**", "", "", "**1.22**", "**1.41**", "**4.00***", "**0.87**", "", ""]
        );
        let peak = ratios(&Judged::new(&results, Measure::Peak), Form::Terminal);
        assert!(peak.lines().nth(1).unwrap().ends_with("2.00 glibc   0.0 %  heavier"), "{peak}");
        assert_eq!(details(&results, Form::Terminal).lines().count(), 1 + 6);
    }
}
