//! The sizes that programs asked for, as `gort run --sizes` writes them, or as anybody does.
//!
//! A line is a size in bytes, how many objects of it were ever allocated, how many lived at the heap's peak (as many, if that is left
//! out), and their alignment (16, if that is left out). Empty lines and what follows a `#` mean nothing.

use std::path::{Path, PathBuf};

use crate::failure::cause;

/// Objects of one size and alignment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Row {
    pub(super) size: u32,
    pub(super) allocations: u64,
    pub(super) live: u64,
    pub(super) align: u32,
}

/// C's alignment, and what x86-64's vectors need.
const USUAL_ALIGN: u32 = 16;
/// Objects above this size, or alignment, have no class in any table.
const LARGEST: u32 = 32 << 10;
const LARGEST_ALIGN: u32 = 8 << 10;

/// Reads the files, one after the other. The error is one line.
pub(super) fn read(files: &[PathBuf]) -> Result<Vec<Row>, String> {
    let mut rows = vec![];
    for file in files {
        let name = file.display().to_string();
        let name = name.escape_debug();
        let bytes = std::fs::read(file).map_err(|e| format!("cannot read {name}: {}", cause(&e)))?;
        let before = rows.len();
        parse(&bytes, &mut rows).map_err(|(line, why)| format!("{name}, line {line}: {why}"))?;
        if rows.len() == before {
            return Err(format!("{name} has no sizes"));
        }
    }
    Ok(rows)
}

/// Adds the rows of a file; the error is a line's number and what is wrong with it.
pub(super) fn parse(bytes: &[u8], rows: &mut Vec<Row>) -> Result<(), (usize, String)> {
    for (i, line) in bytes.split(|&b| b == b'\n').enumerate() {
        let row = str::from_utf8(line).map_err(|_| "not text".to_owned()).and_then(row);
        rows.extend(row.map_err(|why| (i + 1, why))?);
    }
    Ok(())
}

/// The row in a line; `None` when it has none.
fn row(line: &str) -> Result<Option<Row>, String> {
    let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
    if words.is_empty() {
        return Ok(None);
    }
    if !(2..=4).contains(&words.len()) {
        return Err(
            "a line is a size, allocations, and perhaps live objects and an alignment; this one has another number of words"
                .to_owned(),
        );
    }
    let number = |i: usize, most: u64| match words.get(i).map(|w| (w, w.parse::<u64>())) {
        None => Ok(None),
        Some((_, Ok(n))) if n <= most => Ok(Some(n)),
        Some((w, _)) => Err(format!("'{}' is not a whole number from 0 to {most}", w.escape_debug())),
    };
    // Counts of 2^48 take years to come about; their sums stay far from overflow.
    let counted = 1 << 48;
    let size = number(0, u32::MAX.into())?.unwrap_or_default();
    let allocations = number(1, counted)?.unwrap_or_default();
    let live = number(2, counted)?.unwrap_or(allocations);
    let align = number(3, u32::MAX.into())?.unwrap_or(USUAL_ALIGN.into());
    if live > allocations {
        return Err(format!("{live} live objects are more than the {allocations} that were allocated"));
    }
    if !align.is_power_of_two() {
        return Err(format!("alignment {align} is not a power of two"));
    }
    let (size, align) = (size as u32, align as u32);
    Ok((size <= LARGEST && align <= LARGEST_ALIGN).then_some(Row { size, allocations, live, align }))
}

/// The files' names, for people.
pub(super) fn names(files: &[PathBuf]) -> String {
    let name = |file: &Path| {
        file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().escape_debug().to_string()
    };
    match files {
        [one] => name(one),
        [first, rest @ ..] => format!("{} and {} more", name(first), rest.len()),
        [] => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<Row>, (usize, String)> {
        let mut rows = vec![];
        parse(text.as_bytes(), &mut rows).map(|()| rows)
    }

    #[test]
    fn lines_of_two_to_four_numbers_and_comments() {
        let row = |size, allocations, live, align| Row { size, allocations, live, align };
        assert_eq!(
            parsed("# heading\n\n24 100\n 32\t5 1 # and so on\r\n4096 7 7 4096\n"),
            Ok(vec![row(24, 100, 100, 16), row(32, 5, 1, 16), row(4096, 7, 7, 4096)])
        );
        assert_eq!(parsed("40000 1\n1 1 1 16384\n"), Ok(vec![]), "whole pages");
        assert_eq!(parsed("0 3 2 1"), Ok(vec![row(0, 3, 2, 1)]));
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, line, word) in [
            ("24 100\nx 3\n", 2, "'x'"),
            ("24\n", 1, "another number of words"),
            ("24 1 1 16 5\n", 1, "another number of words"),
            ("\n\n24 1 2\n", 3, "more than the 1"),
            ("24 1 1 24\n", 1, "not a power of two"),
            ("24 1 1 0\n", 1, "not a power of two"),
            ("24 -1\n", 1, "'-1'"),
            ("24 18446744073709551616\n", 1, "from 0 to"),
            ("24 281474976710657\n", 1, "from 0 to"),
        ] {
            let (at, why) = parsed(text).unwrap_err();
            assert!(at == line && why.contains(word) && !why.contains('\n'), "{text:?}: {at}: {why}");
        }
        let mut rows = vec![];
        assert_eq!(parse(b"1 1\n\xff\n", &mut rows).unwrap_err().0, 2);
    }
}
