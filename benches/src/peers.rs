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
//! Build scripts take debug information for a debug build: snmalloc's gives up optimisation, mimalloc's and snmalloc's leave
//! their assertions in. The profiles of the workspace's `Cargo.toml` turn it off for these crates.

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
