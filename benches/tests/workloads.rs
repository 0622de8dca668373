//! Each workload does the same work whenever it is asked for it, whatever the allocator; else a comparison says nothing.
//!
//! With `--features invariants`, gort's heap checks itself under all of them.

use serde_json::Value;
use std::collections::BTreeSet;
use std::process::{Command, Output};

const GORT: &str = env!("CARGO_BIN_EXE_work-gort");
const GLIBC: &str = env!("CARGO_BIN_EXE_work-glibc");

/// The largest value of each parameter in these tests, so that a row takes milliseconds. One that is not here is a new one.
const SMALL: [(&str, u64); 40] = [
    ("batch", 20),
    ("batches", 40),
    ("bits", 200),
    ("bodies", 100),
    ("bursts", 10),
    ("bytes", 1 << 20),
    ("depth", 12),
    ("documents", 2),
    ("expressions", 6),
    ("fields", 3),
    ("generations", 4),
    ("hold", 0),
    ("keys", 2000),
    ("largest", 1 << 20),
    ("live", 1000),
    ("lives", 2),
    ("loops", 4),
    ("mixes", 3),
    ("objects", 2000),
    ("operations", 20_000),
    ("pace", 0),
    ("passes", 4),
    ("phases", 4),
    ("producers", 4),
    ("pulse", 0),
    ("queries", 50),
    ("records", 200),
    ("rest", 0),
    ("rounds", 2),
    ("shared", 50),
    ("size", 600),
    ("smallest", 64 << 10),
    ("spikes", 2),
    ("steps", 2),
    ("tasks", 500),
    ("terms", 200),
    ("threads", 4),
    ("times", 20),
    ("turnover", 2),
    ("writes", 100),
];

/// Parameters that decide on which thread or when something happens, and so leave no trace in a checksum.
const TRACELESS: [(&str, &str); 7] = [
    ("async-tasks", "threads"),
    ("mstress", "shared"),
    ("phases", "lives"),
    ("phases", "pace"),
    ("phases", "rest"),
    ("spike", "hold"),
    ("spike", "pulse"),
];

fn run(program: &str, args: &[&str]) -> Output {
    Command::new(program).args(args).output().expect("the program starts")
}

fn json(program: &str, args: &[&str]) -> Value {
    let output = run(program, args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{program} {args:?}: {}: {errors}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.lines().count(), 1, "{program} {args:?} prints one line: {text}");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{program} {args:?}: {e}: {text}"))
}

fn rows() -> Vec<Value> {
    json(GORT, &["list"]).as_array().expect("a list of rows").clone()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} of {value}"))
}

/// The parameters of a row with the values of these tests.
fn small(row: &Value) -> Vec<(String, u64)> {
    let value = |parameter: &Value| {
        let name = text(parameter, "name").to_owned();
        let limit = SMALL.iter().find(|(known, _)| *known == name);
        let limit = limit.unwrap_or_else(|| panic!("what is a small value of the new parameter '{name}'?")).1;
        (name, parameter["default"].as_u64().expect("a number").min(limit))
    };
    row["parameters"].as_array().expect("a list of parameters").iter().map(value).collect()
}

/// Operations and checksum of a run.
fn done(program: &str, row: &Value, values: &[(String, u64)], more: &[&str]) -> (u64, String) {
    let name = text(row, "name");
    let settings: Vec<String> = values.iter().map(|(name, value)| format!("--set={name}={value}")).collect();
    let args: Vec<&str> = ["run", name]
        .into_iter()
        .chain(settings.iter().map(String::as_str))
        .chain(more.iter().copied())
        .collect();
    let report = json(program, &args);
    assert_eq!(text(&report, "workload"), name);
    assert!(report["seconds"].as_f64().is_some_and(|s| s > 0.0), "{report}");
    let checksum = text(&report, "checksum");
    assert!(checksum.len() == 16 && u64::from_str_radix(checksum, 16).is_ok(), "{report}");
    (report["operations"].as_u64().expect("a count"), checksum.to_owned())
}

#[test]
fn work_depends_on_the_seed_alone() {
    for row in rows() {
        let values = small(&row);
        let first = done(GORT, &row, &values, &[]);
        assert!(first.0 > 0, "{row} counts what it does");
        assert_eq!(done(GORT, &row, &values, &["--seed=1"]), first, "again: {row}");
        assert_eq!(done(GLIBC, &row, &values, &[]), first, "under another allocator: {row}");
        let other = done(GORT, &row, &values, &["--seed=2"]);
        assert_ne!(other.1, first.1, "with another seed: {row}");
        assert_eq!(done(GLIBC, &row, &values, &["--seed=2"]), other, "under another allocator: {row}");
    }
}

#[test]
fn scale_is_how_much_there_is_to_do() {
    for row in rows() {
        let values = small(&row);
        let (once, twice) = (done(GORT, &row, &values, &[]), done(GORT, &row, &values, &["--scale=2"]));
        assert!(twice.0 > once.0, "{} operations instead of {}: {row}", twice.0, once.0);
        assert_ne!(twice.1, once.1, "{row}");
    }
}

#[test]
fn every_parameter_is_used() {
    for row in rows() {
        let values = small(&row);
        let before = done(GORT, &row, &values, &[]);
        for at in 0..values.len() {
            let mut values = values.clone();
            let name = values[at].0.clone();
            if !TRACELESS.contains(&(text(&row, "name"), &name)) {
                values[at].1 += values[at].1.div_ceil(2).max(1);
                assert_ne!(done(GORT, &row, &values, &[]), before, "{name} changes nothing: {row}");
            }
        }
    }
}

#[test]
fn a_paced_server_says_what_it_has() {
    let settings = [
        "--set=phases=3",
        "--set=bytes=1m",
        "--set=mixes=3",
        "--set=threads=2",
        "--set=lives=1",
        "--set=pace=20",
    ];
    let seen = |program| {
        let report = json(program, &[&["run", "phases"], &settings[..]].concat());
        assert!(report["seconds"].as_f64().is_some_and(|s| s >= 0.06), "each phase takes its time: {report}");
        report["marks"].as_array().expect("there are marks").clone()
    };
    let marks = seen(GORT);
    let live: Vec<u64> = marks.iter().map(|mark| mark["live"].as_u64().expect("a number")).collect();
    assert_eq!(live.len(), 6, "one when it is full, one when it is over: {marks:?}");
    assert!(live.chunks(2).all(|phase| phase[0] <= 2 << 20 && phase[1] < phase[0]), "{marks:?}");
    assert!(marks.iter().all(|mark| mark["resident"].as_u64() > mark["live"].as_u64()), "{marks:?}");
    let others: Vec<u64> = seen(GLIBC).iter().map(|mark| mark["live"].as_u64().expect("a number")).collect();
    assert_eq!(others, live, "the same objects under another allocator");
}

#[test]
fn list_says_what_there_is() {
    let rows = rows();
    assert_eq!(json(GLIBC, &["list"]), Value::Array(rows.clone()), "all programs have the same rows");
    let names: BTreeSet<&str> = rows.iter().map(|row| text(row, "name")).collect();
    assert_eq!(names.len(), rows.len(), "each row has a name of its own");
    let mut groups: Vec<&str> = rows.iter().map(|row| text(row, "group")).collect();
    groups.dedup();
    let different: BTreeSet<&str> = groups.iter().copied().collect();
    assert_eq!(different.len(), groups.len(), "rows of a group stand together: {groups:?}");
    for row in &rows {
        let name = text(row, "name");
        let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(name.chars().all(kebab), "{name}");
        assert!(!text(row, "about").is_empty() && !text(row, "published").is_empty(), "{row}");
        let threads = row["parameters"].as_array().expect("a list").iter().find(|p| p["name"] == "threads");
        assert_eq!(threads.map_or(&row["threads"], |p| &p["default"]), &row["threads"], "{row}");
    }
}

#[test]
fn version_says_which_allocator_it_is() {
    for (program, name) in [(GORT, "gort"), (GLIBC, "glibc")] {
        let version = json(program, &["version"]);
        assert_eq!(text(&version, "allocator"), name);
        assert!(text(&version, "version").starts_with(|c: char| c.is_ascii_digit()), "{version}");
        assert!(!text(&version, "build").is_empty());
    }
}

#[test]
fn bad_input_is_one_line() {
    let cases: [(&[&str], &str); 12] = [
        (&[], "no command"),
        (&["frobnicate"], "frobnicate"),
        (&["run"], "WORKLOAD"),
        (&["run", "no-such-row"], "no-such-row"),
        (&["run", "box-64", "--set", "live=1"], "live"),
        (&["run", "box-64", "--set", "operations=0"], "operations"),
        (&["run", "box-64", "--set", "operations=many"], "operations"),
        (&["run", "box-64", "--set", "operations"], "NAME=VALUE"),
        (&["run", "box-64", "--set", "operations=99999999999999999999k"], "operations"),
        (&["run", "box-64", "--scale", "0"], "scale"),
        (&["run", "box-64", "--seed", "x"], "seed"),
        (&["run", "box-64", "--frob"], "frob"),
    ];
    for (args, names) in cases {
        let output = run(GORT, args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {errors}");
        assert!(output.stdout.is_empty(), "{args:?}");
        assert_eq!(errors.lines().count(), 1, "{args:?}: {errors}");
        assert!(errors.starts_with("work-gort: ") && errors.contains(names), "{args:?}: {errors}");
    }
}
