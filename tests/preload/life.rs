//! The life of a process that was not written for gort: what comes before main and after it, threads and processes that come and go,
//! signals, privileges, small machines.
//!
//! Each program checks itself: it says what is not true on stderr and fails. `naive` makes sure that it can.

mod before_main;
mod memory;
mod naive;
mod odd;
mod processes;
mod signals;
mod small;
mod threads;
