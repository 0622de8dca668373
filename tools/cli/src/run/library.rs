//! Finds the library, and makes sure that it is one and that `LD_PRELOAD` can name it.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use object::ReadCache;

use super::image::Elf;
use super::{cause, shown};
use crate::failure::{Failure, bad_input};

const NAME: &str = "libgort.so";
/// Where it may be installed, from the directory of this command on: beside it, or in a library directory.
const INSTALLED: [&str; 3] = [".", "../lib", "../lib/gort"];
/// The directories of the build tree that programs are in.
const BUILT: [&str; 3] = ["release", "debug", "checked"];
const HOW: &str =
    "`cargo build --release` in gort's repository makes target/release/libgort.so; --lib PATH names it";

/// The library that `--lib` names, or else the first one in its usual places; its path is absolute.
pub(super) fn find(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let path = match named {
        Some(path) => path.canonicalize().map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => bad_input(format!("no library at {}: {HOW}", shown(path))),
            _ => bad_input(format!("cannot use the library {}: {}", shown(path), cause(&e))),
        })?,
        None => in_its_places()?,
    };
    check(&path).map_err(|wrong| bad_input(format!("cannot use the library {}: {wrong}", shown(&path))))?;
    Ok(path)
}

fn in_its_places() -> Result<PathBuf, Failure> {
    let command = std::env::current_exe().unwrap_or_default();
    let beside = command.parent().unwrap_or(Path::new("."));
    // The build tree's directories mean something only from one of them on.
    let in_tree = BUILT.iter().any(|name| beside.ends_with(name));
    let built = BUILT.into_iter().filter(|_| in_tree).map(|name| Path::new("..").join(name));
    let places = INSTALLED.into_iter().map(PathBuf::from).chain(built);
    places
        .filter_map(|place| beside.join(place).join(NAME).canonicalize().ok())
        .next()
        .ok_or_else(|| bad_input(format!("no {NAME} in {} or ../lib from there: {HOW}", shown(beside))))
}

/// What is wrong with the library.
fn check(path: &Path) -> Result<(), String> {
    // The loader takes these for the end of a name, or for a variable of its own.
    if path.as_os_str().as_bytes().iter().any(|b| b" :$".contains(b)) {
        return Err(
            "LD_PRELOAD cannot name a path with a space, a colon or a $; put it, or a copy, elsewhere"
                .to_owned(),
        );
    }
    if !path.is_file() {
        return Err("it is no file".to_owned());
    }
    let file = ReadCache::new(File::open(path).map_err(|e| cause(&e))?);
    if Elf::read(&file)?.defines_malloc { Ok(()) } else { Err("it defines no malloc".to_owned()) }
}
