//! `gort run`: an unmodified program on gort's heap, by way of `LD_PRELOAD`.
//!
//! The command finds the library and the program, makes sure that the loader will bring the two together, sets the environment,
//! and becomes the program: from there on only the library acts.

mod find;
mod image;
mod kernel;
mod library;
mod script;
mod stats_file;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, bad_input, cause};

/// Run a program on gort's heap, without changing it
///
/// Puts libgort.so first in LD_PRELOAD and becomes the program: its exit status, signals and number are the program's own, and
/// the processes that it starts run on gort too, but for those that are static or bring a malloc of their own. The library is looked for beside this command, in ../lib and ../lib/gort from
/// there, and in the build tree.
///
/// A Rust program with gort as its global allocator has two heaps, its own and the library's behind malloc, and each reports; as
/// JSON the second goes to FILE.malloc.
///
/// A report comes from each process that exits by exit() or returns from main. One that ends by a signal or by _exit() (dash
/// does, and Go programs) writes none.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, override_usage = "gort run [OPTIONS] [--] PROGRAM [ARGS]...")]
pub(crate) struct Args {
    /// At exit, print what the heap held and did, and its busiest size classes, on stderr
    #[arg(long)]
    stats: bool,
    /// At exit, write the same as JSON: the program to FILE, every other process of its to FILE.PID
    #[arg(long, value_name = "FILE")]
    stats_json: Option<PathBuf>,
    /// At exit, write which sizes were asked for, for `gort size-classes --from`: to FILE and FILE.PID as well. Recording is slow
    #[arg(long, value_name = "FILE")]
    sizes: Option<PathBuf>,
    /// Soft limit of the heap (GOMEMLIMIT): bytes, or with a suffix KiB, MiB, GiB, TiB; or auto, off
    #[arg(long, value_name = "BYTES", value_parser = memlimit)]
    memlimit: Option<String>,
    /// Guard one allocation in N, in 1,000,000 without =N: a misuse of a guarded object ends the program with a report and stacks (GODEBUG=guardrate=N)
    #[arg(long, value_name = "N", value_parser = guard, num_args = 0..=1, require_equals = true, default_missing_value = "1000000")]
    guard: Option<u64>,
    /// The library to preload
    #[arg(long, value_name = "PATH")]
    lib: Option<PathBuf>,
    /// The program, and what it is to be started with; options behind its name are its own
    #[arg(value_name = "PROGRAM", trailing_var_arg = true)]
    command: Vec<OsString>,
}

const EXAMPLES: &str = "\
Examples:
  gort run redis-server --save ''
  gort run --stats -- git log --oneline
  gort run --stats-json heap.json --memlimit 512MiB python3 job.py
  gort run --sizes redis.sizes redis-server --save ''
  gort run --guard -- nginx
  gort run --lib ./libgort.so ./program";

/// What GOMEMLIMIT takes.
fn memlimit(s: &str) -> Result<String, String> {
    let digits = s.len() - s.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let shift = match &s[digits..] {
        "" | "B" => Some(0),
        "KiB" => Some(10),
        "MiB" => Some(20),
        "GiB" => Some(30),
        "TiB" => Some(40),
        _ => None,
    };
    let bytes = || s[..digits].parse::<i64>().ok()?.checked_mul(1 << shift?);
    match s {
        "off" | "auto" => Ok(s.to_owned()),
        _ if bytes().is_some() => Ok(s.to_owned()),
        _ => Err("not a number of bytes below 8 EiB with an optional suffix B, KiB, MiB, GiB or TiB, nor auto or off".to_owned()),
    }
}

/// What GODEBUG's guardrate takes, but for 0.
fn guard(s: &str) -> Result<u64, String> {
    let rate = s.parse().ok().filter(|rate| (1..=1 << 40).contains(rate));
    rate.ok_or_else(|| "not a whole number from 1 to 2^40".to_owned())
}

/// Runs the command; returns only when it failed.
pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let Some(name) = args.command.first() else {
        return Err(bad_input(
            "run needs a program: gort run [options] -- program args; gort run --help has examples",
        ));
    };
    let library = library::find(args.lib.as_deref())?;
    let program = find::program(name)?;
    image::check(&program, &args.command[1..])?;

    let mut environment = vec![("LD_PRELOAD".into(), preload(&library))];
    if args.stats {
        environment.push(("GORT_STATS".into(), "1".into()));
    }
    if let Some(limit) = args.memlimit {
        environment.push(("GOMEMLIMIT".into(), limit.into()));
    }
    if let Some(rate) = args.guard {
        environment.push(("GODEBUG".into(), godebug(rate)));
    }
    let files =
        [("--stats-json", "GORT_STATS_JSON", &args.stats_json), ("--sizes", "GORT_SIZES", &args.sizes)];
    for (option, variable, file) in files {
        let Some(file) = file else { continue };
        environment.push((variable.into(), stats_file::prepare(option, file)?.into()));
    }
    let paths: Vec<_> =
        environment.iter().filter(|(name, _)| name == "GORT_STATS_JSON" || name == "GORT_SIZES").collect();
    if let [(_, json), (_, sizes)] = paths[..]
        && json == sizes
    {
        return Err(bad_input("--stats-json and --sizes name the same file"));
    }
    for (_, file) in &paths {
        stats_file::remove_earlier(Path::new(file))?;
    }
    if !paths.is_empty() {
        // The program keeps the number of this process.
        environment.push(("GORT_STATS_PID".into(), std::process::id().to_string().into()));
    }
    Err(exec(&program, &args.command, environment))
}

/// The library in front of what is preloaded already.
fn preload(library: &Path) -> OsString {
    in_front(library.as_os_str().to_owned(), ":", "LD_PRELOAD")
}

/// The rate in front of what is asked for already: the library takes the first.
fn godebug(rate: u64) -> OsString {
    in_front(format!("guardrate={rate}").into(), ",", "GODEBUG")
}

/// A value in front of those that the variable has.
fn in_front(mut value: OsString, separator: &str, variable: &str) -> OsString {
    if let Some(others) = std::env::var_os(variable).filter(|others| !others.is_empty()) {
        value.push(separator);
        value.push(others);
    }
    value
}

/// Becomes the program. Returns only when the kernel refuses.
fn exec(program: &Path, args: &[OsString], changed: Vec<(OsString, OsString)>) -> Failure {
    let kept = std::env::vars_os().filter(|(name, _)| changed.iter().all(|(new, _)| new != name));
    let environment: Vec<_> = kept.chain(changed.iter().cloned()).collect();
    let mut error = kernel::exec(program, args, &environment);
    if error.raw_os_error() == Some(libc::ENOEXEC) {
        // Neither a program nor marked as a script: a script of the shell's, as execvp has it.
        let mut shell: Vec<OsString> = vec!["sh".into(), program.into()];
        shell.extend_from_slice(&args[1..]);
        error = kernel::exec(Path::new(image::SHELL), &shell, &environment);
    }
    match error.raw_os_error() {
        Some(libc::ENOENT) => not_found(format!("cannot run {}: {}", shown(program), cause(&error))),
        _ => not_run(format!("cannot run {}: {}", shown(program), cause(&error))),
    }
}

/// A program that is not there: exit code 127, as a shell has it.
fn not_found(message: String) -> Failure {
    Failure::Command { message, code: 127 }
}

/// A program that is there and cannot be run: exit code 126, as a shell has it.
fn not_run(message: String) -> Failure {
    Failure::Command { message, code: 126 }
}

/// In quotes, and on one line whatever it is.
fn shown(name: impl AsRef<OsStr>) -> String {
    format!("'{}'", name.as_ref().to_string_lossy().escape_debug())
}

/// Reads bytes as each thing that the command reads of a file or of its arguments.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn fuzz(bytes: &[u8]) {
    image::fuzz(bytes);
    script::fuzz(bytes);
}

/// Whether `--memlimit` takes this.
#[cfg(feature = "fuzzing")]
pub(crate) fn is_memlimit(s: &str) -> bool {
    memlimit(s).is_ok()
}

#[cfg(test)]
mod tests {
    use super::memlimit;

    #[test]
    fn limits() {
        for good in ["0", "123", "1B", "4KiB", "512MiB", "3GiB", "1TiB", "off", "auto", "9223372036854775807"]
        {
            assert_eq!(memlimit(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "MiB",
            "1MB",
            "1 MiB",
            "-1",
            "+1",
            "1.5GiB",
            "Off",
            "9223372036854775808",
            "8388608TiB",
            "1é",
        ] {
            assert!(memlimit(bad).is_err(), "{bad:?}");
        }
    }
}
