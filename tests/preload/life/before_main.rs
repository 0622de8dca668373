//! Before main and after it: constructors, audit libraries, libraries that come and go.

use std::process::Command;

use crate::library::{Program, Run, Scratch, Way, archive, finish, passes_in, shared, sources};

/// What runs before all constructors, which only programs have, and not those without a loader.
const PREINIT: &[&str] = &["-DPREINIT"];
const SHARED_OBJECT: &[&str] = &["-shared", "-fPIC"];

#[test]
fn constructors_and_destructors_allocate() {
    passes_in(&[Way::Libc, Way::Preload, Way::Shared, Way::Archive], "life/early.c", PREINIT);
    passes_in(&[Way::Preload], "life/early.c", &["-DPREINIT", "-Wl,-z,now"]);
    passes_in(&[Way::Preload, Way::Archive], "life/early.c", &["-DPREINIT", "-no-pie"]);
    // Before the loader has set up the thread's own variables.
    passes_in(&[Way::Libc, Way::Preload], "life/early.c", &["-DPREINIT", "-DRESOLVER"]);
    // Without a loader `dlopen` would bring a second C library.
    passes_in(&[Way::Static, Way::StaticPie], "life/early.c", &["-DPREINIT", "-DALONE"]);
}

/// An IFUNC resolver allocates before the process has an environment: what that says holds from then on.
#[test]
fn the_environment_comes_late() {
    for flags in [&["-DPREINIT", "-DRESOLVER"][..], &["-DPREINIT", "-DRESOLVER", "-Wl,-z,now"]] {
        let program = Program::compile("life/early.c", flags, Way::Preload);
        let outcome = program.run().env("GORT_STATS", "1").env("GOMEMLIMIT", "77MiB").output();
        assert!(outcome.status.success(), "{}", outcome.describe());
        assert!(outcome.stderr.contains("77.0 MiB"), "no report with the limit: {}", outcome.describe());
        let outcome = program.run().env("GOMEMLIMIT", "nonsense").output();
        assert!(outcome.status.success(), "{}", outcome.describe());
        let lines: Vec<_> = outcome.stderr.lines().collect();
        assert!(lines.len() == 1 && lines[0].contains("GOMEMLIMIT"), "{}", outcome.describe());
    }
}

#[test]
fn audit_libraries_allocate() {
    let plugin = Program::compile("life/plugin.c", SHARED_OBJECT, Way::Libc);
    let early = |way| Program::compile("life/early.c", PREINIT, way);
    let programs = [early(Way::Preload), early(Way::Shared), early(Way::Archive)];
    let loads = Program::compile("life/loads.c", &[], Way::Preload);
    // An audit library has a namespace of its own: with a C library of its own, and perhaps a gort of its own.
    for way in [Way::Libc, Way::Shared] {
        let audit = Program::compile("life/audit.c", SHARED_OBJECT, way);
        for program in &programs {
            program.run().env("LD_AUDIT", audit.path()).passes();
        }
        for mode in ["plugin", "plugin_threads"] {
            loads.run().arg(mode).env("LD_AUDIT", audit.path()).env("PLUGIN", plugin.path()).passes();
        }
    }
}

/// The C library holds a lock and allocates for a handler: gort's first object is for that.
#[test]
fn the_first_object_is_for_an_exit_handler() {
    for way in [Way::Libc, Way::Preload, Way::Shared, Way::Archive, Way::Static] {
        let program = Program::compile("life/handlers.c", &[], way);
        assert_eq!(program.run().passes(), "all\n");
        let outcome = program.run().env("GORT_STATS", "1").output();
        assert!(outcome.status.success() && outcome.stdout == "all\n", "{}", outcome.describe());
        let reports = outcome.stderr.contains("gort: heap of process ");
        assert_eq!(reports, way != Way::Libc, "{}", outcome.describe());
    }
}

#[test]
fn plugins_come_and_go() {
    let plugin = Program::compile("life/plugin.c", SHARED_OBJECT, Way::Libc);
    for way in [Way::Libc, Way::Preload, Way::Archive] {
        let loads = Program::compile("life/loads.c", &["-rdynamic"], way);
        for mode in ["plugin", "plugin_threads"] {
            loads.run().arg(mode).env("PLUGIN", plugin.path()).passes();
        }
    }
}

#[test]
fn a_running_program_loads_gort_beside_its_allocator() {
    for way in [Way::Libc, Way::Archive] {
        let loads = Program::compile("life/loads.c", &[], way);
        for mode in ["allocator", "namespace"] {
            loads.run().arg(mode).env("ALLOCATOR", shared()).passes();
        }
    }
}

/// `libgort.a` in a library that, unlike `libgort.so`, is really unloaded: while threads live that have used it, and then again.
#[test]
fn a_library_with_gort_in_it_comes_and_goes() {
    let mut flags = [SHARED_OBJECT, &["-Wl,-Bsymbolic"]].concat();
    flags.extend(["-Wl,-u,malloc", "-Wl,-u,calloc", "-Wl,-u,realloc", "-Wl,-u,free"]);
    let library = Program::compile("life/library.c", &flags, Way::Archive);
    Program::compile("life/loads.c", &[], Way::Libc)
        .run()
        .arg("allocator")
        .env("ALLOCATOR", library.path())
        .passes();
}

#[test]
fn a_static_program_has_another_c_library() {
    if Command::new("musl-gcc").arg("--version").output().is_err() {
        eprintln!("no musl-gcc (Debian: musl-tools): programs with musl are not tried");
        return;
    }
    let dir = Scratch::new();
    for (name, modes) in [("early", &[""][..]), ("forks", &["alone", "busy", "chain", "raw", "hooks"])] {
        let program = dir.path().join(name);
        let mut command = Command::new("musl-gcc");
        command.args(["-static", "-O1", "-fno-builtin", "-pthread", "-DPREINIT", "-DALONE"]);
        command.arg(sources().join(format!("life/{name}.c"))).arg(archive()).arg("-o").arg(&program);
        finish(&mut command);
        for mode in modes {
            let run = Run::new(&program, Way::Libc).dir(dir.path());
            if mode.is_empty() {
                run.passes()
            } else {
                run.arg(mode).passes()
            };
        }
    }
}
