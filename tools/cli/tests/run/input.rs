//! Options that make no sense.

use super::*;

#[test]
fn that_is_bad_is_one_line_and_code_2() {
    let dir = directory("input");
    let cases: [(&[&str], &str); 13] = [
        (&[], "run needs a program: gort run [options] -- program args"),
        (&["--stats"], "run needs a program"),
        (
            &["--bad", "true"],
            "unknown argument '--bad'; gort run takes --stats, --stats-json, --sizes, --memlimit, --guard, --lib",
        ),
        (&["--memlimit", "lots", "true"], "--memlimit 'lots' is not a number of bytes"),
        (&["--memlimit", "1GiB", "--memlimit", "2GiB", "true"], "--memlimit may be given once"),
        (
            &["--stats-json", "no/such/file", "true"],
            "--stats-json 'no/such/file' cannot be written: No such file",
        ),
        (&["--stats-json", ".", "true"], "--stats-json '.' cannot be written: is a directory"),
        (&["--stats-json", "/bin/true/x", "true"], "cannot be written: Not a directory"),
        (&["--guard=0", "true"], "--guard '0' is not a whole number from 1 to 2^40"),
        (&["--guard=1099511627777", "true"], "--guard '1099511627777' is not a whole number from 1 to 2^40"),
        (&["--guard=1e6", "true"], "--guard '1e6' is not a whole number from 1 to 2^40"),
        (&["--lib"], "--lib needs a value"),
        (&["--stats=3", "true"], "--stats takes no value"),
    ];
    for (args, message) in cases {
        let line = fails(gort_run().args(args).current_dir(&dir), 2);
        assert!(line.contains(message), "{args:?}: {line}");
    }
}

/// The command and the library agree on what a limit is.
#[test]
fn memlimit_takes_what_the_library_takes() {
    for value in [
        "0",
        "1",
        "4KiB",
        "64MiB",
        "1TiB",
        "off",
        "auto",
        "x",
        "1MB",
        "-1",
        "1 MiB",
        "1.5GiB",
        "9223372036854775808",
    ] {
        let option = output(gort_run().arg(format!("--memlimit={value}")).arg("true"));
        let variable = output(Command::new(GORT).args(["size-classes", "--check"]).env("GOMEMLIMIT", value));
        assert_eq!(option.status.code(), variable.status.code(), "{value}: {option:?}");
    }
}

/// What would be lost, or could not be written at exit.
#[test]
fn stats_json_is_refused_at_the_start() {
    let dir = directory("json-input");
    symlink("absent", dir.join("nowhere")).unwrap();
    let line = fails(gort_run().args(["--stats-json", "nowhere", "true"]).current_dir(&dir), 2);
    assert!(
        line.contains("--stats-json 'nowhere' cannot be written: it is a link that leads nowhere"),
        "{line}"
    );

    // The file that stdout goes to would be removed, and what the program says would be lost.
    fs::write(dir.join("said"), "before").unwrap();
    symlink("/proc/self/fd/1", dir.join("stdout")).unwrap();
    for name in ["said", "stdout"] {
        let stdout = File::options().append(true).open(dir.join("said")).unwrap();
        let out = output(gort_run().args(["--stats-json", name, "true"]).current_dir(&dir).stdout(stdout));
        assert_eq!(out.status.code(), Some(2), "{out:?}");
        assert!(
            text(&out.stderr).ends_with("cannot be written: it is open as stdin, stdout or stderr\n"),
            "{out:?}"
        );
        assert_eq!(fs::read_to_string(dir.join("said")).unwrap(), "before");
    }

    // A path that can be made only step by step.
    let (long, mut length) = ("d".repeat(250), dir.as_os_str().len());
    let mut script = String::from("set -e\n");
    while length + 251 < 4080 {
        script += &format!("mkdir {long}; cd {long}\n");
        length += 251;
    }
    script += &format!("exec \"$1\" run --stats-json {} true\n", "f".repeat(4090 - length));
    library();
    let line = fails(Command::new("sh").args(["-c", &script, "sh", GORT]).current_dir(&dir), 2);
    assert!(line.contains("cannot be written: its path is too long"), "{line}");
}
