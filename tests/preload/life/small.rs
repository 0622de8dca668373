//! Small machines and odd settings: limits, strict overcommit, small stacks, huge pages.
//!
//! Not tried: `vm.overcommit_memory=2` and the system-wide setting of transparent huge pages themselves, which belong to all
//! processes of the machine. The first is held against what it charges, which the kernel marks in any mode; of the second a
//! process can have "never", and "always" by advice for each of its mappings.

use std::process::Command;

use super::odd::{Public, is_root};
use crate::library::{Program, Run, Way, shared};

const MIB: u64 = 1 << 20;

fn limits(way: Way) -> Program {
    Program::compile("life/limits.c", &[], way)
}

#[test]
fn little_address_space() {
    for way in [Way::Preload, Way::Static] {
        let program = limits(way);
        for (kib, least) in [(200_000, "60"), (150_000, "40"), (500_000, "150")] {
            program.run().arg("exhaust").env("LEAST", least).limit(libc::RLIMIT_AS, kib * 1024).passes();
        }
        program.run().arg("threads").limit(libc::RLIMIT_AS, 200_000 * 1024).passes();
    }
}

/// `ulimit -v`, in KiB.
const SMALL_SPACES: [u64; 4] = [40_000, 60_000, 100_000, 200_000];

#[test]
fn much_of_little_address_space_is_the_programs() {
    for way in [Way::Preload, Way::Shared, Way::Archive, Way::Static] {
        let program = limits(way);
        for kib in SMALL_SPACES {
            program.run().arg("part").limit(libc::RLIMIT_AS, kib * 1024).passes();
        }
    }
}

#[test]
fn real_programs_start_in_little_address_space() {
    let programs = [
        &["cat", "/proc/self/maps"][..],
        &["ls", "-l", "/"],
        &["sort", "/proc/self/status"],
        &["perl", "-e", "1"],
    ];
    for kib in SMALL_SPACES {
        for words in programs {
            if words[0] == "perl" && Command::new("perl").arg("-v").output().is_err() {
                eprintln!("no perl: it is not tried");
                continue;
            }
            let run = Run::new(words[0], Way::Preload).limit(libc::RLIMIT_AS, kib * 1024);
            let said = words[1..].iter().fold(run, Run::arg).passes();
            assert!(words[0] != "cat" || said.contains("libgort.so"), "not preloaded: {said}");
        }
    }
}

#[test]
fn little_data() {
    // In the hardened build what 40 threads have freed waits.
    let little = if cfg!(feature = "hardened") { 60 } else { 40 };
    for way in [Way::Preload, Way::Static] {
        let program = limits(way);
        for (mib, least) in [(100, "60"), (little, "20")] {
            program.run().arg("exhaust").env("LEAST", least).limit(libc::RLIMIT_DATA, mib * MIB).passes();
            program.run().arg("threads").limit(libc::RLIMIT_DATA, mib * MIB).passes();
        }
    }
}

#[test]
fn small_stacks() {
    for way in [Way::Libc, Way::Preload, Way::Static] {
        let program = limits(way);
        program.run().arg("smallest_stack").passes();
        program.run().arg("threads").limit(libc::RLIMIT_STACK, 64 << 10).passes();
    }
}

#[test]
fn address_space_set_aside_is_not_charged() {
    for way in [Way::Libc, Way::Preload, Way::Static] {
        limits(way).run().arg("charged").env("MOST", "16").passes();
    }
    // But for 256 places of 128 KiB at most: one that was open and is closed stays charged.
    let program = limits(Way::Preload);
    let run = program.run().arg("charged").env("GODEBUG", "guardrate=1");
    run.env("LEAST", "24").env("MOST", "48").passes();
}

#[test]
fn huge_pages_go_back_too() {
    let program = limits(Way::Preload);
    for policy in ["never", "always", "default"] {
        program.run().arg("huge_pages").env("POLICY", policy).passes();
    }
}

#[test]
fn no_more_threads() {
    let program = limits(Way::Preload);
    // The limit is not held against root: as nobody, whose processes are none but this one's.
    if !is_root("a user without threads") {
        return;
    }
    let run = Run::new("setpriv", Way::Libc).limit(libc::RLIMIT_NPROC, 1);
    let run = ["--reuid=65534", "--regid=65534", "--clear-groups"].into_iter().fold(run, Run::arg);
    let dir = Public::new("threads");
    dir.copy(&shared(), "libgort.so", false);
    let program = dir.copy(&program.path(), "limits", false);
    let preload = format!("LD_PRELOAD={}", dir.path().join("libgort.so").display());
    run.arg("env").arg(preload).arg("GODEBUG=scavthread=1").arg(program).arg("no_threads").passes();
}
