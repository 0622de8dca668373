//! What the report at exit says, held against what a program is known to do.

use super::*;

#[test]
fn json_says_what_a_known_program_did() {
    let dir = directory("json");
    let program = compile(&dir, "known", &[], KNOWN);
    let run = || {
        let mut command = gort_run();
        command.arg("--stats-json").arg(dir.join("heap.json")).arg(&program).arg(OBJECTS.to_string());
        succeeds(&mut command).trim().parse::<u64>().expect("the bytes it asked for")
    };
    fs::write(dir.join("heap.json"), "of an earlier run").unwrap();
    let requested = run();
    assert_eq!(files(&dir, "heap"), ["heap.json"], "nothing half done is left");
    let report = json(&dir.join("heap.json"));

    assert_eq!(report["command"], "known");
    assert_eq!(report["forked_from"], Value::Null);
    assert_eq!(report["memory_limit"], Value::Null);
    // The C library makes a few objects of its own.
    let own = 50;
    let within = |n: u64, from: u64| (from..=from + own).contains(&n);
    assert!(within(number(&report, "mallocs"), OBJECTS + 3), "{report}");
    assert!(within(number(&report, "frees"), OBJECTS / 2 + 1), "{report}");
    assert!(within(number(&report, "heap_objects"), OBJECTS / 2 + 2), "{report}");
    let rows = report["by_size"].as_array().unwrap();
    let sum = |name: &str| rows.iter().map(|row| number(row, name)).sum::<u64>();
    let pages = &report["whole_pages"];
    assert_eq!(sum("mallocs") + number(pages, "mallocs"), number(&report, "mallocs"));
    assert_eq!(sum("frees") + number(pages, "frees"), number(&report, "frees"));
    let central = |name: &str| rows.iter().map(|row| number(&row["central"], name)).sum::<u64>();
    for name in ["objects_in", "objects_from_spans", "spans_made"] {
        assert_eq!(central(name), number(&report["contention"]["central"], name), "{name}: {report}");
    }
    assert!(central("spans_made") > 0);
    let given: u64 = rows.iter().map(|row| number(row, "size") * number(row, "mallocs")).sum();
    assert_eq!(given + number(pages, "bytes"), number(&report, "total_alloc"));
    assert!(number(pages, "requested_bytes") >= 8 * OBJECTS + 100_000 + (160 << 20), "{pages}");

    // The peak: all objects and the huge one at the same time.
    let peak = number(&report, "heap_inuse_peak");
    assert!(peak >= requested, "{peak} of {requested}");
    assert!(peak < requested + requested / 4, "{peak} of {requested}");
    assert!(number(&report, "heap_inuse") + (160 << 20) <= peak, "{report}");
    assert!(number(&report, "heap_alloc") <= number(&report, "heap_inuse"));
    assert_eq!(number(&report, "sys"), number(&report, "heap_sys") + number(&report, "other_sys"));
    assert!(number(&report, "heap_released") <= number(&report, "heap_idle"));
    assert!(number(&report, "rss") <= number(&report, "rss_peak"));
    assert!(number(&report, "rss_peak") >= requested - (160 << 20), "the small objects were written to");
}

/// Makes 96 MiB in blocks of 64 KiB, frees all but every 64th, gives the memory back if it is told to, and prints what it then has in
/// memory, in KiB.
const RELEASES: &str = r#"
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
    static void *all[1536];
    for (int i = 0; i < 1536; i++) memset(all[i] = malloc(65536), 1, 65536);
    for (int i = 0; i < 1536; i++) if (i % 64) free(all[i]);
    if (argc > 1) malloc_trim(0);
    char text[8192] = "", line[64];
    read(open("/proc/self/status", O_RDONLY), text, sizeof text - 1);
    write(1, line, snprintf(line, sizeof line, "%ld\n", atol(strstr(text, "VmRSS:") + 6)));
    return 0;
}
"#;

/// What is resident is what the program finds itself to have; what it gave back is released.
#[test]
fn memory_is_resident_or_released() {
    let dir = directory("released");
    let program = compile(&dir, "releases", &["-w"], RELEASES);
    let run = |args: &[&str]| {
        let mut command = gort_run();
        command.args(["--stats", "--stats-json", "heap.json"]).arg(&program).args(args).current_dir(&dir);
        let out = output(&mut command);
        assert_eq!(out.status.code(), Some(0), "{out:?}");
        let own = text(&out.stdout).trim().parse::<u64>().expect("what it has in memory") << 10;
        let (report, text) = (json(&dir.join("heap.json")), text(&out.stderr));
        let (rss, released) = (number(&report, "rss"), number(&report, "heap_released"));
        // The reports are made one after the other, and the kernel counts in steps.
        let is_near = |a: u64, b: u64| a.abs_diff(b) <= 2 << 20;
        assert!(is_near(rss, own), "{rss} bytes resident, {own} by its own count");
        for (name, bytes) in [("resident", rss), ("released", released)] {
            let shown = mebibytes_in(text, name);
            assert!(is_near(shown, bytes), "{name}: {shown} as text, {bytes} as JSON: {text}");
        }
        assert!(mebibytes_in(text, "heap in use") > 0, "{text}");
        (rss, released)
    };
    let ((rss_kept, kept), (rss, released)) = (run(&[]), run(&["trim"]));
    let least = 64 << 20;
    assert!(released >= kept + least, "{released} bytes released, {kept} when it gives nothing back");
    assert!(rss + least <= rss_kept, "{rss} bytes resident, {rss_kept} when it gives nothing back");
}

/// The figure in the line of that name.
fn mebibytes_in(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(name)).expect("a line of that name");
    let (number, _) = line.trim().split_once(" MiB").unwrap_or_else(|| panic!("no MiB: {line}"));
    (number.parse::<f64>().expect("a number") * f64::from(1 << 20)) as u64
}

/// Internal fragmentation is estimated from the requests that refill a bin. The program knows it exactly.
#[test]
fn the_estimate_of_fragmentation_is_near_the_exact_count() {
    let dir = directory("estimate");
    // Sizes just above a class's, sizes of a class, and a mixture: waste of a sixth, of nothing, and between.
    for (name, size, low, high) in [
        ("above", "513", 0.08, 0.12),
        ("exact", "512", 0.0, 0.001),
        ("mixed", "1 + i * 7919 % 1024", 0.02, 0.1),
    ] {
        let source = format!(
            r#"
            #include <stdio.h>
            #include <stdlib.h>
            #include <unistd.h>
            int main() {{
                unsigned long long bytes = 0;
                for (unsigned i = 0; i < 200000; i++) {{
                    size_t size = {size};
                    bytes += size;
                    *(volatile char *)malloc(size) = 1;
                }}
                char line[64];
                write(1, line, snprintf(line, sizeof line, "%llu\n", bytes));
            }}"#
        );
        let program = compile(&dir, name, &[], &source);
        let file = dir.join(format!("{name}.json"));
        let said = succeeds(gort_run().arg("--stats-json").arg(&file).arg(&program));
        let requested: u64 = said.trim().parse().unwrap();
        let report = json(&file);
        let exact = 1.0 - requested as f64 / number(&report, "total_alloc") as f64;
        let estimate = report["internal_fragmentation"].as_f64().unwrap();
        assert!((low..=high).contains(&exact), "{name}: exactly {exact}");
        assert!((estimate - exact).abs() < 0.01, "{name}: {estimate} for {exact}");
        let peak = number(&report, "heap_inuse_peak");
        assert!(
            peak >= number(&report, "heap_inuse") && peak >= requested,
            "{name}: nothing was freed: {report}"
        );
        let samples = number(&report, "internal_fragmentation_samples");
        assert!((500..50_000).contains(&samples), "{name}: {samples} samples");
    }
}

#[test]
fn text_says_the_same_for_people() {
    let dir = directory("text");
    let program = compile(&dir, "known", &[], KNOWN);
    let mut command = gort_run();
    command.args(["--stats", "--memlimit", "3GiB", "--stats-json"]).arg(dir.join("heap.json"));
    let out = output(command.arg("--").arg(&program).arg("50000"));
    assert_eq!(out.status.code(), Some(0));
    assert!(text(&out.stdout).trim().parse::<u64>().is_ok(), "the report is not on stdout");
    let (report, text) = (json(&dir.join("heap.json")), text(&out.stderr));

    assert_eq!(number(&report, "memory_limit"), 3 << 30);
    let mut lines = text.lines();
    assert_eq!(lines.next().unwrap(), format!("gort: heap of process {} (known)", report["pid"]));
    let facts: BTreeMap<&str, &str> =
        lines.by_ref().take_while(|l| !l.is_empty()).map(|l| l.trim().split_once("  ").unwrap()).collect();
    let names = [
        "allocations",
        "fragmentation",
        "frees",
        "heap in use",
        "live objects",
        "mapped",
        "memory limit",
        "released",
        "resident",
    ];
    assert!(facts.keys().eq(names.iter()), "{text}");
    let begins =
        |name: &str, with: &str| assert!(facts[name].trim().starts_with(with), "{name}: {with}: {text}");
    begins("allocations", &grouped(number(&report, "mallocs")));
    begins("frees", &grouped(number(&report, "frees")));
    begins("memory limit", "3.0 GiB");
    for (name, field) in [
        ("heap in use", "heap_inuse"),
        ("live objects", "heap_alloc"),
        ("mapped", "sys"),
        ("released", "heap_released"),
    ] {
        begins(name, &mebibytes(number(&report, field)));
    }
    assert!(facts["heap in use"].contains(&mebibytes(number(&report, "heap_inuse_peak"))), "{text}");

    let heading = lines.next().unwrap();
    assert!(heading.contains("the busiest 10 of "), "{heading}");
    let mut expected: Vec<(u64, u64)> = report["by_size"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (number(r, "mallocs"), number(r, "size")))
        .collect();
    expected.sort_by_key(|&(mallocs, size)| (std::cmp::Reverse(mallocs), size));
    let most = expected[0].0;
    let bars: Vec<&str> = lines.by_ref().take_while(|l| !l.is_empty()).collect();
    assert_eq!(bars.len(), 10, "{text}");
    for (line, (mallocs, size)) in bars.iter().zip(expected) {
        assert!(line.trim().starts_with(&format!("{} B  ", grouped(size))), "{line}");
        assert!(line.contains(&format!("  {}  ", grouped(mallocs))), "{line}: {mallocs}");
        assert_eq!(line.matches('█').count() as u64, 40 * mallocs / most, "{line}");
    }

    let contention = &report["contention"];
    let operations = number(contention, "operations");
    assert_eq!(operations, number(&report, "mallocs") + number(&report, "frees"));
    assert!(lines.next().unwrap().starts_with("  contention, per million operations"), "{text}");
    let central = number(&contention["central"]["lock"], "taken");
    let per_million = (central as f64 * 1e6 / operations as f64).round() as u64;
    // Of one thread, which waits for nobody.
    assert_eq!(
        lines.next().unwrap().split_whitespace().collect::<Vec<_>>(),
        ["locks", "of", "the", "central", "stores", &grouped(per_million), "0", "0"]
    );
    assert_eq!(lines.count(), 6, "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(super::text).collect();
    groups.join(",")
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[test]
fn a_program_that_allocates_nothing_reports_it() {
    let dir = directory("nothing");
    let program = compile(&dir, "nothing", &[], "int main() { return 3; }");
    let out = output(gort_run().args(["--stats", "--stats-json"]).arg(dir.join("heap.json")).arg(program));
    assert_eq!(out.status.code(), Some(3));
    assert_eq!(number(&json(&dir.join("heap.json")), "mallocs"), 0);
    assert!(
        text(&out.stderr).contains("\n  allocations              0   0 B in all\n"),
        "{}",
        text(&out.stderr)
    );
}
