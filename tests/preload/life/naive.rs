//! Whether the programs can fail: a plain allocator passes them, and with one protection taken away it does not. What is tested are the
//! programs, so this runs when it is asked for (`tests/run weakened`).

use std::collections::{BTreeMap, BTreeSet};
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

/// A program that is tried, and a library that it is told of in a variable.
struct Subject {
    program: Program,
    library: Option<(&'static str, Program)>,
}

fn run(subject: &Subject, library: &PathBuf, (name, mode, variable): Case) -> Run {
    let mut run =
        subject.program.run().env(if name == "loads" { "ALLOCATOR" } else { "LD_PRELOAD" }, library);
    if let Some((name, library)) = &subject.library {
        run = run.env(name, library.path());
    }
    if !mode.is_empty() {
        run = run.arg(mode);
    }
    match variable {
        Some((name, value)) => run.env(name, value),
        None => run,
    }
}

fn compile(name: &str) -> Subject {
    let (source, flags): (_, &[&str]) = match name {
        "early" | "audited" => ("early", &["-DPREINIT"]),
        "resolver" => ("early", &["-DPREINIT", "-DRESOLVER"]),
        "plugins" => ("loads", &["-rdynamic"]),
        "step" => (name, &["-mno-red-zone", "-Wl,-z,now"]),
        _ => (name, &[]),
    };
    let shared = |source| Program::compile(source, &["-shared", "-fPIC"], Way::Libc);
    let library = match name {
        "audited" => Some(("LD_AUDIT", shared("life/audit.c"))),
        "plugins" => Some(("PLUGIN", shared("life/plugin.c"))),
        _ => None,
    };
    Subject { program: Program::compile(&format!("life/{source}.c"), flags, Way::Libc), library }
}

/// What is taken away, and what finds it.
const DEFECTS: [(&str, Case); 26] = [
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
    // A process that is a child in the same memory is taken for a thread.
    ("THREAD_ID", ("forks", "vfork_allocates", None)),
    // It is for the process that it was put under, and takes itself out of what others inherit.
    ("INHERITED", ("forks", "spawn", None)),
    // The heap is one with that of a forked process.
    ("SHARED", ("forks", "raw", None)),
    // Addresses are set aside as memory that can be written.
    ("RESERVED", ("limits", "charged", Some(("MOST", "16")))),
    ("DESCRIPTOR", ("odd", "descriptors", None)),
    ("SAYS", ("odd", "closed", None)),
    ("CPU", ("odd", "affinity", None)),
    // It stands when its constructor has run.
    ("CONSTRUCTED", ("early", "", None)),
    // The loader is asked from within, and allocates; or it waits for an allocation of another thread's.
    ("DLSYM", ("early", "", None)),
    ("LOADER", ("plugins", "plugin_threads", None)),
    // Thread-local variables have no first value before the loader gives it to them.
    ("INITIALIZED", ("resolver", "", None)),
    // Beside an audit library thread-local variables come late: allocated at the first use, or in what room is left.
    ("DYNAMIC", ("audited", "", None)),
    ("LARGE", ("audited", "", None)),
    // It falls when its destructor has run.
    ("TORN_DOWN", ("exits", "", None)),
    ("STACK", ("limits", "smallest_stack", None)),
    // The hook at a thread's end lies in a library that is gone.
    ("UNLOADED", ("loads", "allocator", None)),
    // What an object keeps of the library that made it goes with that.
    ("MODULE", ("plugins", "plugin", None)),
    // Addresses of free objects keep their memory, as they do in the plain allocator at its best.
    ("NOTHING_BUT_KEEPS", ("limits", "huge_pages", Some(("POLICY", "default")))),
];

/// Most of the time goes into waiting.
const AT_ONCE: usize = 4;

#[derive(Debug, PartialEq)]
enum End {
    Passes,
    Fails,
    Hangs,
}

/// How the program ends with that library in place of gort.
fn end(subject: &Subject, library: &PathBuf, case: Case, seconds: u64) -> End {
    let run = run(subject, library, case).seconds(seconds);
    match catch_unwind(AssertUnwindSafe(|| run.passes())) {
        Ok(_) => End::Passes,
        Err(why) if why.downcast_ref::<String>().is_some_and(|why| why.starts_with("hung for")) => End::Hangs,
        Err(_) => End::Fails,
    }
}

/// What makes a program wait for ever. With the others one that hangs is only slow.
const HANG: [&str; 7] = ["SIGNALS", "FORK", "FORK_LATE", "DLSYM", "LOADER", "DYNAMIC", "DEAF"];

/// The program passes with the plain allocator, unless it is not `judged`, and not with the protection taken away.
fn is_found(subject: &Subject, (without, case): (&'static str, Case), plain: &PathBuf, judged: bool) {
    if judged {
        assert_eq!(end(subject, plain, case, 60), End::Passes, "{case:?}");
    }
    let dir = Scratch::new();
    let library = naive(&dir, without);
    let (seconds, expected) = if HANG.contains(&without) { (6, End::Hangs) } else { (60, End::Fails) };
    // Some show when threads meet, which on a busy machine they may not at once.
    let found = (0..5).any(|_| end(subject, &library, case, seconds) == expected);
    assert!(found, "{without} is not found by {case:?}");
}

#[test]
#[ignore = "tests the tests: tests/run weakened"]
fn each_defect_is_found() {
    let dir = Scratch::new();
    let plain = naive(&dir, "NOTHING");
    let programs: BTreeSet<_> = DEFECTS.iter().map(|(_, case)| case.0).collect();
    let subjects: BTreeMap<_, _> = programs.into_iter().map(|name| (name, compile(name))).collect();
    thread::scope(|s| {
        for first in 0..AT_ONCE {
            let (plain, subjects) = (&plain, &subjects);
            s.spawn(move || {
                for &(without, case) in DEFECTS.iter().skip(first).step_by(AT_ONCE) {
                    // The plain one keeps what is free, and blocks the signal that steps.
                    let judged = without != "NOTHING_BUT_KEEPS" && case.0 != "step";
                    is_found(&subjects[case.0], (without, case), plain, judged);
                }
            });
        }
    });
}

#[test]
#[ignore = "tests the tests: tests/run weakened"]
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

/// A thread in which no signal arrives, so that it never takes the new user.
#[test]
#[ignore = "tests the tests: tests/run weakened"]
fn a_deaf_thread_is_found() {
    if super::odd::is_root("setuid at run time") {
        let dir = Scratch::new();
        let case = ("odd", "setuid", Some(("ROUNDS", "10")));
        is_found(&compile("odd"), ("DEAF", case), &naive(&dir, "NOTHING"), true);
    }
}
