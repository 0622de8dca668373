//! Injected refusals of memory calls. Without the feature `faults` the answer is a constant.

#[cfg(feature = "faults")]
mod imp {
    use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

    /// Calls until refusal starts, plus one; 0 = never.
    static COUNTDOWN: AtomicU64 = AtomicU64::new(0);
    /// Calls to refuse once it has started.
    static REFUSALS: AtomicU64 = AtomicU64::new(0);
    /// Memory calls made so far.
    static CALLS: AtomicU64 = AtomicU64::new(0);

    /// Refuses `count` memory calls after the next `after` ones. Returns how many calls were made before.
    pub fn refuse_after(after: u64, count: u64) -> u64 {
        REFUSALS.store(count, Relaxed);
        COUNTDOWN.store(after + 1, Relaxed);
        CALLS.load(Relaxed)
    }

    /// Whether to refuse the call that is about to be made.
    pub(crate) fn refuse() -> bool {
        CALLS.fetch_add(1, Relaxed);
        let before = COUNTDOWN.try_update(Relaxed, Relaxed, |n| if n > 1 { Some(n - 1) } else { None });
        before == Err(1) && REFUSALS.try_update(Relaxed, Relaxed, |n| n.checked_sub(1)).is_ok()
    }
}

#[cfg(not(feature = "faults"))]
mod imp {
    /// Never.
    #[inline(always)]
    pub(crate) fn refuse() -> bool {
        false
    }
}

pub(crate) use imp::refuse;
#[cfg(feature = "faults")]
pub use imp::refuse_after;
