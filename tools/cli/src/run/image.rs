//! Whether the loader will bring the library into a program: what its file, or its interpreter's, says.
//!
//! What nothing can be learnt about (a file that may be run but not read) is run.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use object::elf::{EM_X86_64, FileHeader64};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, FileKind, Object, ObjectSymbol, ReadCache, ReadRef};

use super::{find, kernel, not_run, shown};
use crate::failure::{Failure, bad_input};

/// What runs a file that is neither a program nor marked as a script.
pub(super) const SHELL: &str = "/bin/sh";
/// Bytes of a script's first line that the kernel reads.
const FIRST_LINE: usize = 255;
/// Interpreters of interpreters that the kernel follows.
const DEPTH: usize = 5;

/// Fails unless the library will be part of the program, or nothing can be said about it.
pub(super) fn check(program: &Path) -> Result<(), Failure> {
    check_from(program, DEPTH)
}

fn check_from(program: &Path, depth: usize) -> Result<(), Failure> {
    let Ok(mut file) = File::open(program) else { return Ok(()) };
    let mut head = Vec::new();
    if file.by_ref().take(FIRST_LINE as u64).read_to_end(&mut head).is_err() {
        return Ok(());
    }
    if head.starts_with(b"\x7fELF") {
        return check_elf(program, file);
    }
    let Some(script) = Script::parse(&head) else { return check_from(Path::new(SHELL), 0) };
    if depth == 0 {
        return Err(not_run(format!("cannot run {}: too many interpreters call each other", shown(program))));
    }
    if !script.interpreter.exists() {
        let interpreter = shown(&script.interpreter);
        return Err(not_run(format!(
            "cannot run {}: its interpreter {interpreter} is not there",
            shown(program)
        )));
    }
    let checked = check_from(&script.interpreter, depth - 1).and_then(|()| match script.through_env() {
        Some(name) => check_from(&find::program(name)?, depth - 1),
        None => Ok(()),
    });
    checked.map_err(|failure| as_interpreter(failure, program))
}

/// Says whose interpreter it is that failed.
fn as_interpreter(failure: Failure, script: &Path) -> Failure {
    let add = |message: String| format!("{message} (it is the interpreter of {})", shown(script));
    match failure {
        Failure::BadInput(message) => Failure::BadInput(add(message)),
        Failure::Command { message, code } => Failure::Command { message: add(message), code },
        other => other,
    }
}

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
struct Script<'a> {
    interpreter: PathBuf,
    /// All that follows, which the kernel passes as one argument.
    argument: &'a [u8],
}

impl<'a> Script<'a> {
    fn parse(head: &'a [u8]) -> Option<Self> {
        let line = trim(head.strip_prefix(b"#!")?.split(|&b| b == b'\n').next()?);
        let end = line.iter().position(is_blank).unwrap_or(line.len());
        let (interpreter, argument) = line.split_at(end);
        let interpreter = PathBuf::from(OsStr::from_bytes(interpreter));
        (end > 0).then_some(Self { interpreter, argument: trim(argument) })
    }

    /// The program that `env` is to look for. With options it is `env`'s business which one that is.
    fn through_env(&self) -> Option<&'a OsStr> {
        let is_env = self.interpreter.file_name() == Some(OsStr::new("env"));
        let argument = trim(self.argument.strip_prefix(b"-S").unwrap_or(self.argument));
        let name = argument.split(is_blank).next()?;
        let plain = !name.is_empty() && !name.starts_with(b"-") && !name.contains(&b'=');
        (is_env && plain).then(|| OsStr::from_bytes(name))
    }
}

/// What an ELF file is to the loader.
pub(super) struct Elf {
    /// The loader that it asks for; `None` for a static program and for most libraries.
    pub(super) loader: Option<PathBuf>,
    /// Whether other files find a `malloc` in it.
    pub(super) defines_malloc: bool,
}

impl Elf {
    /// Reads the headers; the error says what the file is instead of a program or library of this machine's.
    pub(super) fn read<'data>(file: impl ReadRef<'data>) -> Result<Self, &'static str> {
        const BROKEN: &str = "it is a broken ELF file";
        match FileKind::parse(file) {
            Ok(FileKind::Elf64) => {}
            Ok(FileKind::Elf32) => return Err("it is 32-bit, and gort is 64-bit"),
            _ => return Err("it is no ELF file"),
        }
        let header = FileHeader64::<Endianness>::parse(file).map_err(|_| BROKEN)?;
        let endian = header.endian().map_err(|_| BROKEN)?;
        if header.e_machine(endian) != EM_X86_64 || endian != Endianness::Little {
            return Err("it is for another machine than the library's x86-64");
        }
        let mut loader = None;
        for segment in header.program_headers(endian, file).map_err(|_| BROKEN)? {
            if let Some(path) = segment.interpreter(endian, file).map_err(|_| BROKEN)? {
                loader = Some(PathBuf::from(OsStr::from_bytes(path)));
            }
        }
        let symbols = ElfFile64::<Endianness, _>::parse(file).map_err(|_| BROKEN)?;
        let defines_malloc =
            symbols.dynamic_symbols().any(|s| s.is_definition() && s.name_bytes() == Ok(b"malloc"));
        Ok(Self { loader, defines_malloc })
    }
}

fn check_elf(program: &Path, file: File) -> Result<(), Failure> {
    let refuse = |why: &str| Err(bad_input(format!("cannot run {} on gort: {why}", shown(program))));
    let meta = file.metadata().ok();
    let file = ReadCache::new(file);
    let elf = match Elf::read(&file) {
        Ok(elf) => elf,
        Err(why) => return refuse(why),
    };
    let Some(loader) = elf.loader else {
        return refuse("it is statically linked, so no loader can bring the library in");
    };
    if loader.file_name().is_some_and(|name| name.as_bytes().starts_with(b"ld-musl")) {
        return refuse("it uses musl, and the library needs glibc");
    }
    if elf.defines_malloc {
        return refuse("it defines malloc itself, and the loader prefers that to the library's");
    }
    match meta.and_then(|meta| raises_privileges(program, &meta)) {
        Some(how) => refuse(&format!("it runs {how}, and then the loader ignores the library")),
        None => Ok(()),
    }
}

/// How running the file gives a process other rights than the caller's.
fn raises_privileges(program: &Path, meta: &Metadata) -> Option<&'static str> {
    let mode = meta.mode();
    let (user, group) = kernel::caller();
    if kernel::keeps_privileges(program) {
        None
    } else if mode & libc::S_ISUID != 0 && meta.uid() != user {
        Some("as its owner (set-user-id)")
    } else if mode & libc::S_ISGID != 0 && mode & libc::S_IXGRP != 0 && meta.gid() != group {
        Some("as its group (set-group-id)")
    } else if user != 0 && kernel::has_capabilities(program) {
        Some("with capabilities of its file")
    } else {
        None
    }
}

/// Reads bytes as the beginning of a script and as a program.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn fuzz(bytes: &[u8]) {
    if let Some(script) = Script::parse(bytes) {
        let interpreter = script.interpreter.as_os_str().as_bytes();
        assert!(!interpreter.is_empty() && !interpreter.iter().any(|b| b" \t\n".contains(b)));
        assert!(script.through_env().is_none_or(|name| !name.is_empty()));
    }
    if let Ok(elf) = Elf::read(bytes) {
        assert!(bytes.starts_with(b"\x7fELF"));
        assert!(elf.loader.is_none_or(|path| path.as_os_str().len() < bytes.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines() {
        for (head, interpreter, through_env) in [
            ("#!/bin/sh\necho", "/bin/sh", None),
            ("#! /bin/sh -e\n", "/bin/sh", None),
            ("#!/usr/bin/env python3\n", "/usr/bin/env", Some("python3")),
            ("#!/usr/bin/env\tpython3 -u", "/usr/bin/env", Some("python3")),
            ("#!/usr/bin/env -S python3 -u\n", "/usr/bin/env", Some("python3")),
            ("#!/usr/bin/env -S A=1 python3\n", "/usr/bin/env", None),
            ("#!/bin/sh\r\n", "/bin/sh\r", None),
            ("#! \t/bin/sh \t\n", "/bin/sh", None),
            ("#!/usr/bin/env python3\r\n", "/usr/bin/env", Some("python3\r")),
            ("#!/usr/bin/env -i python3\n", "/usr/bin/env", None),
            ("#!/usr/bin/env\n", "/usr/bin/env", None),
        ] {
            let script = Script::parse(head.as_bytes()).unwrap();
            assert_eq!(script.interpreter, Path::new(interpreter), "{head:?}");
            assert_eq!(script.through_env(), through_env.map(OsStr::new), "{head:?}");
        }
        for head in ["", "echo", "#!\n", "#!   \n/bin/sh", "# !/bin/sh"] {
            assert!(Script::parse(head.as_bytes()).is_none(), "{head:?}");
        }
    }
}
