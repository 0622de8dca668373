//! Real programs that gort carries as their global allocator, each run to the end with its result checked.
//!
//! The work is done by crates that no one here wrote. Every program runs in a process of its own, so that `gort::stats()`
//! counts nothing else, first as it is and then under a `GOMEMLIMIT` far below what it needs: the limit is soft, so all it may
//! cost is time. With the feature `invariants` the same programs run with the heap's invariants checked throughout:
//!
//! ```text
//! cargo test --release --test crates
//! cargo test --release --features invariants --test crates
//! ```
//!
//! Rejected: running the programs side by side in one process. They would share one heap, and a count that is off by one
//! object could not be laid at anyone's door.

mod archive;
mod carry;
mod channels;
mod json;
mod persistent;
mod random;
mod sort;
mod sqlite;
mod syntax;
mod tcp;
mod text;

use carry::carry;

#[global_allocator]
static GLOBAL: gort::GoAlloc = gort::GoAlloc;

#[test]
fn tokio_serves_and_asks_over_loopback() {
    carry("tokio_serves_and_asks_over_loopback", tcp::run);
}

#[test]
fn rayon_sorts_and_groups_strings() {
    carry("rayon_sorts_and_groups_strings", sort::run);
}

#[test]
fn serde_json_round_trips_a_large_document() {
    carry("serde_json_round_trips_a_large_document", json::run);
}

#[test]
fn regex_agrees_with_a_slow_scan() {
    carry("regex_agrees_with_a_slow_scan", text::run);
}

#[test]
fn sqlite_joins_and_adds_up() {
    carry("sqlite_joins_and_adds_up", sqlite::run);
}

#[test]
fn tar_and_gzip_give_every_file_back() {
    carry("tar_and_gzip_give_every_file_back", archive::run);
}

#[test]
fn persistent_maps_keep_their_snapshots() {
    carry("persistent_maps_keep_their_snapshots", persistent::run);
}

#[test]
fn syn_reads_back_what_it_prints() {
    carry("syn_reads_back_what_it_prints", syntax::run);
}

#[test]
fn boxed_messages_cross_threads_that_come_and_go() {
    carry("boxed_messages_cross_threads_that_come_and_go", channels::run);
}
