//! What is refused, before anything runs.

use super::*;

#[test]
fn bad_options_are_one_line() {
    let fakes = Fakes::taking("bad", &[("gort", "1"), ("glibc", "2")]);
    let nowhere = fakes.path("no/such/file");
    for (args, words) in [
        (&["--rounds", "0"][..], "--rounds '0' is"),
        (&["--rounds", "many"], "--rounds 'many' is"),
        (&["--seeds", "1,-2"], "--seeds '-2' is not a whole number"),
        (&["--scale", "0"], "--scale '0' is not a number above zero"),
        (&["--scale", "nan"], "--scale 'nan' is not a number above zero"),
        (&["--set", "sessions"], "--set 'sessions' is not PARAMETER=NUMBER"),
        (&["--set", "sessions=many"], "--set 'sessions=many' is not PARAMETER=NUMBER"),
        (&["--workload", "server", "--set", "sessions=0k"], "sessions of server must be at least 1"),
        (&["--over-time", "--seeds", "1,2"], "--seeds takes one seed there"),
        (&["--list", "--json", "list.json"], "exclude each other"),
        (&["--limit", "0"], "--limit '0' is"),
        (&["--workload", "tree"], "no workload or group 'tree'; there are trees, server"),
        (&["--allocators", "jemalloc"], "--allocators: there is no 'jemalloc'; there are gort, glibc"),
        (&["--allocators", "gort"], "there is nothing to hold gort against"),
        (&["--set", "sessions=4"], "the workload trees has no parameter 'sessions'; it has none"),
        (&["--workload", "server", "--set", "session=4"], "has no parameter 'session'; it has sessions"),
        (&["--json", &nowhere], "cannot write"),
        (&["--svg", "/"], "cannot write /"),
        (&["--source", "."], "--binaries and --source exclude each other"),
        (&["--faster"], "unknown argument '--faster'; gort compare takes --workload"),
    ] {
        let line = fails(&mut fakes.compare(args), 2);
        assert!(line.contains(words), "{args:?}: {line}");
    }
    assert_eq!(fakes.log(), Vec::<String>::new());
    assert!(!Path::new(&fakes.path("list.json")).exists());
}

#[test]
fn programs_that_are_missing_are_named() {
    let empty = directory("empty");
    let line = fails(gort_compare().arg("--binaries").arg(&empty), 2);
    assert!(line.contains("there is no program work-gort in"), "{line}");
    let line = fails(gort_compare().arg("--binaries").arg(empty.join("none")), 2);
    assert!(line.contains("cannot read the directory"), "{line}");
    let line = fails(gort_compare().current_dir("/"), 2);
    assert!(line.contains("this directory is in no checkout of gort: --source DIR names one"), "{line}");
    let line = fails(gort_compare().arg("--source").arg(&empty), 2);
    assert!(line.contains("is no checkout of gort"), "{line}");
}

#[test]
fn a_program_that_does_not_answer_is_named() {
    let fakes = Fakes::taking("answer", &[("gort", "1")]);
    executable(&fakes.dir.join("work-glibc"), "#!/bin/sh\necho hello\n");
    let line = fails(&mut fakes.compare(&[]), 1);
    assert!(line.contains("work-glibc version: does not answer in one line of JSON"), "{line}");
    executable(&fakes.dir.join("work-glibc"), "#!/bin/sh\necho no heap >&2; exit 3\n");
    let line = fails(&mut fakes.compare(&[]), 1);
    assert!(line.contains("work-glibc version: exit code 3: no heap"), "{line}");
}

#[test]
fn only_results_can_be_shown_again() {
    let dir = directory("from");
    let file = dir.join("a.json");
    let from = |contents: &str| {
        fs::write(&file, contents).unwrap();
        fails(gort_compare().arg("--from").arg(&file), 2)
    };
    assert!(from("{}").contains("was not written by gort compare --json"));
    let line = fails(gort_compare().arg("--from").arg(dir.join("none")), 2);
    assert!(line.contains("--from: cannot read"), "{line}");
    let line = fails(gort_compare().args(["--from", "x", "--quick"]), 2);
    assert!(line.contains("exclude each other"), "{line}");
}

#[test]
fn a_file_that_is_there_is_not_touched_when_nothing_is_measured() {
    let fakes = Fakes::taking("touched", &[("gort", "1"), ("glibc", "2")]);
    let [old, new] = ["old.json", "new.json"].map(|name| fakes.path(name));
    fs::write(&old, "results").unwrap();
    fails(&mut fakes.compare(&["--workload", "none", "--json", &old, "--markdown", &new]), 2);
    assert_eq!(fs::read_to_string(&old).unwrap(), "results");
    assert!(!Path::new(&new).exists());
}

#[test]
fn help_has_examples() {
    let out = succeeds(gort_compare().arg("--help"));
    assert!(out.contains("Examples:\n  gort compare --quick"), "{out}");
}
