//! `gort compare` from outside, with shell scripts in place of allocators: what they say took a time that is written in them, so
//! that everything that is made of it is known.

mod build;
mod options;
mod output;
mod over_time;
mod runs;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const GORT: &str = env!("CARGO_BIN_EXE_gort");
/// What changes an allocator, or this command's own, or where cargo is; no test inherits it.
const VARIABLES: [&str; 8] = [
    "CARGO",
    "GODEBUG",
    "GOGC",
    "GOMEMLIMIT",
    "GORT_STATS",
    "GORT_STATS_JSON",
    "LD_PRELOAD",
    "MALLOC_ARENA_MAX",
];

/// Two workloads, of which one has a parameter.
const LIST: &str = r#"[
  {"name":"trees","group":"languages","about":"builds trees","published":"binary trees","threads":1,"parameters":[]},
  {"name":"server","group":"threads","about":"passes objects on","published":"larson","threads":2,
   "parameters":[{"name":"sessions","default":8,"about":"how many"}]}
]"#;

/// A directory of programs that answer as the workloads' programs do.
struct Fakes {
    dir: PathBuf,
}

impl Fakes {
    fn new(test: &str) -> Self {
        let dir = directory(test);
        fs::write(dir.join("list"), LIST).expect("the file can be written");
        Self { dir }
    }

    /// Those that say that they took so many seconds for anything.
    fn taking(test: &str, all: &[(&str, &str)]) -> Self {
        let fakes = Self::new(test);
        for (name, seconds) in all {
            fakes.add(name, &format!("seconds={seconds}"));
        }
        fakes
    }

    /// One that, before it reports, does what `body` says with `$workload`, `$seed`, `$n` (which run of its own this is), `$dir`,
    /// `$seconds` and `$sum`.
    fn add(&self, name: &str, body: &str) {
        let script = format!(
            r#"#!/bin/sh
dir=$(dirname "$0")
case $1 in
version) echo '{{"allocator":"{name}","version":"{name} 1.0","build":"a script"}}'; exit ;;
list) cat "$dir/list"; exit ;;
esac
workload=$2 seed=$4
echo "{name} $*" >> "$dir/log"
n=$(grep -c "^{name} run $workload --seed $seed " "$dir/log")
seconds=1 sum=000000000000000$seed
{body}
echo "{{\"workload\":\"$workload\",\"seed\":$seed,\"operations\":10,\"checksum\":\"$sum\",\"seconds\":$seconds}}"
"#
        );
        executable(&self.dir.join(format!("work-{name}")), &script);
    }

    /// `gort compare` with these programs.
    fn compare(&self, args: &[&str]) -> Command {
        let mut command = gort_compare();
        command.arg("--binaries").arg(&self.dir).args(args);
        command
    }

    /// What was run: allocator, workload and seed.
    fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let short = log.lines().map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            format!("{} {} {}", words[0], words[2], words[4])
        });
        short.collect()
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).to_str().expect("a path in UTF-8").to_owned()
    }

    /// The figures of a comparison that is expected to end with this code.
    fn figures(&self, args: &[&str], code: i32) -> (Value, Output) {
        let file = self.path("figures.json");
        let output = output(self.compare(args).args(["--json", &file]));
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        let written = fs::read_to_string(&file).expect("the figures are written");
        (serde_json::from_str(&written).expect("they are JSON"), output)
    }
}

fn gort_compare() -> Command {
    let mut command = Command::new(GORT);
    command.arg("compare").stdin(Stdio::null());
    VARIABLES.iter().for_each(|name| _ = command.env_remove(name));
    command
}

/// An empty directory of a test's own.
fn directory(test: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compare").join(test);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("a directory can be made");
    dir.canonicalize().expect("it is there")
}

/// Makes an executable file, by a process of its own: a descriptor of this one would be open for writing in what other tests
/// start meanwhile, and a file that is written to cannot be executed.
fn executable(path: &Path, contents: &str) {
    let plain = path.with_extension("contents");
    fs::write(&plain, contents).expect("the file can be written");
    let cp = Command::new("cp").arg(&plain).arg(path).status().expect("cp runs");
    assert!(cp.success(), "{}", path.display());
    fs::set_permissions(path, Permissions::from_mode(0o755)).expect("it is ours");
    fs::remove_file(plain).expect("it is ours");
}

fn output(command: &mut Command) -> Output {
    command.output().expect("the gort command starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("output is UTF-8")
}

/// Standard output of a command that succeeds.
fn succeeds(command: &mut Command) -> String {
    let out = output(command);
    assert_eq!(out.status.code(), Some(0), "{command:?}: {}", text(&out.stderr));
    text(&out.stdout).to_owned()
}

/// The one line of a command that fails with this code and prints nothing.
fn fails(command: &mut Command, code: i32) -> String {
    let out = output(command);
    let line = text(&out.stderr);
    assert_eq!((out.status.code(), text(&out.stdout)), (Some(code), ""), "{command:?}: {line}");
    assert_eq!(line.lines().count(), 1, "{command:?}: {line}");
    assert!(line.starts_with("gort: ") && line.ends_with('\n'), "{command:?}: {line}");
    line.to_owned()
}

/// The cells of the line of a table that begins with these.
fn line<'a>(table: &'a str, first: &[&str]) -> Vec<&'a str> {
    let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut found: Vec<_> = lines.filter(|cells| cells.starts_with(first)).collect();
    assert!(!found.is_empty(), "no line {first:?} in:\n{table}");
    found.remove(0)
}
