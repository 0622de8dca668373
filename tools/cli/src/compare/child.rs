//! One run of a program: what it said, how it ended, and what it used.
#![expect(unsafe_code, reason = "std has no wait4, no pidfd and no file that is only memory")]

use std::fs::File;
use std::io::{self, Read, Seek};
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What a process used, all its threads together.
pub(super) struct Usage {
    pub(super) wall_seconds: f64,
    pub(super) user_seconds: f64,
    pub(super) system_seconds: f64,
    pub(super) peak_kib: u64,
    pub(super) minor_faults: u64,
    pub(super) major_faults: u64,
}

/// A process that has ended.
pub(super) struct Ended {
    pub(super) usage: Usage,
    pub(super) stdout: String,
    /// Why it did not succeed, in one line.
    pub(super) failure: Option<String>,
}

/// KiB of a page.
pub(super) fn page_kib() -> u64 {
    // SAFETY: sysconf takes a number and touches no memory.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096) / 1024
}

/// Runs `command` to its end, or for at most `limit`; `watch` is called with its process id every `tick` meanwhile, if there is
/// one.
pub(super) fn run(
    command: &mut Command,
    limit: Duration,
    mut watch: Option<(Duration, &mut dyn FnMut(u32))>,
) -> io::Result<Ended> {
    // Files and not pipes: nobody has to empty them while the child runs.
    let [mut stdout, mut stderr] = [memory_file()?, memory_file()?];
    command.stdin(Stdio::null()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    // SAFETY: the closure makes one system call.
    unsafe { command.pre_exec(die_with_parent) };
    let start = Instant::now();
    // That there is a closure also makes std fork. With the vfork that it prefers, the peak of a child would count all that this
    // process ever held.
    let pid = command.spawn()?.id();
    let descriptor = descriptor(pid as libc::pid_t)?;
    let overdue = loop {
        let left = limit.saturating_sub(start.elapsed());
        let tick = watch.as_ref().map_or(left, |(tick, _)| left.min(*tick));
        if ends_within(&descriptor, tick)? {
            break false;
        }
        if left.is_zero() {
            kill(pid as libc::pid_t);
            break true;
        }
        if let Some((_, watch)) = &mut watch {
            watch(pid);
        }
    };
    let (status, usage) = reap(pid as libc::pid_t, start)?;
    let [stdout, stderr] = [contents(&mut stdout)?, contents(&mut stderr)?];
    let failure = if overdue {
        Some(format!("did not end within {} s", limit.as_secs()))
    } else {
        (!status.success()).then(|| explain(status, &stderr))
    };
    Ok(Ended { usage, stdout, failure })
}

/// How it ended, and the last that it said, which is where a crash is explained.
fn explain(status: ExitStatus, stderr: &str) -> String {
    let how = match status.code() {
        Some(code) => format!("exit code {code}"),
        None => status.to_string(),
    };
    match stderr.lines().map(str::trim).rfind(|line| !line.is_empty()) {
        Some(line) => format!("{how}: {}", line.escape_debug()),
        None => how,
    }
}

fn contents(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// An empty file without a name.
fn memory_file() -> io::Result<File> {
    // SAFETY: the name is a C string.
    let fd = unsafe { libc::memfd_create(c"output".as_ptr(), libc::MFD_CLOEXEC) };
    owned(fd.into()).map(File::from)
}

/// A descriptor that can be read from once the child has ended.
fn descriptor(pid: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: this system call takes two numbers and touches no memory.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

fn owned(fd: libc::c_long) -> io::Result<OwnedFd> {
    match libc::c_int::try_from(fd) {
        // SAFETY: the kernel has just made it and no one else has it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

fn ends_within(child: &OwnedFd, time: Duration) -> io::Result<bool> {
    let mut event = libc::pollfd { fd: child.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let milliseconds = libc::c_int::try_from(time.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: one pollfd, alive and writable.
    match unsafe { libc::poll(&raw mut event, 1, milliseconds) } {
        -1 => match io::Error::last_os_error() {
            e if e.kind() == io::ErrorKind::Interrupted => Ok(false),
            e => Err(e),
        },
        n => Ok(n > 0),
    }
}

fn kill(pid: libc::pid_t) {
    // SAFETY: sends a signal to a child that has not been waited for. It may have ended by itself.
    let _ = unsafe { libc::kill(pid, libc::SIGKILL) };
}

fn die_with_parent() -> io::Result<()> {
    // SAFETY: this option takes a number and touches no memory.
    match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Waits for a child's end.
fn reap(pid: libc::pid_t, start: Instant) -> io::Result<(ExitStatus, Usage)> {
    let mut status = 0;
    // SAFETY: an rusage is numbers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    // SAFETY: both are alive and writable.
    while unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) } == -1 {
        let e = io::Error::last_os_error();
        if e.kind() != io::ErrorKind::Interrupted {
            return Err(e);
        }
    }
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    let count = |n: libc::c_long| u64::try_from(n).unwrap_or(0);
    let usage = Usage {
        wall_seconds: start.elapsed().as_secs_f64(),
        user_seconds: seconds(usage.ru_utime),
        system_seconds: seconds(usage.ru_stime),
        peak_kib: count(usage.ru_maxrss),
        minor_faults: count(usage.ru_minflt),
        major_faults: count(usage.ru_majflt),
    };
    Ok((ExitStatus::from_raw(status), usage))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_a_child_says_is_kept_however_much_it_is() {
        let ended = run(&mut sh("seq 200000; seq 200000 >&2"), LIMIT, None).unwrap();
        assert_eq!((ended.failure, ended.stdout.lines().count()), (None, 200_000));
    }

    #[test]
    fn an_end_is_explained() {
        let failure = |script| run(&mut sh(script), LIMIT, None).unwrap().failure;
        assert_eq!(failure("exit 3").as_deref(), Some("exit code 3"));
        assert_eq!(
            failure("echo why >&2; echo because >&2; exit 1").as_deref(),
            Some("exit code 1: because")
        );
        assert!(failure("kill -SEGV $$").unwrap().starts_with("signal: 11 (SIGSEGV)"));
    }

    #[test]
    fn a_child_that_takes_too_long_is_ended() {
        let ended = run(&mut sh("exec sleep 1000"), Duration::from_millis(50), None).unwrap();
        assert_eq!(ended.failure.as_deref(), Some("did not end within 0 s"));
    }

    #[test]
    fn a_child_is_watched() {
        let mut seen = Vec::new();
        let mut watch = |pid| seen.push(pid);
        run(&mut sh("sleep 0.2"), LIMIT, Some((Duration::from_millis(10), &mut watch))).unwrap();
        assert!(seen.len() > 1 && seen.iter().all(|pid| *pid == seen[0]), "{seen:?}");
    }

    #[test]
    fn the_peak_is_the_childs_own() {
        const HELD: usize = 256 << 20;
        // What this process held once is not the child's, though a vfork would have it so.
        drop(std::hint::black_box(vec![1_u8; HELD]));
        let ended = run(&mut Command::new("true"), LIMIT, None).unwrap();
        assert!(ended.usage.peak_kib < HELD as u64 / 1024 / 2, "{} KiB", ended.usage.peak_kib);
    }
}
