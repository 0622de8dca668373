//! `--over-time`, with scripts that grow and shrink.

use super::*;

const SPIKE: &str = r#"[{"name":"spike","group":"mixed","about":"comes and goes","published":"none","threads":2,
  "parameters":[{"name":"spikes"},{"name":"objects"},{"name":"hold"}]}]"#;

/// Shells that hold some MiB for a moment, say that this took so long, and stay.
fn fakes(test: &str) -> Fakes {
    let fakes = Fakes::new(test);
    fs::write(fakes.dir.join("list"), SPIKE).unwrap();
    for name in ["gort", "glibc"] {
        fakes.add(
            name,
            "echo \"$GODEBUG\" >> \"$dir/variables\"\n\
             held=$(head -c 8000000 /dev/zero | tr '\\0' x); sleep 0.3; held=; seconds=0.4; sleep 0.4",
        );
    }
    fakes
}

#[test]
fn memory_is_seen_to_come_and_go() {
    let fakes = fakes("seen");
    let svg = fakes.path("seen.svg");
    let (seen, out) = fakes.figures(&["--over-time", "--set", "hold=1", "--svg", &svg], 0);
    let log = fs::read_to_string(fakes.dir.join("log")).unwrap();
    assert!(
        log.lines().all(|line| line.contains("--set objects=4m") && line.ends_with("--set hold=1")),
        "{log}"
    );
    let variables = fs::read_to_string(fakes.dir.join("variables")).unwrap();
    assert_eq!(variables, "\nscavthread=1\n\n");
    let series = seen["series"].as_array().unwrap();
    let names: Vec<&str> = series.iter().map(|s| s["allocator"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["gort", "gort scavthread=1", "glibc"]);
    for one in series {
        let kib: Vec<f64> =
            one["points"].as_array().unwrap().iter().map(|point| point[1].as_f64().unwrap()).collect();
        let most = kib.iter().copied().fold(0.0, f64::max);
        assert!(kib.len() > 4 && kib.last().unwrap() + 7000.0 < most, "{kib:?}");
    }
    let stdout = text(&out.stdout);
    assert!(line(stdout, &["glibc"]).len() > 1 && stdout.contains("GODEBUG=scavthread=1"), "{stdout}");
    let drawn = fs::read_to_string(&svg).unwrap();
    let tree = roxmltree::Document::parse(&drawn).expect("well-formed");
    let again = succeeds(gort_compare().args(["--from", &fakes.path("figures.json")]));
    assert_eq!(again, stdout);
    let lines = tree.descendants().filter(|node| node.has_tag_name("polyline"));
    assert!(lines.count() >= 3, "{drawn}");
}

#[test]
fn a_crash_is_an_entry_here_too() {
    let fakes = fakes("seen-crash");
    fakes.add("jemalloc", "kill -SEGV $$");
    let (seen, out) = fakes.figures(&["--over-time", "--quick"], 1);
    assert!(line(text(&out.stdout), &["jemalloc", "crashed"]).len() == 2, "{}", text(&out.stdout));
    assert!(text(&out.stderr).ends_with("gort: 1 of 4 allocators crashed\n"), "{}", text(&out.stderr));
    assert!(seen["series"][3]["failure"].as_str().unwrap().contains("SIGSEGV"));
}

#[test]
fn it_needs_its_workload() {
    let other = Fakes::taking("no-spike", &[("gort", "1"), ("glibc", "1")]);
    let line = fails(&mut other.compare(&["--over-time"]), 2);
    assert!(line.contains("no workload or group 'spike'"), "{line}");
    let line = fails(&mut other.compare(&["--over-time", "--rounds", "3"]), 2);
    assert!(line.contains("exclude each other"), "{line}");
}

#[test]
fn phases_are_held_against_what_was_alive() {
    let fakes = Fakes::new("seen-phases");
    let list = r#"[{"name":"phases","group":"mixed","about":"changes","published":"none","threads":1,
      "parameters":[{"name":"phases"},{"name":"bytes"},{"name":"threads"},{"name":"mixes"},{"name":"lives"},{"name":"pace"}]}]"#;
    fs::write(fakes.dir.join("list"), list).unwrap();
    for (name, resident) in [("gort", [6 << 20, 2 << 20]), ("glibc", [12 << 20, 3 << 20])] {
        let mark = |live: u64, resident: u64| {
            format!(r#"{{\"seconds\":0.1,\"live\":{live},\"resident\":{resident}}}"#)
        };
        let marks = [mark(4 << 20, resident[0]), mark(1 << 20, resident[1])].join(",");
        fakes.add(name, &format!("sleep 0.3; seconds=\"0.2,\\\"marks\\\":[{marks}]\""));
    }
    let svg = fakes.path("seen.svg");
    let (seen, out) = fakes.figures(&["--over-time", "--workload", "phases", "--quick", "--svg", &svg], 0);
    assert_eq!(seen["series"][2]["marks"][1]["live"], 1 << 20);
    let stdout = text(&out.stdout);
    for (name, cells) in [("gort", ["1.50", "1.50", "2.0"]), ("glibc", ["3.00", "3.00", "3.0"])] {
        let table = &stdout[stdout.find("Memory over time").unwrap()..];
        assert_eq!(line(table, &[name])[1..4], cells, "{stdout}");
    }
    let by_phase = ["1", "4.0,", "1.0", "1.50,", "2.00", "1.50,", "2.00", "3.00,", "3.00"];
    assert_eq!(line(stdout, &["1", "4.0,"]), by_phase, "{stdout}");
    let drawn = fs::read_to_string(&svg).unwrap();
    let tree = roxmltree::Document::parse(&drawn).expect("well-formed");
    assert!(tree.descendants().any(|node| node.has_tag_name("polygon")), "what was alive: {drawn}");
    let line = fails(&mut fakes.compare(&["--over-time", "--workload", "trees"]), 2);
    assert!(line.contains("watches spike or phases, not 'trees'"), "{line}");
}
