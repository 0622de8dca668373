//! Pointers that a program may not pass: it is ended with SIGABRT and one line that names the function, the reason, the address, and size
//! class and state of the object as far as they are known.

use std::os::unix::process::ExitStatusExt;

use crate::library::{Program, Way};

const HARDENED: bool = cfg!(feature = "hardened");

const NEVER: &str = "pointer was never allocated";
const MIDDLE: &str = "pointer into the middle of an object";
const FREE: &str = "already free";
const NONE: &str = "no live object starts there";

/// No block of any heap.
const FOREIGN: [&str; 7] = ["stack", "data", "map", "code", "low", "high", "not_canonical"];
/// In a block, but not at its start.
const INSIDE: [&str; 15] = [
    "small_1",
    "small_8",
    "small_16",
    "small_last",
    "small_tail",
    "medium_16",
    "medium_page",
    "large_1",
    "large_16",
    "large_page",
    "large_pages",
    "large_last",
    "huge_16",
    "huge_page",
    "huge_mid",
];
/// Freed a moment ago, or so long ago that the block is back where it came from.
const FREED: [&str; 11] = [
    "small_free",
    "medium_free",
    "large_free",
    "huge_free",
    "small_free_before",
    "medium_free_before",
    "large_free_before",
    "large_free_below",
    "huge_free_below",
    "large_free_elsewhere",
    "huge_free_elsewhere",
];
/// Freed, but small, and in a cache under others or of another thread: this is noticed when the cache is emptied.
const FREED_OUT_OF_SIGHT: [&str; 2] = ["small_free_below", "small_free_elsewhere"];

/// What the line says behind the address: all that is known there. Of pages that are back in the heap nothing is. The plain build does not know of
/// a small object that is out of its span whether it is in a cache, the hardened one knows sizes as they were asked for, and freed mappings.
fn facts(pointer: &str) -> String {
    let known = |facts: &str| format!(", class={facts})");
    let (small, medium, large) = match HARDENED {
        true => ("48, size=48, state=Live", "20480, size=20000, state=Live", "large, size=100000"),
        false => ("48, state=LiveOrCached", "20480, state=LiveOrCached", "large, size=106496"),
    };
    let huge = "large, size=136314880";
    match pointer {
        "small_free" | "small_free_below" | "small_free_elsewhere" => known("48, state=Freed"),
        "medium_free" => known("20480, state=Freed"),
        "large_free" | "large_free_below" => known(&format!("{large}, state=Freed")),
        "large_free_elsewhere" if HARDENED => known(&format!("{large}, state=Freed")),
        "huge_free" | "huge_free_below" | "huge_free_elsewhere" if HARDENED => {
            known(&format!("{huge}, state=Freed"))
        }
        p if p.contains("_free") || FOREIGN.contains(&p) => ")".to_owned(),
        // Behind the last object of a span.
        "small_tail" => known("48"),
        p if p.starts_with("small") => known(small),
        p if p.starts_with("medium") => known(medium),
        p if p.starts_with("large") => known(&format!("{large}, state=Live")),
        p if p.starts_with("huge") => known(&format!("{huge}, state=Live")),
        p => panic!("no such pointer: {p}"),
    }
}

/// Runs the misuse; it must be noticed, at once or at the end. Which words are right depends on the function.
fn is_noticed(program: &Program, function: &str, pointer: &str, at_once: bool, reason: &str) {
    let outcome = program.run().arg(function).arg(pointer).output();
    let line = outcome.fatal_line();
    let late = outcome.stdout.contains("not at once");
    assert!(!late || !at_once, "{}", outcome.describe());
    let address =
        outcome.stdout.lines().find_map(|l| l.strip_prefix("address: ")).expect("it tells the address");
    assert!(line.contains(&format!("(addr={address}")), "no address: {}", outcome.describe());
    // The checks of the feature `invariants` notice some of it sooner, in their own words.
    if cfg!(feature = "invariants") && line.contains("fatal: invariant broken: not an object") {
        return;
    }
    let function = match function {
        // It jumps to realloc.
        "reallocarray" | "realloc_zero" => "realloc",
        // Where gort is linked statically, the C++ library's own, which calls free.
        f if f.starts_with("delete") && program.way() == Way::Static => "free",
        f if f.starts_with("delete") => "operator delete",
        other => other,
    };
    // What is noticed only when a cache is emptied is told as of a free.
    let by = |name: &str| line.starts_with(&format!("gort: fatal: {name}: "));
    let named = by(function) || (late && reason == FREE && by("free"));
    assert!(named, "not {function}'s words: {}", outcome.describe());
    let right = line.contains(reason) || (function != "free" && line.contains(NONE));
    assert!(right, "no {reason:?}: {}", outcome.describe());
    let facts = facts(pointer);
    assert!(line.ends_with(&format!("(addr={address}{facts}")), "not {facts:?}: {}", outcome.describe());
}

fn all_are_noticed(way: Way, functions: &[&str]) {
    let flags: &[&str] = if way == Way::Preload { &[] } else { &["-DGORT"] };
    let program = Program::compile("interface/misuse.c", flags, way);
    for function in functions {
        // A size that is only asked for frees nothing that could be noticed.
        let frees = *function != "malloc_usable_size";
        FOREIGN.iter().for_each(|p| is_noticed(&program, function, p, true, NEVER));
        INSIDE.iter().for_each(|p| is_noticed(&program, function, p, true, MIDDLE));
        for p in FREED.iter().filter(|p| frees || !matches!(**p, "small_free" | "medium_free")) {
            is_noticed(&program, function, p, true, FREE);
        }
        for p in FREED_OUT_OF_SIGHT.iter().filter(|_| frees) {
            is_noticed(&program, function, p, false, FREE);
        }
    }
}

#[test]
fn preloaded() {
    all_are_noticed(Way::Preload, &["free", "realloc", "realloc_zero", "reallocarray", "malloc_usable_size"]);
}

#[test]
fn linked() {
    all_are_noticed(Way::Shared, &["free", "free_sized", "free_aligned_sized"]);
}

#[test]
fn linked_statically() {
    all_are_noticed(Way::Static, &["free", "realloc", "malloc_usable_size"]);
}

/// Each form of `operator delete` ends in free.
const DELETE: [&str; 12] = [
    "delete",
    "delete_sized",
    "delete_nothrow",
    "delete_array",
    "delete_array_sized",
    "delete_array_nothrow",
    "delete_aligned",
    "delete_aligned_sized",
    "delete_aligned_nothrow",
    "delete_array_aligned",
    "delete_array_aligned_sized",
    "delete_array_aligned_nothrow",
];

#[test]
fn deleted() {
    for way in [Way::Preload, Way::Static] {
        let program = Program::compile("interface/delete.cpp", &["-std=c++17"], way);
        for function in DELETE {
            ["stack", "data"].iter().for_each(|p| is_noticed(&program, function, p, true, NEVER));
            ["small_16", "large_16"].iter().for_each(|p| is_noticed(&program, function, p, true, MIDDLE));
            ["small_free", "large_free", "large_free_below"]
                .iter()
                .for_each(|p| is_noticed(&program, function, p, true, FREE));
            is_noticed(&program, function, "small_free_below", false, FREE);
            is_no_misuse(&program, function);
        }
    }
}

/// What is not misuse gets through the same program: a block that is alive.
#[test]
fn a_live_block_is_not_misuse() {
    let program = Program::compile("interface/misuse.c", &[], Way::Preload);
    for function in ["free", "realloc", "realloc_zero", "reallocarray", "malloc_usable_size"] {
        is_no_misuse(&program, function);
    }
}

/// An object that is not aligned as `free_aligned_sized` is told, small and large.
#[test]
fn freed_with_another_alignment() {
    let program = Program::compile("interface/misuse.c", &["-DGORT"], Way::Shared);
    for (pointer, facts) in [("alive", facts("small")), ("large", facts("large"))] {
        let outcome = program.run().arg("free_overaligned").arg(pointer).output();
        let line = outcome.fatal_line();
        let says = "gort: fatal: free_aligned_sized: object has another alignment (addr=";
        assert!(line.starts_with(says) && line.ends_with(&facts), "{}", outcome.describe());
    }
}

fn is_no_misuse(program: &Program, function: &str) {
    let outcome = program.run().arg(function).arg("alive").output();
    assert_eq!(outcome.status.signal(), None, "{}", outcome.describe());
    assert_eq!(outcome.status.code(), Some(3), "{}", outcome.describe());
    assert!(outcome.stdout.ends_with("not at once\n"), "{}", outcome.describe());
}
