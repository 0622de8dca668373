//! Processes that a busy process makes, and how processes end.

use crate::library::{Program, Way};

const MODES: [&str; 7] =
    ["busy", "chain", "from_threads", "spawn", "vfork_allocates", "raw", "first_in_child"];

#[test]
fn children_of_busy_processes_work() {
    let program = Program::compile("life/forks.c", &[], Way::Preload);
    for mode in MODES {
        program.run().arg(mode).passes();
    }
}

#[test]
fn children_of_busy_static_processes_work() {
    let program = Program::compile("life/forks.c", &[], Way::Static);
    for mode in ["busy", "chain"] {
        program.run().arg(mode).passes();
    }
}

#[test]
fn fork_handlers_of_the_program_allocate() {
    for way in [Way::Libc, Way::Preload, Way::Shared, Way::Archive, Way::Static] {
        let program = Program::compile("life/forks.c", &[], way);
        program.run().arg("hooks").passes();
        // Registered before main, when the program may not have allocated yet.
        program.run().arg("hooks").env("FORK_HOOKS", "1").passes();
        program.run().arg("hooks").env("FORK_HOOKS", "60").passes();
    }
}

#[test]
fn a_signal_handler_forks_while_its_process_forks() {
    for way in [Way::Libc, Way::Preload, Way::Shared, Way::Archive, Way::Static] {
        let early = matches!(way, Way::Preload | Way::Static);
        for flags in [&[][..], &["-DPREINIT"]].into_iter().take(1 + usize::from(early)) {
            Program::compile("life/forks.c", flags, way).run().arg("interrupted").passes();
        }
    }
}

#[test]
fn processes_end_while_threads_allocate() {
    let program = Program::compile("life/exits.c", &[], Way::Preload);
    program.run().passes();
    // Each process says at its end what it did.
    let outcome = program.run().env("GORT_STATS", "1").output();
    assert!(outcome.status.success(), "{}", outcome.describe());
    assert!(outcome.stderr.contains("gort"), "no report: {}", outcome.describe());
    assert!(!outcome.stderr.contains("fatal"), "{}", outcome.describe());
    Program::compile("life/exits.c", &[], Way::Static).run().passes();
}
