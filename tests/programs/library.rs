//! What is put before a program to run it on gort: built, copied to where every user may read it, and seen to be at work.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// A command prefix that puts a library into the process that it starts.
pub(crate) struct Prefix {
    words: String,
    library: String,
    name: String,
    /// Whether the library counts, and writes its counts where `GORT_STATS_JSON` says.
    counts: bool,
}

impl Prefix {
    /// `gort run` with the library of this source tree, from copies in `root`: a server that drops its rights could not read
    /// them in somebody's home directory, and a build that goes on meanwhile does not change them.
    pub(crate) fn gort(root: &Path) -> Result<Self, String> {
        let copy = |from: PathBuf, name: &str| {
            let to = root.join(name);
            fs::copy(&from, &to)
                .and_then(|_| fs::set_permissions(&to, Permissions::from_mode(0o755)))
                .map_err(|e| format!("cannot copy {}: {e}", from.display()))?;
            Ok::<_, String>(to.display().to_string())
        };
        // The command is the program as soon as it has started: it may be built as the tests' own crates are, which is quicker.
        let command = copy(build(&["--profile", "checked", "--package", "gort-cli"], "gort")?, "gort")?;
        let library = copy(build(&["--release", "--package", "gort-preload"], "libgort.so")?, "libgort.so")?;
        let prefix = Self::counting(Self::checked(format!("{command} run --lib {library} --"), "gort")?);
        if prefix.library != library {
            return Err(format!("gort run put {} into a process and not {library}", prefix.library));
        }
        Ok(prefix)
    }

    /// Any other prefix.
    pub(crate) fn given(words: &str) -> Result<Self, String> {
        let mut prefix = Self::checked(words.to_owned(), "")?;
        prefix.name = stem(&prefix.library).to_owned();
        Ok(prefix)
    }

    /// One that puts nothing before a program.
    pub(crate) fn quiet(prefix: Self) -> Self {
        Self { words: String::new(), counts: false, ..prefix }
    }

    /// One whose processes are believed to count.
    pub(crate) fn counting(prefix: Self) -> Self {
        Self { counts: true, ..prefix }
    }

    /// Under the prefix, a process must have a library that it has not without.
    fn checked(words: String, name: &str) -> Result<Self, String> {
        let without = libraries("")?;
        let with = libraries(&words)?;
        let mut added: Vec<String> = with.into_iter().filter(|l| !without.contains(l)).collect();
        // It may bring others along.
        added.sort_by_key(|library| !words.contains(stem(library)));
        let library =
            added.into_iter().next().ok_or_else(|| format!("no library is preloaded by: {words}"))?;
        Ok(Self { words, library, name: name.to_owned(), counts: false })
    }

    /// The words, separated by spaces.
    pub(crate) fn words(&self) -> &str {
        &self.words
    }

    /// The path of the library, as in `/proc/PID/maps`.
    pub(crate) fn library(&self) -> &str {
        &self.library
    }

    /// Whether each process writes how many objects it allocated.
    pub(crate) fn counts(&self) -> bool {
        self.counts
    }

    /// What the table calls it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// `libgort` of `/path/libgort.so.1`.
fn stem(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or_default();
    file.split('.').next().unwrap_or_default()
}

/// The shared libraries in a process that is started with `prefix`.
fn libraries(prefix: &str) -> Result<Vec<String>, String> {
    let mut words = prefix.split_whitespace().chain(["cat", "/proc/self/maps"]);
    let mut command = Command::new(words.next().unwrap_or_default());
    let output = command
        .args(words)
        .env_remove("LD_PRELOAD")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("cannot run '{prefix} cat': {e}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("'{prefix} cat /proc/self/maps' fails: {}", complaint.trim()));
    }
    let maps = String::from_utf8_lossy(&output.stdout);
    let mut all: Vec<String> = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5))
        .filter(|path| path.contains(".so"))
        .map(str::to_owned)
        .collect();
    all.dedup();
    Ok(all)
}

/// Has cargo build something, which is quick when it is there already, and say where it put the file of this name.
fn build(what: &[&str], name: &str) -> Result<PathBuf, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .arg("build")
        .args(what)
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("cannot run cargo: {e}"))?;
    if !output.status.success() {
        return Err(format!("{name} does not build"));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .find(|file| file.file_name().is_some_and(|f| f == name))
        .ok_or_else(|| format!("cargo built no {name}"))
}
