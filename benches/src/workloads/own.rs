//! Rows that the program compiles as part of its own crate, beside its `#[global_allocator]`: there the compiler can put an
//! allocator that is written in Rust right into the loop. All other rows are part of a library, where each allocation and
//! each free is a call, as it is in any dependency of a program that is built without link-time optimisation.

use super::{Workload, random, small};

/// The rows. Inline, and so is all that they refer to: that is what makes them part of the crate that calls this.
#[inline]
pub fn rows() -> Vec<Workload> {
    vec![
        Workload {
            name: "box-64-own",
            about: "box-64 in the program's own crate, with what the compiler inlines",
            run: small::box_64,
            ..super::find("box-64")
        },
        Workload {
            name: "random-1k-own",
            about: "random-1k in the program's own crate, with what the compiler inlines",
            run: random::random,
            ..super::find("random-1k")
        },
    ]
}
