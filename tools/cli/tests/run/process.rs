//! Where the report at exit goes: several processes, closed descriptors, readers that have left.

use super::*;

#[test]
fn each_process_writes_its_own() {
    let dir = directory("fork");
    let program = compile(
        &dir,
        "family",
        &[],
        r#"
        #include <stdlib.h>
        #include <sys/wait.h>
        #include <unistd.h>
        static void make(int n) { while (n--) *(volatile char *)malloc(3000) = 1; }
        int main(int argc, char **argv) {
            if (argc > 1) { make(700); return 0; }
            make(1000);
            if (fork() == 0) { make(100); exit(0); }
            if (fork() == 0) { make(200); if (fork() == 0) { make(50); exit(0); } wait(0); exit(0); }
            if (fork() == 0) { execl(argv[0], argv[0], "again", (char *)0); }
            if (fork() == 0) { make(1); _exit(0); }
            while (wait(0) > 0) {}
            make(10);
            return 0;
        }"#,
    );
    let out =
        output(gort_run().args(["--stats", "--stats-json", "heap.json"]).arg(&program).current_dir(&dir));
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    let made = |report: &Value| {
        let rows = report["by_size"].as_array().unwrap();
        rows.iter().find(|row| row["size"] == 3072).map_or(0, |row| number(row, "mallocs"))
    };
    let first = json(&dir.join("heap.json"));
    assert_eq!((made(&first), &first["forked_from"]), (1010, &Value::Null));
    let mut others = vec![];
    for name in files(&dir, "heap.json.") {
        let report = json(&dir.join(&name));
        assert_eq!(name, format!("heap.json.{}", report["pid"]));
        let is_forked = report["forked_from"] == first["pid"];
        assert!(is_forked || report["forked_from"].is_null(), "{report}");
        others.push((made(&report), is_forked));
    }
    others.sort_unstable();
    // The one that called _exit wrote none; the one that called exec began anew.
    assert_eq!(others, [(700, false), (1100, true), (1200, true), (1250, true)]);
    let heads: Vec<&str> = text(&out.stderr).lines().filter(|l| l.starts_with("gort: ")).collect();
    assert_eq!(heads.len(), 5, "{heads:?}");
    let from_first = format!(" (family), forked from {} with its counts", first["pid"]);
    assert_eq!(heads.iter().filter(|head| head.ends_with(&from_first)).count(), 3, "{heads:?}");
}

#[test]
fn it_counts_what_the_destructors_of_libraries_free() {
    let dir = directory("destructors");
    let library = r#"
        #include <stdlib.h>
        static void *all[1000];
        __attribute__((constructor)) static void make(void) { for (int i = 0; i < 1000; i++) all[i] = malloc(3000); }
        __attribute__((destructor)) static void give(void) { for (int i = 0; i < 1000; i++) free(all[i]); }
    "#;
    let library = compile(&dir, "libkeeper.so", &["-shared", "-fPIC"], library);
    let library = library.to_str().unwrap();
    let program = compile(&dir, "kept", &["-Wl,--no-as-needed", library], "int main() { return 0; }");
    let file = dir.join("heap.json");
    let out = output(gort_run().args(["--stats", "--stats-json"]).arg(&file).arg(&program));
    let report = json(&file);
    let row = report["by_size"].as_array().unwrap().iter().find(|row| row["size"] == 3072).unwrap();
    assert_eq!((number(row, "mallocs"), number(row, "frees")), (1000, 1000));
    assert_eq!(text(&out.stderr).matches("gort: heap of process").count(), 1, "one report: {out:?}");
}

#[test]
fn it_reaches_the_stderr_of_a_program_that_closes_its_own() {
    let dir = directory("closed");
    let source = r#"
        #include <fcntl.h>
        #include <stdlib.h>
        #include <unistd.h>
        static void last(void) { close(1); close(2); }
        int main(int argc, char **argv) {
            atexit(last);
            free(malloc(9));
            if (argc > 1) { close(2); open(argv[1], O_CREAT | O_WRONLY, 0600); write(2, "mine", 4); }
            if (argc > 2) for (int fd = 3; fd < 2000; fd++) close(fd);
            if (argc > 1) _exit(0 * close(0)), 0;
            return 0;
        }"#;
    let program = compile(&dir, "closing", &[], source);
    let out = output(gort_run().arg("--stats").arg(&program));
    assert!(text(&out.stderr).starts_with("gort: heap of process"), "{out:?}");

    // Another file has the number 2 at exit: it gets nothing, whether or not the way around it is open.
    let other = compile(
        &dir,
        "other",
        &[],
        &source.replace("_exit(0 * close(0)), 0;", "exit(0);").replace("close(2); }", "}"),
    );
    for (args, reported) in [(&["file"][..], true), (&["file", "all"], false)] {
        let out = output(gort_run().arg("--stats").arg(&other).args(args).current_dir(&dir));
        assert_eq!(out.status.code(), Some(0));
        assert_eq!(!out.stderr.is_empty(), reported, "{out:?}");
        assert_eq!(fs::read_to_string(dir.join("file")).unwrap(), "mine");
    }
}

/// Its reader waits for the last descriptor to be closed, and must not wait for a daemon.
#[test]
fn a_daemon_does_not_keep_stderr_open() {
    let dir = directory("daemon");
    let program = compile(
        &dir,
        "daemon",
        &[],
        r#"
        #include <fcntl.h>
        #include <unistd.h>
        #include <stdlib.h>
        int main() {
            free(malloc(10));
            if (fork()) return 0;
            for (int fd = 0; fd < 3; fd++) close(fd);
            for (int i = 0; i < 2000 && access("go", F_OK); i++) usleep(10000);
            close(open("done", O_CREAT | O_WRONLY, 0600));
            _exit(0);
        }"#,
    );
    let out = output(gort_run().arg("--stats").arg(&program).current_dir(&dir));
    assert!(text(&out.stderr).starts_with("gort: heap of process"), "{out:?}");
    assert!(!dir.join("done").exists(), "stderr was open until the daemon ended");
    fs::write(dir.join("go"), "").unwrap();
    while !dir.join("done").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn a_reader_that_has_left_changes_nothing() {
    let dir = directory("left");
    let program = compile(&dir, "waiting", &[], "#include <stdio.h>\nint main() { getchar(); return 5; }");
    let mut command = gort_run();
    command.arg("--stats").arg(&program).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stderr.take());
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
fn json_that_cannot_be_written_is_one_line() {
    let dir = directory("vanished");
    let program =
        compile(&dir, "removing", &[], "#include <unistd.h>\nint main() { return rmdir(\"sub\"); }");
    fs::create_dir(dir.join("sub")).unwrap();
    let out = output(gort_run().args(["--stats-json", "sub/heap.json"]).arg(&program).current_dir(&dir));
    assert_eq!(out.status.code(), Some(0));
    let expected = format!(
        "gort: GORT_STATS_JSON: cannot write {}/sub/heap.json: it, or its directory, is not there\n",
        dir.display()
    );
    assert_eq!(text(&out.stderr), expected);
    // A file size limit would end the process by a signal.
    let out = output(
        Command::new("sh")
            .args(["-c", "ulimit -f 0; exec \"$@\"", "sh", GORT, "run", "--stats-json", "heap.json", "true"])
            .current_dir(&dir),
    );
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    assert!(text(&out.stderr).ends_with("heap.json: it would exceed the limit on file sizes\n"), "{out:?}");
    assert!(files(&dir, "heap").is_empty(), "nothing half done is left");
}

#[test]
fn a_link_is_followed() {
    let dir = directory("link");
    fs::write(dir.join("real.json"), "").unwrap();
    symlink("real.json", dir.join("link.json")).unwrap();
    succeeds(gort_run().args(["--stats-json", "link.json", "true"]).current_dir(&dir));
    assert!(dir.join("link.json").is_symlink());
    assert_eq!(json(&dir.join("real.json"))["command"], "true");
}

/// The end of the link is what the program closes before it exits, so at exit the link leads nowhere.
#[test]
fn a_link_is_never_replaced() {
    let dir = directory("kept-link");
    symlink("/proc/self/fd/1", dir.join("out")).unwrap();
    let out = output(gort_run().args(["--stats-json", "out", "/bin/echo", "hi"]).current_dir(&dir));
    assert_eq!((out.status.code(), text(&out.stdout)), (Some(0), "hi\n"), "{out:?}");
    let line = format!(
        "gort: GORT_STATS_JSON: cannot write {}/out: it, or its directory, is not there\n",
        dir.display()
    );
    assert_eq!(text(&out.stderr), line);
    // At exit it is a regular file that holds something already.
    let source = r#"
        #include <fcntl.h>
        #include <unistd.h>
        int main() { close(1); open("mine", O_CREAT | O_WRONLY, 0600); return write(1, "mine", 4) != 4; }"#;
    let program = compile(&dir, "turning", &[], source);
    let out = output(gort_run().args(["--stats-json", "out"]).arg(&program).current_dir(&dir));
    assert!(text(&out.stderr).ends_with("/out: something else has its name\n"), "{out:?}");
    assert_eq!(fs::read_to_string(dir.join("mine")).unwrap(), "mine");
    assert_eq!(files(&dir, "out"), ["out"]);
    assert!(dir.join("out").is_symlink());

    // Without the command: to a file, and to nothing.
    fs::write(dir.join("real.json"), "kept").unwrap();
    for (name, to) in [("link.json", "real.json"), ("nowhere.json", "absent")] {
        symlink(to, dir.join(name)).unwrap();
        let mut command = Command::new("true");
        command.current_dir(&dir).env("LD_PRELOAD", library()).env("GORT_STATS_JSON", name);
        let out = output(&mut command);
        assert!(
            text(&out.stderr).ends_with(&format!("/{name}: it is a link; name the file itself\n")),
            "{out:?}"
        );
        assert!(dir.join(name).is_symlink());
    }
    assert_eq!(fs::read_to_string(dir.join("real.json")).unwrap(), "kept");
    assert!(files(&dir, "absent").is_empty());
}

#[test]
fn what_has_taken_the_place_of_the_file_stays() {
    let dir = directory("place-taken");
    let source = "#include <unistd.h>\n#include <sys/stat.h>\nint main(int c, char **v) {
        return v[1][0] == 'l' ? symlink(\"target\", v[2]) : v[1][0] == 'd' ? mkdir(v[2], 0700) : mkfifo(v[2], 0600);
    }";
    let program = compile(&dir, "taking", &[], source);
    for (what, message) in [
        ("link", "it is a link; name the file itself"),
        ("directory", "it is a directory"),
        ("pipe", "something else has its name"),
    ] {
        let name = format!("{what}.json");
        let mut command = gort_run();
        command.args(["--stats-json", &name]).arg(&program).args([what, &name]).current_dir(&dir);
        let out = output(&mut command);
        assert_eq!(out.status.code(), Some(0), "{out:?}");
        assert!(text(&out.stderr).ends_with(&format!("/{name}: {message}\n")), "{out:?}");
        assert!(!fs::symlink_metadata(dir.join(&name)).unwrap().is_file(), "{what}");
    }
    assert_eq!(files(&dir, ".gort"), [""; 0], "nothing half done is left");
}

/// Its temporary name is no longer than that.
#[test]
fn a_file_may_have_a_long_name() {
    let dir = directory("long-name");
    let name = "n".repeat(250);
    succeeds(gort_run().args(["--stats-json", &name, "true"]).current_dir(&dir));
    assert_eq!(json(&dir.join(&name))["command"], "true");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
}

/// What is no regular file is written to, not replaced. Not tried with devices: a defect here would replace them.
#[test]
fn a_pipe_is_written_to() {
    let dir = directory("pipe");
    let pipe = dir.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let mut reader = Command::new("cat").arg(&pipe).stdout(Stdio::piped()).spawn().unwrap();
    // A writer of the test's own, open before the command looks: without one the reader has not come yet.
    let writer = File::options().write(true).open(&pipe).unwrap();
    succeeds(gort_run().args(["--stats-json", "pipe", "true"]).current_dir(&dir));
    drop(writer);
    let mut said = String::new();
    reader.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    reader.wait().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["command"], "true");
    assert_eq!(files(&dir, "pipe"), ["pipe"]);
    // Nobody reads it: that is said, not waited for.
    let out = output(gort_run().args(["--stats-json", "pipe", "true"]).current_dir(&dir));
    assert_eq!(out.status.code(), Some(0));
    assert!(text(&out.stderr).ends_with("/pipe: nobody reads the pipe\n"), "{out:?}");
    let out = succeeds(gort_run().args(["--stats-json", "/proc/self/fd/1", "true"]));
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["command"], "true");
}

/// A program with the allocator built in reads the same variables.
#[test]
fn a_rust_program_reports_without_the_command() {
    let dir = directory("rust");
    let mut command = Command::new(GORT);
    command.args(["size-classes", "--check"]).current_dir(&dir);
    command.env("GORT_STATS", "1").env("GORT_STATS_JSON", "heap.json");
    let out = output(&mut command);
    assert!(text(&out.stderr).starts_with("gort: heap of process "), "{out:?}");
    let [name] = &files(&dir, "heap.json.")[..] else { panic!("one file with the process's number") };
    let report = json(&dir.join(name));
    assert_eq!(report["command"], "gort");
    assert!(number(&report, "mallocs") > 10, "{report}");
    assert!(number(&report, "internal_fragmentation_samples") > 0, "the Rust door samples too: {report}");
}

/// Two heaps in one process: the program's own, and the library's for what its C code allocates.
#[test]
fn a_rust_program_under_the_command_has_two_reports() {
    let dir = directory("two");
    let mut command = gort_run();
    command.args(["--stats", "--stats-json", "heap.json", GORT, "size-classes", "--check"]).current_dir(&dir);
    let out = output(&mut command);
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    assert_eq!(files(&dir, "heap"), ["heap.json", "heap.json.malloc"]);
    let (own, library) = (json(&dir.join("heap.json")), json(&dir.join("heap.json.malloc")));
    assert_eq!(own["pid"], library["pid"]);
    assert!(number(&own, "mallocs") > number(&library, "mallocs"), "{own} {library}");
    let head = format!("gort: heap of process {} (gort)", own["pid"]);
    let heads: Vec<&str> = text(&out.stderr).lines().filter_map(|line| line.strip_prefix(&head)).collect();
    assert_eq!(heads, [", Rust's global allocator", ""]);
    // Another run's file is in nobody's way.
    succeeds(gort_run().args(["--stats-json", "heap.json", "true"]).current_dir(&dir));
    assert_eq!(json(&dir.join("heap.json"))["command"], "true");
}

/// A file that an earlier process of the same number has left is not taken for what the program's own heap has to say.
#[test]
fn an_earlier_process_had_the_same_number() {
    let dir = directory("number");
    // The shell within becomes `true`, behind its own back: the file is there before the process that it names.
    let script =
        r#"printf '{\n  "pid": %d,\n}\n' $$ >heap.json.$$; touch -d 2001-01-01 heap.json.$$; exec env true"#;
    std::fs::write(dir.join("script"), script).unwrap();
    succeeds(gort_run().args(["--stats-json", "heap.json", "sh", "-c", "sh script; :"]).current_dir(&dir));
    let names = files(&dir, "heap.json.");
    let commands = || names.iter().map(|name| json(&dir.join(name))["command"].clone());
    assert!(
        names.iter().all(|name| !name.ends_with(".malloc")) && commands().any(|c| c == "true"),
        "{names:?}"
    );
}
