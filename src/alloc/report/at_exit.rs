//! The report that a process writes by itself when it exits (`GORT_STATS`, `GORT_STATS_JSON`).
//!
//! It goes to the stderr that the process started with. Programs close theirs before they exit (coreutils do, to see write
//! errors), so a second descriptor of it is kept; a forked child closes its own, or a daemon would keep its parent's pipe open.
//! A descriptor may have been closed and its number taken by another file, so each is used only if it still is the same file.
//!
//! JSON is complete or not there: it is written beside the file and then renamed. Several processes write several files. A device or
//! a pipe is written to as it is; whether the file is one is found out when the heap starts, because a link like `/dev/stdout` leads
//! nowhere once the program has closed what it stands for. Nothing but a regular file is ever replaced.
#![expect(unsafe_code, reason = "a path that is written once, and a hook for the C library")]

use core::cell::UnsafeCell;
use core::fmt::{self, Write};
use core::sync::atomic::{
    AtomicBool, AtomicI32, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use super::{Report, json, text};
use crate::mcache;
use crate::sys::{self, FileId, Output, Path, Target};

const STDERR: i32 = 2;

/// Whether a report as text is wanted.
static TEXT: AtomicBool = AtomicBool::new(false);
/// Whether one as JSON is, and then the file is set.
static JSON: AtomicBool = AtomicBool::new(false);
static FILE: File = File(UnsafeCell::new(Goal { path: Path::new(), target: Ok(Target::Plain) }));
/// The process that writes JSON to the file of that very name; 0 = none.
static OWNER: AtomicU32 = AtomicU32::new(0);
/// The process that started the heap; 0 before.
static STARTED_AS: AtomicU32 = AtomicU32::new(0);
/// Whether `at_exit_last` writes the report.
static LAST: AtomicBool = AtomicBool::new(false);
/// The second descriptor of stderr; -1 = none.
static KEPT: AtomicI32 = AtomicI32::new(-1);
/// Whether the heap is the one behind `malloc`.
static BEHIND_MALLOC: AtomicBool = AtomicBool::new(false);
/// What stderr was when the heap started. Inode 0 with device 0 is no file.
static STDERR_DEVICE: AtomicU64 = AtomicU64::new(0);
static STDERR_INODE: AtomicU64 = AtomicU64::new(0);

/// Where JSON goes.
struct Goal {
    path: Path,
    /// What the path named when the heap started, or the errno that says why it cannot be written.
    target: Result<Target, i32>,
}

struct File(UnsafeCell<Goal>);
// SAFETY: written by the thread that starts the heap before it sets JSON, read by those that saw JSON set.
unsafe impl Sync for File {}

/// Asks for the text.
pub(in crate::alloc) fn set_text() {
    TEXT.store(true, Relaxed);
}

/// Asks for JSON in `file`, which is taken relative to the directory that the process is in now. An error when the path is too
/// long. Once, while the heap starts.
pub(in crate::alloc) fn set_json(file: &[u8]) -> fmt::Result {
    // SAFETY: the thread that starts the heap calls this once, and nobody reads it before JSON is set.
    let Goal { path, target } = unsafe { &mut *FILE.0.get() };
    if !file.starts_with(b"/") {
        sys::push_current_dir(path)?;
        path.push(b"/")?;
    }
    path.push(file)?;
    *target = sys::target(path.as_cstr());
    // Release: publishes the goal. Pairs with the Acquire in `file`.
    JSON.store(true, Release);
    Ok(())
}

/// Whether the environment asks for a report.
pub(in crate::alloc) fn is_asked_for() -> bool {
    [c"GORT_STATS", c"GORT_STATS_JSON"].into_iter().any(|name| sys::env(name).is_some())
}

/// Names the process whose report goes to the file itself; those of others get their number added.
pub(in crate::alloc) fn set_owner(pid: u32) {
    OWNER.store(pid, Relaxed);
}

/// The process that started the heap.
pub(super) fn started_as() -> Option<u32> {
    Some(STARTED_AS.load(Relaxed)).filter(|&pid| pid != 0)
}

fn file() -> Option<&'static Goal> {
    // Acquire: pairs with the Release in `set_json`.
    // SAFETY: JSON is set, so it was written, and it is never written again.
    JSON.load(Acquire).then(|| unsafe { &*FILE.0.get() })
}

fn is_wanted() -> bool {
    TEXT.load(Relaxed) || file().is_some()
}

/// Makes the process write what was asked for when it exits. Once, while the heap starts, after the environment was read.
pub(in crate::alloc) fn arm() {
    STARTED_AS.store(sys::thread::process_id(), Relaxed);
    if !is_wanted() {
        return;
    }
    if let Some(id) = sys::file_id(STDERR) {
        STDERR_DEVICE.store(id.device, Relaxed);
        STDERR_INODE.store(id.inode, Relaxed);
        KEPT.store(sys::duplicate(STDERR).unwrap_or(-1), Relaxed);
    }
    sys::thread::on_process_exit(at_exit);
}

/// As `arm`, but for the heap behind `malloc`, and has it written behind everything else that the program does at exit. For a library that is never unloaded, before
/// the program starts.
pub(in crate::alloc) fn arm_last() {
    BEHIND_MALLOC.store(true, Relaxed);
    if is_wanted() && sys::thread::on_process_exit_last(at_exit_last) {
        LAST.store(true, Relaxed);
    }
}

/// In a forked child: gives up the second descriptor, which would keep a pipe open that the child means to leave.
pub(in crate::alloc) fn close_in_child() {
    let kept = KEPT.swap(-1, Relaxed);
    if is_stderr(kept) {
        sys::close(kept);
    }
    // A thread that was writing a report is not there any more.
    CLAIMED.store(false, Relaxed);
}

/// Whether the descriptor is the file that stderr was at the start.
fn is_stderr(fd: i32) -> bool {
    let then = FileId { device: STDERR_DEVICE.load(Relaxed), inode: STDERR_INODE.load(Relaxed) };
    fd >= 0 && then != FileId { device: 0, inode: 0 } && sys::file_id(fd) == Some(then)
}

/// Writes to the stderr of the start, if it still is there; a failure has no place to be told.
fn to_first_stderr(buf: &mut [u8], write: impl FnOnce(&mut Output) -> fmt::Result) {
    if let Some(fd) = [STDERR, KEPT.load(Relaxed)].into_iter().find(|&fd| is_stderr(fd)) {
        let mut out = Output::new(fd, buf);
        let _ = write(&mut out);
        let _ = out.finish();
    }
}

extern "C" fn at_exit() {
    if !LAST.load(Relaxed) {
        write();
    }
}

extern "C" fn at_exit_last(_: *mut libc::c_void) {
    write();
}

/// What a report is put together in: who exits may be a thread or a signal handler with a small stack.
struct Scratch {
    report: Report,
    path: Path,
    partial: Path,
    buf: [u8; 4096],
}

struct Claimable(UnsafeCell<Scratch>);
// SAFETY: used only by the thread that has set CLAIMED.
unsafe impl Sync for Claimable {}

static CLAIMED: AtomicBool = AtomicBool::new(false);
static SCRATCH: Claimable = Claimable(UnsafeCell::new(Scratch {
    report: Report::EMPTY,
    path: Path::new(),
    partial: Path::new(),
    buf: [0; 4096],
}));

fn write() {
    if mcache::is_marked() {
        // A signal handler that interrupted this thread's slow path called exit.
        mcache::close_versions();
    }
    // Acquire: pairs with the Release below.
    if CLAIMED.swap(true, Acquire) {
        // Another thread exits at the same time, and reports.
        return;
    }
    // SAFETY: claimed, by this thread.
    let Scratch { report, path, partial, buf } = unsafe { &mut *SCRATCH.0.get() };
    report.fill();
    report.is_rust = !BEHIND_MALLOC.load(Relaxed);
    if TEXT.load(Relaxed) {
        to_first_stderr(buf, |out| text::write(report, out));
    }
    if let Some(file) = file()
        && let Err(code) = write_json(report, file, path, partial, buf)
    {
        let name = Lossy(file.path.as_bytes());
        to_first_stderr(buf, |out| {
            writeln!(out, "gort: GORT_STATS_JSON: cannot write {name}: {}", Errno(code))
        });
    }
    // Release: the scratch is not touched any more. Pairs with the Acquire above.
    CLAIMED.store(false, Release);
}

/// Writes the file, or `file.PID`; the error is an errno. `path`, `partial` and `buf` are room.
fn write_json(
    report: &Report,
    file: &Goal,
    path: &mut Path,
    partial: &mut Path,
    buf: &mut [u8],
) -> Result<(), i32> {
    let too_long = |_| libc::ENAMETOOLONG;
    if file.target? == Target::Special {
        // Every process writes there.
        return write_to(sys::open_special(file.path.as_cstr())?, report, buf);
    }
    path.clear();
    path.push(file.path.as_bytes()).map_err(too_long)?;
    if OWNER.load(Relaxed) != report.pid {
        write!(path, ".{}", report.pid).map_err(too_long)?;
    }
    if !report.is_rust && is_report_of(report.pid, path, buf) {
        // The program is in Rust and has written the report on its global allocator's heap.
        path.push(b".malloc").map_err(too_long)?;
    }
    partial.clear();
    let name = path.as_bytes().iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1);
    partial.push(&path.as_bytes()[..name]).map_err(too_long)?;
    write!(partial, ".gort.{}.tmp", report.pid).map_err(too_long)?;
    let fd = sys::create(partial.as_cstr())?;
    let written = write_to(fd, report, buf).and_then(|()| sys::rename(partial.as_cstr(), path.as_cstr()));
    if written.is_err() {
        sys::remove(partial.as_cstr());
    }
    written
}

/// Whether the file is a report as JSON that names this process. `buf` is room.
fn is_report_of(pid: u32, path: &Path, buf: &mut [u8]) -> bool {
    let mut found = false;
    if sys::target(path.as_cstr()) == Ok(Target::Plain) {
        sys::each_line(path.as_cstr(), buf, |line| {
            let number = line.strip_prefix(b"  \"pid\": ").and_then(|rest| rest.strip_suffix(b","));
            found |= number.is_some_and(|n| str::from_utf8(n).is_ok_and(|n| n.parse() == Ok(pid)));
        });
    }
    found
}

/// Writes the report and closes the descriptor.
fn write_to(fd: i32, report: &Report, buf: &mut [u8]) -> Result<(), i32> {
    let mut out = Output::new(fd, buf);
    let _ = json::write(report, &mut out);
    let written = out.finish();
    sys::close(fd);
    written
}

/// A path with a substitute for what is not text.
struct Lossy<'a>(&'a [u8]);

impl fmt::Display for Lossy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.utf8_chunks().try_for_each(|chunk| {
            write!(f, "{}", chunk.valid().escape_debug())?;
            if chunk.invalid().is_empty() { Ok(()) } else { f.write_char(char::REPLACEMENT_CHARACTER) }
        })
    }
}

/// What went wrong, in words where files are concerned. The C library's own words may need memory.
struct Errno(i32);

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
