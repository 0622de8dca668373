//! One program: its script, and the directories in which the script runs.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::time::Duration;
use std::{cell, env};

use serde_json::Value;

use super::library::Prefix;
use super::process as child;
use super::rounds::Figures;

/// How long anything may take: many times what it should.
pub(crate) struct Limits {
    /// Making the inputs.
    pub(crate) prepare: Duration,
    pub(crate) run: Duration,
    /// What a script's last processes may take to end after it.
    pub(crate) grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            prepare: Duration::from_secs(300),
            run: Duration::from_secs(240),
            grace: Duration::from_secs(5),
        }
    }
}

/// How many lines of a failed script's stderr are shown.
const LINES: usize = 15;

/// One program.
pub(crate) struct Scenario {
    pub(crate) name: String,
    /// What its script says of itself.
    pub(crate) about: String,
    script: PathBuf,
}

/// What one run took and said.
pub(crate) struct Run {
    pub(crate) figures: Figures,
    /// What must be the same every time.
    pub(crate) stdout: Vec<u8>,
}

impl Scenario {
    /// All that `dir` holds, by name.
    pub(crate) fn all(dir: &Path) -> Result<Vec<Self>, String> {
        let why = |e: io::Error| format!("cannot read {}: {e}", dir.display());
        let mut all = Vec::new();
        for entry in fs::read_dir(dir).map_err(why)? {
            let script = entry.map_err(why)?.path();
            let name = script.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text = fs::read_to_string(&script).map_err(why)?;
            let about = text.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_default().to_owned();
            all.push(Self { name, about, script });
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// The program and its version.
    pub(crate) fn version(&self, place: &Place) -> Result<String, String> {
        // What fails here is that the program is not there, and the script says so in its last line.
        let run = self.call("version", place, None, false, place.limits.run);
        let run = run.map_err(|e| e.lines().last().unwrap_or_default().trim().to_owned())?;
        Ok(String::from_utf8_lossy(&run.stdout).lines().next().unwrap_or_default().trim().to_owned())
    }

    /// Makes the inputs, and gives back what a reader of the table must know of them.
    pub(crate) fn prepare(&self, place: &Place) -> Result<Vec<String>, String> {
        let run = self.call("prepare", place, None, false, place.limits.prepare)?;
        let said = String::from_utf8_lossy(&run.stdout);
        Ok(said.lines().filter_map(|line| line.strip_prefix("note: ")).map(str::to_owned).collect())
    }

    /// One timed run. If `counted`, a library that counts writes at the end of each process what it has counted, which takes time: one
    /// part in a hundred of a server with a process for each connection.
    pub(crate) fn run(&self, place: &Place, under: Option<&Prefix>, counted: bool) -> Result<Run, String> {
        self.call("run", place, under, counted, place.limits.run)
    }

    fn call(
        &self,
        what: &str,
        place: &Place,
        under: Option<&Prefix>,
        counted: bool,
        limit: Duration,
    ) -> Result<Run, String> {
        let dirs = place.dirs(&self.name).map_err(|e| format!("cannot make a work directory: {e}"))?;
        let why = |e: io::Error| format!("cannot run {}: {e}", self.script.display());
        let [stdout, stderr] = ["stdout", "stderr"].map(|name| dirs.metrics.join(name));
        let counts = counted && under.is_some_and(Prefix::counts);
        let ended = child::run(
            Command::new(&self.script)
                .arg(what)
                .current_dir(&dirs.work)
                .env("UNDER", under.map_or("", Prefix::words))
                .env("LIBRARY", under.map_or("", Prefix::library))
                .env("SHARED", &dirs.shared)
                .env("METRICS", &dirs.metrics)
                .env("LOAD", place.load.to_string())
                .env("LC_ALL", "C.UTF-8")
                .env_remove("LD_PRELOAD")
                .envs(counts.then(|| ("GORT_STATS_JSON", dirs.heaps.join("heap"))))
                .stdin(Stdio::null())
                .stdout(File::create(&stdout).map_err(why)?)
                .stderr(File::create(&stderr).map_err(why)?),
            limit,
            place.limits.grace,
        )
        .map_err(why)?;

        let failure = if child::interrupted() {
            Some("interrupted".to_owned())
        } else if ended.overdue {
            Some(format!("took more than {} s", limit.as_secs()))
        } else if !ended.status.success() {
            Some(ended.status.to_string())
        } else if !ended.left.is_empty() {
            Some(format!("left running: {}", ended.left.join(", ")))
        } else {
            None
        };
        if let Some(failure) = failure {
            let said = tail(&stderr);
            place.keep(&dirs, &self.name).map_err(|e| format!("cannot keep what failed: {e}"))?;
            return Err(format!("{what}: {failure}{said}"));
        }
        let figure = |name: &str, measured| {
            number(&dirs.metrics.join(name))
                .map(|written| written.unwrap_or(measured))
                .map_err(|e| format!("{what}: {e}"))
        };
        let figures = Figures {
            seconds: figure("seconds", ended.seconds)?,
            cpu_seconds: figure("cpu_seconds", ended.cpu_seconds)?,
            peak_kib: figure("peak_kib", ended.peak_kib as f64)?,
            allocations: counts.then(|| allocations(&dirs.heaps)).transpose()?,
        };
        Ok(Run { figures, stdout: fs::read(&stdout).map_err(why)? })
    }
}

/// The number in `file`, if there is such a file.
fn number(file: &Path) -> Result<Option<f64>, String> {
    match fs::read_to_string(file) {
        Ok(text) => match text.trim().parse::<f64>() {
            Ok(n) if n.is_finite() && n > 0.0 => Ok(Some(n)),
            _ => {
                Err(format!("{} is not a positive number: '{}'", file.display(), text.trim().escape_debug()))
            }
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(format!("cannot read {}: {e}", file.display())),
    }
}

/// How many objects were allocated by the processes that wrote their counts into `dir`: a process that a signal ends writes none.
fn allocations(dir: &Path) -> Result<f64, String> {
    let why = |e: io::Error| format!("cannot read {}: {e}", dir.display());
    let mut sum = 0.0;
    for entry in fs::read_dir(dir).map_err(why)? {
        let file = entry.map_err(why)?.path();
        let text = fs::read_to_string(&file).map_err(why)?;
        let heap: Value = serde_json::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))?;
        let n = heap["mallocs"].as_f64();
        sum += n.ok_or_else(|| format!("{} does not say how many allocations", file.display()))?;
    }
    Ok(sum)
}

/// The last lines of what a script had to say, indented.
fn tail(file: &Path) -> String {
    let text = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].iter().map(|line| format!("\n    {line}")).collect()
}

/// Where all this happens: a directory for temporary files, removed at the end.
pub(crate) struct Place {
    root: PathBuf,
    /// In percent, at most 100.
    load: u32,
    limits: Limits,
    keep_failed: bool,
    kept: cell::Cell<bool>,
}

/// The directories of one call of a script.
struct Dirs {
    /// Empty.
    work: PathBuf,
    /// Empty; the script's stdout and stderr go here as well.
    metrics: PathBuf,
    /// Empty; every user may write there.
    heaps: PathBuf,
    /// What the calls of one script have in common.
    shared: PathBuf,
}

impl Place {
    /// With `keep`, it stays if something fails.
    pub(crate) fn create(keep: bool, load: u32, limits: Limits) -> io::Result<Self> {
        let root = env::temp_dir().join(format!("gort-programs-{}", process::id()));
        if root.to_string_lossy().contains(char::is_whitespace) {
            return Err(io::Error::other(format!("the path {} has a space in it", root.display())));
        }
        make(&root)?;
        Ok(Self { root, load, limits, keep_failed: keep, kept: cell::Cell::new(false) })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Empty directories.
    fn dirs(&self, name: &str) -> io::Result<Dirs> {
        let [work, metrics, heaps] = ["work", "metrics", "heaps"].map(|d| self.root.join(d));
        for dir in [&work, &metrics, &heaps] {
            if dir.exists() {
                fs::remove_dir_all(dir)?;
            }
            make(dir)?;
        }
        let shared = self.root.join(format!("shared-{name}"));
        if !shared.exists() {
            make(&shared)?;
        }
        fs::set_permissions(&heaps, Permissions::from_mode(0o1777))?;
        Ok(Dirs { work, metrics, heaps, shared })
    }

    /// Puts what a failed call left behind aside.
    fn keep(&self, dirs: &Dirs, name: &str) -> io::Result<()> {
        if self.keep_failed {
            let failed = self.root.join(format!("failed-{name}"));
            make(&failed)?;
            fs::rename(&dirs.work, failed.join("work"))?;
            fs::rename(&dirs.metrics, failed.join("metrics"))?;
            self.kept.set(true);
        }
        Ok(())
    }

    /// Removes what the script that is done had made.
    pub(crate) fn done_with(&self, name: &str) {
        if !self.root.join(format!("failed-{name}")).exists() {
            // What stays is removed with the whole.
            let _ = fs::remove_dir_all(self.root.join(format!("shared-{name}")));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.kept.get() {
            eprintln!("programs: what failed is in {}", self.root.display());
        } else if let Err(e) = fs::remove_dir_all(&self.root) {
            eprintln!("programs: cannot remove {}: {e}", self.root.display());
        }
    }
}

/// A new directory that every user may enter.
fn make(dir: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o755).create(dir)?;
    fs::set_permissions(dir, Permissions::from_mode(0o755))
}
