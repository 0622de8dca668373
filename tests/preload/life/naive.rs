//! Whether the programs can fail: a plain allocator passes them, and with one protection taken away it does not.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use crate::library::{Program, Run, Scratch, Way, finish, sources};

/// The plain allocator without the protection of that name.
fn naive(dir: &Scratch, without: &str) -> PathBuf {
    let library = dir.path().join(format!("libnaive-{without}.so"));
    let mut command = Command::new("cc");
    command.args(["-Wall", "-Werror", "-O1", "-fno-builtin", "-g", "-pthread", "-shared", "-fPIC"]);
    command.arg("-Wl,-Bsymbolic").arg(format!("-DNAIVE_{without}"));
    if without != "CONSTRUCTED" {
        command.arg("-Wl,-z,initfirst");
    }
    if without != "UNLOADED" {
        command.arg("-Wl,-z,nodelete");
    }
    finish(command.arg(sources().join("life/naive.c")).arg("-o").arg(&library));
    library
}

/// A program of this directory, its mode, and a variable that it reads.
type Case = (&'static str, &'static str, Option<(&'static str, &'static str)>);

fn run(program: &Program, library: &PathBuf, (name, mode, variable): Case) -> Run {
    let mut run = program.run().env(if name == "loads" { "ALLOCATOR" } else { "LD_PRELOAD" }, library);
    if !mode.is_empty() {
        run = run.arg(mode);
    }
    match variable {
        Some((name, value)) => run.env(name, value),
        None => run,
    }
}

fn compile(name: &str) -> Program {
    let flags: &[&str] = match name {
        "early" => &["-DPREINIT"],
        "step" => &["-mno-red-zone", "-Wl,-z,now"],
        _ => &[],
    };
    Program::compile(&format!("life/{name}.c"), flags, Way::Libc)
}

/// What is taken away, and what finds it.
const DEFECTS: [(&str, Case); 17] = [
    // A handler interrupts the allocator, which waits for itself.
    ("SIGNALS", ("storm", "one_thread", None)),
    ("SIGNALS", ("step", "light", None)),
    // A thread's cache stays when the thread goes.
    ("CACHE", ("threads", "waves", None)),
    ("CACHE", ("threads", "detached", None)),
    ("CACHE", ("threads", "keys", None)),
    // It goes, and the thread uses it once more.
    ("DANGLING", ("threads", "late", None)),
    // A child is forked while another thread holds the lock.
    ("FORK", ("forks", "busy", None)),
    // The lock is taken before the program's own hooks run.
    ("FORK_LATE", ("forks", "hooks", Some(("FORK_HOOKS", "1")))),
    // Addresses are set aside as memory that can be written.
    ("RESERVED", ("limits", "charged", Some(("MOST", "16")))),
    ("DESCRIPTOR", ("odd", "descriptors", None)),
    ("SAYS", ("odd", "closed", None)),
    ("CPU", ("odd", "affinity", None)),
    // It stands when its constructor has run.
    ("CONSTRUCTED", ("early", "", None)),
    // It falls when its destructor has run.
    ("TORN_DOWN", ("exits", "", None)),
    ("STACK", ("limits", "smallest_stack", None)),
    // The hook at a thread's end lies in a library that is gone.
    ("UNLOADED", ("loads", "allocator", None)),
    // Addresses of free objects keep their memory, as they do in the plain allocator at its best.
    ("NOTHING_BUT_KEEPS", ("limits", "huge_pages", Some(("POLICY", "default")))),
];

#[test]
fn a_plain_allocator_passes() {
    let dir = Scratch::new();
    let library = naive(&dir, "NOTHING");
    several_at_once(|&(without, case)| {
        // It keeps what is free, and blocks the signal that steps.
        if without != "NOTHING_BUT_KEEPS" && case.0 != "step" {
            run(&compile(case.0), &library, case).passes();
        }
    });
}

/// Most of the time goes into waiting.
fn several_at_once(test: impl Fn(&(&'static str, Case)) + Sync) {
    thread::scope(|s| {
        for some in DEFECTS.chunks(DEFECTS.len().div_ceil(4)) {
            s.spawn(|| some.iter().for_each(&test));
        }
    });
}

fn is_found(&(without, case): &(&'static str, Case)) {
    let dir = Scratch::new();
    let (library, program) = (naive(&dir, without), compile(case.0));
    let fails = || {
        let run = run(&program, &library, case).seconds(10);
        catch_unwind(AssertUnwindSafe(|| run.passes())).is_err()
    };
    // Some show when threads meet, which on a busy machine they may not at once.
    let found = (0..5).any(|_| fails());
    assert!(found, "{without} is not found by {case:?}");
}

#[test]
fn each_defect_is_found() {
    several_at_once(is_found);
}

#[test]
fn a_need_for_proc_is_found() {
    if !super::odd::is_root("chroot") {
        return;
    }
    let (dir, program) = (Scratch::new(), compile("odd"));
    let case = ("odd", "chroot", None);
    run(&program, &naive(&dir, "NOTHING"), case).passes();
    let run = run(&program, &naive(&dir, "PROC"), case);
    assert!(!run.output().status.success(), "it is not found");
}
