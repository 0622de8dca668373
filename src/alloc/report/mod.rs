//! The report on the heap: as text, as JSON, as XML, and by itself when the process exits. Answers to nothing in Go.
//!
//! Nothing here allocates, locks or stops anybody: the figures are sums over counters, and the text goes through `core::fmt` into
//! a buffer. So a report can be written at any moment, with the heap in any state, and by a thread with little stack: at exit the
//! figures and the buffer are static; for the others, which may be many at a time, they take less than 5 KiB.

mod at_exit;
mod file;
mod json;
mod sizes_text;
mod text;
mod units;
mod xml;

use core::fmt;

use super::stats::{self, MemStats};
use crate::sys::{self, Output};
pub(super) use at_exit::{
    arm, arm_last, close_in_child, hook_exit, is_asked_for, set_json, set_owner, set_sizes, set_text,
};

/// What is reported.
struct Report {
    stats: MemStats,
    pid: u32,
    /// The process whose counts this one began with, when it was forked.
    forked_from: Option<u32>,
    command: Command,
    /// Whether the heap is the one of a Rust program's global allocator; beside it there may be another behind `malloc`.
    is_rust: bool,
    /// Bytes of the process in memory, as the kernel counts them, now and at most; `None` without `/proc`.
    rss: Option<u64>,
    rss_peak: Option<u64>,
}

impl Report {
    const EMPTY: Self = Self {
        stats: MemStats::ZERO,
        pid: 0,
        forked_from: None,
        command: Command { buf: [0; 16], len: 0 },
        is_rust: false,
        rss: None,
        rss_peak: None,
    };

    /// Takes the figures of this moment.
    fn fill(&mut self) {
        // The kernel's figures first: what follows touches little memory of its own.
        (self.rss, self.rss_peak) = resident();
        self.pid = sys::thread::process_id();
        self.forked_from = at_exit::started_as().filter(|&started| started != self.pid);
        self.command.fill();
        stats::fill(&mut self.stats);
    }

    /// Allocations whose size before rounding is known.
    fn samples(&self) -> u64 {
        self.stats.whole_pages.mallocs + self.stats.by_size.iter().map(|row| row.sampled).sum::<u64>()
    }
}

/// Bytes of the process in memory, now and at most.
#[inline(never)]
fn resident() -> (Option<u64>, Option<u64>) {
    let (mut now, mut most) = (None, None);
    sys::each_line(c"/proc/self/status", &mut [0; 128], |line| {
        now = now.or(kib(line, b"VmRSS:"));
        most = most.or(kib(line, b"VmHWM:"));
    });
    (now, most)
}

/// The bytes in a line of `/proc/self/status`: `VmRSS:     1234 kB`.
fn kib(line: &[u8], name: &[u8]) -> Option<u64> {
    let number = line.strip_prefix(name)?.trim_ascii().strip_suffix(b" kB")?;
    str::from_utf8(number).ok()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The program's name, as the kernel cuts it off.
struct Command {
    buf: [u8; 16],
    len: usize,
}

impl Command {
    fn fill(&mut self) {
        let name = sys::read_file(c"/proc/self/comm", &mut self.buf);
        self.len = name.map_or(0, |name| name.trim_ascii_end().len());
    }

    /// Its characters, with a substitute for what is not text.
    fn chars(&self) -> impl Iterator<Item = char> {
        self.buf[..self.len]
            .utf8_chunks()
            .flat_map(|c| {
                c.valid().chars().chain((!c.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER))
            })
            .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
    }
}

/// Writes the report for people to stderr.
pub(super) fn to_stderr() {
    let (mut report, mut buf) = (Report::EMPTY, [0; 512]);
    report.fill();
    let mut out = Output::new(2, &mut buf);
    let _ = text::write(&report, &mut out);
    // There is nobody to tell.
    let _ = out.finish();
}

/// Writes the report as XML.
pub(super) fn write_xml(w: &mut dyn fmt::Write) -> fmt::Result {
    let mut report = Report::EMPTY;
    report.fill();
    xml::write(&report, w)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::String;

    #[test]
    fn lines_of_proc_status() {
        assert_eq!(kib(b"VmHWM:\t    1200 kB", b"VmHWM:"), Some(1200 * 1024));
        assert_eq!(kib(b"VmRSS:\t 7 kB", b"VmRSS:"), Some(7 * 1024));
        for line in ["VmRSS:\t many kB", "VmHWM:\t 7 kB", "VmRSS: 7", ""] {
            assert_eq!(kib(line.as_bytes(), b"VmRSS:"), None, "{line}");
        }
        let (now, most) = resident();
        assert!(now > Some(0) && most >= now, "{now:?} {most:?}");
    }

    #[test]
    fn a_name_that_is_no_text_is_shown_all_the_same() {
        let name = b"a\xffb\n\"c";
        let mut command = Command { buf: [0; 16], len: name.len() };
        command.buf[..name.len()].copy_from_slice(name);
        assert_eq!(command.chars().collect::<String>(), "a\u{fffd}b\u{fffd}\"c");
    }
}
