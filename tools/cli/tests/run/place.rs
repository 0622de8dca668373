//! Where the library is found.

use super::*;

fn put(from: impl AsRef<Path>, to: PathBuf) -> PathBuf {
    copy(from.as_ref(), &to);
    to
}

fn run_from(command: &Path, args: &[&OsStr]) -> Command {
    let mut run = Command::new(command);
    run.arg("run").args(args).arg("cat").arg("/proc/self/maps").stdin(Stdio::null());
    VARIABLES.iter().for_each(|name| _ = run.env_remove(name));
    run
}

#[test]
fn of_the_library_is_beside_the_command_in_lib_or_in_the_build_tree() {
    for (command, lib) in [
        ("bin/gort", "bin/libgort.so"),
        ("bin/gort", "lib/libgort.so"),
        ("bin/gort", "lib/gort/libgort.so"),
        ("target/debug/gort", "target/release/libgort.so"),
        ("target/release/gort", "target/debug/libgort.so"),
    ] {
        let dir = directory("places");
        let command = put(GORT, dir.join(command));
        let line = fails(&mut run_from(&command, &[]), 2);
        assert!(
            line.contains("no libgort.so in")
                && line.contains("cargo build --release")
                && line.contains("--lib"),
            "{line}"
        );
        let lib = put(library(), dir.join(lib));
        assert!(succeeds(&mut run_from(&command, &[])).contains(lib.to_str().unwrap()), "{}", lib.display());
    }
    // Elsewhere the build tree's names mean nothing.
    let dir = directory("places");
    let command = put(GORT, dir.join("bin/gort"));
    put(library(), dir.join("release/libgort.so"));
    fails(&mut run_from(&command, &[]), 2);
}

#[test]
fn of_the_library_may_be_named() {
    let dir = directory("named");
    let lib = put(library(), dir.join("sub/mine.so"));
    let mut command = gort_run();
    command.args(["--lib", "sub/mine.so", "cat", "/proc/self/maps"]).current_dir(&dir);
    assert!(succeeds(&mut command).contains(lib.to_str().unwrap()), "made absolute");

    put(library(), dir.join("a b/libgort.so"));
    put(library(), dir.join("a:b/libgort.so"));
    fs::write(dir.join("text.so"), "not ELF").unwrap();
    for (lib, message) in [
        ("absent.so", "no library at 'absent.so': `cargo build --release`"),
        ("a b/libgort.so", "LD_PRELOAD cannot name a path with a space"),
        ("a:b/libgort.so", "LD_PRELOAD cannot name a path with a space"),
        ("text.so", "it is no ELF file"),
        ("/bin/cat", "it defines no malloc"),
        (".", "it is no file"),
    ] {
        let line = fails(gort_run().args(["--lib", lib, "true"]).current_dir(&dir), 2);
        assert!(line.contains(message), "{line}");
    }
}
