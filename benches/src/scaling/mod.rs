//! What gort's shared locks do with more threads than a machine has: a simulation of threads that meet only there.
//!
//! A thread works by itself for a while, visits one lock, and goes on. How often it visits which lock is not guessed but counted: a
//! report of `GORT_STATS_JSON` has the counts of a real program ([`counters`]). What a visit holds its lock for can be measured here
//! ([`measure`]). The rest is a queue in front of each lock ([`model`]).
//!
//! The picture is darker than life. The program does nothing between two operations of the heap; all threads use the same size
//! classes at the same rate; each acquisition by another core pays for all of the cache lines that it needs, one after the other.
//! It leaves out memory bandwidth, and what the kernel does when a page is touched for the first time.

mod cli;
mod counters;
mod measure;
mod model;
mod table;

pub use cli::main;
