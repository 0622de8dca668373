//! One program for each kind of misuse, for both doors, in each build: what happens, to the letter; and the README's table of it.
//!
//! A run checks the columns of its own build: `cargo test --test misuse table::`, and the same with `--features hardened`. For the column
//! "guarded" all allocations are guarded; where chance decides whether an object is at one end of its pages or at the other, a program
//! runs until each of its fates has been seen.

use std::os::unix::process::ExitStatusExt;
use std::process::Output;
use std::{fs, path::Path};

use crate::common::{Case, without_core};
use crate::fate::{End, Fate};
use crate::library::{Program, Way};
use crate::programs;
use crate::rows::ROWS;

/// Both doors in one cell.
fn cell(fates: [&[Fate]; 2]) -> String {
    let [rust, c] = fates.map(|fates| fates.iter().map(Fate::cell).collect::<Vec<_>>().join(", or "));
    match (rust.as_str(), c.as_str()) {
        (_, "") => format!("Rust {rust}"),
        ("", _) => format!("C {c}"),
        _ if rust == c => rust,
        _ => format!("Rust {rust}; C {c}"),
    }
}

/// The table as Markdown.
fn table() -> String {
    let mut text = String::from("| misuse | default | guarded | hardened |\n|---|---|---|---|\n");
    for row in ROWS {
        let [default, hardened] = [&row.default, &row.hardened].map(|[rust, c]| cell([&[*rust], &[*c]]));
        let guarded = cell([row.guarded(0), row.guarded(1)]);
        text += &format!("| {} | {default} | {guarded} | {hardened} |\n", row.title);
    }
    text
}

#[test]
fn rust_programs_end_as_the_table_says() {
    for row in ROWS {
        let body = || {
            without_core();
            let there = programs::run(row.name).is_some();
            assert!(!there, "{} came to an end without saying so", row.name);
        };
        if row.here()[0].is_none() {
            continue;
        }
        Case::new("table::rust_programs_end_as_the_table_says", row.name).judge(body, |out: &Output| {
            let (stdout, stderr) =
                (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
            let end = End { signal: out.status.signal(), stdout: &stdout, stderr: &stderr };
            row.here()[0].holds(row.name, &end);
        });
    }
}

/// Runs a program whose object is guarded until each of its fates has been seen.
#[cfg(not(feature = "hardened"))]
fn until_all_are_seen(name: &str, fates: &[Fate], mut run: impl FnMut(&mut dyn FnMut(&End<'_>))) {
    let mut seen = vec![false; fates.len()];
    for _ in 0..40 {
        run(&mut |end| {
            let i = fates.iter().position(|fate| fate.may_be(end)).unwrap_or(0);
            fates[i].holds(name, end);
            seen[i] = true;
        });
        if seen.iter().all(|&seen| seen) {
            return;
        }
    }
    panic!("{name}: not all seen: {seen:?}");
}

#[test]
#[cfg(not(feature = "hardened"))]
fn guarded_rust_programs_end_as_the_table_says() {
    const TEST: &str = "table::guarded_rust_programs_end_as_the_table_says";
    for row in ROWS.iter().filter(|row| !row.default[0].is_none()) {
        let body = || {
            without_core();
            assert!(programs::run(row.name).is_none(), "{} came to an end without saying so", row.name);
        };
        if Case::is_any() {
            Case::new(TEST, row.name).judge(body, |_| ());
            continue;
        }
        until_all_are_seen(row.name, row.guarded(0), |judge| {
            Case::new(TEST, row.name).env("GODEBUG", "guardrate=1").judge(body, |out| {
                let (stdout, stderr) =
                    (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
                judge(&End { signal: out.status.signal(), stdout: &stdout, stderr: &stderr });
            });
        });
    }
}

#[test]
#[cfg(not(feature = "hardened"))]
fn guarded_c_programs_end_as_the_table_says() {
    if Case::is_any() {
        return;
    }
    // Segments with gaps between them: where the code is says nothing of where its tables are.
    let flags = ["-Wno-use-after-free", "-Wl,-z,max-page-size=0x200000"];
    let program = Program::compile("../misuse/programs.c", &flags, Way::Preload);
    for row in ROWS.iter().filter(|row| !row.default[1].is_none()) {
        until_all_are_seen(row.name, row.guarded(1), |judge| {
            let out = program.run().env("GODEBUG", "guardrate=1").arg(row.name).output();
            judge(&End { signal: out.status.signal(), stdout: &out.stdout, stderr: &out.stderr });
        });
    }
}

#[test]
fn c_programs_end_as_the_table_says() {
    if Case::is_any() {
        return;
    }
    let program = Program::compile("../misuse/programs.c", &["-Wno-use-after-free"], Way::Preload);
    for row in ROWS.iter().filter(|row| !row.here()[1].is_none()) {
        let out = program.run().arg(row.name).output();
        let end = End { signal: out.status.signal(), stdout: &out.stdout, stderr: &out.stderr };
        row.here()[1].holds(row.name, &end);
    }
}

/// The README has the table that the programs are held to. `--nocapture` prints it.
#[test]
fn readme_has_the_table() {
    let (table, readme) = (table(), Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"));
    println!("{table}");
    let text = fs::read_to_string(readme).expect("there is a README");
    assert!(text.contains(&table), "the README has another table; this is the right one:\n{table}");
}
