//! What is made of the figures: tables, files, the chart.

use super::*;

/// gort is first in one workload and behind in the other.
fn mixed(test: &str) -> Fakes {
    let fakes = Fakes::taking(test, &[("glibc", "3"), ("jemalloc", "2")]);
    fakes.add("gort", "test $workload = trees && seconds=1.5 || seconds=2.5");
    fakes
}

#[test]
fn a_table_has_the_ratios_to_the_fastest_and_gort_beside_the_best_peer() {
    let out = succeeds(&mut mixed("table").compare(&["--seeds", "1"]));
    assert_eq!(
        line(&out, &["trees", "1"])[2..],
        ["1.50", "s", "1.00", "2.00", "1.33", "0.75", "jemalloc", "0.0", "%", "first"]
    );
    assert_eq!(
        line(&out, &["server", "1"])[2..],
        ["2.00", "s", "1.25", "1.50", "1.00", "1.25", "jemalloc", "0.0", "%", "behind"]
    );
    assert_eq!(line(&out, &["geometric", "mean"])[2..], ["1.12", "1.73", "1.15", "0.97"]);
    let verdict = "Time: of 2 rows gort is first on 1, behind on 1, noisy on 0; geometric mean to the peer 0.97; worst: server \
                   seed 1, 1.25 times jemalloc.";
    assert!(out.contains(verdict), "{out}");
    let peak = out.split("Peak memory\n").nth(1).expect("a table of memory");
    assert!(line(peak, &["trees", "1"]).contains(&"MiB"), "{peak}");
}

#[test]
fn a_median_is_not_moved_by_a_slow_round_and_a_spread_makes_a_row_noisy() {
    let fakes = Fakes::taking("noisy", &[("glibc", "2.1")]);
    // Five rounds: 2, 2, 2, 2, 9, and in the other workload 1.7, 1.9, 2.1, 2.3, 2.5.
    fakes.add(
        "gort",
        "test $n = 3 && seconds=9 || seconds=2\n\
         test $workload = server && seconds=$(echo \"2.5 1.9 2.0 2.3 1.7\" | cut -d' ' -f$n)\ntrue",
    );
    let (_, out) = fakes.figures(&["--seeds", "1"], 0);
    let stdout = text(&out.stdout);
    assert!(line(stdout, &["trees", "1"]).ends_with(&["0.95", "glibc", "0.0", "%", "first"]), "{stdout}");
    assert!(line(stdout, &["server", "1"]).ends_with(&["0.95", "glibc", "19.0", "%", "noisy"]), "{stdout}");
}

#[test]
fn one_round_tells_nothing() {
    let fakes = Fakes::taking("one", &[("gort", "1"), ("glibc", "2")]);
    let out = succeeds(&mut fakes.compare(&["--rounds", "1", "--seeds", "1"]));
    assert!(line(&out, &["trees", "1"]).ends_with(&["0.50", "glibc", "noisy"]), "{out}");
    assert!(out.contains("too noisy to tell on most rows"), "{out}");
}

#[test]
fn files_hold_what_was_measured_and_can_be_shown_again() {
    let fakes = mixed("files");
    let [json, markdown, svg, again] = ["a.json", "a.md", "a.svg", "b.svg"].map(|name| fakes.path(name));
    let files = ["--json", &json, "--markdown", &markdown, "--svg", &svg, "--rounds", "3", "--details"];
    let printed = succeeds(&mut fakes.compare(&files));

    let figures: Value = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!(figures["kind"], "workloads");
    assert_eq!(
        figures["allocators"][0],
        serde_json::json!(
            {"name": "gort", "version": "gort 1.0", "build": "a script", "ours": true}
        )
    );
    for what in ["processor", "kernel", "huge_pages"] {
        assert!(!figures["machine"][what].as_str().unwrap().is_empty(), "{figures}");
    }
    assert!(figures["machine"]["cores"].as_u64().unwrap() > 0);
    let rows = figures["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    assert_eq!((&rows[1]["seed"], &rows[1]["checksum"]), (&2.into(), &"0000000000000002".into()));
    for cell in rows.iter().flat_map(|row| row["cells"].as_array().unwrap()) {
        let runs = cell["runs"].as_array().unwrap();
        assert_eq!(runs.len(), 3);
        for run in runs {
            let figure = |name: &str| run[name].as_f64().unwrap_or_else(|| panic!("{name}: {run}"));
            assert!(figure("peak_kib") > 100.0 && figure("minor_faults") > 10.0, "{run}");
            assert!(
                figure("wall_seconds") > 0.0 && figure("user_seconds") + figure("system_seconds") >= 0.0,
                "{run}"
            );
        }
    }

    let shown = fs::read_to_string(&markdown).unwrap();
    let tables: Vec<&str> = shown.split("### ").collect();
    for (title, rows) in [("Allocators", 3), ("Time", 5), ("Peak memory", 5), ("Details", 12)] {
        let table =
            tables.iter().find(|t| t.starts_with(title)).unwrap_or_else(|| panic!("{title}: {shown}"));
        let lines: Vec<usize> =
            table.lines().filter(|l| l.starts_with('|')).map(|l| l.matches('|').count()).collect();
        assert_eq!(lines.len(), 2 + rows, "{table}");
        assert!(lines.iter().all(|bars| *bars == lines[0]), "{table}");
    }

    let out = succeeds(gort_compare().args(["--from", &json, "--details", "--svg", &again]));
    assert_eq!(out, printed);
    assert_eq!(fs::read(&svg).unwrap(), fs::read(&again).unwrap());
}

#[test]
fn the_chart_is_xml_with_every_name_and_nothing_outside() {
    let fakes = mixed("chart");
    fakes.add("tcmalloc", "seconds=100");
    fakes.add("rpmalloc", "test $workload = trees && exit 1; true");
    let svg = fakes.path("chart.svg");
    let out = output(&mut fakes.compare(&["--svg", &svg, "--rounds", "1"]));
    assert_eq!(out.status.code(), Some(1));
    let drawn = fs::read_to_string(&svg).unwrap();
    let tree = roxmltree::Document::parse(&drawn).expect("well-formed");
    let root = tree.root_element();
    assert_eq!(root.tag_name().name(), "svg");
    let words: Vec<&str> = tree
        .descendants()
        .filter(|node| node.has_tag_name("text"))
        .filter_map(|node| node.text())
        .map(str::trim)
        .collect();
    for word in
        ["gort", "glibc", "jemalloc", "tcmalloc", "trees", "server", "languages", "threads", "geometric mean"]
    {
        assert!(words.contains(&word), "{word} is not in {words:?}");
    }
    assert!(words.contains(&"over 8") && words.contains(&"crashed"), "{words:?}");
    let size = |name: &str| root.attribute(name).unwrap().parse::<f64>().unwrap();
    let (width, height) = (size("width"), size("height"));
    for node in tree.descendants() {
        for (name, limit) in [("x", width), ("y", height), ("cx", width), ("cy", height)] {
            if let Some(place) = node.attribute(name) {
                let place: f64 = place.parse().unwrap();
                assert!((0.0..=limit).contains(&place), "{node:?}");
            }
        }
    }
}

#[test]
fn the_list_has_allocators_workloads_and_parameters() {
    let fakes = mixed("list");
    let out = succeeds(&mut fakes.compare(&["--list"]));
    for word in
        ["gort 1.0, a script", "languages:", "builds trees", "passes objects on", "parameters: sessions"]
    {
        assert!(out.contains(word), "{word} is not in {out}");
    }
    assert_eq!(fakes.log(), Vec::<String>::new());
}

#[test]
fn variables_that_change_allocators_are_named() {
    let fakes = mixed("variables");
    let mut compare = fakes.compare(&["--rounds", "1", "--seeds", "1"]);
    let out = succeeds(compare.env("MALLOC_ARENA_MAX", "1").env("MALLOC_", "2"));
    assert!(out.contains("In the environment: MALLOC_=2, MALLOC_ARENA_MAX=1."), "{out}");
}

/// Nobody can be told the results, and they are not lost.
#[test]
fn files_are_written_where_nothing_can_be_printed() {
    let fakes = Fakes::taking("full", &[("gort", "1"), ("glibc", "2")]);
    let [table, nowhere, figures] = ["a.md", "none/a.svg", "a.json"].map(|name| fakes.path(name));
    let mut command = fakes.compare(&["--rounds", "1", "--markdown", &table, "--json", &figures]);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("the device is there");
    let status = command.stdout(full).status().expect("the gort command starts");
    assert_eq!(status.code(), Some(1));
    for file in [&table, &figures] {
        assert!(fs::metadata(file).is_ok_and(|meta| meta.len() > 100), "{file}");
    }
    // One that cannot be written keeps nothing else from being told: its directory goes while the programs run.
    fs::create_dir(fakes.dir.join("none")).unwrap();
    fakes.add("glibc", r#"rm -rf "$dir/none""#);
    let out = output(&mut fakes.compare(&["--rounds", "1", "--svg", &nowhere]));
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
    assert!(text(&out.stdout).contains("In short") && text(&out.stderr).contains("cannot write"));
}
