//! Cases that need a process of their own: the test runs its own binary again, for one test and one case.
#![expect(unsafe_code, reason = "forks, sets alarms and limits through libc")]

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitStatus, Output};
use std::time::{Duration, Instant};
use std::{env, thread};

/// Tells the child which case it is.
const CASE: &str = "GORT_TEST_CASE";
/// What the line on stdout starts with that tells an address.
const TOLD: &str = "address: ";
/// A case that takes longer hangs.
const SECONDS: u32 = 60;

/// One case of a test: this process is either the one that starts it or the one that is it.
pub(crate) struct Case {
    /// The test's name and the case's.
    id: String,
    command: Command,
}

impl Case {
    /// The case `case` of the test function `test`; its environment has none of gort's variables.
    pub(crate) fn new(test: &str, case: &str) -> Self {
        let id = format!("{test}/{case}");
        let mut command = Command::new(env::current_exe().expect("the test knows its binary"));
        command
            .args(["--exact", test, "--nocapture", "--include-ignored", "--test-threads=1"])
            .env(CASE, &id);
        for name in ["GOMEMLIMIT", "GODEBUG", "GOGC", "GOMAXPROCS", "RUST_BACKTRACE"] {
            command.env_remove(name);
        }
        Self { id, command }
    }

    /// With a variable in the child's environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// With bytes that need not be text.
    pub(crate) fn env_bytes(mut self, name: &str, value: &[u8]) -> Self {
        self.command.env(name, OsStr::from_bytes(value));
        self
    }

    /// With a limit on the child's address space, in bytes.
    pub(crate) fn address_space(self, bytes: u64) -> Self {
        // SAFETY: the limit is valid for a read.
        self.limited(bytes, |limit| unsafe { libc::setrlimit(libc::RLIMIT_AS, limit) })
    }

    /// With a limit on what the child may write to, in bytes.
    pub(crate) fn data(self, bytes: u64) -> Self {
        // SAFETY: the limit is valid for a read.
        self.limited(bytes, |limit| unsafe { libc::setrlimit(libc::RLIMIT_DATA, limit) })
    }

    fn limited(mut self, bytes: u64, set: fn(&libc::rlimit) -> libc::c_int) -> Self {
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        let set = move || match set(&limit) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        };
        // SAFETY: setrlimit may be called between fork and exec.
        unsafe { self.command.pre_exec(set) };
        self
    }

    fn is_this_process(&self) -> bool {
        env::var(CASE).is_ok_and(|id| id == self.id)
    }

    /// Whether this process is some case, of this test or another: then only that case runs.
    fn is_other_process(&self) -> bool {
        env::var(CASE).is_ok() && !self.is_this_process()
    }

    /// Whether this process is any case at all.
    pub(crate) fn is_any() -> bool {
        env::var(CASE).is_ok()
    }

    /// In the child: runs `body`. In the parent: runs the child and gives its output to `judge`.
    pub(crate) fn judge(mut self, body: impl FnOnce(), judge: impl FnOnce(&Output)) {
        if self.is_other_process() {
            return;
        }
        if self.is_this_process() {
            deadline(SECONDS);
            return body();
        }
        let out = self.command.output().expect("the child starts");
        judge(&out);
    }

    /// In the child: runs `body`. In the parent: fails unless the child did so without failing, silently.
    pub(crate) fn succeeds(self, body: impl FnOnce()) {
        let id = self.id.clone();
        let body = || {
            body();
            check_heap();
        };
        self.judge(body, |out| {
            assert!(out.status.success(), "{id}: {}", describe(out));
        });
    }

    /// In the child: runs `misuse`, which the heap must end with SIGABRT and exactly one line on stderr that says `reason` and
    /// names the address that `misuse` tells before it goes wrong. In `reason`, `@` is that address.
    pub(crate) fn dies_of(self, reason: &str, misuse: impl FnOnce(&dyn Fn(*mut u8))) {
        let id = self.id.clone();
        let body = || {
            without_core();
            misuse(&|p| println!("\n{TOLD}{p:?}"));
            eprintln!("it was not noticed");
            // Not exit(): what runs at exit would meet a heap that is broken on purpose.
            // SAFETY: _exit has no preconditions.
            unsafe { libc::_exit(3) };
        };
        self.judge(body, |out| {
            let (stdout, stderr) =
                (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
            assert_eq!(out.status.signal(), Some(libc::SIGABRT), "{id}: {}", describe(out));
            assert_eq!(stderr.lines().count(), 1, "{id}: not one line: {stderr}");
            assert!(stderr.starts_with("gort: fatal: ") && stderr.ends_with('\n'), "{id}: {stderr}");
            let told = stdout.lines().find_map(|l| l.strip_prefix(TOLD)).expect("the case tells the address");
            assert!(stderr.contains(&format!("(addr={told}")), "{id}: no address {told} in {stderr}");
            // The checks of the feature `invariants` notice some of it sooner, in their own words.
            let sooner =
                cfg!(feature = "invariants") && stderr.contains("fatal: invariant broken: not an object");
            let reason = reason.replace('@', told);
            assert!(sooner || stderr.contains(&reason), "{id}: no {reason:?} in {stderr}");
        });
    }
}

fn describe(out: &Output) -> String {
    let hint = if out.status.signal() == Some(libc::SIGALRM) { " (it hung)" } else { "" };
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    format!("{}{hint}\n--- stdout\n{stdout}--- stderr\n{stderr}", out.status)
}

/// A process that ends by a signal on purpose leaves no core file.
pub(crate) fn without_core() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is valid for a read.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
}

/// How many times as long all may take: built with `GORT_SLOW` set, as for sanitizers, many times.
const SLOW: u32 = if option_env!("GORT_SLOW").is_some() { 12 } else { 1 };

/// Ends this process by SIGALRM after `seconds`. A forked child starts without one.
pub(crate) fn deadline(seconds: u32) {
    // SAFETY: no preconditions.
    unsafe { libc::alarm(seconds * SLOW) };
}

/// Forks; the child runs `body` under a deadline and exits with its status, 101 when it panics. Returns the child's id.
pub(crate) fn fork(seconds: u32, body: impl FnOnce() -> i32) -> libc::pid_t {
    // SAFETY: the child of a threaded program may do what the allocator under test promises; std's locks that it uses are its
    // own.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid == 0 {
        deadline(seconds);
        let status = catch_unwind(AssertUnwindSafe(body)).unwrap_or(101);
        // Not exit(): the handlers at exit are the parent's.
        // SAFETY: no preconditions.
        unsafe { libc::_exit(status) };
    }
    pid
}

/// Makes `hook` run before every fork of this process.
pub(crate) fn before_forks(hook: unsafe extern "C" fn()) {
    // SAFETY: the hook is a function without arguments that lives as long as the process.
    assert_eq!(unsafe { libc::pthread_atfork(Some(hook), None, None) }, 0);
}

/// Waits for a forked child; fails unless it exited by itself, without a panic. Returns its status.
pub(crate) fn wait_for(pid: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: status is valid for a write.
    let got = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(got, pid, "waitpid: {}", std::io::Error::last_os_error());
    let status = ExitStatus::from_raw(status);
    let hint = if status.signal() == Some(libc::SIGALRM) { " (it hung)" } else { "" };
    let code = status.code().filter(|&code| code != 101);
    code.unwrap_or_else(|| panic!("the forked child ended with {status}{hint}"))
}

/// Fails unless the whole heap is in order, where the feature `invariants` can tell; other threads may go on meanwhile.
pub(crate) fn check_heap() {
    #[cfg(feature = "invariants")]
    gort::check_invariants();
}

/// What a plain thread does, and where its result goes.
struct Job<'a, F, T> {
    number: u64,
    body: &'a F,
    result: Option<T>,
}

extern "C" fn run_job<F: Fn(u64) -> T, T>(job: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: `on_plain_threads` passes a job of this type, and leaves it alone until the thread is joined.
    let job = unsafe { &mut *job.cast::<Job<F, T>>() };
    job.result = catch_unwind(AssertUnwindSafe(|| (job.body)(job.number))).ok();
    std::ptr::null_mut()
}

/// Runs `body` with 0, 1, .. on `count` threads at once and waits for them. They are threads of the C library alone: std's keep
/// a table behind a lock, which a fork may leave taken for good.
pub(crate) fn on_plain_threads<T: Send, F: Fn(u64) -> T + Sync>(count: u64, body: F) -> Vec<T> {
    let mut jobs: Vec<_> = (0..count).map(|number| Job { number, body: &body, result: None }).collect();
    let start = |job: &mut Job<F, T>| {
        // A number with glibc, a pointer with musl.
        let mut id = std::mem::MaybeUninit::<libc::pthread_t>::uninit();
        // SAFETY: id is valid for a write; the job outlives the thread, which is joined below.
        let error = unsafe {
            libc::pthread_create(
                id.as_mut_ptr(),
                std::ptr::null(),
                run_job::<F, T>,
                std::ptr::from_mut(job).cast(),
            )
        };
        assert_eq!(error, 0, "pthread_create");
        // SAFETY: filled in by the call.
        unsafe { id.assume_init() }
    };
    let ids: Vec<_> = jobs.iter_mut().map(start).collect();
    for id in ids {
        // SAFETY: the thread was made above and nobody else joins it.
        assert_eq!(unsafe { libc::pthread_join(id, std::ptr::null_mut()) }, 0);
    }
    jobs.into_iter().map(|job| job.result.expect("the thread's body did not fail")).collect()
}

/// Runs `f` and fails if it left another errno behind than it found.
pub(crate) fn keeps_errno<R>(what: &str, f: impl FnOnce() -> R) -> R {
    const ODD: i32 = 77;
    // SAFETY: errno's address is valid for the calling thread as long as it lives.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    unsafe { *errno = ODD };
    let r = f();
    // SAFETY: as above.
    let after = unsafe { *errno };
    assert_eq!(after, ODD, "{what} changed errno");
    r
}

/// Bytes of this process that are in memory. Allocates nothing, so that a process that only asks for them is idle.
pub(crate) fn resident() -> usize {
    let mut buf = [0; 128];
    let len = File::open("/proc/self/statm").and_then(|mut f| f.read(&mut buf)).expect("statm is readable");
    let statm = str::from_utf8(&buf[..len]).expect("statm is text");
    let pages: usize = statm.split(' ').nth(1).expect("a second field").parse().expect("a number");
    // SAFETY: no preconditions.
    pages * unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize
}

/// Asks `done` every few milliseconds until it says yes; `None` when it did not for `seconds`.
pub(crate) fn seconds_until(seconds: u64, mut done: impl FnMut() -> bool) -> Option<f64> {
    let start = Instant::now();
    loop {
        if done() {
            return Some(start.elapsed().as_secs_f64());
        }
        if start.elapsed() > Duration::from_secs(seconds) {
            return None;
        }
        thread::sleep(Duration::from_millis(20));
    }
}
