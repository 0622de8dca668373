//! Go's benchmark format, written and read. Answers to `BenchmarkResult.String` and `MemString` in Go's testing package, and
//! to golang.org/design/14313-benchmark-format, which benchstat reads.
//!
//! Rejected: the talk's figure in a comment or a column of its own, which benchstat would drop or trip over. As a metric with
//! a unit of its own it is carried along.

use std::fmt::Write;

use super::harness::Run;
use crate::machine;

/// The benchmark's name, with the length in elements and, as Go has it, the number of processors if there are several.
pub(super) const NAME: &str = "BenchmarkMakeSlice";

/// The configuration lines that come first.
pub(super) fn header() -> String {
    let mut s = format!("goos: {}\ngoarch: {}\npkg: gort\n", machine::OS, machine::arch());
    if let Some(cpu) = machine::cpu() {
        let _ = writeln!(s, "cpu: {cpu}");
    }
    s
}

/// The name of the benchmark for a length.
pub(super) fn name(len: usize) -> String {
    match machine::processors() {
        1 => format!("{NAME}/len={len}"),
        procs => format!("{NAME}/len={len}-{procs}"),
    }
}

/// A result line, the name padded to `width`, with the talk's figure as a metric of its own.
pub(super) fn line(len: usize, width: usize, run: &Run, talk: Option<u64>) -> String {
    let mut s = format!("{:<width$}\t{:8}\t", name(len), run.n);
    s.push_str(&metric(run.ns_per_op(), "ns/op"));
    let _ = write!(s, "\t{:8} B/op\t{:8} allocs/op", run.bytes_per_op(), run.allocs_per_op());
    if let Some(bytes) = talk {
        let _ = write!(s, "\t{bytes:8} talk-B/op");
    }
    s
}

/// Four significant digits at least, with decimal points below each other.
fn metric(x: f64, unit: &str) -> String {
    let (width, decimals) = match x.abs() {
        y if y == 0.0 || y >= 999.95 => (10, 0),
        y if y >= 99.995 => (12, 1),
        y if y >= 9.9995 => (13, 2),
        y if y >= 0.999_95 => (14, 3),
        y if y >= 0.099_995 => (15, 4),
        y if y >= 0.009_999_5 => (16, 5),
        y if y >= 0.000_999_95 => (17, 6),
        _ => (18, 7),
    };
    format!("{x:width$.decimals$} {unit}")
}

/// A result line, read.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Parsed {
    /// Length of the slice in elements.
    pub(super) len: usize,
    /// Iterations.
    pub(super) n: u64,
    /// Nanoseconds of an iteration.
    pub(super) ns_per_op: f64,
    /// Bytes of an iteration.
    pub(super) bytes_per_op: u64,
    /// Objects of an iteration.
    pub(super) allocs_per_op: u64,
}

/// Reads a result line of this benchmark; none if it is any other line.
pub(super) fn parse(line: &str) -> Option<Parsed> {
    let mut words = line.split_whitespace();
    let len = words.next()?.strip_prefix(NAME)?.strip_prefix("/len=")?;
    // A name that comes again gets a number from Go: `len=100#01-2`.
    let len = len.split(['#', '-']).next()?.parse().ok()?;
    let n = words.next()?.parse().ok()?;
    let rest: Vec<&str> = words.collect();
    let value = |unit: &str| rest.chunks_exact(2).find(|pair| pair[1] == unit).map(|pair| pair[0]);
    Some(Parsed {
        len,
        n,
        ns_per_op: value("ns/op")?.parse().ok()?,
        bytes_per_op: value("B/op")?.parse().ok()?,
        allocs_per_op: value("allocs/op")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn numbers_are_written_as_go_writes_them() {
        let cases = [
            (0.0, "         0 ns/op"),
            (12345.6, "     12346 ns/op"),
            (999.949, "       999.9 ns/op"),
            (123.45, "       123.5 ns/op"),
            (12.345, "        12.35 ns/op"),
            (1.2345, "         1.234 ns/op"),
            (0.25, "         0.2500 ns/op"),
            (0.000_012, "         0.0000120 ns/op"),
        ];
        for (x, text) in cases {
            assert_eq!(metric(x, "ns/op"), text);
        }
    }

    #[test]
    fn a_line_is_gos_and_reads_back() {
        let run = Run { n: 200, elapsed: Duration::from_nanos(24_690), bytes: 1_638_400, allocs: 200 };
        let s = line(1024, 30, &run, Some(8192));
        let (head, tail) = s.split_once('\t').unwrap();
        assert_eq!(head.len(), 30);
        assert_eq!(head.trim_end(), name(1024));
        assert_eq!(
            tail,
            "     200\t       123.5 ns/op\t    8192 B/op\t       1 allocs/op\t    8192 talk-B/op"
        );
        let parsed = Parsed { len: 1024, n: 200, ns_per_op: 123.5, bytes_per_op: 8192, allocs_per_op: 1 };
        assert_eq!(parse(&s), Some(parsed));
    }

    #[test]
    fn reads_gos_lines_and_no_others() {
        let go = "BenchmarkMakeSlice/len=1048577-16 \t    1234\t    987654 ns/op\t 8396811 B/op\t       1 allocs/op";
        let parsed = parse(go).unwrap();
        assert_eq!(
            (parsed.len, parsed.n, parsed.bytes_per_op, parsed.allocs_per_op),
            (1_048_577, 1234, 8_396_811, 1)
        );
        assert!(
            parse("BenchmarkMakeSlice/len=10 \t1\t5 ns/op\t80 B/op\t1 allocs/op").is_some(),
            "one processor"
        );
        for other in [
            "",
            "PASS",
            "goos: linux",
            "BenchmarkMakeSlice/len=1024",
            "BenchmarkMakeSlice/len=1024-2 \t 10\t 5 ns/op",
            "BenchmarkMakeSlice/len=x-2 \t 10\t 5 ns/op\t 1 B/op\t 1 allocs/op",
            "BenchmarkOther/len=1024-2 \t 10\t 5 ns/op\t 1 B/op\t 1 allocs/op",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
