//! One run of a script, with all that it starts: its end, its time, its memory, and nothing left of it afterwards.
#![expect(
    unsafe_code,
    reason = "std has no wait4, no signal handlers and no way to become the parent of orphans"
)]

use std::fs;
use std::io;
use std::mem;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{self, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// How precisely a run is timed, when it does not time itself.
const TICK: Duration = Duration::from_millis(4);

/// How a run ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) seconds: f64,
    /// What all its processes together had of the processors.
    pub(crate) cpu_seconds: f64,
    /// The largest process of all, in KiB.
    pub(crate) peak_kib: u64,
    /// It was ended because it took too long.
    pub(crate) overdue: bool,
    /// Processes that outlived the script and had to be ended.
    pub(crate) left: Vec<String>,
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether somebody wants all this to end.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Relaxed)
}

extern "C" fn interrupt(_: libc::c_int) {
    INTERRUPTED.store(true, Relaxed);
}

/// Makes orphans of the scripts into children of this process, and an interrupt into an orderly end.
pub(crate) fn prepare() -> io::Result<()> {
    // SAFETY: this option takes one number and touches no memory.
    if unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let handler = interrupt as extern "C" fn(libc::c_int) as libc::sighandler_t;
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler only stores to an atomic.
        if unsafe { libc::signal(signal, handler) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Runs `command` in a process group of its own, for at most `limit`, until nothing of it is left: `grace` is how long it may
/// take to clean up, and its last processes to follow it.
pub(crate) fn run(command: &mut Command, limit: Duration, grace: Duration) -> io::Result<Ended> {
    let start = Instant::now();
    // Not waited for through std, whose wait knows nothing of memory.
    let pid = command.process_group(0).spawn()?.id() as libc::pid_t;
    let mut told = None;
    let (mut exit, seconds) = loop {
        if let Some(exit) = reap(pid)? {
            break (exit, start.elapsed().as_secs_f64());
        }
        match told {
            None if start.elapsed() > limit || interrupted() => {
                kill(-pid, libc::SIGTERM);
                told = Some(Instant::now());
            }
            Some(when) if when.elapsed() > grace => kill(-pid, libc::SIGKILL),
            _ => {}
        }
        thread::sleep(TICK);
    };
    let mut left = Vec::new();
    let end = Instant::now();
    // Who is still there has become a child of this process.
    loop {
        match reap(-1) {
            Ok(Some(orphan)) => {
                exit.cpu_seconds += orphan.cpu_seconds;
                exit.peak_kib = exit.peak_kib.max(orphan.peak_kib);
            }
            Ok(None) if end.elapsed() > grace => {
                for (child, name) in children() {
                    kill(child, libc::SIGKILL);
                    left.push(name);
                }
                thread::sleep(TICK);
            }
            Ok(None) => thread::sleep(TICK),
            Err(e) if e.raw_os_error() == Some(libc::ECHILD) => break,
            Err(e) => return Err(e),
        }
    }
    left.sort();
    left.dedup();
    let Exit { status, cpu_seconds, peak_kib } = exit;
    Ok(Ended { status, seconds, cpu_seconds, peak_kib, overdue: told.is_some() && !interrupted(), left })
}

/// A child's end, with what it and those that it waited for had used.
struct Exit {
    status: ExitStatus,
    cpu_seconds: f64,
    peak_kib: u64,
}

/// Takes in the end of child `pid`, or of any child if it is -1; none if there is none yet.
fn reap(pid: libc::pid_t) -> io::Result<Option<Exit>> {
    let mut status = 0;
    // SAFETY: an rusage is numbers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    // SAFETY: both are alive and writable.
    match unsafe { libc::wait4(pid, &raw mut status, libc::WNOHANG, &raw mut usage) } {
        0 => Ok(None),
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(Some(Exit {
            status: ExitStatus::from_raw(status),
            cpu_seconds: [usage.ru_utime, usage.ru_stime]
                .map(|t| t.tv_sec as f64 + t.tv_usec as f64 / 1e6)
                .iter()
                .sum(),
            peak_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0),
        })),
    }
}

fn kill(pid: libc::pid_t, signal: libc::c_int) {
    // It may have ended by itself.
    // SAFETY: sends a signal to a child, or to the group of a child, that has not been waited for.
    let _ = unsafe { libc::kill(pid, signal) };
}

/// The children of this process, with their names.
fn children() -> Vec<(libc::pid_t, String)> {
    let Ok(dir) = fs::read_dir("/proc") else { return Vec::new() };
    dir.flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // "pid (name) state parent ...", and the name may hold anything.
            let (head, tail) = stat.rsplit_once(") ")?;
            let parent: u32 = tail.split(' ').nth(1)?.parse().ok()?;
            let name = head.split_once('(')?.1;
            (parent == process::id()).then(|| (pid, name.to_owned()))
        })
        .collect()
}
