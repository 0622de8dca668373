//! Files written without the heap, at a process's end: which file a descriptor is, and writing that neither kills the process nor
//! loses a part in silence.
#![expect(unsafe_code, reason = "opens, writes and renames files through libc")]

use core::ffi::CStr;
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr;

use super::errno;
use super::path::Path;

/// Which file: device and inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FileId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// The file behind a descriptor; `None` when it is not open.
pub(crate) fn file_id(fd: i32) -> Option<FileId> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: stat is valid for a write.
    if errno::preserve(|| unsafe { libc::fstat(fd, stat.as_mut_ptr()) }) != 0 {
        return None;
    }
    // SAFETY: fstat has filled it in.
    let stat = unsafe { stat.assume_init() };
    Some(FileId { device: stat.st_dev, inode: stat.st_ino })
}

/// A second descriptor of the same open file, closed by `exec`, numbered clear of what programs expect to be free.
pub(crate) fn duplicate(fd: i32) -> Option<i32> {
    const CLEAR: [i32; 2] = [700, 10];
    errno::preserve(|| {
        // SAFETY: fcntl with two numbers touches no memory.
        CLEAR
            .into_iter()
            .map(|from| unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, from) })
            .find(|&fd| fd >= 0)
    })
}

/// Closes a descriptor.
pub(crate) fn close(fd: i32) {
    // SAFETY: the descriptor is the caller's.
    errno::preserve(|| unsafe { libc::close(fd) });
}

/// Appends the current directory.
pub(crate) fn push_current_dir(path: &mut Path) -> fmt::Result {
    path.fill(|room| {
        // SAFETY: room is valid for a write of its length.
        let p = errno::preserve(|| unsafe { libc::getcwd(room.as_mut_ptr().cast(), room.len()) });
        if p.is_null() { None } else { room.iter().position(|&b| b == 0) }
    })
}

/// Appends the path of the program that runs.
pub(crate) fn path_of_program(path: &mut Path) -> fmt::Result {
    path.fill(|room| {
        let link = c"/proc/self/exe".as_ptr();
        // SAFETY: room is valid for a write of its length, the link's name is NUL-terminated.
        let n = errno::preserve(|| unsafe { libc::readlink(link, room.as_mut_ptr().cast(), room.len()) });
        usize::try_from(n).ok()
    })
}

/// What a path names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// A regular file, or nothing yet.
    Plain,
    /// A device, a pipe, a directory; or a link to one.
    Special,
}

/// What `path` names; the error is an errno. A link to a regular file or to nothing is an error (ELOOP): what it leads to may be
/// another file a moment later, as with the links in `/proc/self/fd`.
pub(crate) fn target(path: &CStr) -> Result<Target, i32> {
    errno::preserve(|| match kind(path, libc::AT_SYMLINK_NOFOLLOW)? {
        None | Some(libc::S_IFREG) => Ok(Target::Plain),
        Some(libc::S_IFLNK) => match kind(path, 0)? {
            None | Some(libc::S_IFREG) => Err(libc::ELOOP),
            Some(_) => Ok(Target::Special),
        },
        Some(_) => Ok(Target::Special),
    })
}

/// When a regular file was last written to, by `wall_ns`; `None` when it is not there.
pub(crate) fn written_at(path: &CStr) -> Option<u64> {
    let stat = errno::preserve(|| stat(path, libc::AT_SYMLINK_NOFOLLOW)).ok().flatten();
    let stat = stat.filter(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFREG)?;
    Some(stat.st_mtime as u64 * 1_000_000_000 + stat.st_mtime_nsec as u64)
}

/// The kind of a file, one of `S_IFMT`; `None` when it is not there. The error is an errno.
fn kind(path: &CStr, flags: i32) -> Result<Option<libc::mode_t>, i32> {
    Ok(stat(path, flags)?.map(|stat| stat.st_mode & libc::S_IFMT))
}

/// What is known of a file; `None` when it is not there. The error is an errno.
fn stat(path: &CStr, flags: i32) -> Result<Option<libc::stat>, i32> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: path is NUL-terminated, stat valid for a write.
    if unsafe { libc::fstatat(libc::AT_FDCWD, path.as_ptr(), stat.as_mut_ptr(), flags) } != 0 {
        return match errno::get() {
            libc::ENOENT => Ok(None),
            code => Err(code),
        };
    }
    // SAFETY: fstatat has filled it in.
    Ok(Some(unsafe { stat.assume_init() }))
}

/// Creates a file that is not there yet and opens it for writing; the error is an errno.
pub(crate) fn create(path: &CStr) -> Result<i32, i32> {
    // What an earlier process of this number left.
    remove(path);
    open(path, libc::O_CREAT | libc::O_EXCL)
}

/// Opens a device or a pipe for writing. A pipe that nobody reads is an error (ENXIO), not a wait, and so is a regular file (EEXIST).
pub(crate) fn open_special(path: &CStr) -> Result<i32, i32> {
    if kind(path, 0)? == Some(libc::S_IFREG) {
        return Err(libc::EEXIST);
    }
    open(path, libc::O_NONBLOCK | libc::O_NOCTTY)
}

fn open(path: &CStr, flags: i32) -> Result<i32, i32> {
    // SAFETY: path is NUL-terminated; the mode is there for O_CREAT.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC | flags, 0o666) };
    if fd < 0 { Err(errno::get()) } else { Ok(fd) }
}

/// Removes a file; it need not be there.
pub(crate) fn remove(path: &CStr) {
    // SAFETY: path is NUL-terminated.
    unsafe { libc::unlink(path.as_ptr()) };
}

/// Gives a file another name, in place of the regular file that has it. Anything else that has it stays, and is an error.
pub(crate) fn rename(from: &CStr, to: &CStr) -> Result<(), i32> {
    match kind(to, libc::AT_SYMLINK_NOFOLLOW)? {
        None | Some(libc::S_IFREG) => {}
        Some(libc::S_IFLNK) => return Err(libc::ELOOP),
        Some(libc::S_IFDIR) => return Err(libc::EISDIR),
        Some(_) => return Err(libc::EEXIST),
    }
    // SAFETY: both are NUL-terminated.
    if unsafe { libc::rename(from.as_ptr(), to.as_ptr()) } == 0 { Ok(()) } else { Err(errno::get()) }
}

/// Writes all of it. Waits for a reader that is slow, for a second at a time; the error is an errno.
fn write_all(fd: i32, mut bytes: &[u8]) -> Result<(), i32> {
    while !bytes.is_empty() {
        // SAFETY: bytes is valid for a read of its length.
        let n = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(n) {
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(_) => match errno::get() {
                libc::EINTR => {}
                libc::EAGAIN => {
                    let mut poll = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
                    // SAFETY: poll is one entry, valid for a write.
                    if unsafe { libc::poll(&raw mut poll, 1, 1_000) } == 0 {
                        return Err(libc::EAGAIN);
                    }
                }
                code => return Err(code),
            },
        }
    }
    Ok(())
}

/// Runs `f` with the signals held back that a failing write raises (SIGPIPE, SIGXFSZ), and forgets them.
fn without_signals<R>(f: impl FnOnce() -> R) -> R {
    let mut raised = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    let mut pending = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: raised is valid for a write, and filled in by it.
    unsafe { libc::sigemptyset(raised.as_mut_ptr()) };
    for signal in [libc::SIGPIPE, libc::SIGXFSZ] {
        // SAFETY: raised was filled in above.
        unsafe { libc::sigaddset(raised.as_mut_ptr(), signal) };
    }
    // SAFETY: pending is valid for a write.
    unsafe { libc::sigemptyset(pending.as_mut_ptr()) };
    // SAFETY: as above.
    unsafe { libc::sigpending(pending.as_mut_ptr()) };
    // SAFETY: raised was filled in above, before is valid for a write.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, raised.as_ptr(), before.as_mut_ptr()) };
    let r = f();
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // What was pending before is the program's, and stays.
    for signal in [libc::SIGPIPE, libc::SIGXFSZ] {
        // SAFETY: pending was filled in above.
        if unsafe { libc::sigismember(pending.as_ptr(), signal) } == 1 {
            // SAFETY: raised was filled in above.
            unsafe { libc::sigdelset(raised.as_mut_ptr(), signal) };
        }
    }
    // SAFETY: raised was filled in above; no details are asked for.
    while unsafe { libc::sigtimedwait(raised.as_ptr(), ptr::null_mut(), &raw const now) } > 0
        || errno::get() == libc::EINTR
    {}
    // SAFETY: filled in by the call that blocked them.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    r
}

/// Text on its way to a descriptor, by way of a buffer. What fits into it goes out with one call, so that on a pipe it stays together.
pub(crate) struct Output<'a> {
    fd: i32,
    buf: &'a mut [u8],
    len: usize,
    /// The errno of the first write that failed; what comes after it is dropped.
    failed: Option<i32>,
}

impl<'a> Output<'a> {
    /// The buffer is not empty.
    pub(crate) fn new(fd: i32, buf: &'a mut [u8]) -> Self {
        Self { fd, buf, len: 0, failed: None }
    }

    #[inline(never)]
    fn flush(&mut self) {
        if self.failed.is_none() {
            let write = || write_all(self.fd, &self.buf[..self.len]);
            // Also where all went well: looking for a signal that was raised ends with EAGAIN.
            self.failed = errno::preserve(|| without_signals(write)).err();
        }
        self.len = 0;
    }

    /// Writes what is left; the error is the errno of the first write that failed.
    pub(crate) fn finish(mut self) -> Result<(), i32> {
        self.flush();
        self.failed.map_or(Ok(()), Err)
    }
}

impl fmt::Write for Output<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let mut rest = s.as_bytes();
        while !rest.is_empty() {
            if self.len == self.buf.len() {
                self.flush();
            }
            let n = rest.len().min(self.buf.len() - self.len);
            self.buf[self.len..self.len + n].copy_from_slice(&rest[..n]);
            self.len += n;
            rest = &rest[n..];
        }
        Ok(())
    }
}
