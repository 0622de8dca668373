//! What is measured: a zeroed slice of 64-bit integers, allocated and freed. Go's `make([]int, n)`.

use std::hint::black_box;

use super::benchtime::Benchtime;
use super::harness::{self, Run};
use crate::failure::{Failure, bad_input};
use crate::machine;

const ELEMENT: usize = size_of::<i64>();
/// No allocation may have more bytes than `isize::MAX`.
const MAX_LEN: usize = isize::MAX as usize / ELEMENT;

/// Reads a number of elements that a slice can have.
///
/// # Errors
/// What is accepted.
pub(super) fn parse_len(s: &str) -> Result<usize, String> {
    let memory = machine::physical_memory().unwrap_or(usize::MAX);
    let max = MAX_LEN.min(memory / ELEMENT);
    let accepted =
        || format!("not a length from 1 to {max} (elements of {ELEMENT} bytes within this machine's memory)");
    s.parse().ok().filter(|len| (1..=max).contains(len)).ok_or_else(accepted)
}

/// Reads how many times to run.
///
/// # Errors
/// What is accepted.
pub(super) fn parse_count(s: &str) -> Result<u32, String> {
    s.parse().ok().filter(|&n| n > 0).ok_or_else(|| format!("not a count from 1 to {}", u32::MAX))
}

/// Tries each length once, since within a benchmark a failing allocation would abort.
///
/// # Errors
/// The first length that cannot be had.
pub(super) fn check_allocatable(lens: &[usize]) -> Result<(), Failure> {
    for &len in lens {
        let refused = |_| {
            let bytes = len * ELEMENT;
            bad_input(format!("--len {len} is more than can be allocated here: {bytes} bytes were refused"))
        };
        black_box(Vec::<i64>::new()).try_reserve_exact(len).map_err(refused)?;
    }
    Ok(())
}

/// Allocates and frees a slice of this length, again and again.
pub(super) fn benchmark(len: usize, benchtime: Benchtime) -> Run {
    harness::benchmark(benchtime, || {
        black_box(vec![0_i64; black_box(len)]);
    })
}
