//! Signal handlers that interrupt the allocator and call it: served, or one line, never silent damage or a hang.

use crate::library::{Program, Way};

/// A handler of the trap flag needs the stack below the one it interrupts; eager binding keeps the loader out of what is stepped.
const STEP: &[&str] = &["-mno-red-zone", "-Wl,-z,now"];

fn steps(way: Way, deed: &str) {
    let program = Program::compile("life/step.c", STEP, way);
    let said = program.run().arg(deed).seconds(120).passes();
    // All operations were stepped through.
    assert!(said.lines().count() >= 15, "{said}");
}

#[test]
fn at_each_instruction_with_little_to_do() {
    steps(Way::Preload, "light");
}

#[test]
fn at_each_instruction_with_much_to_do() {
    steps(Way::Preload, "heavy");
}

#[test]
fn at_each_instruction_and_never_return() {
    steps(Way::Preload, "jump");
}

#[test]
fn at_each_instruction_and_fork() {
    steps(Way::Preload, "fork");
}

/// Figures are there or refused.
#[test]
fn at_many_instructions_for_the_heaps_figures() {
    steps(Way::Preload, "figures");
}

#[test]
fn at_each_instruction_of_the_first_operation_of_the_process() {
    for way in [Way::Archive, Way::Static] {
        let program = Program::compile("life/step.c", STEP, way);
        for deed in ["light", "jump"] {
            program.run().arg(deed).arg("first").passes();
        }
    }
}

#[test]
fn at_a_high_rate() {
    let program = Program::compile("life/storm.c", &[], Way::Preload);
    let modes = [
        "gentle",
        "one_thread",
        "threads",
        "short_threads",
        "other_stack",
        "little_stack",
        "jumping",
        "exiting",
    ];
    for mode in modes {
        program.run().arg(mode).passes();
    }
    program.run().arg("threads").env("GODEBUG", "scavthread=1").passes();
}
