//! How long to run a benchmark, written as for `go test -benchtime`. Answers to `time.ParseDuration` and to
//! `durationOrCountFlag` in Go's testing package.

use std::fmt;
use std::time::Duration;

/// How long to run a benchmark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Benchtime {
    /// Until a run takes this long.
    For(Duration),
    /// Exactly so many iterations.
    Times(u64),
}

impl Benchtime {
    /// Reads `1.5s`, `1m30s` or `100x`.
    ///
    /// # Errors
    /// What is accepted.
    pub(super) fn parse(s: &str) -> Result<Self, String> {
        let parsed = match s.strip_suffix('x') {
            Some(n) => count(n).map(Self::Times),
            None => duration(s).map(Self::For),
        };
        parsed.ok_or_else(|| {
            "not a time above zero (1s, 300ms, 1m30s) and not a count above zero (100x)".to_owned()
        })
    }
}

/// As Go's flag wants it.
impl fmt::Display for Benchtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::For(d) => write!(f, "{}ns", d.as_nanos()),
            Self::Times(n) => write!(f, "{n}x"),
        }
    }
}

fn count(s: &str) -> Option<u64> {
    let n = s.parse().ok()?;
    (1..=i64::MAX as u64).contains(&n).then_some(n)
}

/// Numbers with units, one after the other, above zero; at most 292 years, as in Go.
fn duration(s: &str) -> Option<Duration> {
    let mut rest = s.strip_prefix('+').unwrap_or(s);
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let unit = nanos_of_unit(&after[..end])?;
        nanos = nanos.checked_add(scaled(whole, fraction, unit)?)?;
        rest = &after[end..];
    }
    let nanos = u64::try_from(nanos).ok().filter(|n| (1..=i64::MAX as u64).contains(n))?;
    Some(Duration::from_nanos(nanos))
}

fn digits(s: &str) -> (&str, &str) {
    s.split_at(s.find(|c: char| !c.is_ascii_digit()).unwrap_or(s.len()))
}

fn nanos_of_unit(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// `whole.fraction` times `unit`, cut to whole nanoseconds.
fn scaled(whole: &str, fraction: &str, unit: u128) -> Option<u128> {
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // More than 18 digits after the point are less than a nanosecond of any unit.
    let fraction = &fraction[..fraction.len().min(18)];
    let part: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    u128::from(whole).checked_mul(unit)?.checked_add(part * unit / 10_u128.pow(fraction.len() as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        let cases = [
            ("1s", 1_000_000_000),
            ("300ms", 300_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("2h45m0.5s", 9_900_500_000_000),
            (".5us", 500),
            ("5.us", 5_000),
            ("+1\u{b5}s", 1_000),
            ("1\u{3bc}s", 1_000),
            ("1.0000000019999999999999999999s", 1_000_000_001),
            ("9223372036854775807ns", i64::MAX as u64),
        ];
        for (s, nanos) in cases {
            assert_eq!(Benchtime::parse(s), Ok(Benchtime::For(Duration::from_nanos(nanos))), "{s}");
        }
        assert_eq!(Benchtime::parse("100x"), Ok(Benchtime::Times(100)));
    }

    #[test]
    fn refuses_the_rest() {
        let bad = [
            "",
            "x",
            "0x",
            "-1x",
            "1.5x",
            "0",
            "0s",
            "-1s",
            "1",
            "s",
            ".s",
            "1 s",
            "1d",
            "1s ",
            "1ss",
            "0.1ns",
            "9223372036854775808ns",
            "99999999999999999999s",
            "9999999h",
            "9223372036854775808x",
            "1e3s",
            "\u{221e}s",
        ];
        for s in bad {
            assert!(Benchtime::parse(s).is_err(), "{s}");
        }
    }

    #[test]
    fn written_out_it_reads_the_same() {
        for s in ["1s", "1h0.000000001s", "77x"] {
            let b = Benchtime::parse(s).unwrap();
            assert_eq!(Benchtime::parse(&b.to_string()), Ok(b));
        }
    }
}
