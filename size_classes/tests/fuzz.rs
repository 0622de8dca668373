//! The inputs that fuzzing has found worth keeping, and a bounded while of fuzzing on the stable toolchain.

mod common;
#[path = "../../tests/common/replay.rs"]
mod replay;

#[test]
fn the_corpus_and_a_bounded_while() {
    replay::replay("size_classes", 300, common::fuzz::run);
}
