//! The command `gort-scaling`, from a report that gort wrote.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

fn scaling(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gort-scaling")).args(args).output().expect("it starts")
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("it prints text")
}

/// A report on a small run of a workload.
fn report(name: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("scaling-{name}"));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("there is room");
    let mut command = Command::new(env!("CARGO_BIN_EXE_work-gort"));
    command.args(["run", name, "--scale", "0.02"]).env("GORT_STATS_JSON", dir.join(format!("{name}.json")));
    assert!(command.output().expect("it starts").status.success());
    let mut files = fs::read_dir(&dir).expect("the directory is there");
    files.next().expect("a report is there").expect("it can be read").path()
}

/// The columns of the row that begins with `name`.
fn row<'a>(table: &'a str, name: &str) -> Vec<&'a str> {
    let line =
        table.lines().find(|l| l.trim_start_matches("| ").starts_with(name)).expect("a row of that name");
    line.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

#[test]
fn a_real_report_makes_a_table() {
    let file = report("xmalloc-1-1");
    let out = scaling(&[
        "--one-class",
        "--threads",
        "1,64",
        "--visits",
        "2000",
        file.to_str().expect("a plain name"),
    ]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let table = text(&out.stdout);
    let (plain, one) = (row(table, "xmalloc-1-1 "), row(table, "xmalloc-1-1, one class"));
    assert_eq!((plain.len(), one.len()), (6, 6), "{table}");
    assert_eq!((plain[1], plain[2], one[2]), (one[1], "100 %", "100 %"), "{table}");
    let part = |cell: &str| cell.trim_end_matches(" %").parse::<f64>().expect("a part in percent");
    assert!(part(one[3]) <= part(plain[3]) + 1.0, "one class is no easier: {table}");
}

#[test]
fn without_any_cost_of_locks_it_is_linear() {
    let file = report("larson");
    let none =
        ["--central", "0", "--page-heap", "0", "--metadata", "0", "--handover", "0", "--threads", "1,64"];
    let args = [none.as_slice(), &["--visits", "20000", file.to_str().expect("a plain name")]].concat();
    let out = scaling(&args);
    let table = text(&out.stdout);
    let row = row(table, "larson");
    assert!(["99 %", "100 %", "101 %"].contains(&row[3]) && row[4] == "0.0 %", "{table}");
}

#[test]
fn bad_input_is_one_line() {
    for (args, code) in [
        (&[][..], 2),
        (&["--threads", "0", "x"], 2),
        (&["--central", "-1", "x"], 2),
        (&["--operation", "0", "x"], 2),
        (&["--shards", "many", "x"], 2),
        (&["no-such-file"], 1),
        (&["/dev/null"], 1),
    ] {
        let out = scaling(args);
        assert_eq!(out.status.code(), Some(code), "{args:?}");
        assert!(out.stdout.is_empty());
        let said = text(&out.stderr);
        assert!(said.starts_with("gort-scaling: ") && said.lines().count() == 1, "{args:?}: {said}");
    }
}
