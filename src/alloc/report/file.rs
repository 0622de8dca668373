//! A file that something is written to when the process exits.
//!
//! It is complete or not there: it is written beside its place and then renamed. Several processes write several files. A device or a
//! pipe is written to as it is; whether the file is one is found out when the heap starts, because a link like `/dev/stdout` leads
//! nowhere once the program has closed what it stands for. Nothing but a regular file is ever replaced.
#![expect(unsafe_code, reason = "a path that is written once")]

use core::cell::UnsafeCell;
use core::fmt::{self, Write};
use core::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Release},
};

use super::Report;
use crate::sys::{self, Output, Path, Target};

/// How much too early a file may be dated: the clock of some file systems ticks every two seconds.
const FILE_CLOCK_NS: u64 = 2_000_000_000;

/// Where something is to be written.
pub(super) struct File {
    /// The variable of the environment that asks for it.
    pub(super) variable: &'static str,
    /// How the line begins that names the process, in what is written.
    process: &'static [u8],
    /// Whether it is wanted; then the goal is set.
    set: AtomicBool,
    goal: UnsafeCell<Goal>,
}

struct Goal {
    path: Path,
    /// What the path named when the heap started, or the errno that says why it cannot be written.
    target: Result<Target, i32>,
}

// SAFETY: the goal is written by the thread that starts the heap before it sets `set`, read by those that saw it set.
unsafe impl Sync for File {}

/// What a file is written by way of.
pub(super) struct Room {
    path: Path,
    partial: Path,
    pub(super) buf: [u8; 4096],
}

impl Room {
    pub(super) const EMPTY: Self = Self { path: Path::new(), partial: Path::new(), buf: [0; 4096] };
}

impl File {
    pub(super) const fn new(variable: &'static str, process: &'static [u8]) -> Self {
        let goal = Goal { path: Path::new(), target: Ok(Target::Plain) };
        Self { variable, process, set: AtomicBool::new(false), goal: UnsafeCell::new(goal) }
    }

    /// Asks for it in `file`, which is taken relative to the directory that the process is in now. An error when the path is too long.
    /// Once, while the heap starts.
    pub(super) fn set(&self, file: &[u8]) -> fmt::Result {
        // SAFETY: the thread that starts the heap calls this once, and nobody reads it before `set` is.
        let Goal { path, target } = unsafe { &mut *self.goal.get() };
        if !file.starts_with(b"/") {
            sys::push_current_dir(path)?;
            path.push(b"/")?;
        }
        path.push(file)?;
        *target = sys::target(path.as_cstr());
        // Release: publishes the goal. Pairs with the Acquire in `goal`.
        self.set.store(true, Release);
        Ok(())
    }

    fn goal(&self) -> Option<&Goal> {
        // Acquire: pairs with the Release in `set`.
        // SAFETY: it is set, so it was written, and it is never written again.
        self.set.load(Acquire).then(|| unsafe { &*self.goal.get() })
    }

    /// Whether it is wanted.
    pub(super) fn is_set(&self) -> bool {
        self.goal().is_some()
    }

    /// Its name.
    pub(super) fn path(&self) -> &[u8] {
        self.goal().map_or(&[], |goal| goal.path.as_bytes())
    }

    /// Writes the file if `own` says that it is this process's own, or `FILE.PID`; nothing if it is not wanted. What was written well before
    /// `since` is an earlier process's. The error is an errno.
    pub(super) fn write(
        &self,
        write: fn(&Report, &mut dyn Write) -> fmt::Result,
        report: &Report,
        own: bool,
        since: u64,
        room: &mut Room,
    ) -> Result<(), i32> {
        let too_long = |_| libc::ENAMETOOLONG;
        let Some(goal) = self.goal() else { return Ok(()) };
        let Room { path, partial, buf } = room;
        let write_to = |fd: i32, buf: &mut [u8]| {
            let mut out = Output::new(fd, buf);
            let _ = write(report, &mut out);
            let written = out.finish();
            sys::close(fd);
            written
        };
        if goal.target? == Target::Special {
            // Every process writes there.
            return write_to(sys::open_special(goal.path.as_cstr())?, buf);
        }
        path.clear();
        path.push(goal.path.as_bytes()).map_err(too_long)?;
        if !own {
            write!(path, ".{}", report.pid).map_err(too_long)?;
        }
        if !report.is_rust && self.is_of(report.pid, since, path, buf) {
            // The program is in Rust and has written what its global allocator's heap has to say.
            path.push(b".malloc").map_err(too_long)?;
        }
        partial.clear();
        let name = path.as_bytes().iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1);
        partial.push(&path.as_bytes()[..name]).map_err(too_long)?;
        write!(partial, ".gort.{}.tmp", report.pid).map_err(too_long)?;
        let fd = sys::create(partial.as_cstr())?;
        let written = write_to(fd, buf).and_then(|()| sys::rename(partial.as_cstr(), path.as_cstr()));
        if written.is_err() {
            sys::remove(partial.as_cstr());
        }
        written
    }

    /// Whether the file at `path` is one of these that names this process, and no earlier one of the same number. `buf` is room.
    fn is_of(&self, pid: u32, since: u64, path: &Path, buf: &mut [u8]) -> bool {
        let mut found = false;
        if sys::written_at(path.as_cstr()).is_some_and(|at| at + FILE_CLOCK_NS >= since) {
            sys::each_line(path.as_cstr(), buf, |line| {
                let number = line.strip_prefix(self.process);
                let number = number.map(|rest| rest.strip_suffix(b",").unwrap_or(rest));
                found |= number.is_some_and(|n| str::from_utf8(n).is_ok_and(|n| n.parse() == Ok(pid)));
            });
        }
        found
    }
}

/// A path with a substitute for what is not text.
pub(super) struct Lossy<'a>(pub(super) &'a [u8]);

impl fmt::Display for Lossy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.utf8_chunks().try_for_each(|chunk| {
            write!(f, "{}", chunk.valid().escape_debug())?;
            if chunk.invalid().is_empty() { Ok(()) } else { f.write_char(char::REPLACEMENT_CHARACTER) }
        })
    }
}

/// What went wrong, in words where files are concerned. The C library's own words may need memory.
pub(super) struct Errno(pub(super) i32);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            libc::ENOENT | libc::ENOTDIR => "it, or its directory, is not there",
            libc::ELOOP => "it is a link; name the file itself",
            libc::EEXIST => "something else has its name",
            libc::EACCES | libc::EPERM => "permission denied",
            libc::EROFS => "the file system is read-only",
            libc::ENOSPC | libc::EDQUOT => "no space left",
            libc::EFBIG => "it would exceed the limit on file sizes",
            libc::EMFILE | libc::ENFILE => "too many open files",
            libc::ENAMETOOLONG => "the name is too long",
            libc::EISDIR => "it is a directory",
            libc::ENXIO => "nobody reads the pipe",
            libc::EPIPE => "its reader has left",
            code => return write!(f, "errno {code}"),
        })
    }
}
