//! How far a soak by hand is.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use crate::bound::Sample;

/// Samples between two lines where there is no terminal.
const LINE_EVERY: usize = 60;

pub(crate) struct Progress {
    /// Whether anybody is told at all.
    by_hand: bool,
    terminal: bool,
}

impl Progress {
    pub(crate) fn new(by_hand: bool) -> Self {
        Self { by_hand, terminal: io::stderr().is_terminal() }
    }

    pub(crate) fn say(&self, left: Duration, samples: &[Sample]) {
        let Some(last) = samples.last().filter(|_| self.by_hand) else { return };
        if !self.terminal && samples.len() % LINE_EVERY != 1 {
            return;
        }
        let mib = |bytes: u64| bytes >> 20;
        let (minutes, seconds) = (left.as_secs() / 60, left.as_secs() % 60);
        let line = format!(
            "soak: {minutes} min {seconds:02} s left; {} threads, {} MiB live, {} MiB resident, at most {} MiB",
            last.threads,
            mib(last.live),
            mib(last.resident),
            mib(last.bound)
        );
        let (begin, end) = if self.terminal { ("\r", "\x1b[K") } else { ("", "\n") };
        let _ = write!(io::stderr(), "{begin}{line}{end}");
    }

    pub(crate) fn end(&self) {
        if self.by_hand && self.terminal {
            let _ = writeln!(io::stderr());
        }
    }
}
