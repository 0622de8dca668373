//! What is run, in which order, and what becomes of a run that goes wrong.

use super::*;

#[test]
fn allocators_take_turns_and_begin_in_turn() {
    let fakes = Fakes::taking("turns", &[("gort", "1"), ("glibc", "2"), ("jemalloc", "3")]);
    succeeds(&mut fakes.compare(&["--rounds", "2", "--seeds", "1,7", "--workload", "trees"]));
    let expected = [
        ["gort trees 1", "glibc trees 1", "jemalloc trees 1"],
        ["glibc trees 7", "gort trees 7", "jemalloc trees 7"],
        ["glibc trees 1", "gort trees 1", "jemalloc trees 1"],
        ["jemalloc trees 7", "gort trees 7", "glibc trees 7"],
    ];
    assert_eq!(fakes.log(), expected.concat());
}

#[test]
fn what_is_usual_is_five_rounds_and_two_seeds_and_quick_is_less() {
    let fakes = Fakes::taking("usual", &[("gort", "1"), ("glibc", "2")]);
    succeeds(&mut fakes.compare(&[]));
    assert_eq!(fakes.log().len(), 5 * 2 * 2 * 2);
    let quick = Fakes::taking("quick", &[("gort", "1"), ("glibc", "2")]);
    let (figures, out) = quick.figures(&["--quick"], 0);
    assert_eq!(quick.log().len(), 3 * 2 * 2);
    assert!(text(&out.stdout).contains("Quick: "), "{}", text(&out.stdout));
    assert_eq!(figures["settings"]["quick"], true);
    let log = fs::read_to_string(quick.dir.join("log")).unwrap();
    assert!(log.lines().all(|line| line.ends_with("--scale 0.25")), "{log}");
}

#[test]
fn options_reach_the_workloads() {
    let fakes = Fakes::taking("reach", &[("gort", "1"), ("glibc", "2")]);
    let args =
        ["--rounds", "1", "--seeds", "3", "--scale", "2.5", "--workload", "server", "--set", "sessions=4"];
    let out = succeeds(&mut fakes.compare(&args));
    let log = fs::read_to_string(fakes.dir.join("log")).unwrap();
    let args = "run server --seed 3 --scale 2.5 --set sessions=4";
    assert_eq!(log, format!("gort {args}\nglibc {args}\n"));
    assert!(out.contains("sessions=4") && out.contains("2.5 times"), "{out}");
}

/// The last line of a command that fails once it has begun to measure.
fn fails_late(command: &mut Command) -> String {
    let out = output(command);
    assert_eq!((out.status.code(), text(&out.stdout)), (Some(1), ""), "{command:?}");
    text(&out.stderr).lines().last().expect("it says why").to_owned()
}

#[test]
fn a_different_checksum_is_an_error_that_names_both() {
    let fakes = Fakes::taking("checksum", &[("gort", "1"), ("glibc", "2")]);
    fakes.add("jemalloc", "test $workload$seed = server2 && sum=beef");
    let line = fails_late(&mut fakes.compare(&["--rounds", "1"]));
    for word in ["server seed 2", "gort", "0000000000000002", "jemalloc", "beef"] {
        assert!(line.contains(word), "{word} is not in: {line}");
    }
    assert!(!line.contains("glibc"), "{line}");
}

#[test]
fn a_checksum_that_is_another_in_a_later_round_is_an_error_too() {
    let fakes = Fakes::taking("wavers", &[("gort", "1")]);
    fakes.add("glibc", "sum=$n");
    let line = fails_late(&mut fakes.compare(&["--rounds", "2", "--workload", "trees", "--seeds", "1"]));
    assert!(line.contains("trees seed 1"), "{line}");
}

#[test]
fn a_crash_is_an_entry_and_the_others_run_on() {
    let fakes = Fakes::taking("crash", &[("gort", "2"), ("glibc", "3")]);
    // A crash in the second round takes back what the first one was.
    fakes.add("jemalloc", "seconds=1; test $workload$n = trees2 && kill -SEGV $$; true");
    let (figures, out) = fakes.figures(&["--rounds", "3", "--seeds", "1"], 1);
    let stdout = text(&out.stdout);
    assert_eq!(
        line(stdout, &["trees", "1"])[2..],
        ["2.00", "s", "1.00", "1.50", "crashed", "0.67", "glibc", "0.0", "%", "first"]
    );
    assert_eq!(
        line(stdout, &["server", "1"])[2..],
        ["1.00", "s", "2.00", "3.00", "1.00", "2.00", "jemalloc", "0.0", "%", "behind"]
    );
    assert!(stdout.contains("trees seed 1, jemalloc: signal: 11 (SIGSEGV)"), "{stdout}");
    assert!(text(&out.stderr).ends_with("gort: one allocator crashed on one row\n"), "{}", text(&out.stderr));
    assert_eq!(fakes.log().iter().filter(|run| *run == "jemalloc trees 1").count(), 2, "not a third time");
    let cell = &figures["rows"][0]["cells"][2];
    assert_eq!(cell["runs"].as_array().unwrap().len(), 1);
    assert!(cell["failure"].as_str().unwrap().contains("SIGSEGV"), "{cell}");
}

#[test]
fn a_crash_of_gort_is_no_row_that_is_left_out() {
    let fakes = Fakes::taking("ours", &[("glibc", "3")]);
    fakes.add("gort", "test $workload = trees && { echo heap is damaged >&2; exit 1; }; true");
    let out = output(&mut fakes.compare(&["--rounds", "3", "--seeds", "1"]));
    assert_eq!(out.status.code(), Some(1));
    let stdout = text(&out.stdout);
    assert!(
        stdout.contains("Time: of 2 rows gort is first on 1, behind on 0, noisy on 0, crashed on 1"),
        "{stdout}"
    );
    assert!(stdout.contains("trees seed 1, gort: exit code 1: heap is damaged"), "{stdout}");
}

#[test]
fn what_takes_too_long_or_talks_nonsense_counts_as_crashed() {
    for (test, body, why) in [
        ("hangs", "exec sleep 1000", "did not end within 1 s"),
        ("silent", "exit 0", "its output is no report"),
        ("other", "workload=else", "it reports else with seed 1"),
        ("timeless", "seconds=0", "it reports 0 seconds"),
    ] {
        let fakes = Fakes::taking(test, &[("gort", "1")]);
        fakes.add("glibc", body);
        let args = ["--rounds", "1", "--seeds", "1", "--workload", "trees", "--limit", "1"];
        let out = output(&mut fakes.compare(&args));
        assert_eq!(out.status.code(), Some(1), "{test}");
        assert!(text(&out.stdout).contains(&format!("trees seed 1, glibc: {why}")), "{}", text(&out.stdout));
    }
}

#[test]
fn a_program_that_is_built_anew_meanwhile_is_noticed() {
    let fakes = Fakes::taking("anew", &[("gort", "1")]);
    fakes.add("glibc", r#"cp "$0" "$0.new" && mv "$0.new" "$0""#);
    let out = output(&mut fakes.compare(&["--workload", "trees"]));
    assert_eq!((out.status.code(), text(&out.stdout)), (Some(1), ""));
    assert!(text(&out.stderr).contains("work-glibc was built anew while it was measured"), "{out:?}");
}

#[test]
fn a_file_is_told_how_far_it_is() {
    let fakes = Fakes::taking("told", &[("gort", "1"), ("glibc", "2")]);
    let out = output(&mut fakes.compare(&["--rounds", "1"]));
    assert_eq!(text(&out.stderr), "gort: round 1 of 1, trees seed 1 (1 of 4): 8 runs to go\n");
}

#[test]
fn libraries_are_preloaded_into_the_program_of_glibc() {
    let fakes = Fakes::taking("preload", &[("glibc", "1")]);
    fakes.add(
        "glibc",
        r#"echo "preloaded: $LD_PRELOAD" >> "$dir/preloaded"; test -z "$LD_PRELOAD" || seconds=2"#,
    );
    // Any library does: what it defines is not asked.
    let libm = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib/aarch64-linux-gnu/libm.so.6", "/lib64/libm.so.6"];
    let libm = libm.iter().find(|path| Path::new(path).exists()).expect("a system has libm");
    let library = fakes.dir.join("libgort.so");
    fs::copy(libm, &library).unwrap();
    let args = ["--preload", "--allocators", "glibc", "--rounds", "3", "--seeds", "1", "--workload", "trees"];
    let out = succeeds(&mut fakes.compare(&args));
    assert!(line(&out, &["trees", "1"]).ends_with(&["2.00", "glibc", "0.0", "%", "behind"]), "{out}");
    let seen = fs::read_to_string(fakes.dir.join("preloaded")).unwrap();
    let with = format!("preloaded: {}", library.display());
    assert_eq!(seen.lines().filter(|line| **line == with).count(), 3, "{seen}");
    assert_eq!(seen.lines().filter(|line| *line == "preloaded: ").count(), 3, "{seen}");

    fs::write(&library, "no library").unwrap();
    let line = fails(&mut fakes.compare(&args), 2);
    assert!(line.contains("the loader does not preload"), "{line}");
}
