//! Numbers as people read them.

use core::fmt::{self, Display, Formatter, Write};

/// A short piece of text on the stack, so that it can be padded; what does not fit is cut off.
struct Short {
    buf: [u8; 32],
    len: usize,
}

impl Short {
    /// Formats, and pads as `f` asks for.
    fn pad(f: &mut Formatter<'_>, args: fmt::Arguments<'_>) -> fmt::Result {
        let mut short = Self { buf: [0; 32], len: 0 };
        let _ = short.write_fmt(args);
        f.pad(str::from_utf8(&short.buf[..short.len]).unwrap_or_default())
    }
}

impl Write for Short {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let room = self.buf.get_mut(self.len..self.len + s.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(s.as_bytes());
        self.len += s.len();
        Ok(())
    }
}

/// Bytes with a binary unit and one decimal: `57.1 MiB`.
pub(super) struct Size(pub(super) u64);

impl Display for Size {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return Short::pad(f, format_args!("{} B", self.0));
        }
        let mut unit = 0;
        // Tenths of the unit, rounded.
        let tenths =
            |unit: usize| ((u128::from(self.0) * 10 + (1 << (10 * unit + 9))) >> (10 * unit + 10)) as u64;
        while unit + 1 < UNITS.len() && tenths(unit) >= 10_240 {
            unit += 1;
        }
        let tenths = tenths(unit);
        Short::pad(f, format_args!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]))
    }
}

/// So many of something that has a regular plural: `1 object`, `23 objects`.
pub(super) struct Of(pub(super) u64, pub(super) &'static str);

impl Display for Of {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", Count(self.0), self.1, if self.0 == 1 { "" } else { "s" })
    }
}

/// A count in groups of three digits: `1,234,567`.
pub(super) struct Count(pub(super) u64);

impl Display for Count {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 32];
        let (mut at, mut left, mut written) = (digits.len(), self.0, 0);
        loop {
            if written > 0 && written % 3 == 0 {
                at -= 1;
                digits[at] = b',';
            }
            at -= 1;
            digits[at] = b'0' + (left % 10) as u8;
            (left, written) = (left / 10, written + 1);
            if left == 0 {
                return f.pad(str::from_utf8(&digits[at..]).unwrap_or_default());
            }
        }
    }
}

/// A part of a whole in percent with one decimal: `8.4 %`. Not zero, and not all, when it only rounds to that.
pub(super) struct Percent {
    pub(super) part: f64,
}

impl Percent {
    /// `n` of `all`; nothing of nothing.
    pub(super) fn of(n: u64, all: u64) -> Self {
        Self { part: if all == 0 { 0.0 } else { n as f64 / all as f64 } }
    }
}

impl Display for Percent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let tenths = (self.part * 1000.0 + 0.5) as u64;
        match tenths {
            0 if self.part > 0.0 => Short::pad(f, format_args!("< 0.1 %")),
            1000 if self.part < 1.0 => Short::pad(f, format_args!("> 99.9 %")),
            _ => Short::pad(f, format_args!("{}.{} %", tenths / 10, tenths % 10)),
        }
    }
}

/// A rate as few digits tell it: `12,345`, `6.7`, `< 0.1`. Not zero when it only rounds to that.
pub(super) struct Rate(pub(super) f64);

impl Display for Rate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let tenths = (self.0 * 10.0 + 0.5) as u64;
        match tenths {
            0 if self.0 > 0.0 => f.pad("< 0.1"),
            0 => f.pad("0"),
            1..1000 => Short::pad(f, format_args!("{}.{}", tenths / 10, tenths % 10)),
            _ => Count((self.0 + 0.5) as u64).fmt(f),
        }
    }
}

/// A horizontal bar, `WIDTH` characters long for the largest value, in steps of an eighth of a character.
pub(super) struct Bar {
    pub(super) value: u64,
    pub(super) largest: u64,
}

impl Bar {
    pub(super) const WIDTH: usize = 40;
}

impl Display for Bar {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
        const FULL: u64 = 8 * Bar::WIDTH as u64;
        let eighths = match self.largest {
            0 => 0,
            // What is there at all is seen.
            largest => (u128::from(self.value) * u128::from(FULL) / u128::from(largest)) as u64,
        };
        let eighths = eighths.max(u64::from(self.value > 0)).min(FULL) as usize;
        (0..eighths / 8).try_for_each(|_| f.write_str("█"))?;
        f.write_str(PARTS[eighths % 8])?;
        (eighths.div_ceil(8)..Self::WIDTH).try_for_each(|_| f.write_char(' '))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{format, string::ToString};

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1075, "1.0 KiB"),
            (1076, "1.1 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (57 << 20, "57.0 MiB"),
            (3 << 40, "3.0 TiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text, "{bytes}");
        }
        assert_eq!(format!("[{:>10}]", Size(1024)), "[   1.0 KiB]");
    }

    #[test]
    fn counts() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(Count(n).to_string(), text);
        }
        for (n, text) in [(0, "0 objects"), (1, "1 object"), (1_234, "1,234 objects")] {
            assert_eq!(Of(n, "object").to_string(), text);
        }
        assert_eq!(Count(u64::MAX).to_string(), "18,446,744,073,709,551,615");
        assert_eq!(format!("[{:>6}]", Count(1234)), "[ 1,234]");
    }

    #[test]
    fn percents_tell_little_from_nothing() {
        for (n, all, text) in [
            (0, 0, "0.0 %"),
            (0, 5, "0.0 %"),
            (1, 100_000, "< 0.1 %"),
            (1, 8, "12.5 %"),
            (99_999, 100_000, "> 99.9 %"),
            (7, 7, "100.0 %"),
        ] {
            assert_eq!(Percent::of(n, all).to_string(), text);
        }
    }

    #[test]
    fn rates_tell_little_from_nothing() {
        for (rate, text) in [
            (0.0, "0"),
            (0.04, "< 0.1"),
            (0.06, "0.1"),
            (99.94, "99.9"),
            (99.96, "100"),
            (100.4, "100"),
            (1_234_567.8, "1,234,568"),
        ] {
            assert_eq!(Rate(rate).to_string(), text, "{rate}");
        }
        assert_eq!(
            format!("[{:>6}][{:>6}][{:>6}]", Rate(0.0), Rate(2.5), Rate(1e3)),
            "[     0][   2.5][ 1,000]"
        );
    }

    #[test]
    fn bars() {
        let bar = |value, largest| Bar { value, largest }.to_string();
        assert_eq!(bar(7, 7), "█".repeat(40));
        assert_eq!(bar(1, 2), format!("{}{}", "█".repeat(20), " ".repeat(20)));
        assert_eq!(bar(1, 320), format!("▏{}", " ".repeat(39)));
        assert_eq!(bar(319, 320), format!("{}▉", "█".repeat(39)));
        assert_eq!(bar(1, u64::MAX), format!("▏{}", " ".repeat(39)));
        assert_eq!(bar(0, 9), " ".repeat(40));
        assert_eq!(bar(0, 0), " ".repeat(40));
    }
}
