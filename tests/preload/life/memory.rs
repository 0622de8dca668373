//! What gort costs a program that does little, and one whose objects are freed by a thread that allocates nothing.

use crate::library::{Program, Way};

/// The most memory that a program had that only said hello, in KiB: the least of some runs.
fn hello(way: Way) -> u64 {
    let program = Program::compile("life/memory.c", &[], way);
    let most = |said: String| {
        let most = said.lines().find_map(|line| line.strip_prefix("most: "));
        most.and_then(|kib| kib.parse().ok()).unwrap_or_else(|| panic!("it does not tell: {said}"))
    };
    (0..5).map(|_| most(program.run().arg("hello").passes())).min().expect("it ran")
}

#[test]
fn a_hello_has_at_most_a_mebibyte_more() {
    let (with_gort, without) = (hello(Way::Preload), hello(Way::Libc));
    println!("{with_gort} KiB with gort, {without} KiB without");
    assert!(with_gort <= without + 1024, "{with_gort} KiB with gort, {without} KiB without");
}

#[test]
fn a_thread_that_only_frees_hoards_nothing() {
    for way in [Way::Libc, Way::Preload] {
        Program::compile("life/memory.c", &[], way).run().arg("only_frees").passes();
    }
}
