//! `gort run` from outside, with small programs in C: what it refuses, what it sets, and what the report at exit says, held
//! against what the programs are known to do.
//!
//! A nested cargo builds the library into the target directory of the command itself, where the command finds it.

mod guard;
mod input;
mod limit;
mod place;
mod process;
mod program;
mod report;
mod sizes;
mod stack;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

const GORT: &str = env!("CARGO_BIN_EXE_gort");
/// What changes the heap, its report or the loader; no program here inherits it.
const VARIABLES: [&str; 7] =
    ["GOMEMLIMIT", "GODEBUG", "GORT_STATS", "GORT_STATS_JSON", "GORT_STATS_PID", "GORT_SIZES", "LD_PRELOAD"];

/// The library, just built.
fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = Path::new(GORT).ancestors().nth(2).expect("the target directory");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let build = Command::new(cargo)
            .args(["build", "--release", "-p", "gort-preload", "--target-dir"])
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        assert!(build.status.success(), "{}", text(&build.stderr));
        target.join("release/libgort.so")
    })
}

/// An empty directory of a test's own.
fn directory(test: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("run").join(test);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("a directory can be made");
    dir.canonicalize().expect("it is there")
}

/// Compiles a program in C into `dir`.
fn compile(dir: &Path, name: &str, options: &[&str], source: &str) -> PathBuf {
    let (file, program) = (dir.join(format!("{name}.c")), dir.join(name));
    fs::write(&file, source).expect("the source can be written");
    let cc = Command::new("cc").args(["-O0", "-o"]).arg(&program).arg(&file).args(options).output();
    let cc = cc.expect("the C compiler runs");
    assert!(cc.status.success(), "{}", text(&cc.stderr));
    program
}

/// Makes an executable file.
fn executable(path: &Path, contents: impl AsRef<[u8]>) {
    let plain = path.with_extension("contents");
    fs::write(&plain, contents).expect("the file can be written");
    copy(&plain, path);
    fs::set_permissions(path, Permissions::from_mode(0o755)).expect("it is ours");
}

/// Copies a file by a process of its own: a descriptor of this one would be open for writing in what other tests start meanwhile,
/// and a file that is written to cannot be executed.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().expect("a file in a directory")).expect("a directory can be made");
    let cp = Command::new("cp").arg(from).arg(to).status().expect("cp runs");
    assert!(cp.success(), "{}", from.display());
}

/// `gort run`, with the library in place.
fn gort_run() -> Command {
    library();
    without_library()
}

fn without_library() -> Command {
    let mut command = Command::new(GORT);
    command.arg("run").stdin(Stdio::null());
    VARIABLES.iter().for_each(|name| _ = command.env_remove(name));
    command
}

fn output(command: &mut Command) -> Output {
    command.output().expect("the gort command starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("output is UTF-8")
}

/// Standard output of a command that succeeds without a word on stderr.
fn succeeds(command: &mut Command) -> String {
    let out = output(command);
    assert_eq!((out.status.code(), text(&out.stderr)), (Some(0), ""), "{command:?}");
    text(&out.stdout).to_owned()
}

/// The one line of a command that fails with this code and does nothing.
fn fails(command: &mut Command, code: i32) -> String {
    let out = output(command);
    let line = text(&out.stderr);
    assert_eq!((out.status.code(), text(&out.stdout)), (Some(code), ""), "{command:?}: {line}");
    assert_eq!(line.lines().count(), 1, "{command:?}: {line}");
    assert!(line.starts_with("gort: ") && line.ends_with('\n'), "{command:?}: {line}");
    line.to_owned()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// Allocates `n` objects of sizes from 1 to 2000, prints how many bytes that was, frees every second one; then an object of
/// 100,000 bytes and one of 160 MiB, which it frees. All of it is counted by the program itself.
const KNOWN: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
    int n = atoi(argv[1]);
    void **all = malloc(n * sizeof *all);
    unsigned long long seed = 7, bytes = n * sizeof *all;
    for (int i = 0; i < n; i++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        size_t size = 1 + (seed >> 33) % 2000;
        bytes += size;
        memset(all[i] = malloc(size), 1, size);
    }
    for (int i = 0; i < n; i += 2) free(all[i]);
    volatile char *large = malloc(100000), *huge = malloc(160 << 20);
    large[0] = huge[0] = 1;
    free((void *)huge);
    bytes += 100000 + (160 << 20);
    char line[64];
    write(1, line, snprintf(line, sizeof line, "%llu\n", bytes));
    return 0;
}
"#;

const OBJECTS: u64 = 60_000;

fn json(file: &Path) -> Value {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn number(report: &Value, name: &str) -> u64 {
    report[name].as_u64().unwrap_or_else(|| panic!("{name}: {}", report[name]))
}

/// Files of a directory whose names begin so.
fn files(dir: &Path, prefix: &str) -> Vec<String> {
    let names =
        fs::read_dir(dir).expect("it is there").map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with(prefix)).collect();
    names.sort();
    names
}
