//! Building the programs, with a script in place of cargo.

use super::*;

/// A checkout as far as the command looks, and a cargo that builds the programs of `fakes` except work-snmalloc.
fn checkout(fakes: &Fakes) -> (PathBuf, PathBuf) {
    let source = fakes.dir.join("source");
    for file in ["benches/Cargo.toml", "size_classes/Cargo.toml", "tools/preload/Cargo.toml"] {
        fs::create_dir_all(source.join(file).parent().unwrap()).unwrap();
        fs::write(source.join(file), "").unwrap();
    }
    let target = |name: &str, kind: &str, features: &str| {
        format!(r#"{{"name":"{name}","kind":["{kind}"],"required-features":[{features}]}}"#)
    };
    let targets = [
        target("work-snmalloc", "bin", r#""snmalloc","fast""#),
        target("work-glibc", "bin", ""),
        target("work-gort", "bin", ""),
        target("work-test", "test", ""),
        target("probe", "bin", ""),
    ];
    let metadata = format!(
        r#"{{"packages":[{{"name":"other","targets":[]}},{{"name":"gort-bench","targets":[{}]}}]}}"#,
        targets.join(",")
    );
    fs::write(fakes.dir.join("metadata"), metadata).unwrap();
    let cargo = fakes.dir.join("cargo");
    executable(
        &cargo,
        r#"#!/bin/sh
dir=$(dirname "$0")
echo "$*" >> "$dir/calls"
case $* in
metadata*) cat "$dir/metadata" ;;
*work-snmalloc*) echo "  Compiling snmalloc" >&2; echo "error: is cmake not installed?" >&2; echo "more" >&2; exit 101 ;;
*) for w; do case $w in work-*) echo "{\"reason\":\"compiler-artifact\",\"filenames\":[\"$dir/$w\"]}" ;; esac; done ;;
esac
"#,
    );
    (source, cargo)
}

#[test]
fn each_program_is_built_with_the_features_that_it_needs() {
    let fakes = Fakes::taking("built", &[("gort", "1"), ("glibc", "2")]);
    let (source, cargo) = checkout(&fakes);
    // From within the checkout, and without the one that does not build.
    let mut compare = gort_compare();
    compare.current_dir(source.join("benches")).env("CARGO", &cargo);
    let out = succeeds(compare.args(["--allocators", "glibc", "--rounds", "1", "--seeds", "1"]));
    assert!(line(&out, &["trees", "1"]).contains(&"0.50"), "{out}");
    let calls = fs::read_to_string(fakes.dir.join("calls")).unwrap();
    let built: Vec<&str> = calls.lines().filter(|call| call.starts_with("build --release ")).collect();
    assert!(built.len() == 2 && built[0].ends_with("--package gort-bench --bin work-gort"), "{calls}");
}

#[test]
fn a_program_that_does_not_build_is_named_and_can_be_left_out() {
    let fakes = Fakes::taking("unbuilt", &[("gort", "1"), ("glibc", "2")]);
    let (source, cargo) = checkout(&fakes);
    let out = output(gort_compare().arg("--source").arg(&source).env("CARGO", &cargo));
    assert_eq!((out.status.code(), text(&out.stdout)), (Some(1), ""));
    let lines: Vec<&str> = text(&out.stderr).lines().collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[0].starts_with("gort: building work-gort (1 of 3)"), "{lines:?}");
    for words in [
        "gort: work-snmalloc does not build: error: is cmake not installed?",
        "cargo build --release --package gort-bench --bin work-snmalloc --features snmalloc,fast",
        "--allocators glibc leaves it out",
    ] {
        assert!(lines[3].contains(words), "{words} is not in: {}", lines[3]);
    }
    assert_eq!(fakes.log(), Vec::<String>::new());
}

#[test]
fn what_there_is_not_is_found_out_before_other_programs_are_built() {
    let fakes = Fakes::taking("asked", &[("gort", "1"), ("glibc", "2")]);
    let (source, cargo) = checkout(&fakes);
    for (wrong, words) in [
        (&["--workload", "spruces"][..], "there is no workload or group 'spruces'; there are "),
        (&["--workload", "trees", "--set", "needles=1"], "the workload trees has no parameter 'needles'; "),
        (&["--over-time", "--set", "needles=1"], "there is no workload or group 'spike'; there are "),
    ] {
        let out = output(gort_compare().arg("--source").arg(&source).env("CARGO", &cargo).args(wrong));
        let lines: Vec<&str> = text(&out.stderr).lines().collect();
        assert_eq!((out.status.code(), lines.len()), (Some(2), 2), "{lines:?}");
        assert!(lines[0].starts_with("gort: building work-gort (1 of 3)"), "{lines:?}");
        assert!(lines[1].contains(words), "{words} is not in: {}", lines[1]);
    }
}

#[test]
fn without_cargo_nothing_is_built() {
    let fakes = Fakes::new("cargo");
    let (source, _) = checkout(&fakes);
    let line = fails(gort_compare().arg("--source").arg(&source).env("CARGO", fakes.dir.join("none")), 2);
    assert!(line.contains("gort compare needs cargo"), "{line}");
}

#[test]
fn real_programs_are_run_by_their_own_runner() {
    let fakes = Fakes::new("programs");
    let (source, cargo) = checkout(&fakes);
    executable(
        &cargo,
        r#"#!/bin/sh
dir=$(dirname "$0")
echo "$GORT_PROGRAMS $*" > "$dir/calls"
while [ "$1" != --json ]; do shift; done
cat > "$2" <<END
{"under":["gort"],"programs":[
 {"name":"redis","version":"7","failure":null,"failures":{},"rounds":[
  {"glibc":{"seconds":2.0,"cpu_seconds":3.0,"peak_kib":2048},"gort":{"seconds":1.0,"cpu_seconds":1.0,"peak_kib":4096}},
  {"glibc":{"seconds":2.0,"cpu_seconds":3.0,"peak_kib":2048},"gort":{"seconds":1.0,"cpu_seconds":1.0,"peak_kib":4096}}]},
 {"name":"sqlite","version":"3","failure":"round 1, gort, run: signal: 11","failures":{},"rounds":[]}]}
END
exit 101
"#,
    );
    let svg = fakes.path("programs.svg");
    let mut compare = gort_compare();
    compare.arg("--source").arg(&source).env("CARGO", &cargo).args(["--programs", "--svg", &svg]);
    let out = output(compare.args(["--allocators", "glibc", "--rounds", "2", "--workload", "redis,sqlite"]));
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
    let stdout = text(&out.stdout);
    let time = ["redis", "1.00", "s", "1.00", "2.00", "0.50", "glibc", "0.0", "%", "first"];
    assert_eq!(line(stdout, &["redis"]), time, "{stdout}");
    assert_eq!(line(stdout, &["sqlite"]), ["sqlite", "crashed", "crashed", "crashed"], "{stdout}");
    assert!(stdout.contains("sqlite, gort: round 1, gort, run: signal: 11"), "{stdout}");
    let calls = fs::read_to_string(fakes.dir.join("calls")).unwrap();
    assert!(calls.starts_with("1 test --release --test programs -- --rounds 2 --json "), "{calls}");
    assert!(calls.ends_with(" --under gort --only redis,sqlite\n"), "{calls}");
    let drawn = fs::read_to_string(&svg).unwrap();
    assert!(roxmltree::Document::parse(&drawn).is_ok() && drawn.contains("redis"), "{drawn}");

    executable(&cargo, "#!/bin/sh\nexit 101\n");
    let line = fails(
        gort_compare().arg("--source").arg(&source).env("CARGO", &cargo).args([
            "--programs",
            "--allocators",
            "glibc",
        ]),
        1,
    );
    assert!(line.contains("the runner of tests/programs has no results"), "{line}");
}
