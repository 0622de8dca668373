//! How far it is: bars on a terminal, and a line now and then for a file.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::schedule::Turn;

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(15);

/// Whether anybody sees a bar.
pub(super) fn on_terminal() -> bool {
    io::stderr().is_terminal()
}

/// A line for whoever watches, if anybody still does.
pub(super) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "gort: {line}");
}

/// One step of unknown length.
pub(super) struct Step {
    bar: Option<ProgressBar>,
    what: String,
    start: Instant,
}

impl Step {
    pub(super) fn new(what: &str) -> Self {
        let bar = on_terminal().then(|| {
            let bar = ProgressBar::new_spinner().with_message(what.to_owned());
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { bar, what: what.to_owned(), start: Instant::now() }
    }

    pub(super) fn done(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        say(&format!("{} ({} s)", self.what, self.start.elapsed().as_secs()));
    }
}

/// The runs, and what those to come will take.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    rounds: u32,
    rows: usize,
    /// What each allocator's last run on each row took.
    taken: HashMap<(usize, usize), Duration>,
    /// What is yet to run, in the order of the runs.
    left: Vec<Turn>,
    said: Option<Instant>,
}

impl Progress {
    pub(super) fn new(turns: &[Turn], rounds: u32, rows: usize) -> Self {
        let bar = on_terminal().then(|| {
            let bar = ProgressBar::new(turns.len() as u64);
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        let left = turns.iter().rev().copied().collect();
        Self { bar, rounds, rows, taken: HashMap::new(), left, said: None }
    }

    /// A run begins.
    pub(super) fn begins(&mut self, turn: Turn, label: &str, allocator: &str) {
        let head = format!("round {} of {}, {label}", turn.round, self.rounds);
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{head}, {allocator}: {}", self.time_left()));
        } else if self.said.is_none_or(|when| when.elapsed() >= LINE_EVERY) {
            say(&format!("{head} ({} of {}): {}", turn.row + 1, self.rows, self.time_left()));
            self.said = Some(Instant::now());
        }
    }

    /// It has ended, or it has been left out.
    pub(super) fn ended(&mut self, turn: Turn, taken: Option<Duration>) {
        self.left.pop();
        if let Some(taken) = taken {
            self.taken.insert((turn.row, turn.allocator), taken);
        }
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// Something that should be seen.
    pub(super) fn warn(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(line)),
            None => say(line),
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn time_left(&self) -> String {
        if self.taken.is_empty() {
            return format!("{} runs to go", self.left.len());
        }
        let all: Duration = self.taken.values().sum();
        let mean = all / self.taken.len() as u32;
        let left = self.left.iter().map(|t| self.taken.get(&(t.row, t.allocator)).unwrap_or(&mean)).sum();
        format!("{} left", minutes(left))
    }
}

/// `1 min 5 s`.
pub(super) fn minutes(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 { format!("{seconds} s") } else { format!("{} min {} s", seconds / 60, seconds % 60) }
}
