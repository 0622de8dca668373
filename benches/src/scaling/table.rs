//! The outcome as Markdown, which a terminal shows as well.

use super::model::{Lock, Outcome};
use comfy_table::{CellAlignment, Table, presets};

/// One program, with its outcome for each number of threads.
pub(super) struct Line {
    pub(super) program: String,
    pub(super) locks: Vec<Lock>,
    pub(super) outcomes: Vec<Outcome>,
}

/// Throughput as a part of what as many threads would do that never met, and waiting.
pub(super) fn write(lines: &[Line], threads: &[usize]) -> String {
    let mut table = Table::new();
    let mut header = vec!["program".to_owned(), "visits per million".to_owned()];
    header.extend(threads.iter().map(|n| format!("{n} thr.")));
    header.extend(["waiting".to_owned(), "fullest lock".to_owned()]);
    table.load_style(presets::ASCII_MARKDOWN).set_header(&header);
    for line in lines {
        let visits: f64 = line.locks.iter().map(|lock| lock.per_million).sum();
        let mut row = vec![line.program.clone(), format!("{visits:.0}")];
        // One thread pays for its visits, too: what more threads lose is what they lose to one another.
        let alone = line.outcomes.first().map_or(1.0, |one| one.throughput / threads[0] as f64);
        for (outcome, &n) in line.outcomes.iter().zip(threads) {
            row.push(format!("{:.0} %", 100.0 * outcome.throughput / (alone * n as f64)));
        }
        let last = line.outcomes.last();
        row.push(last.map_or_else(String::new, |o| format!("{:.1} %", 100.0 * o.waiting)));
        row.push(last.and_then(|o| o.busiest).map_or_else(
            || "none".to_owned(),
            |(kind, part)| format!("{}: {:.0} % of the time", line.locks[kind].name, 100.0 * part),
        ));
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1).take(threads.len() + 2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}
