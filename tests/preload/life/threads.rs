//! Threads that come and go, and what they leave behind.

use crate::library::{Program, Way};

const MODES: [&str; 8] = ["waves", "exit", "detached", "cancelled", "keys", "late", "only_late", "leaving"];

#[test]
fn memory_is_bounded_by_living_threads() {
    let program = Program::compile("life/threads.c", &[], Way::Preload);
    for mode in MODES {
        program.run().arg(mode).passes();
    }
}

#[test]
fn memory_is_bounded_in_a_static_program() {
    let program = Program::compile("life/threads.c", &[], Way::Static);
    for mode in ["keys", "late"] {
        program.run().arg(mode).passes();
    }
}
