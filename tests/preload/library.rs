//! libgort as programs in C get it, and programs in C and C++ to try it with.
//!
//! A nested cargo builds the library, once per test process, into the target directory of the test itself: what is tested is
//! the release build, whatever the test's own profile. Rejected: trusting a library that lies there from an earlier build.
#![expect(unsafe_code, reason = "sets limits between fork and exec, and ends programs that hang")]
#![allow(dead_code, reason = "each part of the tests uses its part")]

use std::ffi::OsStr;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;
use std::{env, fs, io, process, thread};

/// A program that runs longer hangs, unless `Run::seconds` says otherwise.
const SECONDS: u64 = 60;
/// Variables that change what an allocator or the loader does; no program inherits them.
const VARIABLES: [&str; 15] = [
    "GOMEMLIMIT",
    "GODEBUG",
    "GOGC",
    "GOMAXPROCS",
    "GORT_STATS",
    "GORT_STATS_JSON",
    "GORT_STATS_PID",
    "GORT_SIZES",
    "GLIBC_TUNABLES",
    "MALLOC_ARENA_MAX",
    "MALLOC_CHECK_",
    "MALLOC_PERTURB_",
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "LD_BIND_NOW",
];

/// The directory of the test's sources.
pub(crate) fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/preload")
}

/// The directory of `gort.h`.
pub(crate) fn include() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/preload/include")
}

/// The directory of `libgort.so` and `libgort.a`, just built.
pub(crate) fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build)
}

/// The shared library, just built.
pub(crate) fn shared() -> PathBuf {
    library().join("libgort.so")
}

/// The static library, just built.
pub(crate) fn archive() -> PathBuf {
    library().join("libgort.a")
}

fn build() -> PathBuf {
    let mut target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a target directory").to_owned();
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--release", "-p", "gort-preload", "-p", "gort-archive"])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if cfg!(feature = "invariants") {
        target.push("invariants");
        command.args(["--features", "invariants"]);
    }
    if cfg!(feature = "hardened") {
        target.push("hardened");
        command.args(["--features", "hardened"]);
    }
    command.arg("--target-dir").arg(&target);
    finish(&mut command);
    target.join("release")
}

/// Runs a tool to its end; fails with what it said unless it succeeded. Returns its standard output.
pub(crate) fn finish(command: &mut Command) -> String {
    let out = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{command:?}: {}\n{stdout}{stderr}", out.status);
    stdout.into_owned()
}

/// How a program comes by its allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It has the C library's own.
    Libc,
    /// `LD_PRELOAD=libgort.so`.
    Preload,
    /// Linked with `-lgort`.
    Shared,
    /// `libgort.a` in it; all else is shared.
    Archive,
    /// `libgort.a` in it, and all else as well.
    Static,
    /// As `Static`, at an address that is not known before it runs.
    StaticPie,
}

impl Way {
    /// Each way by which gort gets under a program.
    pub(crate) const GORT: [Self; 5] =
        [Self::Preload, Self::Shared, Self::Archive, Self::Static, Self::StaticPie];

    fn link(self, command: &mut Command) {
        match self {
            Self::Libc | Self::Preload => return,
            // The loader looks for the soname, which an installation provides; here it is beside the program.
            Self::Shared => command.args(["-Wl,-rpath,$ORIGIN", "-Wl,--no-as-needed"]),
            Self::Archive => command,
            Self::Static => command.arg("-static"),
            Self::StaticPie => command.arg("-static-pie").arg("-fPIE"),
        };
        command.arg("-L").arg(library());
        command.arg(if self == Self::Shared { "-lgort" } else { "-l:libgort.a" });
    }
}

/// A directory that goes when it is dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Relaxed: the numbers only have to differ.
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("preload-{}-{number}", process::id()));
        // From a process that had the same id and was killed.
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("the target directory is writable");
        Self(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A program that was compiled for a test.
pub(crate) struct Program {
    name: String,
    way: Way,
    dir: Scratch,
}

impl Program {
    pub(crate) fn way(&self) -> Way {
        self.way
    }

    /// Compiles C (`.c`) or C++ (`.cpp`), a path below `tests/preload`, with additional flags.
    pub(crate) fn compile(source: &str, flags: &[&str], way: Way) -> Self {
        Self::compile_by(if source.ends_with(".cpp") { "c++" } else { "cc" }, source, flags, way)
    }

    /// As `compile`, by this compiler.
    pub(crate) fn compile_by(compiler: &str, source: &str, flags: &[&str], way: Way) -> Self {
        let dir = Scratch::new();
        let mut command = Command::new(compiler);
        command.args(["-Wall", "-Werror", "-O1", "-fno-builtin", "-g", "-pthread"]).arg("-I").arg(include());
        command.args(flags).arg(sources().join(source)).arg("-o").arg(dir.path().join("program"));
        way.link(&mut command);
        if way == Way::Shared {
            let link = dir.path().join("libgort.so.0");
            std::os::unix::fs::symlink(shared(), link).expect("the directory is empty");
        }
        finish(&mut command);
        Self { name: format!("{source} ({way:?})"), way, dir }
    }

    /// The compiled file. It goes when the program is dropped.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("program")
    }

    /// The directory it runs in, for it alone.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A run of it, still to be started.
    pub(crate) fn run(&self) -> Run {
        let mut run = Run::new(self.path(), self.way).dir(self.dir.path());
        run.name.clone_from(&self.name);
        run
    }
}

/// Compiles and runs a program in each of these ways; every run must pass.
pub(crate) fn passes_in(ways: &[Way], source: &str, flags: &[&str]) {
    for &way in ways {
        Program::compile(source, flags, way).run().passes();
    }
}

/// A run of a program: arguments, environment, limits.
pub(crate) struct Run {
    name: String,
    command: Command,
    way: Way,
    seconds: u64,
}

impl Run {
    /// Of any program that is there; only the ways `Libc` and `Preload` make a difference.
    pub(crate) fn new(program: impl AsRef<OsStr>, way: Way) -> Self {
        let name = format!("{} ({way:?})", program.as_ref().display());
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in VARIABLES {
            command.env_remove(name);
        }
        if way == Way::Preload {
            command.env("LD_PRELOAD", shared());
        }
        // A group of its own, so that a program that hangs is ended with all that it started.
        command.process_group(0);
        Self { name, command, way, seconds: SECONDS }.limit(libc::RLIMIT_CORE, 0)
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.name = format!("{} {}", self.name, arg.as_ref().display());
        self.command.arg(arg);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.name = format!("{name}={} {}", value.as_ref().display(), self.name);
        self.command.env(name, value);
        self
    }

    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    pub(crate) fn stdin(mut self, from: impl Into<Stdio>) -> Self {
        self.command.stdin(from);
        self
    }

    /// With another deadline.
    pub(crate) fn seconds(mut self, seconds: u64) -> Self {
        self.seconds = seconds;
        self
    }

    /// With a limit, such as `libc::RLIMIT_AS` bytes of addresses.
    pub(crate) fn limit(mut self, resource: libc::__rlimit_resource_t, value: u64) -> Self {
        let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
        let set = move || {
            // SAFETY: the limit is valid for a read.
            match unsafe { libc::setrlimit(resource, &raw const limit) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        };
        // SAFETY: setrlimit may be called between fork and exec.
        unsafe { self.command.pre_exec(set) };
        self
    }

    /// Runs the program to its end and returns how it ended, in its own words. Fails if it hangs.
    pub(crate) fn output(mut self) -> Outcome {
        let child = self.command.spawn().unwrap_or_else(|e| panic!("{}: {e}", self.name));
        let group = -child.id().cast_signed();
        let (done, wait) = mpsc::channel::<()>();
        let seconds = self.seconds;
        let watchdog = thread::spawn(move || {
            let hangs =
                wait.recv_timeout(Duration::from_secs(seconds)) == Err(mpsc::RecvTimeoutError::Timeout);
            if hangs {
                // SAFETY: no preconditions. The group is the child's own and the child is not waited for.
                unsafe { libc::kill(group, libc::SIGKILL) };
            }
            hangs
        });
        let out = child.wait_with_output().expect("the program can be waited for");
        drop(done);
        let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        let outcome = Outcome {
            name: self.name,
            status: out.status,
            stdout: stdout.into_owned(),
            stderr: stderr.into_owned(),
        };
        let hangs = watchdog.join().expect("the watchdog does not fail");
        assert!(!hangs, "hung for {seconds} s: {}", outcome.describe());
        outcome
    }

    /// Fails unless the program succeeds and says nothing on stderr; returns what it said on stdout.
    pub(crate) fn passes(self) -> String {
        let outcome = self.output();
        assert!(outcome.status.success() && outcome.stderr.is_empty(), "{}", outcome.describe());
        outcome.stdout
    }
}

/// How a program ended.
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// All of it, for a test that fails.
    pub(crate) fn describe(&self) -> String {
        let Self { name, status, stdout, stderr } = self;
        format!("{name}: {status}\n--- stdout\n{stdout}--- stderr\n{stderr}")
    }

    /// Fails unless the program was ended with SIGABRT and exactly one line on stderr, gort's. Returns the line.
    pub(crate) fn fatal_line(&self) -> &str {
        assert_eq!(self.status.signal(), Some(libc::SIGABRT), "{}", self.describe());
        assert_eq!(self.stderr.lines().count(), 1, "not one line: {}", self.describe());
        assert!(
            self.stderr.starts_with("gort: fatal: ") && self.stderr.ends_with('\n'),
            "{}",
            self.describe()
        );
        self.stderr.trim_end()
    }
}
