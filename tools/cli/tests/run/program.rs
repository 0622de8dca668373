//! The program: how it is found, what it gets, and what cannot run on gort.

use super::*;

const SHOW: &str = r#"
    #include <signal.h>
    #include <stdio.h>
    #include <stdlib.h>
    int main(int argc, char **argv) {
        for (int i = 0; i < argc; i++) printf("%s|", argv[i]);
        const char *names[] = {"LD_PRELOAD", "GOMEMLIMIT", "GORT_STATS", "GORT_STATS_JSON", "OTHER"};
        for (int i = 0; i < 5; i++) printf("\n%s=%s", names[i], getenv(names[i]) ? getenv(names[i]) : "(none)");
        printf("\nSIGPIPE %s\n", signal(SIGPIPE, SIG_DFL) == SIG_IGN ? "ignored" : "default");
        return 42;
    }"#;

#[test]
fn gets_its_arguments_its_environment_and_the_last_word() {
    let dir = directory("show");
    let program = compile(&dir, "show", &[], SHOW);
    let show = |command: &mut Command| {
        let out = output(command);
        assert_eq!((out.status.code(), text(&out.stderr)), (Some(42), ""), "{command:?}");
        text(&out.stdout).to_owned()
    };
    let library = library().canonicalize().unwrap();
    let mut command = gort_run();
    command.arg(&program).args(["--stats", "--", "-x", "a b"]).env("OTHER", "kept");
    assert_eq!(
        show(&mut command),
        format!(
            "{}|--stats|--|-x|a b|\nLD_PRELOAD={}\nGOMEMLIMIT=(none)\nGORT_STATS=(none)\nGORT_STATS_JSON=(none)\nOTHER=kept\nSIGPIPE default\n",
            program.display(),
            library.display()
        )
    );
    let out = show(
        gort_run().args(["--memlimit", "1GiB", "--", "show"]).env("PATH", &dir).env("GOMEMLIMIT", "2GiB"),
    );
    assert!(out.starts_with("show|\n") && out.contains("GOMEMLIMIT=1GiB\n"), "{out}");
}

#[test]
fn keeps_what_is_preloaded_already() {
    let dir = directory("preloaded");
    let program = compile(&dir, "show", &[], SHOW);
    let other = compile(&dir, "libother.so", &["-shared", "-fPIC"], "int gort_test_other;");
    let out = output(gort_run().arg(&program).env("LD_PRELOAD", &other));
    let expected =
        format!("LD_PRELOAD={}:{}\n", library().canonicalize().unwrap().display(), other.display());
    assert!(text(&out.stdout).contains(&expected), "{out:?}");
}

#[test]
fn finds_signals_as_the_caller_left_them() {
    let dir = directory("signals");
    let program = compile(&dir, "show", &[], SHOW);
    library();
    let out =
        output(Command::new("sh").args(["-c", "trap '' PIPE; exec \"$@\"", "sh", GORT, "run"]).arg(&program));
    assert!(text(&out.stdout).contains("SIGPIPE ignored"), "{out:?}");
}

#[test]
fn runs_on_gort_as_its_children_do() {
    let dir = directory("maps");
    let program = compile(
        &dir,
        "maps",
        &[],
        "#include <stdlib.h>\nint main() { return system(\"cat /proc/self/maps\"); }",
    );
    let maps = succeeds(gort_run().arg(program));
    assert!(maps.contains("libgort.so"), "{maps}");
}

#[test]
fn may_be_a_script() {
    let dir = directory("scripts");
    let say = "case \"$LD_PRELOAD\" in *libgort.so) echo on gort: $*;; esac\n";
    for (name, head) in [
        ("sh", "#!/bin/sh\n"),
        ("spaced", "#! /bin/sh -e\n"),
        ("env", "#!/usr/bin/env sh\n"),
        ("split", "#!/usr/bin/env -S -u OTHER A=1 sh\n"),
        ("bare", ""),
    ] {
        let script = dir.join(name);
        executable(&script, format!("{head}{say}"));
        assert_eq!(succeeds(gort_run().arg(&script).args(["-l", "a"])), "on gort: -l a\n", "{name}");
    }
    // A script whose interpreter is a script.
    executable(&dir.join("outer"), format!("#!{}\n", dir.join("sh").display()));
    let said = succeeds(gort_run().arg(dir.join("outer")));
    assert!(said.starts_with("on gort: "), "{said}");
}

#[test]
fn that_is_missing_is_127() {
    let dir = directory("missing");
    let cases: [(&str, &str); 4] = [
        ("no-such-program-here", "cannot run 'no-such-program-here': no such program on the PATH"),
        ("./absent", "cannot run './absent': No such file or directory"),
        ("", "cannot run '': no such program on the PATH"),
        ("odd\nname", "cannot run 'odd\\nname': no such program"),
    ];
    for (name, message) in cases {
        let line = fails(gort_run().arg(name).current_dir(&dir), 127);
        assert!(line.contains(message), "{line}");
    }
    executable(&dir.join("script"), "#!/usr/bin/env no-such-interpreter\n");
    // PATH may name what is no directory.
    fs::write(dir.join("file"), "").unwrap();
    let line = fails(gort_run().arg("no-such-program-here").env("PATH", dir.join("file")), 127);
    assert!(line.contains("no such program on the PATH"), "{line}");
    let line = fails(gort_run().arg("./script").current_dir(&dir), 127);
    assert!(
        line.contains(
            "'no-such-interpreter': no such program on the PATH (it is the interpreter of './script')"
        ),
        "{line}"
    );
}

#[test]
fn that_cannot_be_executed_is_126() {
    let dir = directory("unexecutable");
    fs::write(dir.join("plain"), "x").unwrap();
    executable(&dir.join("orphan"), "#!/no/such/interpreter\n");
    executable(&dir.join("circle"), format!("#!{}\n", dir.join("circle").display()));
    executable(&dir.join("dos"), "#!/bin/sh\r\necho\r\n");
    symlink("loop", dir.join("loop")).unwrap();
    let pipe = Command::new("mkfifo").args(["-m", "755"]).arg(dir.join("pipe")).status();
    assert!(pipe.expect("mkfifo runs").success());
    for (name, message) in [
        ("./plain/x", "cannot run './plain/x': Not a directory"),
        ("./loop", "cannot run './loop': Too many levels of symbolic links"),
        ("./dos", "its interpreter '/bin/sh\\r' is not there"),
        ("./plain", "cannot run './plain': Permission denied"),
        ("./pipe", "cannot run './pipe': Permission denied"),
        ("./", "cannot run './': it is a directory"),
        ("./orphan", "its interpreter '/no/such/interpreter' is not there"),
        ("./circle", "too many interpreters"),
    ] {
        let line = fails(gort_run().arg(name).current_dir(&dir), 126);
        assert!(line.contains(message), "{line}");
    }
    // On the PATH the search goes on behind what cannot be run, and ends with 126 when nothing else is found.
    assert!(fails(gort_run().arg("plain").env("PATH", &dir), 126).contains("Permission denied"));
    fs::create_dir(dir.join("bin")).unwrap();
    executable(&dir.join("bin/plain"), "#!/bin/sh\necho found\n");
    let path = std::env::join_paths([dir.clone(), dir.join("bin")]).unwrap();
    assert_eq!(succeeds(gort_run().arg("plain").env("PATH", path)), "found\n");
}

#[test]
fn that_the_library_cannot_be_part_of_is_one_line() {
    let dir = directory("refused");
    let machine = |name: &str, at: usize, byte: u8| {
        let mut elf = fs::read("/bin/true").unwrap();
        elf[at] = byte;
        executable(&dir.join(name), elf);
    };
    compile(&dir, "static", &["-static"], "int main() { return 0; }");
    compile(&dir, "static-pie", &["-static-pie"], "int main() { return 0; }");
    let malloc = "#include <stddef.h>\nvoid *malloc(size_t n) { return NULL; }\nint main() { return 0; }";
    compile(&dir, "own-malloc", &[], malloc);
    machine("32-bit", 4, 1);
    machine("arm", 18, 183);
    executable(&dir.join("cut"), b"\x7fELF\x02\x01\x01");
    executable(&dir.join("script"), format!("#!{}\n", dir.join("static").display()));
    executable(&dir.join("env"), format!("#!/usr/bin/env -S A=1 {}\n", dir.join("static").display()));
    executable(&dir.join("cleared"), "#!/usr/bin/env -S -i A=1 sh\necho on nothing\n");
    for (name, message) in [
        ("./static", "cannot run './static' on gort: it is statically linked"),
        ("./static-pie", "cannot run './static-pie' on gort: it is statically linked"),
        (
            "./script",
            "is statically linked, so no loader can bring the library in (it is the interpreter of './script')",
        ),
        (
            "./env",
            "is statically linked, so no loader can bring the library in (it is the interpreter of './env')",
        ),
        ("./cleared", "cannot run './cleared' on gort: `env` in its first line takes LD_PRELOAD away"),
        ("./own-malloc", "it defines malloc itself"),
        ("./32-bit", "it is 32-bit"),
        ("./arm", "it is for another machine"),
        ("./cut", "ELF file"),
    ] {
        let line = fails(gort_run().arg(name).current_dir(&dir), 2);
        assert!(line.contains(message), "{line}");
    }
}

/// The loader is a shared object, and brings the library into what it runs; but a static program has no use for it.
#[test]
fn may_be_the_loader() {
    let dir = directory("loader");
    let loader = "/lib64/ld-linux-x86-64.so.2";
    compile(&dir, "static", &["-static"], "int main() { return 0; }");
    compile(&dir, "static-pie", &["-static-pie"], "int main() { return 0; }");
    compile(&dir, "no-loader", &["-Wl,--no-dynamic-linker"], SHOW);
    copy(Path::new(loader), &dir.join("renamed"));
    for name in [Path::new(loader), &dir.join("renamed")] {
        for options in [&[][..], &["--argv0", "./static", "--inhibit-cache"]] {
            let maps = succeeds(
                gort_run().arg(name).args(options).args(["/bin/cat", "/proc/self/maps"]).current_dir(&dir),
            );
            assert!(maps.contains("libgort.so"), "{maps}");
        }
        for program in ["./static", "./static-pie"] {
            let line =
                fails(gort_run().arg(name).args(["--preload", "/bin/cat", program]).current_dir(&dir), 2);
            let message = format!("cannot run '{program}' on gort: it is statically linked");
            assert!(line.contains(&message) && line.contains("(it is the program for '"), "{line}");
        }
    }
    // Not for the kernel, but for the loader.
    let shown = output(gort_run().arg(loader).arg("./no-loader").current_dir(&dir));
    assert!(text(&shown.stdout).starts_with("./no-loader|\nLD_PRELOAD=/"), "{shown:?}");
    assert!(succeeds(gort_run().args([loader, "--version"])).contains("ld.so"));
}

/// Root reads everything, so that another user runs the command.
#[test]
fn that_cannot_be_read_is_one_line() {
    let dir = Public::new("unreadable");
    for (name, options) in [("static", "-static"), ("dynamic", "-pie")] {
        let program = compile(&directory("unreadable"), name, &[options], "int main() { return 0; }");
        copy(&program, &dir.0.join(name));
        fs::set_permissions(dir.0.join(name), Permissions::from_mode(0o111)).unwrap();
    }
    executable(&dir.0.join("script"), format!("#!{}\n", dir.0.join("static").display()));
    for name in ["static", "dynamic", "script"] {
        let line = fails(&mut dir.run_as_nobody(&dir.0.join(name)), 2);
        let file = if name == "script" { "static" } else { name };
        let start = format!("gort: cannot run '{}' on gort: it cannot be read (", dir.0.join(file).display());
        assert!(line.starts_with(&start) && line.contains("(Permission denied) and may be static"), "{line}");
        assert!(line.contains("to run it all the same, set LD_PRELOAD yourself"), "{line}");
        assert_eq!(line.contains("(it is the interpreter of '"), name == "script", "{line}");
    }
}

#[test]
fn that_uses_musl_is_one_line() {
    let dir = directory("musl");
    let (source, program) = (dir.join("musl.c"), dir.join("musl"));
    fs::write(&source, "int main() { return 0; }").unwrap();
    let Ok(cc) = Command::new("musl-gcc").arg("-o").arg(&program).arg(&source).output() else {
        return println!("skipped: no musl-gcc (Debian: musl-tools)");
    };
    assert!(cc.status.success(), "{}", text(&cc.stderr));
    succeeds(&mut Command::new(&program));
    let line = fails(gort_run().arg(&program), 2);
    assert!(line.contains("on gort: it uses musl, and the library needs glibc"), "{line}");
}

/// Root has the capabilities anyway, so that another user runs the command.
#[test]
fn that_has_capabilities_is_one_line() {
    if !is_root() {
        return println!("skipped: only root can give a file capabilities");
    }
    let dir = Public::new("capabilities");
    copy(Path::new("/bin/cat"), &dir.0.join("able"));
    let run = |program: &Path| {
        let mut command = dir.run_as_nobody(program);
        command.arg("/proc/self/maps");
        command
    };
    let program = dir.0.join("able");
    assert!(succeeds(&mut run(&program)).contains("libgort.so"));
    let Ok(setcap) = Command::new("setcap").arg("cap_net_bind_service=ep").arg(&program).output() else {
        return println!("skipped: no setcap (Debian: libcap2-bin)");
    };
    if !setcap.status.success() {
        return println!("skipped: setcap: {}", text(&setcap.stderr));
    }
    let line = fails(&mut run(&program), 2);
    assert!(
        line.contains("it runs with capabilities of its file, and then the loader ignores the library"),
        "{line}"
    );
    // They change nothing for root.
    assert!(succeeds(gort_run().arg(&program).arg("/proc/self/maps")).contains("libgort.so"));
}

/// A directory that everybody may enter, for files that everybody may run: those of the build may be closed to others. It goes when it is
/// dropped.
struct Public(PathBuf);

impl Public {
    fn new(test: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("gort-run-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir).expect("the directory for temporary files is writable");
        fs::set_permissions(&dir, Permissions::from_mode(0o755)).expect("it is ours");
        copy(Path::new(GORT), &dir.join("gort"));
        copy(library(), &dir.join("libgort.so"));
        Self(dir)
    }

    /// `gort run` of a program by a user without rights.
    fn run_as_nobody(&self, program: &Path) -> Command {
        let gort = self.0.join("gort");
        let mut command = if is_root() { Command::new("setpriv") } else { Command::new(&gort) };
        if is_root() {
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&gort);
        }
        command.arg("run").arg(program).stdin(Stdio::null());
        VARIABLES.iter().for_each(|name| _ = command.env_remove(name));
        command
    }
}

impl Drop for Public {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn that_runs_as_another_user_is_one_line() {
    if !is_root() {
        return println!("skipped: only root can make a file another user's");
    }
    let dir = directory("privileged");
    for (name, mode, message) in [("user", 0o4755, "(set-user-id)"), ("group", 0o2755, "(set-group-id)")] {
        let copied = dir.join(name);
        copy(Path::new("/bin/true"), &copied);
        chown(&copied, Some(65_534), Some(65_534)).unwrap();
        // Of another owner, but not run as him: the library is part of it.
        fs::set_permissions(&copied, Permissions::from_mode(0o755)).unwrap();
        succeeds(gort_run().arg(&copied));
        fs::set_permissions(&copied, Permissions::from_mode(mode)).unwrap();
        let line = fails(gort_run().arg(&copied), 2);
        assert!(line.contains(message) && line.contains("the loader ignores the library"), "{line}");
    }
}

#[test]
fn says_itself_that_its_output_cannot_be_written() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let out = output(gort_run().args(["echo", "text"]).stdout(full));
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).starts_with("echo: "), "{out:?}");
}
