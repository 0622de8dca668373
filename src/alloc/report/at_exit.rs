//! What a process writes by itself when it exits: the report (`GORT_STATS`, `GORT_STATS_JSON`), and the sizes that were asked for
//! (`GORT_SIZES`).
//!
//! The report goes to the stderr that the process started with. Programs close theirs before they exit (coreutils do, to see write
//! errors), so a second descriptor of it is kept; a forked child closes its own, or a daemon would keep its parent's pipe open.
//! A descriptor may have been closed and its number taken by another file, so each is used only if it still is the same file. Files:
//! see `file`.
#![expect(unsafe_code, reason = "room that one thread at a time uses")]

use core::cell::UnsafeCell;
use core::fmt::{self, Write};
use core::sync::atomic::{
    AtomicBool, AtomicI32, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use super::file::{Errno, File, Lossy, Room};
use super::{Report, json, sizes_text, text};
use crate::alloc::sizes;
use crate::mcache;
use crate::sys::{self, FileId, Output};

const STDERR: i32 = 2;

/// Whether a report as text is wanted.
static TEXT: AtomicBool = AtomicBool::new(false);
/// Where the report goes as JSON.
static JSON: File = File::new("GORT_STATS_JSON", b"  \"pid\": ");
/// Where the sizes go.
static SIZES: File = File::new("GORT_SIZES", b"# process ");
/// The process that writes to the files of these very names; 0 = none.
static OWNER: AtomicU32 = AtomicU32::new(0);
/// The process that started the heap; 0 before.
static STARTED_AS: AtomicU32 = AtomicU32::new(0);
/// When that was, by the clock of files.
static STARTED_AT: AtomicU64 = AtomicU64::new(0);
/// Whether `at_exit_last` writes the report.
static LAST: AtomicBool = AtomicBool::new(false);
/// The second descriptor of stderr; -1 = none.
static KEPT: AtomicI32 = AtomicI32::new(-1);
/// Whether the heap is the one behind `malloc`.
static BEHIND_MALLOC: AtomicBool = AtomicBool::new(false);
/// What stderr was when the heap started. Inode 0 with device 0 is no file.
static STDERR_DEVICE: AtomicU64 = AtomicU64::new(0);
static STDERR_INODE: AtomicU64 = AtomicU64::new(0);

/// Asks for the text.
pub(in crate::alloc) fn set_text() {
    TEXT.store(true, Relaxed);
}

/// Asks for JSON in `file`, which is taken relative to the directory that the process is in now. An error when the path is too
/// long. Once, while the heap starts.
pub(in crate::alloc) fn set_json(file: &[u8]) -> fmt::Result {
    JSON.set(file)
}

/// Asks for the recorded sizes in `file`; as `set_json`.
pub(in crate::alloc) fn set_sizes(file: &[u8]) -> fmt::Result {
    SIZES.set(file)
}

/// Whether the environment asks for a report.
pub(in crate::alloc) fn is_asked_for() -> bool {
    [c"GORT_STATS", c"GORT_STATS_JSON", c"GORT_SIZES"].into_iter().any(|name| sys::env(name).is_some())
}

/// Names the process whose report goes to the file itself; those of others get their number added.
pub(in crate::alloc) fn set_owner(pid: u32) {
    OWNER.store(pid, Relaxed);
}

/// The process that started the heap.
pub(super) fn started_as() -> Option<u32> {
    Some(STARTED_AS.load(Relaxed)).filter(|&pid| pid != 0)
}

fn is_wanted() -> bool {
    TEXT.load(Relaxed) || JSON.is_set() || SIZES.is_set()
}

/// Gets ready for what was asked to be written at exit. Once, while the heap starts, after the environment was read.
pub(in crate::alloc) fn arm() {
    STARTED_AS.store(sys::thread::process_id(), Relaxed);
    STARTED_AT.store(sys::wall_ns(), Relaxed);
    if !is_wanted() {
        return;
    }
    if let Some(id) = sys::file_id(STDERR) {
        STDERR_DEVICE.store(id.device, Relaxed);
        STDERR_INODE.store(id.inode, Relaxed);
        KEPT.store(sys::duplicate(STDERR).unwrap_or(-1), Relaxed);
    }
}

/// Has `at_exit` run when the process exits, wanted or not: that is not known yet. Once, not while the heap is being built, because the C
/// library may allocate for it.
pub(in crate::alloc) fn hook_exit() {
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
    if is_wanted() && !LAST.load(Relaxed) {
        write();
    }
}

extern "C" fn at_exit_last(_: *mut libc::c_void) {
    write();
}

/// What a report is put together in: who exits may be a thread or a signal handler with a small stack.
struct Scratch {
    report: Report,
    room: Room,
}

struct Claimable(UnsafeCell<Scratch>);
// SAFETY: used only by the thread that has set CLAIMED.
unsafe impl Sync for Claimable {}

static CLAIMED: AtomicBool = AtomicBool::new(false);
static SCRATCH: Claimable = Claimable(UnsafeCell::new(Scratch { report: Report::EMPTY, room: Room::EMPTY }));

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
    let Scratch { report, room } = unsafe { &mut *SCRATCH.0.get() };
    report.fill();
    report.is_rust = !BEHIND_MALLOC.load(Relaxed);
    if TEXT.load(Relaxed) {
        to_first_stderr(&mut room.buf, |out| text::write(report, out));
    }
    write_file(&JSON, json::write, report, room);
    if sizes::is_on() {
        write_file(&SIZES, sizes_text::write, report, room);
    }
    // Release: the scratch is not touched any more. Pairs with the Acquire above.
    CLAIMED.store(false, Release);
}

/// Writes one of the files, if it is wanted.
fn write_file(
    file: &File,
    write: fn(&Report, &mut dyn Write) -> fmt::Result,
    report: &Report,
    room: &mut Room,
) {
    let own = OWNER.load(Relaxed) == report.pid;
    if let Err(code) = file.write(write, report, own, STARTED_AT.load(Relaxed), room) {
        to_first_stderr(&mut room.buf, |out| {
            writeln!(out, "gort: {}: cannot write {}: {}", file.variable, Lossy(file.path()), Errno(code))
        });
    }
}

/// Whether the heap is the one behind `malloc`.
pub(super) fn is_behind_malloc() -> bool {
    BEHIND_MALLOC.load(Relaxed)
}
