//! The allocators that gort is held against, each built as its users build it.
//!
//! Each is a crate with its default features, and a feature of this crate has its name. mimalloc v2 and v3 are one crate with one
//! library, so they cannot be built by one call of cargo:
//!
//! ```text
//! cargo build --release -p gort-bench --bins --features mimalloc3,jemalloc,snmalloc,rpmalloc,tcmalloc
//! cargo build --release -p gort-bench --bin work-mimalloc2 --features mimalloc2
//! ```
//!
//! It takes a C++ compiler, make, and cmake for snmalloc. All programs share the library of workloads, and with it have gort's constructor, which
//! registers fork hooks at their start; nothing else of gort runs in them.
//!
//! # What was checked
//!
//! Build scripts take debug information for a debug build: snmalloc's gives up optimisation, those of mimalloc, snmalloc and
//! tcmalloc leave assertions in. The workspace's `Cargo.toml` turns it off for these crates in the release profile. snmalloc's
//! own build switch `build_cc` leaves the assertions in even so, and is not used.
//!
//! Published figures, beside what the rows of the same shape gave on two cores, best of five runs of each in turns. Many cores tell
//! more about passing objects between threads, so those rows can only say that nothing is far off.
//!
//! | peer | published | here |
//! |---|---|---|
//! | mimalloc, jemalloc | cfrac: jemalloc takes 1.13 times as long as mimalloc (technical report of 2019) | `bignum`: 1.14 times v2, 1.11 times v3 |
//! | mimalloc | sh6bench: the fastest by far, ahead of jemalloc by 2.5 and more (readme, 2021) | `sh6`: v2 is the fastest, ahead of jemalloc by 1.6 |
//! | rpmalloc | rpmalloc-benchmark, 16 to 1000 B: tcmalloc and jemalloc about 1.15 | `rptest` with those sizes: jemalloc 0.96 |
//! | rpmalloc, mimalloc | xmalloc-test: both far ahead of others but glibc (mimalloc's readme) | `xmalloc-1-1`: rpmalloc first, glibc 2.4 times as long |
//! | tcmalloc | without its caches for each CPU it is not what Google publishes | they are on: see `src/bin/work_tcmalloc.rs` |
//! | snmalloc | larson: 1.5 times as long as mimalloc (mimalloc's readme, 2019) | `larson`: 1.3 times v2; built with `-O3 -DNDEBUG` |

/// The lock file that this was built with.
const LOCK: &str = include_str!("../../Cargo.lock");

/// `library`, the version of an allocator, and that of the crate that brings it.
pub fn version(library: &str, name: &str) -> String {
    format!("{library} (crate {name} {})", crate_version(name))
}

/// The version of the library in a crate that has only that: after the plus, where the crate counts for itself.
pub fn library(name: &str) -> &'static str {
    let version = crate_version(name);
    let library = version.split_once('+').map_or(version, |(_, library)| library);
    library.split("-0-g").next().unwrap_or(library)
}

/// The version of a crate in the lock file.
fn crate_version(name: &str) -> &'static str {
    let entry = format!("name = \"{name}\"");
    let line = LOCK.lines().skip_while(|line| *line != entry).nth(1).unwrap_or_default();
    line.trim_start_matches("version = ").trim_matches('"')
}
