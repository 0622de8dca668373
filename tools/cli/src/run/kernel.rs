//! What std has no safe call for: becoming another program as this one was started, and asking what that would change.
#![expect(unsafe_code, reason = "calls of the C library with C strings")]

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What SIGPIPE did when the process started; std has it ignored from then on.
static SIGPIPE: AtomicUsize = AtomicUsize::new(libc::SIG_DFL);

/// Run by the loader before std's start.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = note_sigpipe;

extern "C" fn note_sigpipe() {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: action is valid for a write; nothing is changed.
    if unsafe { libc::sigaction(libc::SIGPIPE, ptr::null(), action.as_mut_ptr()) } == 0 {
        // SAFETY: sigaction has filled it in.
        SIGPIPE.store(unsafe { action.assume_init() }.sa_sigaction, Relaxed);
    }
}

fn c_string(s: impl AsRef<OsStr>) -> io::Result<CString> {
    Ok(CString::new(s.as_ref().as_bytes())?)
}

/// Replaces this process by a program; returns only when the kernel refuses. Signals are as this process found them: a service
/// that ignores SIGPIPE, say, goes on doing so.
pub(super) fn exec(program: &Path, args: &[OsString], environment: &[(OsString, OsString)]) -> io::Error {
    let variable =
        |(name, value): &(OsString, OsString)| c_string([name.as_os_str(), value].join(OsStr::new("=")));
    let strings = || -> io::Result<_> {
        let args = args.iter().map(c_string).collect::<io::Result<Vec<_>>>()?;
        let environment = environment.iter().map(variable).collect::<io::Result<Vec<_>>>()?;
        Ok((c_string(program)?, args, environment))
    };
    let (program, args, environment) = match strings() {
        Ok(strings) => strings,
        Err(e) => return e,
    };
    let pointers =
        |strings: &[CString]| -> Vec<_> { strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect() };
    let (args, environment) = (pointers(&args), pointers(&environment));
    // SAFETY: the value came from sigaction: it is SIG_DFL or SIG_IGN, as there are no handlers before main.
    unsafe { libc::signal(libc::SIGPIPE, SIGPIPE.load(Relaxed)) };
    // SAFETY: the strings end in NUL and the arrays in null, and all outlive the call.
    unsafe { libc::execve(program.as_ptr(), args.as_ptr(), environment.as_ptr()) };
    let error = io::Error::last_os_error();
    // SAFETY: as above; std's own choice.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    error
}

/// Whether this process may do that with a file (`R_OK`, `W_OK`, `X_OK`), by its effective rights.
pub(super) fn access(path: &Path, mode: i32) -> io::Result<()> {
    let path = c_string(path)?;
    // SAFETY: path is NUL-terminated.
    match unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), mode, libc::AT_EACCESS) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The caller's user and group.
pub(super) fn caller() -> (u32, u32) {
    // SAFETY: no preconditions.
    let user = unsafe { libc::getuid() };
    // SAFETY: no preconditions.
    (user, unsafe { libc::getgid() })
}

/// Whether running the file changes nobody's rights, whatever its mode says: its file system is mounted so (nosuid), or the
/// process has given them up.
pub(super) fn keeps_privileges(path: &Path) -> bool {
    // SAFETY: the call reads a flag of the process.
    let given_up = unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) } == 1;
    let Ok(path) = c_string(path) else { return false };
    let mut stat = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: path is NUL-terminated, stat valid for a write.
    let known = unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) } == 0;
    // SAFETY: statvfs has filled it in.
    given_up || (known && unsafe { stat.assume_init() }.f_flag & libc::ST_NOSUID != 0)
}

/// Whether the file gives capabilities to who runs it.
pub(super) fn has_capabilities(path: &Path) -> bool {
    let Ok(path) = c_string(path) else { return false };
    // SAFETY: both strings are NUL-terminated; with length 0 nothing is written.
    unsafe { libc::getxattr(path.as_ptr(), c"security.capability".as_ptr(), ptr::null_mut(), 0) > 0 }
}
