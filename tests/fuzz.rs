//! The inputs that fuzzing the whole heap has found worth keeping, and a bounded while of fuzzing on the stable toolchain.

mod common;
#[path = "fuzz/heap.rs"]
mod heap;
#[path = "common/replay.rs"]
mod replay;

use common::Case;

#[test]
fn the_corpus() {
    case("the_corpus").succeeds(|| replay::replay("heap", 0, heap::run));
}

#[test]
fn a_bounded_while() {
    case("a_bounded_while").succeeds(|| replay::fuzz("heap", 500, heap::run));
}

fn case(name: &str) -> Case {
    Case::new(name, "heap").env("GODEBUG", "hugemin=1100KiB")
}
