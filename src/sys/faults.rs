//! Calls to the operating system, each of which a test may have refused. Without the feature `faults` they are just made.

use rustix::io::Result;

use super::errno;

/// A kind of call to the operating system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(
    not(feature = "faults"),
    expect(unreachable_pub, reason = "only tests that refuse calls name them")
)]
pub enum Call {
    /// `mmap`.
    Map,
    /// `munmap`.
    Unmap,
    /// `mremap`, to another length.
    Remap,
    /// `mremap` that leaves its source mapped (`MREMAP_DONTUNMAP`, Linux 5.7).
    Move,
    /// `mprotect`.
    Protect,
    /// `madvise` that gives frames back (`MADV_DONTNEED`).
    Release,
    /// `madvise` for or against huge pages, which a kernel may be built without.
    AdviseHuge,
    /// `madvise` with `MADV_COLD` (Linux 5.4).
    AdviseCold,
    /// `prctl`, for a mapping's name.
    Name,
    /// `futex`, to sleep and to wake.
    Futex,
    /// `membarrier`.
    Barrier,
}

/// Makes a call, unless it is to be refused. errno stays as it was.
pub(super) fn call<T>(kind: Call, make: impl FnOnce() -> Result<T>) -> Result<T> {
    errno::preserve(|| match imp::refusal(kind) {
        Some(code) => {
            // As the C library would leave it.
            errno::set(code);
            Err(rustix::io::Errno::from_raw_os_error(code))
        }
        None => make(),
    })
}

/// The answer of a function of the C library that says -1 and sets errno when it is refused.
pub(super) fn answer(failed: bool) -> Result<()> {
    if failed { Err(rustix::io::Errno::from_raw_os_error(errno::get())) } else { Ok(()) }
}

#[cfg(feature = "faults")]
mod imp {
    use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};

    use super::Call;

    const KINDS: usize = Call::Barrier as usize + 1;
    /// Those that memory comes from and goes to.
    const MEMORY: [Call; 8] = [
        Call::Map,
        Call::Unmap,
        Call::Remap,
        Call::Move,
        Call::Protect,
        Call::Release,
        Call::AdviseHuge,
        Call::AdviseCold,
    ];

    /// Calls made so far, of each kind.
    static CALLS: [AtomicU64; KINDS] = [const { AtomicU64::new(0) }; KINDS];
    /// A bit for each kind that may be refused.
    static REFUSED: AtomicU32 = AtomicU32::new(0);
    /// What is answered then.
    static ERRNO: AtomicI32 = AtomicI32::new(0);
    /// Calls of these kinds until refusal starts.
    static COUNTDOWN: AtomicU64 = AtomicU64::new(0);
    /// Calls to refuse once it has started.
    static REFUSALS: AtomicU64 = AtomicU64::new(0);

    fn plan(kinds: &[Call], errno: i32, after: u64, count: u64) {
        REFUSED.store(0, Relaxed);
        ERRNO.store(errno, Relaxed);
        REFUSALS.store(count, Relaxed);
        COUNTDOWN.store(after, Relaxed);
        REFUSED.store(kinds.iter().map(|&k| 1 << k as u32).sum(), Relaxed);
    }

    /// Refuses `count` memory calls after the next `after` ones, with `ENOMEM`. Returns how many were made before.
    pub fn refuse_after(after: u64, count: u64) -> u64 {
        plan(&MEMORY, libc::ENOMEM, after, count);
        MEMORY.iter().map(|&kind| calls(kind)).sum()
    }

    /// Refuses `count` calls of one kind after the next `after` ones, with this errno. Ends what was to be refused before.
    pub fn refuse_calls(kind: Call, errno: i32, after: u64, count: u64) {
        plan(&[kind], errno, after, count);
    }

    /// Calls of one kind that were made so far, those that were refused among them.
    pub fn calls(kind: Call) -> u64 {
        CALLS[kind as usize].load(Relaxed)
    }

    /// What to answer to the call that is about to be made, if it is to be refused.
    pub(super) fn refusal(kind: Call) -> Option<i32> {
        CALLS[kind as usize].fetch_add(1, Relaxed);
        if REFUSED.load(Relaxed) >> kind as u32 & 1 == 0 {
            return None;
        }
        let turn = COUNTDOWN.try_update(Relaxed, Relaxed, |n| n.checked_sub(1)).is_err();
        let refused = turn && REFUSALS.try_update(Relaxed, Relaxed, |n| n.checked_sub(1)).is_ok();
        refused.then(|| ERRNO.load(Relaxed))
    }
}

#[cfg(not(feature = "faults"))]
mod imp {
    /// None, ever.
    #[inline(always)]
    pub(super) fn refusal(_: super::Call) -> Option<i32> {
        None
    }
}

#[cfg(feature = "faults")]
pub use imp::{calls, refuse_after, refuse_calls};
