//! The `gort` command from outside: what it prints, where, and its exit codes. No test looks at a time.

use std::io::Read;
use std::process::{Command, Output, Stdio};

/// The command, with none of the variables that it reads.
fn gort(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gort"));
    command.args(args);
    for name in [
        "GOMEMLIMIT",
        "GODEBUG",
        "GOGC",
        "GOMAXPROCS",
        "GORT_STATS",
        "GORT_STATS_JSON",
        "GORT_STATS_PID",
        "GORT_SIZES",
    ] {
        command.env_remove(name);
    }
    command
}

fn run(args: &[&str]) -> Output {
    gort(args).output().expect("the gort command starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("output is UTF-8")
}

/// Standard output of a command that succeeds without a word on stderr.
fn succeeds(args: &[&str]) -> String {
    let output = run(args);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""), "{args:?}");
    text(&output.stdout).to_owned()
}

/// The one line on stderr of a command that fails with this code and prints nothing.
fn fails(command: &mut Command, code: i32) -> String {
    let output = command.output().expect("the gort command starts");
    let line = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(code), ""), "{command:?}: {line}");
    assert_eq!(line.lines().count(), 1, "{command:?}: {line}");
    assert!(line.starts_with("gort: ") && line.ends_with('\n'), "{command:?}: {line}");
    line.to_owned()
}

/// A result line: length, iterations, and values with their units.
type Line = (usize, u64, Vec<(String, String)>);

fn results(output: &str) -> Vec<Line> {
    let lines = output.lines().filter(|line| line.starts_with("Benchmark"));
    let read = lines.map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let len = words[0].strip_prefix("BenchmarkMakeSlice/len=").expect("the benchmark's name");
        let len = len.split('-').next().unwrap().parse().unwrap();
        let pairs = words[2..].chunks(2).map(|p| (p[0].to_owned(), p[1].to_owned()));
        (len, words[1].parse().unwrap(), pairs.collect())
    });
    read.collect()
}

fn value<'a>(pairs: &'a [(String, String)], unit: &str) -> Option<&'a str> {
    pairs.iter().find(|(_, u)| u == unit).map(|(v, _)| v.as_str())
}

mod bop {
    use super::*;

    #[test]
    fn measures_the_talks_figures() {
        let out = succeeds(&["bop", "--benchtime", "10x"]);
        let measured: Vec<_> = results(&out)
            .iter()
            .map(|(len, n, pairs)| {
                let unit = |u| value(pairs, u).map(|v| v.parse::<u64>().unwrap());
                (*len, *n, unit("B/op").unwrap(), unit("allocs/op").unwrap(), unit("talk-B/op").unwrap())
            })
            .collect();
        assert_eq!(
            measured,
            [
                (1024, 10, 8192, 1, 8192),
                (1025, 10, 9472, 1, 9472),
                (1_048_576, 10, 8_388_608, 1, 8_388_619),
                (1_048_577, 10, 8_396_800, 1, 8_396_811),
            ]
        );
        assert_eq!(out.matches("The 11 bytes on top").count(), 1, "explained once: {out}");
    }

    #[test]
    fn has_no_figure_for_what_the_talk_does_not_measure() {
        let out = succeeds(&["bop", "--benchtime", "7x", "--len", "1,5000", "--len", "4096", "--count", "2"]);
        let all = results(&out);
        let lens: Vec<usize> = all.iter().map(|r| r.0).collect();
        assert_eq!(lens, [1, 1, 5000, 5000, 4096, 4096]);
        let bytes: Vec<&str> = all.iter().filter_map(|r| value(&r.2, "B/op")).collect();
        assert_eq!(bytes, ["8", "8", "40960", "40960", "32768", "32768"]);
        assert!(all.iter().all(|r| r.1 == 7 && value(&r.2, "talk-B/op").is_none()), "{out}");
        assert!(!out.contains("talk"), "{out}");
    }

    #[test]
    fn prints_what_benchstat_reads() {
        let out = succeeds(&["bop", "--benchtime", "1x"]);
        let head: Vec<&str> = out.lines().take(3).collect();
        assert_eq!(head, ["goos: linux", "goarch: amd64", "pkg: gort"]);
        for (_, _, pairs) in results(&out) {
            assert!(pairs.iter().all(|(v, _)| v.parse::<f64>().is_ok()), "{out}");
            let units: Vec<&str> = pairs.iter().map(|(_, u)| u.as_str()).collect();
            assert_eq!(units, ["ns/op", "B/op", "allocs/op", "talk-B/op"]);
        }
        // benchstat takes a line that begins with a lower-case word and a colon for configuration.
        let configuration = |line: &&str| line.starts_with(char::is_lowercase) && line.contains(": ");
        assert!(out.lines().skip(4).all(|line| !configuration(&line)), "{out}");
        let tabs: Vec<usize> =
            out.lines().filter(|l| l.starts_with("Benchmark")).filter_map(|l| l.find('\t')).collect();
        assert!(tabs.windows(2).all(|w| w[0] == w[1]), "names are padded to one width: {out}");
    }

    #[test]
    fn a_benchtime_grows_n() {
        let out = succeeds(&["bop", "--benchtime", "2ms", "--len", "16"]);
        assert!(results(&out)[0].1 > 1, "{out}");
    }

    #[test]
    fn the_sweep_finds_no_difference() {
        let out = succeeds(&["bop", "--sweep"]);
        assert!(out.starts_with("ok: ") && out.contains("64 MiB"), "{out}");
    }

    #[test]
    fn bad_input_is_one_line_and_code_2() {
        let long = "9".repeat(400);
        let cases: [(&[&str], &str); 18] = [
            (&["--len", "0"], "--len '0' is not a length from 1 to "),
            (&["--len", "-3"], "--len '-3' is not a length"),
            (&["--len", "many"], "--len 'many' is not a length"),
            (&["--len", ""], "--len '' is not a length"),
            (&["--len", "5,,6"], "--len '' is not a length"),
            (&["--len", "1152921504606846976"], "is not a length"),
            (&["--len", "1152921504606846975"], "within this machine's memory"),
            (&["--len", &long], "is not a length"),
            (&["--len", "1\n2"], r"--len '1\n2' is not a length"),
            (&["--len"], "--len needs a value"),
            (&["--benchtime", "0s"], "--benchtime '0s' is not a time above zero (1s, 300ms, 1m30s)"),
            (&["--benchtime", "-1s"], "--benchtime '-1s' is not a time"),
            (&["--benchtime", "0x"], "not a count above zero (100x)"),
            (&["--count", "0"], "--count '0' is not a count from 1 to 4294967295"),
            (&["--count", "4294967296"], "is not a count"),
            (&["--sweep", "--len", "3"], "--sweep and --len exclude each other"),
            (&["--swep"], "unknown argument '--swep'; gort bop takes --benchtime, --count, --len, --sweep"),
            (&["1024"], "unknown argument '1024'"),
        ];
        for (args, message) in cases {
            let line = fails(gort(&["bop"]).args(args), 2);
            assert!(line.contains(message), "{args:?}: {line}");
        }
    }

    #[test]
    fn a_length_that_cannot_be_had_is_bad_input() {
        let limited = format!("ulimit -v 1000000; exec {} bop --len 250000000", env!("CARGO_BIN_EXE_gort"));
        let line = fails(Command::new("sh").args(["-c", &limited]), 2);
        assert!(line.contains("250000000 "), "{line}");
    }
}

mod against_go {
    use super::*;

    fn against_go(mode: &str) -> Command {
        let mut command =
            gort(&["bop", "--against-go", "--benchtime", "5x", "--len", "1024,1048577", "--count", "2"]);
        let fake = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake-go");
        command.env("PATH", format!("{fake}:/usr/bin:/bin")).env("FAKE_GO", mode);
        command
    }

    #[test]
    fn prints_both() {
        let output = against_go("").output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
        let out = text(&output.stdout);
        assert!(out.contains("go version go1.27.3 linux/amd64"), "{out}");
        let rows: Vec<Vec<&str>> = out
            .lines()
            .filter(|line| line.trim_start().starts_with("10"))
            .map(|line| line.split_whitespace().collect())
            .collect();
        // Length, then ns/op, B/op and allocs/op, of gort and of go each.
        let shape: Vec<_> = rows.iter().map(|r| (r[0], r[2], &r[3..])).collect();
        let short = ("1024", "77.2", &["8192", "8203", "1", "3"][..]);
        let long = ("1048577", "77.2", &["8396800", "8388627", "1", "3"][..]);
        assert_eq!(shape, [short, short, long, long], "{out}");
    }

    #[test]
    fn leaves_no_folder_behind() {
        let temp = concat!(env!("CARGO_TARGET_TMPDIR"), "/against-go");
        let _ = std::fs::remove_dir_all(temp);
        std::fs::create_dir_all(temp).unwrap();
        for mode in ["", "broken"] {
            against_go(mode).env("TMPDIR", temp).output().unwrap();
        }
        assert_eq!(std::fs::read_dir(temp).unwrap().count(), 0);
    }

    #[test]
    fn without_go_it_says_so() {
        let line = fails(gort(&["bop", "--against-go"]).env("PATH", "/nowhere"), 2);
        assert!(line.contains("needs the go command") && line.contains("none on the PATH"), "{line}");
    }

    #[test]
    fn a_failing_go_is_passed_on() {
        let line = fails(&mut against_go("broken"), 1);
        assert!(line.contains("go test failed: ./bop_test.go:9:1: something is undefined"), "{line}");
        let line = fails(&mut against_go("silent"), 1);
        assert!(line.contains("printed 0 results and not 4"), "{line}");
    }
}

mod size_classes {
    use super::*;

    #[test]
    fn prints_gos_table() {
        let out = succeeds(&["size-classes"]);
        let golden = include_str!("../../../size_classes/tests/go-size-classes.tsv");
        let golden: Vec<String> = golden
            .lines()
            .filter(|l| l.starts_with(|c: char| c.is_ascii_digit()))
            .map(|l| l.replace('\t', " "))
            .collect();
        let printed: Vec<String> = out
            .lines()
            .skip(1)
            .take(67)
            .map(|l| {
                l.trim_start_matches("//").replace('%', "").split_whitespace().collect::<Vec<_>>().join(" ")
            })
            .collect();
        assert_eq!(printed, golden);
        assert!(out.contains("// alignment  bits  min obj size\n"), "{out}");
    }

    #[test]
    fn check_compares_with_the_compiled_in_table() {
        assert!(succeeds(&["size-classes", "--check"]).starts_with("ok: "));
        let line = fails(&mut gort(&["size-classes", "--check", "--page-size", "4096"]), 1);
        assert!(line.contains("NUM_CLASSES is 68 in the compiled-in table"), "{line}");
    }

    #[test]
    fn rust_is_the_committed_source() {
        assert_eq!(succeeds(&["size-classes", "--rust"]), include_str!("../../../size_classes/src/table.rs"));
    }

    #[test]
    fn other_parameters_give_other_tables() {
        let out = succeeds(&[
            "size-classes",
            "--max-small-size",
            "65536",
            "--page-size",
            "4096",
            "--small-size-div",
            "16",
        ]);
        let last =
            out.lines().filter(|l| !l.is_empty()).take_while(|l| !l.contains("alignment")).last().unwrap();
        assert!(
            last.contains("  65536  ") && out.lines().nth(1).is_some_and(|l| l.contains("    16  ")),
            "{out}"
        );
        let rust = succeeds(&["size-classes", "--rust", "--page-size", "16384"]);
        assert!(rust.contains("pub const PAGE_SIZE: usize = 16384;"), "{rust}");
    }

    #[test]
    fn bad_input_is_one_line_and_code_2() {
        let cases: [(&[&str], &str); 8] = [
            (&["--page-size", "5000"], "--page-size 5000 is not a power of two from 1024 to 1048576"),
            (&["--page-size", "big"], "--page-size 'big' is not a whole number"),
            (&["--max-small-size", "33000"], "--max-small-size 33000 is not a multiple of 256"),
            (&["--tail-waste-divisor", "1"], "--tail-waste-divisor 1 is not from 2 to 64"),
            (&["--small-size-div", "-8"], "--small-size-div '-8' is not a whole number"),
            (&["--max-step", "0"], "--max-step 0 is not a power of two from 16"),
            (&["--check", "--rust"], "--check and --rust exclude each other"),
            (&["--json"], "unknown argument '--json'; gort size-classes takes --check, --rust, --from"),
        ];
        for (args, message) in cases {
            let line = fails(gort(&["size-classes"]).args(args), 2);
            assert!(line.contains(message), "{args:?}: {line}");
        }
    }
}

mod size_classes_from {
    use super::*;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn directory(test: &str) -> PathBuf {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("from").join(test);
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("a directory can be made");
        dir
    }

    #[test]
    fn shows_what_is_saved_and_writes_table_and_drawing() {
        let dir = directory("writes");
        fs::write(dir.join("a"), "# mine\n4368 1000 900\n24 50 1\n").unwrap();
        fs::write(dir.join("b"), "4368 100\n").unwrap();
        let args = ["size-classes", "--from", "a", "b", "-o", "table.rs", "--svg", "waste.svg"];
        let out = gort(&args).current_dir(&dir).output().unwrap();
        assert_eq!((out.status.code(), text(&out.stderr)), (Some(0), ""));
        let out = text(&out.stdout);
        assert!(
            out.starts_with("a and 1 more: 1,001 objects at the heap's peak, 4.2 MiB asked for"),
            "{out}"
        );
        let words = |line: &str| {
            line.split(['|', ' ']).filter(|w| !w.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        let row = out.lines().map(words).find(|w| w.get(4).is_some_and(|w| w == "class")).unwrap();
        // 4864 - 4368 for Go's table, none for this; to C's alignment, 32 - 24 for both.
        assert_eq!(row[5..].join(" "), "484.4 KiB 0 B 484.4 KiB", "{out}");
        assert!(
            out.lines().any(|l| l.contains("4097 to 8192  Go    ████████████████████████████████████████ ")),
            "{out}"
        );
        assert!(out.contains(&format!("GORT_SIZE_CLASSES={}/table.rs cargo build", dir.display())), "{out}");
        let table = fs::read_to_string(dir.join("table.rs")).unwrap();
        assert!(table.contains(" 4368, ") && table.contains("pub const NUM_CLASSES: usize = 68;"), "{table}");
        let svg = fs::read_to_string(dir.join("waste.svg")).unwrap();
        assert!(
            svg.starts_with("<svg ") && svg.contains("4097 to 8192") && svg.matches("<rect").count() >= 7,
            "{svg}"
        );
    }

    #[test]
    fn every_allocation_counts_when_asked_for() {
        let dir = directory("count");
        fs::write(dir.join("a"), "100 7 0\n").unwrap();
        let line = fails(gort(&["size-classes", "--from", "a"]).current_dir(&dir), 2);
        assert!(
            line.contains("no objects up to 32 KiB lived at the peak; --count allocated counts all"),
            "{line}"
        );
        let out = gort(&["size-classes", "--from", "a", "--count", "allocated"])
            .current_dir(&dir)
            .output()
            .unwrap();
        assert!(text(&out.stdout).starts_with("a: 7 objects ever allocated, 700 B asked for"));
    }

    #[test]
    fn bad_input_is_one_line_and_code_2() {
        let dir = directory("bad");
        fs::write(dir.join("good"), "100 7\n").unwrap();
        fs::write(dir.join("bad"), "100 7\n\n100 seven\n").unwrap();
        fs::write(dir.join("empty"), "# nothing\n").unwrap();
        let cases: [(&[&str], &str); 12] = [
            (&["--from", "bad"], "bad, line 3: 'seven' is not a whole number from 0 to"),
            (&["--from", "empty"], "empty has no sizes"),
            (&["--from", "none"], "cannot read none: No such file or directory"),
            (&["--from", "good", "none"], "cannot read none"),
            (
                &["--from", "good", "--classes", "12"],
                "--classes 12 are too few: with --worst 25 and this program's alignments it takes ",
            ),
            (&["--from", "good", "--classes", "256"], "--classes '256' is not a whole number from 1 to 255"),
            (&["--from", "good", "--worst", "15"], "--worst '15' is not a whole number from 16 to 100"),
            (&["--from", "good", "--page-size", "4096"], "--from and --page-size exclude each other"),
            (&["--from", "good", "--rust"], "exclude each other"),
            (
                &["--from", "good", "-o", "no/such/place"],
                "cannot write no/such/place: No such file or directory",
            ),
            (&["-o", "table.rs"], "--from is needed as well"),
            (&["--from", "good", "--count", "most"], "--count 'most' is not one of live, allocated"),
        ];
        for (args, message) in cases {
            let line = fails(gort(&["size-classes"]).args(args).current_dir(&dir), 2);
            assert!(line.contains(message), "{args:?}: {line}");
        }
    }
}

mod command {
    use super::*;

    #[test]
    fn every_help_has_examples() {
        for args in [
            &["--help"][..],
            &["-h"],
            &["help", "bop"],
            &["bop", "--help"],
            &["run", "--help"],
            &["run", "-h"],
            &["size-classes", "--help"],
        ] {
            let out = succeeds(args);
            assert!(out.contains("Examples:\n  gort "), "{args:?}: {out}");
        }
        assert!(succeeds(&["--version"]).starts_with("gort "));
    }

    #[test]
    fn without_a_command_it_names_them() {
        assert!(fails(&mut gort(&[]), 2).contains("commands are bop, compare, run, size-classes"));
        assert!(
            fails(&mut gort(&["bob"]), 2)
                .contains("unknown command 'bob'; commands are bop, compare, run, size-classes")
        );
    }

    #[test]
    fn a_bad_variable_is_one_line_and_code_2() {
        for (name, value) in [
            ("GOMEMLIMIT", "lots"),
            ("GODEBUG", "madvdontneed"),
            ("GORT_STATS", "yes"),
            ("GORT_STATS_PID", "me"),
        ] {
            let line = fails(gort(&["size-classes"]).env(name, value), 2);
            assert!(line.contains(name), "{line}");
        }
        let output = gort(&["size-classes", "--check"]).env("GOMEMLIMIT", "64MiB").output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    #[test]
    fn a_reader_that_leaves_is_no_error() {
        for args in [&["size-classes"][..], &["--help"], &["bop", "--benchtime", "1x", "--len", "1"]] {
            let mut child = gort(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            drop(child.stdout.take());
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""), "{args:?}");
        }
    }

    #[test]
    fn output_that_cannot_be_written_is_an_error() {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let line = fails(gort(&["size-classes"]).stdout(full), 1);
        assert!(line.contains("cannot write to standard output: No space left"), "{line}");
    }
}

#[test]
fn the_tool_runs_to_the_end_under_a_tiny_memory_limit() {
    // The tool is one of the programs that gort carries: its own heap has the limit.
    for limit in ["4MiB", "0"] {
        let output = gort(&["bop", "--sweep"]).env("GOMEMLIMIT", limit).output().unwrap();
        assert!(output.status.success(), "{limit}: {}", text(&output.stderr));
        assert!(text(&output.stdout).starts_with("ok: "), "{limit}: {}", text(&output.stdout));
        let output = gort(&["bop", "--benchtime", "3x"]).env("GOMEMLIMIT", limit).output().unwrap();
        let bytes: Vec<_> = text(&output.stdout)
            .lines()
            .filter_map(|l| l.split("B/op").next()?.split_whitespace().last())
            .collect();
        for figure in ["8192", "9472", "8388608", "8396800"] {
            assert!(bytes.contains(&figure), "{limit}: {figure} B/op is not in {}", text(&output.stdout));
        }
    }
}
