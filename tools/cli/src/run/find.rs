//! Finds the program as `execvp` does.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{cause, kernel, not_found, not_run, shown};
use crate::failure::Failure;

/// Where programs are without a PATH.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// The file that `name` means: itself with a slash in it, otherwise the first program of that name on the PATH.
pub(super) fn program(name: &OsStr) -> Result<PathBuf, Failure> {
    if name.as_bytes().contains(&b'/') {
        let path = PathBuf::from(name);
        return match refusal(&path) {
            None => Ok(path),
            Some(why) => Err(failure(&path, why)),
        };
    }
    let mut there = None;
    for path in on_path(name) {
        match refusal(&path) {
            None => return Ok(path),
            Some(Refusal::Absent(_) | Refusal::Unreachable(_)) => {}
            Some(why) => there = there.or(Some((path, why))),
        }
    }
    match there {
        Some((path, why)) => Err(failure(&path, why)),
        None => Err(not_found(format!("cannot run {}: no such program on the PATH", shown(name)))),
    }
}

/// Where `name` may be. An empty part of the PATH is the current directory.
fn on_path(name: &OsStr) -> Vec<PathBuf> {
    if name.is_empty() {
        return vec![];
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    std::env::split_paths(&path)
        .map(|dir| if dir.as_os_str().is_empty() { Path::new(".").join(name) } else { dir.join(name) })
        .collect()
}

enum Refusal {
    /// ENOENT.
    Absent(io::Error),
    /// The path to it does not work: it leads through a file, or in a circle. On the PATH it is as good as absent.
    Unreachable(io::Error),
    Directory,
    NotExecutable(io::Error),
}

/// Why a file cannot be run, as far as its place and its permissions go.
fn refusal(path: &Path) -> Option<Refusal> {
    match path.metadata() {
        Err(e) => Some(match e.kind() {
            io::ErrorKind::NotFound => Refusal::Absent(e),
            io::ErrorKind::PermissionDenied => Refusal::NotExecutable(e),
            _ => Refusal::Unreachable(e),
        }),
        Ok(meta) if meta.is_dir() => Some(Refusal::Directory),
        // A pipe or a device, whatever its permissions: what the kernel says, too.
        Ok(meta) if !meta.is_file() => {
            Some(Refusal::NotExecutable(io::Error::from_raw_os_error(libc::EACCES)))
        }
        Ok(_) => kernel::access(path, libc::X_OK).err().map(Refusal::NotExecutable),
    }
}

fn failure(path: &Path, why: Refusal) -> Failure {
    let path = shown(path);
    match why {
        Refusal::Absent(e) => not_found(format!("cannot run {path}: {}", cause(&e))),
        Refusal::Directory => not_run(format!("cannot run {path}: it is a directory")),
        Refusal::Unreachable(e) | Refusal::NotExecutable(e) => {
            not_run(format!("cannot run {path}: {}", cause(&e)))
        }
    }
}
