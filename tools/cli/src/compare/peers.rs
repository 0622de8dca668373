//! The allocators under comparison: each a program of its own, or the program of glibc with a library in front of it.

use std::fs;
use std::iter;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::child;
use super::results::Allocator;
use crate::failure::{Failure, bad_input, failed};

/// What the programs of the workloads are called before the allocator's name.
pub(super) const PREFIX: &str = "work-";
/// The allocator that all others are held against.
pub(super) const OURS: &str = "gort";
/// The order of the tables; whoever is not in it comes last, by name.
const ORDER: [&str; 8] =
    ["gort", "glibc", "mimalloc2", "mimalloc3", "jemalloc", "snmalloc", "rpmalloc", "tcmalloc"];
/// For questions that are answered at once.
const ANSWER: Duration = Duration::from_secs(20);

/// An allocator that can be run.
pub(super) struct Peer {
    pub(super) info: Allocator,
    program: PathBuf,
    preload: Option<PathBuf>,
    environment: Option<(&'static str, &'static str)>,
    stamps: Vec<Stamp>,
}

/// What is another once a program has been built anew.
type Stamp = (u64, i64, i64, u64);

/// What `version` says.
#[derive(Deserialize)]
struct Version {
    version: String,
    build: String,
}

impl Peer {
    /// A program that is linked with its allocator, of which it tells the version.
    pub(super) fn linked(name: &str, program: PathBuf) -> Result<Self, Failure> {
        let mut peer = Self::unknown(name, program)?;
        let Version { version, build } = peer.ask("version")?;
        peer.info.version = version;
        peer.info.build = build;
        Ok(peer)
    }

    /// A program that has the allocator of the C library, under `library`.
    pub(super) fn preloaded(info: Allocator, program: PathBuf, library: PathBuf) -> Result<Self, Failure> {
        let mut peer = Self::unknown(&info.name, program)?;
        peer.info = info;
        peer.stamps.push(stamp(&library)?);
        peer.preload = Some(library);
        Ok(peer)
    }

    fn unknown(name: &str, program: PathBuf) -> Result<Self, Failure> {
        let info = Allocator {
            name: name.to_owned(),
            version: String::new(),
            build: String::new(),
            ours: name == OURS,
        };
        let stamps = vec![stamp(&program)?];
        Ok(Self { info, program, preload: None, environment: None, stamps })
    }

    /// The same with a variable set, under another name.
    pub(super) fn with(&self, variable: (&'static str, &'static str)) -> Self {
        let mut info = self.info.clone();
        info.name = format!("{} {}", info.name, variable.1);
        info.build = format!("{}, {}={}", info.build, variable.0, variable.1);
        let (program, preload) = (self.program.clone(), self.preload.clone());
        Self { info, program, preload, environment: Some(variable), stamps: self.stamps.clone() }
    }

    pub(super) fn name(&self) -> &str {
        &self.info.name
    }

    /// The program, on its allocator.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        match &self.preload {
            Some(library) => command.env("LD_PRELOAD", library),
            None => command.env_remove("LD_PRELOAD"),
        };
        command.envs(self.environment);
        command
    }

    /// The answer to a word, which is one line of JSON.
    pub(super) fn ask<T: DeserializeOwned>(&self, word: &str) -> Result<T, Failure> {
        let what = format!("{} {word}", self.program.display());
        let ended = child::run(self.command().arg(word), ANSWER, None)
            .map_err(|e| failed(format!("{what}: does not run: {e}")))?;
        if let Some(failure) = ended.failure {
            return Err(failed(format!("{what}: {failure}")));
        }
        serde_json::from_str(&ended.stdout)
            .map_err(|e| failed(format!("{what}: does not answer in one line of JSON: {e}")))
    }

    /// A program that changes while it is measured would make two of one.
    pub(super) fn unchanged(&self) -> Result<(), Failure> {
        let files = iter::once(&self.program).chain(&self.preload);
        match files.zip(&self.stamps).find(|(file, before)| stamp(file).ok().as_ref() != Some(*before)) {
            None => Ok(()),
            Some((file, _)) => {
                Err(failed(format!("{} was built anew while it was measured: start again", file.display())))
            }
        }
    }
}

fn stamp(file: &Path) -> Result<Stamp, Failure> {
    let meta = fs::metadata(file).map_err(|e| bad_input(format!("cannot use {}: {e}", file.display())))?;
    Ok((meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.len()))
}

/// Puts names into the order of the tables.
pub(super) fn sort<T>(all: &mut [T], name: impl Fn(&T) -> &str) {
    let place = |name: &str| ORDER.iter().position(|o| *o == name).unwrap_or(ORDER.len());
    all.sort_by(|a, b| (place(name(a)), name(a)).cmp(&(place(name(b)), name(b))));
}

/// Of `all`, gort and those that `asked` names; all if it names none.
pub(super) fn choose(all: Vec<String>, asked: &[String], ours: &str) -> Result<Vec<String>, Failure> {
    if let Some(unknown) = asked.iter().find(|name| !all.contains(name)) {
        return Err(bad_input(format!(
            "--allocators: there is no '{}'; there are {}",
            unknown.escape_debug(),
            all.join(", ")
        )));
    }
    let chosen: Vec<String> = all
        .into_iter()
        .filter(|name| asked.is_empty() || name.as_str() == ours || asked.contains(name))
        .collect();
    match chosen.as_slice() {
        [] => Err(bad_input("there is no allocator to run")),
        [only] if only.as_str() == ours => Err(bad_input(format!("there is nothing to hold {ours} against"))),
        _ => Ok(chosen),
    }
}

/// The programs that a directory holds, by the names of their allocators.
pub(super) fn in_directory(dir: &Path) -> Result<Vec<(String, PathBuf)>, Failure> {
    let entries = fs::read_dir(dir)
        .map_err(|e| bad_input(format!("--binaries: cannot read the directory {}: {e}", dir.display())))?;
    let mut found: Vec<(String, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?.strip_prefix(PREFIX)?.to_owned();
            let meta = path.metadata().ok()?;
            (meta.is_file() && meta.permissions().mode() & 0o111 != 0).then_some((name, path))
        })
        .collect();
    sort(&mut found, |(name, _)| name);
    if found.iter().all(|(name, _)| name != OURS) {
        return Err(bad_input(format!(
            "--binaries: there is no program {PREFIX}{OURS} in {}",
            dir.display()
        )));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[&str]) -> Vec<String> {
        all.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn the_order_of_the_tables() {
        let mut all = names(&["tcmalloc", "zz", "aa", "glibc", "gort"]);
        sort(&mut all, |s| s);
        assert_eq!(all, ["gort", "glibc", "tcmalloc", "aa", "zz"]);
    }

    #[test]
    fn gort_is_always_chosen() {
        let all = || names(&["gort", "glibc", "jemalloc"]);
        assert_eq!(choose(all(), &[], OURS).unwrap(), all());
        assert_eq!(choose(all(), &names(&["jemalloc"]), OURS).unwrap(), ["gort", "jemalloc"]);
        assert!(choose(all(), &names(&["gort"]), OURS).is_err());
        assert!(choose(all(), &names(&["jemaloc"]), OURS).is_err());
    }
}
