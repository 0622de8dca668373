//! What the integration tests share: random numbers from a seed that can be given again, objects whose contents tell whether
//! they are intact, an independent rounding of layouts, a count kept beside the heap's, and cases in processes of their own.
#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

mod input;
mod ledger;
mod object;
mod process;
mod random;

pub(crate) use input::Input;
pub(crate) use ledger::{Ledger, PAGE, assert_consistent, class_of, rounded};
pub(crate) use object::{Object, fill_caches, layout};
pub(crate) use process::{
    Case, before_forks, check_heap, deadline, fork, keeps_errno, on_plain_threads, resident, seconds_until,
    wait_for, without_core,
};
pub(crate) use random::{Random, given_seed};
