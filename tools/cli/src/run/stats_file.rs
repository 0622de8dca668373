//! The file that the report goes to at exit: whether it will be possible to write it, and its name wherever the program goes.

use std::io;
use std::path::{Path, PathBuf};

use super::{cause, kernel, shown};
use crate::failure::{Failure, bad_input};

/// The absolute path of the file. A report of an earlier run is removed: what is there afterwards is this run's.
pub(super) fn prepare(file: &Path) -> Result<PathBuf, Failure> {
    let refuse =
        |e: io::Error| bad_input(format!("--stats-json {} cannot be written: {}", shown(file), cause(&e)));
    let directory = match file.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Err(refuse(io::ErrorKind::IsADirectory.into())),
    };
    let meta = match file.metadata() {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let directory = directory.canonicalize().map_err(refuse)?;
            kernel::access(&directory, libc::W_OK | libc::X_OK).map_err(refuse)?;
            let name = file.file_name().ok_or_else(|| refuse(io::ErrorKind::IsADirectory.into()))?;
            return Ok(directory.join(name));
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
    let file = file.canonicalize().map_err(refuse)?;
    if let Some(directory) = file.parent() {
        kernel::access(directory, libc::W_OK | libc::X_OK).map_err(refuse)?;
    }
    std::fs::remove_file(&file).map_err(refuse)?;
    Ok(file)
}
