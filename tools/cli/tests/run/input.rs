//! Options that make no sense.

use super::*;

#[test]
fn that_is_bad_is_one_line_and_code_2() {
    let dir = directory("input");
    let cases: [(&[&str], &str); 9] = [
        (&[], "run needs a program: gort run [options] -- program args"),
        (&["--stats"], "run needs a program"),
        (
            &["--bad", "true"],
            "unknown argument '--bad'; gort run takes --stats, --stats-json, --memlimit, --lib",
        ),
        (&["--memlimit", "lots", "true"], "--memlimit 'lots' is not a number of bytes"),
        (&["--memlimit", "1GiB", "--memlimit", "2GiB", "true"], "--memlimit may be given once"),
        (
            &["--stats-json", "no/such/file", "true"],
            "--stats-json 'no/such/file' cannot be written: No such file",
        ),
        (&["--stats-json", ".", "true"], "--stats-json '.' cannot be written: is a directory"),
        (&["--stats-json", "/bin/true/x", "true"], "cannot be written: Not a directory"),
        (&["--lib"], "--lib needs a value"),
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
