//! Runs models of gort: all, or those whose names begin with an argument. Each is a process of its own.
//! `--weakened` breaks gort in many places, one at a time, and runs the models that must notice.

#[path = "../../../src/base/mod.rs"]
mod base;
#[path = "../../../src/heap/mod.rs"]
mod heap;
#[path = "../../../src/mcache/mod.rs"]
mod mcache;
#[path = "../../../src/mcentral/mod.rs"]
mod mcentral;
#[path = "../../../src/page/mod.rs"]
mod page;
#[path = "../../../src/throw.rs"]
mod throw;

mod atomic;
mod execution;
mod futex;
mod guard;
mod lock;
mod models;
mod run;
mod sync;
mod sys;
mod table;
mod weakened;

extern crate self as gort_size_classes;

fn main() -> std::process::ExitCode {
    run::main()
}
