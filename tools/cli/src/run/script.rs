//! What the first line of a script starts: the kernel's part of it, and what `env` makes of the rest.

use std::ffi::OsStr;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What separates words for the kernel. A carriage return is part of one.
fn is_blank(b: &u8) -> bool {
    matches!(b, b' ' | b'\t')
}

fn trim(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|b| !is_blank(b)).unwrap_or(line.len());
    let end = line.iter().rposition(|b| !is_blank(b)).map_or(start, |last| last + 1);
    &line[start..end]
}

/// The first line of a script.
pub(super) struct Script<'a> {
    pub(super) interpreter: PathBuf,
    /// All that follows, which the kernel passes as one argument.
    argument: &'a [u8],
}

/// What `env` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Env<'a> {
    /// Looks for this program and starts it.
    Starts(&'a OsStr),
    /// Starts a program without what `LD_PRELOAD` says.
    DropsLibrary,
}

impl<'a> Script<'a> {
    pub(super) fn parse(head: &'a [u8]) -> Option<Self> {
        let line = trim(head.strip_prefix(b"#!")?.split(|&b| b == b'\n').next()?);
        let end = line.iter().position(is_blank).unwrap_or(line.len());
        let (interpreter, argument) = line.split_at(end);
        let interpreter = PathBuf::from(OsStr::from_bytes(interpreter));
        (end > 0).then_some(Self { interpreter, argument: trim(argument) })
    }

    /// What `env` does, if it is the interpreter. `None` where that is its own business: with quotes, with variables in words, with another
    /// PATH or directory.
    pub(super) fn through_env(&self) -> Option<Env<'a>> {
        if self.interpreter.file_name() != Some(OsStr::new("env")) {
            return None;
        }
        let words = self.argument.split(is_blank).filter(|word| !word.is_empty());
        // Without an option that splits them they are one argument, which no program's name begins with.
        let first = words.clone().next()?;
        if first.starts_with(b"-") && !splits(first) {
            return None;
        }
        env(words)
    }
}

/// Whether this option has `env` split what follows: `-S`, also behind other letters (`-vS`).
fn splits(option: &[u8]) -> bool {
    option.starts_with(b"--split-string") || (!option.starts_with(b"--") && option.contains(&b'S'))
}

const LIBRARY: &[u8] = b"LD_PRELOAD";

/// What `env` does with these words.
fn env<'a>(words: impl Iterator<Item = &'a [u8]>) -> Option<Env<'a>> {
    let mut words = Words { words, rest: b"" };
    let (mut options, mut drops) = (true, false);
    loop {
        let word = words.next()?;
        if word.iter().any(|b| b"\\\"'$#".contains(b)) {
            return None;
        }
        if options && word.starts_with(b"-") {
            options = word != b"--";
            drops |= option(word, &mut words)?;
            continue;
        }
        options = false;
        match word.iter().position(|&b| b == b'=').map(|equals| &word[..equals]) {
            Some(b"PATH") => return None,
            Some(name) => drops |= name == LIBRARY,
            None if drops => return Some(Env::DropsLibrary),
            None => return Some(Env::Starts(OsStr::from_bytes(word))),
        }
    }
}

/// Words, and what is left of one behind an option.
struct Words<'a, I> {
    words: I,
    rest: &'a [u8],
}

impl<'a, I: Iterator<Item = &'a [u8]>> Words<'a, I> {
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() { self.words.next() } else { Some(mem::take(&mut self.rest)) }
    }
}

/// Whether an option takes the library away; `None` for one that is not known. Reads its value.
fn option<'a>(option: &'a [u8], words: &mut Words<'a, impl Iterator<Item = &'a [u8]>>) -> Option<bool> {
    match option {
        b"--" | b"--debug" | b"--split-string" => return Some(false),
        b"-" | b"--ignore-environment" => return Some(true),
        b"--unset" => return Some(words.next()? == LIBRARY),
        _ => {}
    }
    if let Some(name) = option.strip_prefix(b"--unset=") {
        return Some(name == LIBRARY);
    }
    if let Some(rest) = option.strip_prefix(b"--split-string=") {
        words.rest = rest;
        return Some(false);
    }
    let mut drops = false;
    for (i, letter) in option.iter().enumerate().skip(1) {
        match letter {
            b'i' => drops = true,
            b'v' => {}
            b'S' | b'u' => {
                words.rest = &option[i + 1..];
                return Some(drops | (*letter == b'u' && words.next()? == LIBRARY));
            }
            _ => return None,
        }
    }
    Some(drops)
}

/// Reads bytes as the beginning of a script.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn fuzz(bytes: &[u8]) {
    if let Some(script) = Script::parse(bytes) {
        let interpreter = script.interpreter.as_os_str().as_bytes();
        assert!(!interpreter.is_empty() && !interpreter.iter().any(|b| b" \t\n".contains(b)));
        if let Some(Env::Starts(name)) = script.through_env() {
            assert!(!name.is_empty() && !name.as_bytes().contains(&b'='));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn env_of(head: &str) -> Option<Env<'_>> {
        Script::parse(head.as_bytes()).unwrap().through_env()
    }

    #[test]
    fn first_lines() {
        for (head, interpreter) in [
            ("#!/bin/sh\necho", "/bin/sh"),
            ("#! /bin/sh -e\n", "/bin/sh"),
            ("#!/bin/sh\r\n", "/bin/sh\r"),
            ("#! \t/bin/sh \t\n", "/bin/sh"),
        ] {
            let script = Script::parse(head.as_bytes()).unwrap();
            assert_eq!(script.interpreter, Path::new(interpreter), "{head:?}");
            assert_eq!(script.through_env(), None, "{head:?}");
        }
        for head in ["", "echo", "#!\n", "#!   \n/bin/sh", "# !/bin/sh"] {
            assert!(Script::parse(head.as_bytes()).is_none(), "{head:?}");
        }
    }

    #[test]
    fn first_lines_with_env() {
        for (rest, program) in [
            ("python3\n", "python3"),
            ("\tpython3 -u", "python3"),
            ("python3\r\n", "python3\r"),
            ("-S python3 -u\n", "python3"),
            ("-Spython3 -u\n", "python3"),
            ("-vS  python3\n", "python3"),
            ("--split-string=python3 -u\n", "python3"),
            ("--split-string python3 -u\n", "python3"),
            ("-S A=1 B= python3\n", "python3"),
            ("-SA=1 python3\n", "python3"),
            ("-S -u LANG -uHOME --unset=A --unset B python3 -i\n", "python3"),
            ("-S -v -- python3 a='b'\n", "python3"),
            ("-S LD_PRELOADED=1 python3\n", "python3"),
        ] {
            let head = format!("#!/usr/bin/env {rest}");
            assert_eq!(env_of(&head), Some(Env::Starts(OsStr::new(program))), "{head:?}");
        }
        for rest in [
            "-S -i python3\n",
            "-iS python3\n",
            "-S - python3\n",
            "-S --ignore-environment A=1 python3\n",
            "-S -u LD_PRELOAD python3\n",
            "-S -uLD_PRELOAD python3\n",
            "-S -vu LD_PRELOAD python3\n",
            "-S --unset LD_PRELOAD python3\n",
            "-S --unset=LD_PRELOAD python3\n",
            "-S A=1 LD_PRELOAD= python3\n",
        ] {
            let head = format!("#!/usr/bin/env {rest}");
            assert_eq!(env_of(&head), Some(Env::DropsLibrary), "{head:?}");
        }
        for rest in [
            "\n",
            "-i python3\n",
            "-S\n",
            "-S -i\n",
            "-S -u\n",
            "-S -C / python3\n",
            "-S --chdir=/ python3\n",
            "-S PATH=/opt python3\n",
            "-S 'python3'\n",
            "-S A=\"1 2\" python3\n",
            "-S ${HOME}/python3\n",
            "-S # python3\n",
        ] {
            let head = format!("#!/usr/bin/env {rest}");
            assert_eq!(env_of(&head), None, "{head:?}");
        }
    }
}
