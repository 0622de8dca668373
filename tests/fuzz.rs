//! The inputs that fuzzing the whole heap has found worth keeping, and a bounded while of fuzzing on the stable toolchain.

mod common;
#[path = "fuzz/heap.rs"]
mod heap;
#[path = "common/replay.rs"]
mod replay;

use common::Case;

#[test]
fn the_corpus_and_a_bounded_while() {
    let name = "the_corpus_and_a_bounded_while";
    Case::new(name, "heap")
        .env("GODEBUG", "hugemin=1100KiB")
        .succeeds(|| replay::replay("heap", 500, heap::run));
}
