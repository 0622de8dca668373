//! Errors that are made on purpose: a soak that would not find them says nothing.
#![expect(unsafe_code, reason = "ends the process at once when a check fails")]

use std::io::{Cursor, Write};
use std::process::{self, Command};
use std::{env, panic};

use clap::ValueEnum;

/// What goes wrong, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Plant {
    /// An object is never freed.
    Leak,
    /// An object is freed, and the heap does not count it.
    LostFree,
    /// A byte of an object changes.
    Damage,
}

/// The status of a process whose check failed.
const FAILED: i32 = 101;
/// So long one of them takes.
const MINUTES: &str = "0.02";

/// The longest message of a forked child.
const LONGEST: usize = 4 << 10;

/// A thread whose check fails ends the process: the others would wait for it, or go on as if nothing were.
pub(crate) fn failures_end_the_process() {
    let (usual, here) = (panic::take_hook(), process::id());
    panic::set_hook(Box::new(move |info| {
        if process::id() == here {
            usual(info);
        } else {
            // In a forked child the locks that the usual way takes may be taken for good.
            let mut said = Cursor::new([0; LONGEST]);
            let _ = writeln!(said, "soak: in a forked child: {info}");
            let (len, bytes) = (said.position() as usize, said.into_inner());
            // SAFETY: as many bytes of the array are written.
            unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), len) };
        }
        // SAFETY: no preconditions.
        unsafe { libc::_exit(FAILED) };
    }));
}

/// Fails unless each of them ends a soak of its own, with the words that fit.
pub(crate) fn all_are_found() {
    // A lost free is found by whoever comes first: the thread, in its own counts, or the next rest, in what is counted of all.
    for (plant, words) in
        [(Plant::Leak, "alive at the end"), (Plant::LostFree, "count"), (Plant::Damage, "contents changed")]
    {
        let name = plant.to_possible_value().expect("no variant is hidden");
        let out = Command::new(env::current_exe().expect("the test knows its binary"))
            .args(["--minutes", MINUTES, "--live", "32", "--plant", name.get_name()])
            .output()
            .expect("the soak starts");
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(FAILED), "{plant:?} was not found: {said}");
        assert!(said.contains(words), "{plant:?}: no {words:?} in {said}");
    }
}
