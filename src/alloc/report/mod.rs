//! The report on the heap: as text, as JSON, as XML, and by itself when the process exits. Answers to nothing in Go.
//!
//! Nothing here allocates, locks or stops anybody: the figures are sums over counters, and the text goes through `core::fmt` into
//! a buffer on the stack. So a report can be written at any moment, with the heap in any state.

mod at_exit;
mod json;
mod text;
mod units;
mod xml;

use core::fmt;

use super::stats::{MemStats, stats};
use crate::sys::{self, Output};
pub(super) use at_exit::{arm, arm_last, close_in_child, is_asked_for, set_json, set_owner, set_text};

/// What is reported.
struct Report {
    stats: MemStats,
    pid: u32,
    /// The process whose counts this one began with, when it was forked.
    forked_from: Option<u32>,
    command: Command,
    /// Bytes of the process in memory, as the kernel counts them, now and at most; `None` without `/proc`.
    rss: Option<u64>,
    rss_peak: Option<u64>,
}

impl Report {
    fn now() -> Self {
        // The kernel's figures first: what follows touches this function's stack only.
        let mut buf = [0; 2048];
        let status = sys::read_file(c"/proc/self/status", &mut buf).unwrap_or_default();
        let (rss, rss_peak) = (kib(status, b"VmRSS:"), kib(status, b"VmHWM:"));
        let pid = sys::thread::process_id();
        let forked_from = at_exit::started_as().filter(|&started| started != pid);
        Self { stats: stats(), pid, forked_from, command: Command::this(), rss, rss_peak }
    }

    /// Allocations whose size before rounding is known.
    fn samples(&self) -> u64 {
        self.stats.whole_pages.mallocs + self.stats.by_size.iter().map(|row| row.sampled).sum::<u64>()
    }
}

/// The bytes in a line of `/proc/self/status`: `VmRSS:     1234 kB`.
fn kib(status: &[u8], name: &[u8]) -> Option<u64> {
    let line = status.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(name))?;
    let number = line.trim_ascii().strip_suffix(b" kB")?;
    str::from_utf8(number).ok()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The program's name, as the kernel cuts it off.
struct Command {
    buf: [u8; 64],
    len: usize,
}

impl Command {
    fn this() -> Self {
        let mut buf = [0; 64];
        let len = sys::read_file(c"/proc/self/comm", &mut buf).map_or(0, |name| name.trim_ascii_end().len());
        Self { buf, len }
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
    let mut out = Output::new(2);
    let _ = text::write(&Report::now(), &mut out);
    // There is nobody to tell.
    let _ = out.finish();
}

/// Writes the report as XML.
pub(super) fn write_xml(w: &mut dyn fmt::Write) -> fmt::Result {
    xml::write(&Report::now(), w)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::String;

    #[test]
    fn lines_of_proc_status() {
        let status = b"Name:\tx\nVmHWM:\t    1200 kB\nVmRSS:\t 7 kB\nVmLck: many kB\n";
        assert_eq!(kib(status, b"VmHWM:"), Some(1200 * 1024));
        assert_eq!(kib(status, b"VmRSS:"), Some(7 * 1024));
        assert_eq!(kib(status, b"VmLck:"), None);
        assert_eq!(kib(status, b"VmSwap:"), None);
        assert_eq!(kib(b"", b"VmRSS:"), None);
    }

    #[test]
    fn a_name_that_is_no_text_is_shown_all_the_same() {
        let name = b"a\xffb\n\"c";
        let mut command = Command { buf: [0; 64], len: name.len() };
        command.buf[..name.len()].copy_from_slice(name);
        assert_eq!(command.chars().collect::<String>(), "a\u{fffd}b\u{fffd}\"c");
    }
}
