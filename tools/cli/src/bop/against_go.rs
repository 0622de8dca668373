//! `gort bop --against-go`: the same benchmark run by the go command, and both results side by side.

use std::env;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Output};
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};

use super::harness::Run;
use super::report::{self, Parsed};
use super::{Args, slices};
use crate::failure::{Failure, bad_input, failed};

/// Runs both and prints them.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let version = go_version()?;
    let go = run_go(args)?;
    let mut ours = Vec::with_capacity(go.len());
    for line in &go {
        ours.push(slices::benchmark(line.len, args.benchtime));
    }
    let mut out = io::stdout();
    out.write_all(report::header().as_bytes())?;
    writeln!(out, "{version}\n\n{}", table(&go, &ours))?;
    Ok(())
}

fn go_version() -> Result<String, Failure> {
    let needs = "--against-go needs the go command (https://go.dev/dl)";
    match Command::new("go").arg("version").output() {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Ok(output) => Err(bad_input(format!("{needs}, and go version failed: {}", first_line(&output)))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            Err(bad_input(format!("{needs}, and there is none on the PATH")))
        }
        Err(e) => Err(bad_input(format!("{needs}, and it does not run: {e}"))),
    }
}

fn run_go(args: &Args) -> Result<Vec<Parsed>, Failure> {
    let dir =
        ModuleDir::create(&args.lens).map_err(|e| failed(format!("cannot write the Go benchmark: {e}")))?;
    let mut command = Command::new("go");
    command.current_dir(&dir.0).args(["test", "-run=^$", "-bench=.", "-benchmem", "-timeout=0"]);
    command.arg(format!("-benchtime={}", args.benchtime)).arg(format!("-count={}", args.count));
    // A module on its own, whatever surrounds it, and nothing fetched.
    command.env("GOFLAGS", "").env("GOWORK", "off").env("GOTOOLCHAIN", "local").env("GO111MODULE", "on");

    let spinner = ProgressBar::new_spinner().with_message("running go test");
    spinner.set_style(ProgressStyle::default_spinner());
    spinner.enable_steady_tick(Duration::from_millis(100));
    let output = command.output();
    spinner.finish_and_clear();

    let output = output.map_err(|e| failed(format!("go test does not run: {e}")))?;
    if !output.status.success() {
        return Err(failed(format!("go test failed: {}", first_line(&output))));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<Parsed> = text.lines().filter_map(report::parse).collect();
    let expected = args.lens.len() * args.count as usize;
    if lines.len() != expected {
        let found = lines.len();
        return Err(failed(format!("go test printed {found} results and not {expected}")));
    }
    Ok(lines)
}

/// The first line that says something, of stderr or else of stdout.
fn first_line(output: &Output) -> String {
    let text = [&output.stderr[..], &output.stdout[..]].concat();
    let text = String::from_utf8_lossy(&text);
    // The go command announces each package with a line that begins with '#'.
    let said = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    said.map_or_else(|| output.status.to_string(), str::to_owned)
}

/// A folder with a Go module in it, removed when dropped.
struct ModuleDir(PathBuf);

impl ModuleDir {
    fn create(lens: &[usize]) -> io::Result<Self> {
        let path = env::temp_dir().join(format!("gort-against-go-{}", process::id()));
        DirBuilder::new().mode(0o700).create(&path)?;
        let dir = Self(path);
        write(&dir.0, "go.mod", "module gort\n\ngo 1.21\n")?;
        write(&dir.0, "bop_test.go", &source(lens))?;
        Ok(dir)
    }
}

impl Drop for ModuleDir {
    fn drop(&mut self) {
        // Nothing depends on it: it is in the folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write(dir: &Path, name: &str, text: &str) -> io::Result<()> {
    fs::write(dir.join(name), text)
}

/// The benchmark as Go source.
fn source(lens: &[usize]) -> String {
    let mut list = String::new();
    for len in lens {
        let _ = write!(list, "{len}, ");
    }
    let list = list.trim_end_matches(", ");
    let function = report::NAME;
    format!(
        "package gort\n\
         \n\
         import (\n\
         \t\"strconv\"\n\
         \t\"testing\"\n\
         )\n\
         \n\
         // Keeps the slice from living on the stack.\n\
         var kept []int\n\
         \n\
         func {function}(b *testing.B) {{\n\
         \tfor _, n := range []int{{{list}}} {{\n\
         \t\tb.Run(\"len=\"+strconv.Itoa(n), func(b *testing.B) {{\n\
         \t\t\tfor i := 0; i < b.N; i++ {{\n\
         \t\t\t\tkept = make([]int, n)\n\
         \t\t\t}}\n\
         \t\t}})\n\
         \t}}\n\
         }}\n"
    )
}

fn table(go: &[Parsed], ours: &[Run]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "len",
        "gort ns/op",
        "go ns/op",
        "gort B/op",
        "go B/op",
        "gort allocs/op",
        "go allocs/op",
    ]);
    for (go, ours) in go.iter().zip(ours) {
        table.add_row([
            go.len.to_string(),
            time(ours.ns_per_op()),
            time(go.ns_per_op),
            ours.bytes_per_op().to_string(),
            go.bytes_per_op.to_string(),
            ours.allocs_per_op().to_string(),
            go.allocs_per_op.to_string(),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

fn time(ns: f64) -> String {
    if ns < 1000.0 { format!("{ns:.1}") } else { format!("{ns:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_has_each_length() {
        let s = source(&[1, 1024]);
        assert!(s.contains("range []int{1, 1024} {"));
        assert!(s.contains("func BenchmarkMakeSlice(b *testing.B)"));
        assert_eq!(s.matches('{').count(), s.matches('}').count());
    }
}
