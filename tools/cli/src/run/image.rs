//! Whether the loader will bring the library into a program: what its file, or its interpreter's, says.
//!
//! A file that may be run but not read is refused: a static program would run without gort, and nobody would know. What only `env` can
//! make out of a script's first line (quotes, variables) is run.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use object::elf::{DT_NEEDED, DT_SONAME, EM_X86_64, FileHeader64};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, FileKind, Object, ObjectSymbol, ReadCache, ReadRef};

use super::script::{Env, Script};
use super::{cause, find, kernel, not_run, shown};
use crate::failure::{Failure, bad_input};

/// What runs a file that is neither a program nor marked as a script.
pub(super) const SHELL: &str = "/bin/sh";
/// Bytes of a script's first line that the kernel reads.
const FIRST_LINE: usize = 255;
/// Interpreters of interpreters that the kernel follows.
const DEPTH: usize = 5;

const STATIC: &str = "it is statically linked, so no loader can bring the library in";
const OWN_MALLOC: &str = "it defines malloc itself, and the loader prefers that to the library's";
/// The name by which glibc and its programs know the loader (DT_SONAME), whatever its file is called.
const LOADER: &[u8] = b"ld-linux-x86-64.so.2";
/// The loader's options that have a value in the next argument.
const LOADER_VALUES: [&str; 7] = [
    "--argv0",
    "--audit",
    "--glibc-hwcaps-mask",
    "--glibc-hwcaps-prepend",
    "--inhibit-rpath",
    "--library-path",
    "--preload",
];

fn refuse(program: &Path, why: &str) -> Result<(), Failure> {
    Err(bad_input(format!("cannot run {} on gort: {why}", shown(program))))
}

/// Fails unless the library will be part of the program when that is started with these arguments.
pub(super) fn check(program: &Path, args: &[OsString]) -> Result<(), Failure> {
    check_from(program, args, DEPTH)
}

fn check_from(program: &Path, args: &[OsString], depth: usize) -> Result<(), Failure> {
    let (head, file) = match read_head(program) {
        Ok(read) => read,
        Err(e) => {
            let why = cause(&e);
            return refuse(
                program,
                &format!(
                    "it cannot be read ({why}) and may be static; to run it all the same, set LD_PRELOAD yourself"
                ),
            );
        }
    };
    if head.starts_with(b"\x7fELF") {
        return check_elf(program, file, args);
    }
    let Some(script) = Script::parse(&head) else { return check_from(Path::new(SHELL), &[], 0) };
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
    let through_env = script.through_env();
    if through_env == Some(Env::DropsLibrary) {
        return refuse(program, "`env` in its first line takes LD_PRELOAD away");
    }
    let checked = check_from(&script.interpreter, &[], depth - 1).and_then(|()| match through_env {
        Some(Env::Starts(name)) => check_from(&find::program(name)?, &[], depth - 1),
        _ => Ok(()),
    });
    checked.map_err(|failure| explain(failure, "it is the interpreter of", program))
}

/// The file, and as much of it as the kernel looks at.
fn read_head(program: &Path) -> io::Result<(Vec<u8>, File)> {
    let mut file = File::open(program)?;
    let mut head = Vec::new();
    file.by_ref().take(FIRST_LINE as u64).read_to_end(&mut head)?;
    Ok((head, file))
}

/// Says what the file that failed is to the program.
fn explain(failure: Failure, role: &str, program: &Path) -> Failure {
    let add = |message: String| format!("{message} ({role} {})", shown(program));
    match failure {
        Failure::BadInput(message) => Failure::BadInput(add(message)),
        Failure::Command { message, code } => Failure::Command { message: add(message), code },
        other => other,
    }
}

/// What an ELF file is to the loader.
pub(super) struct Elf {
    /// The loader that it asks for; `None` for a static program and for most libraries.
    pub(super) loader: Option<PathBuf>,
    /// Whether other files find a `malloc` in it.
    pub(super) defines_malloc: bool,
    /// Whether it is glibc's loader itself.
    is_loader: bool,
    /// Whether it names libraries that it needs.
    needs_libraries: bool,
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
        let table = symbols.elf_dynamic_table().unwrap_or_default();
        let is_loader =
            loader.is_none() && table.iter().any(|d| d.tag == DT_SONAME && table.string(d) == Ok(LOADER));
        let needs_libraries = table.iter().any(|d| d.tag == DT_NEEDED);
        Ok(Self { loader, defines_malloc, is_loader, needs_libraries })
    }
}

fn check_elf(program: &Path, file: File, args: &[OsString]) -> Result<(), Failure> {
    let meta = file.metadata().ok();
    let elf = match Elf::read(&ReadCache::new(file)) {
        Ok(elf) => elf,
        Err(why) => return refuse(program, why),
    };
    if elf.is_loader {
        let checked = loaded(args).map_or(Ok(()), check_loaded);
        return checked.map_err(|failure| explain(failure, "it is the program for", program));
    }
    let Some(loader) = elf.loader else { return refuse(program, STATIC) };
    if loader.file_name().is_some_and(|name| name.as_bytes().starts_with(b"ld-musl")) {
        return refuse(program, "it uses musl, and the library needs glibc");
    }
    if elf.defines_malloc {
        return refuse(program, OWN_MALLOC);
    }
    match meta.and_then(|meta| raises_privileges(program, &meta)) {
        Some(how) => refuse(program, &format!("it runs {how}, and then the loader ignores the library")),
        None => Ok(()),
    }
}

/// The file that a loader with these arguments is to run: the first one that is no option, if it is a path. It looks for a name among
/// libraries.
fn loaded(args: &[OsString]) -> Option<&Path> {
    let mut args = args.iter();
    loop {
        let arg = args.next()?;
        if LOADER_VALUES.iter().any(|option| arg == option) {
            args.next();
        } else if !arg.as_bytes().starts_with(b"--") {
            return arg.as_bytes().contains(&b'/').then_some(Path::new(arg));
        }
    }
}

/// As `check_elf`, for a file that a loader runs, whose own loader and mode do not count. The loader runs static ones, too, and itself says what
/// it cannot run.
fn check_loaded(program: &Path) -> Result<(), Failure> {
    let Ok(file) = File::open(program) else { return Ok(()) };
    match Elf::read(&ReadCache::new(file)) {
        Ok(elf) if elf.defines_malloc => refuse(program, OWN_MALLOC),
        Ok(elf) if !elf.needs_libraries => refuse(program, STATIC),
        _ => Ok(()),
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

/// Reads bytes as a program.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn fuzz(bytes: &[u8]) {
    if let Ok(elf) = Elf::read(bytes) {
        assert!(bytes.starts_with(b"\x7fELF"));
        assert!(elf.loader.is_none_or(|path| path.as_os_str().len() < bytes.len()));
    }
}
