//! A file that something goes to at exit: whether it will be possible to write it, and its name wherever the program goes.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{kernel, shown};
use crate::failure::{Failure, bad_input, cause};

/// The absolute path of the file that `option` names, where a file can be written.
pub(super) fn prepare(option: &str, file: &Path) -> Result<PathBuf, Failure> {
    let refuse_for = |why: &str| bad_input(format!("{option} {} cannot be written: {why}", shown(file)));
    let refuse = |e: io::Error| refuse_for(&cause(&e));
    let directory = match file.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Err(refuse(io::ErrorKind::IsADirectory.into())),
    };
    let meta = match file.metadata() {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            if file.is_symlink() {
                return Err(refuse_for("it is a link that leads nowhere"));
            }
            let directory = directory.canonicalize().map_err(refuse)?;
            kernel::access(&directory, libc::W_OK | libc::X_OK).map_err(refuse)?;
            let name = file.file_name().ok_or_else(|| refuse(io::ErrorKind::IsADirectory.into()))?;
            return fitting(directory.join(name)).ok_or_else(|| refuse_for(TOO_LONG));
        }
        Err(e) => return Err(refuse(e)),
    };
    if meta.is_dir() {
        return Err(refuse(io::ErrorKind::IsADirectory.into()));
    }
    if !meta.is_file() {
        // A device or a pipe: written as it is. Its name is not resolved: /dev/stdout is another file in another process.
        kernel::access(file, libc::W_OK).map_err(refuse)?;
        return std::path::absolute(file).map_err(refuse);
    }
    if is_standard_stream(&meta) {
        // It would be another file afterwards, and what the program says would go to the one that is removed.
        return Err(refuse_for("it is open as stdin, stdout or stderr"));
    }
    let file = fitting(file.canonicalize().map_err(refuse)?).ok_or_else(|| refuse_for(TOO_LONG))?;
    if let Some(directory) = file.parent() {
        kernel::access(directory, libc::W_OK | libc::X_OK).map_err(refuse)?;
    }
    Ok(file)
}

/// Removes what is there of an earlier run, so that what is there afterwards is this run's.
pub(super) fn remove_earlier(file: &Path) -> Result<(), Failure> {
    if !file.is_file() {
        return Ok(());
    }
    std::fs::remove_file(file)
        .map_err(|e| bad_input(format!("cannot replace {}: {}", shown(file), cause(&e))))
}

const TOO_LONG: &str = "its path is too long";

/// The path, if what the library adds to it (the number of a process, a temporary name in its place) fits too.
fn fitting(path: PathBuf) -> Option<PathBuf> {
    const ADDED: usize = "/.gort..tmp".len() + "4194304".len();
    let fits = path.as_os_str().len() + ADDED < libc::PATH_MAX as usize;
    fits.then_some(path)
}

fn is_standard_stream(meta: &Metadata) -> bool {
    let id = |meta: &Metadata| (meta.dev(), meta.ino());
    (0..3).any(|fd| std::fs::metadata(format!("/proc/self/fd/{fd}")).is_ok_and(|open| id(&open) == id(meta)))
}
