//! Builds the programs of the workloads from the source tree, each with a cargo call of its own: two versions of one allocator
//! cannot be in one build.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::peers::{self, PREFIX};
use super::progress::Step;
use crate::failure::{Failure, bad_input, failed};

const PACKAGE: &str = "gort-bench";

/// A checkout of gort.
pub(super) struct Source(PathBuf);

/// A program that can be built.
pub(super) struct Target {
    /// The allocator's.
    pub(super) name: String,
    features: String,
}

impl Source {
    /// The one that `--source` names, or that the current directory is in.
    pub(super) fn find(named: Option<&Path>) -> Result<Self, Failure> {
        if let Some(dir) = named {
            return match is_source(dir) {
                true => Ok(Self(dir.to_owned())),
                false => Err(bad_input(format!("--source: {} is no checkout of gort", dir.display()))),
            };
        }
        let here = env::current_dir().unwrap_or_default();
        here.ancestors().find(|dir| is_source(dir)).map(|dir| Self(dir.to_owned())).ok_or_else(|| {
            bad_input("gort compare builds its workloads, and this directory is in no checkout of gort: --source DIR names one")
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The allocators that there is a program for.
    pub(super) fn targets(&self) -> Result<Vec<Target>, Failure> {
        let output = self.cargo(["metadata", "--no-deps", "--format-version", "1"])?;
        let said: Value = serde_json::from_slice(&output.stdout)
            .map_err(|e| failed(format!("cargo metadata: {}: {e}", complaint(&output))))?;
        let mut targets: Vec<Target> = list(&said["packages"])
            .filter(|package| package["name"] == PACKAGE)
            .flat_map(|package| list(&package["targets"]))
            .filter(|target| list(&target["kind"]).any(|kind| kind == "bin"))
            .filter_map(|target| {
                let name = target["name"].as_str()?.strip_prefix(PREFIX)?.to_owned();
                let features: Vec<&str> =
                    list(&target["required-features"]).filter_map(Value::as_str).collect();
                Some(Target { name, features: features.join(",") })
            })
            .collect();
        peers::sort(&mut targets, |target| &target.name);
        Ok(targets)
    }

    /// Builds a program of the workloads and says where it is.
    pub(super) fn build(&self, target: &Target, what: &str, leave_out: &str) -> Result<PathBuf, Failure> {
        let program = format!("{PREFIX}{}", target.name);
        let mut args = vec!["--package", PACKAGE, "--bin", &program];
        if !target.features.is_empty() {
            args.extend(["--features", &target.features]);
        }
        self.artifact(what, &args, &program)
            .map_err(|why| failed(format!("{program} does not build: {why}; {leave_out}")))
    }

    /// Builds the library that is preloaded.
    pub(super) fn build_library(&self, what: &str) -> Result<PathBuf, Failure> {
        let name = "libgort.so";
        self.artifact(what, &["--package", "gort-preload"], name)
            .map_err(|why| failed(format!("{name} does not build: {why}")))
    }

    /// Builds, and finds the file of that name among what cargo says it has made.
    fn artifact(&self, what: &str, args: &[&str], file: &str) -> Result<PathBuf, String> {
        let step = Step::new(what);
        let fixed = ["build", "--release", "--message-format", "json-render-diagnostics"];
        let output = self.cargo(fixed.iter().chain(args));
        step.done();
        let output = output.map_err(|_| "cargo does not run".to_owned())?;
        if !output.status.success() {
            return Err(format!(
                "{} (all of it: cargo build --release {})",
                complaint(&output),
                args.join(" ")
            ));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut files = messages
            .filter(|message| message["reason"] == "compiler-artifact")
            .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
            .filter_map(|path| path.as_str().map(PathBuf::from));
        files
            .find(|path| path.file_name().is_some_and(|f| f == file))
            .ok_or_else(|| "cargo made no such file".to_owned())
    }

    fn cargo(&self, args: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> Result<Output, Failure> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        Command::new(cargo)
            .args(args)
            .current_dir(&self.0)
            .stdin(Stdio::null())
            .output()
            .map_err(|e| bad_input(format!("gort compare needs cargo, which does not run: {e}")))
    }
}

fn is_source(dir: &Path) -> bool {
    ["benches/Cargo.toml", "size_classes/Cargo.toml", "tools/preload/Cargo.toml"]
        .iter()
        .all(|file| dir.join(file).is_file())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The first thing that cargo says is wrong.
fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines.clone().find(|line| line.starts_with("error"));
    error.or(lines.next_back()).map_or_else(|| output.status.to_string(), str::to_owned)
}
