//! Time for pacing; never for results.
#![expect(unsafe_code, reason = "reads clocks through the vDSO")]

fn read(clock: libc::clockid_t) -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: t is valid for a write. Both clocks exist on every kernel that Rust supports, so it cannot fail.
    unsafe { libc::clock_gettime(clock, &raw mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// Nanoseconds of a monotonic clock that ticks every few milliseconds and costs a few nanoseconds to read.
pub(crate) fn coarse_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC_COARSE)
}

/// Nanoseconds of the clock by which the kernel dates files.
pub(crate) fn wall_ns() -> u64 {
    read(libc::CLOCK_REALTIME_COARSE)
}

/// Nanoseconds of a monotonic clock.
pub(crate) fn precise_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}
