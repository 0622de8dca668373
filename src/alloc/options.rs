//! Options from the environment, read once without allocating: `GOMEMLIMIT` and `GODEBUG`, which answer to Go's readGOMEMLIMIT and
//! parsedebugvars, and `GORT_STATS`, `GORT_STATS_JSON`, `GORT_SIZES` and `GORT_STATS_PID` for what is written at exit.
//!
//! A value that does not parse is one line on stderr, and the default holds. A process with raised privileges ignores the
//! environment.

use core::ffi::CStr;
use core::fmt::Write;
use core::str;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::{init, report, sizes};
use crate::guard;
use crate::heap::Heap;
use crate::sys::{self, Path};
use crate::throw::warn;

/// Variables that did not parse.
static BAD: AtomicU32 = AtomicU32::new(0);

/// How many of gort's environment variables (`GOMEMLIMIT`, options in `GODEBUG`, `GORT_STATS` and its kind) did not parse; each was
/// reported in one line on stderr when the heap started.
pub fn bad_variables() -> u32 {
    BAD.load(Relaxed)
}

/// What a memory limit may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Off,
    Auto,
    Bytes(usize),
}

/// Reads the environment and sets the heap up.
pub(super) fn apply(heap: &Heap) {
    if sys::is_secure() {
        return;
    }
    if let Some(value) = sys::env(c"GOMEMLIMIT") {
        match parse_limit(value) {
            Some(Limit::Off) => {}
            Some(Limit::Auto) => {
                if let Some(bytes) = cgroup_limit() {
                    heap.set_memory_limit(bytes);
                }
            }
            Some(Limit::Bytes(bytes)) => {
                heap.set_memory_limit(bytes);
            }
            None => bad(
                "GOMEMLIMIT",
                value,
                "a number of bytes with an optional suffix B, KiB, MiB, GiB or TiB; \"off\"; or \"auto\"",
            ),
        }
    }
    if let Some(list) = sys::env(c"GODEBUG") {
        list.split(|&b| b == b',').filter(|item| !item.is_empty()).for_each(|item| apply_debug(heap, item));
    }
    apply_report();
    apply_sizes(heap);
}

/// What the process is to write when it exits. Not inlined, for the stack: paths.
#[inline(never)]
fn apply_report() {
    match sys::env(c"GORT_STATS") {
        None | Some(b"" | b"0") => {}
        Some(b"1") => report::set_text(),
        Some(value) => bad("GORT_STATS", value, "0 or 1"),
    }
    if let Some(value) = sys::env(c"GORT_STATS_PID").filter(|value| !value.is_empty()) {
        match str::from_utf8(value).ok().and_then(|s| s.parse().ok()) {
            Some(pid) => report::set_owner(pid),
            None => bad("GORT_STATS_PID", value, "the number of a process"),
        }
    }
    if let Some(file) = sys::env(c"GORT_STATS_JSON").filter(|file| !file.is_empty())
        && report::set_json(file).is_err()
    {
        bad("GORT_STATS_JSON", file, "the path of a file, up to 4095 bytes from the root on");
    }
}

/// Whether the sizes that the program asks for are to be recorded.
fn apply_sizes(heap: &Heap) {
    let Some(file) = sys::env(c"GORT_SIZES").filter(|file| !file.is_empty()) else { return };
    if report::set_sizes(file).is_err() {
        bad("GORT_SIZES", file, "the path of a file, up to 4095 bytes from the root on");
    } else if !sizes::start(heap) {
        warn(format_args!("GORT_SIZES: no memory to record sizes in"));
    }
}

/// The longest mean distance between two guarded allocations.
const MOST_RARE: u64 = 1 << 40;

/// What an item of GODEBUG asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Debug {
    /// What is so anyway, or somebody else's.
    Nothing,
    BackgroundThread,
    NoHugePages,
    NoFence,
    HugePagesFrom(usize),
    HugeFrom(usize),
    /// In nanoseconds.
    DearHugePage(u64),
    /// One allocation in so many is guarded.
    Guard(u64),
}

/// One `name=value` of GODEBUG.
fn apply_debug(heap: &Heap, item: &[u8]) {
    match parse_debug(item) {
        Ok(Debug::Nothing) => {}
        Ok(Debug::BackgroundThread) => init::want_background(),
        Ok(Debug::NoHugePages) => heap.disable_huge_pages(),
        Ok(Debug::NoFence) => sys::thread::forbid_fence(),
        Ok(Debug::HugePagesFrom(bytes)) => heap.set_huge_pages_from(bytes),
        Ok(Debug::HugeFrom(bytes)) => heap.set_huge_from(bytes),
        Ok(Debug::DearHugePage(ns)) => heap.set_dear_huge_page(ns),
        Ok(Debug::Guard(_)) if cfg!(feature = "hardened") => {
            warn(format_args!("guardrate ignored: the hardened build has checks of its own"));
        }
        Ok(Debug::Guard(rate)) if guard::rate() == 0 => {
            if !guard::start(heap, rate) {
                warn(format_args!("guardrate ignored: no addresses for guarded objects"));
            }
        }
        Ok(Debug::Guard(_)) => {}
        Err(accepted) => bad("GODEBUG", item, accepted),
    }
}

/// Names that gort does not know are somebody else's. The error says what is accepted.
fn parse_debug(item: &[u8]) -> Result<Debug, &'static str> {
    let mut parts = item.splitn(2, |&b| b == b'=');
    let (name, value) = (parts.next().unwrap_or_default(), parts.next());
    let Some(value) = value else { return Err("a list of name=value, separated by commas") };
    let switch = |unusual: &[u8], setting, accepted| match value {
        _ if value == unusual => Ok(setting),
        b"0" | b"1" => Ok(Debug::Nothing),
        _ => Err(accepted),
    };
    match name {
        b"scavthread" => switch(b"1", Debug::BackgroundThread, "scavthread=0 or scavthread=1"),
        b"disablethp" => switch(b"1", Debug::NoHugePages, "disablethp=0 or disablethp=1"),
        b"membarrier" => switch(b"0", Debug::NoFence, "membarrier=0 or membarrier=1"),
        b"thpmin" => parse_bytes(value)
            .map(Debug::HugePagesFrom)
            .ok_or("thpmin=BYTES, with an optional suffix B, KiB, MiB, GiB or TiB"),
        b"thpmaxus" => str::from_utf8(value)
            .ok()
            .and_then(|s| s.parse().ok())
            .map(|us: u32| Debug::DearHugePage(1000 * u64::from(us)))
            .ok_or("thpmaxus=MICROSECONDS, a whole number"),
        b"guardrate" => match str::from_utf8(value).ok().and_then(|s| s.parse::<u64>().ok()) {
            Some(0) => Ok(Debug::Nothing),
            Some(rate) if rate <= MOST_RARE => Ok(Debug::Guard(rate)),
            _ => Err("guardrate=N for one allocation in N, a whole number up to 2^40; 0 for none"),
        },
        b"hugemin" => parse_bytes(value)
            .filter(|&bytes| bytes > crate::base::MAX_SMALL_SIZE)
            .map(Debug::HugeFrom)
            .ok_or("hugemin=BYTES above 32KiB, with an optional suffix B, KiB, MiB, GiB or TiB"),
        _ => Ok(Debug::Nothing),
    }
}

fn bad(name: &str, value: &[u8], accepted: &str) {
    BAD.fetch_add(1, Relaxed);
    // What is not text is cut off where it stops being text.
    let shown = match str::from_utf8(value) {
        Ok(s) => s,
        Err(e) => str::from_utf8(&value[..e.valid_up_to()]).unwrap_or_default(),
    };
    let shown = shown.get(..60).unwrap_or(shown);
    warn(format_args!("{name}={shown:?} ignored: accepted is {accepted}"));
}

fn parse_limit(value: &[u8]) -> Option<Limit> {
    match value {
        b"" | b"off" => Some(Limit::Off),
        b"auto" => Some(Limit::Auto),
        _ => parse_bytes(value).map(Limit::Bytes),
    }
}

/// Digits and a suffix, as in Go: `512MiB`. No sign, no fraction, no space; `None` on overflow of 63 bits.
fn parse_bytes(value: &[u8]) -> Option<usize> {
    let digits = value.iter().take_while(|b| b.is_ascii_digit()).count();
    let shift = match &value[digits..] {
        b"" | b"B" => 0,
        b"KiB" => 10,
        b"MiB" => 20,
        b"GiB" => 30,
        b"TiB" => 40,
        _ => return None,
    };
    let n: usize = str::from_utf8(&value[..digits]).ok()?.parse().ok()?;
    n.checked_mul(1 << shift).filter(|&n| isize::try_from(n).is_ok())
}

/// The smallest of `memory.max` and `memory.high` of the process's cgroup (version 2) and of those above it; `None` when none
/// is set. Not inlined: its buffers would be on the stack of the first allocation of each process, which may be a signal handler's.
#[cold]
#[inline(never)]
fn cgroup_limit() -> Option<usize> {
    let mut buf = [0; 4096];
    let file = sys::read_file(c"/proc/self/cgroup", &mut buf)?;
    cgroup_limit_in(file, |path| {
        let mut buf = [0; 64];
        sys::read_file(path, &mut buf).and_then(parse_cgroup_file)
    })
}

/// The same, of a process with this file in /proc, where `limit_of` reads the others.
fn cgroup_limit_in(file: &[u8], mut limit_of: impl FnMut(&CStr) -> Option<usize>) -> Option<usize> {
    let mut group = cgroup_of(file)?.trim_end_matches('/');
    let mut least = None;
    loop {
        for file in ["memory.max", "memory.high"] {
            let mut path = Path::new();
            write!(path, "/sys/fs/cgroup{group}/{file}").ok()?;
            least = least.into_iter().chain(limit_of(path.as_cstr())).min();
        }
        let Some((above, _)) = group.rsplit_once('/') else { return least };
        group = above;
    }
}

/// The path of the version 2 hierarchy in /proc/self/cgroup. A path has no NUL.
fn cgroup_of(file: &[u8]) -> Option<&str> {
    str::from_utf8(file).ok()?.lines().find_map(|l| l.strip_prefix("0::")).filter(|path| !path.contains('\0'))
}

/// The number in `memory.max` or `memory.high`; `None` for `max`.
fn parse_cgroup_file(file: &[u8]) -> Option<usize> {
    str::from_utf8(file).ok()?.trim().parse().ok()
}

/// Whether a memory limit may have this value.
#[cfg(feature = "fuzzing")]
pub(crate) fn is_memory_limit(value: &[u8]) -> bool {
    parse_limit(value).is_some()
}

/// All of it on bytes instead of the environment: each value is what a slow twin says.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn fuzz(bytes: &[u8]) {
    extern crate std;
    use std::string::String;

    let slow_bytes = |value: &[u8]| -> Option<usize> {
        let text = String::from_utf8(value.to_vec()).ok()?;
        let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40), ("B", 0), ("", 0)];
        let (digits, shift) =
            units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)))?;
        let digit = |sum: u128, c: char| Some((sum * 10 + u128::from(c.to_digit(10)?)).min(1 << 80));
        let n = if digits.is_empty() { None } else { digits.chars().try_fold(0, digit) }?;
        usize::try_from(n << shift).ok().filter(|&n| n >> 63 == 0)
    };
    assert_eq!(parse_bytes(bytes), slow_bytes(bytes));
    let limit = match bytes {
        b"" | b"off" => Some(Limit::Off),
        b"auto" => Some(Limit::Auto),
        _ => slow_bytes(bytes).map(Limit::Bytes),
    };
    assert_eq!(parse_limit(bytes), limit);
    for item in bytes.split(|&b| b == b',') {
        match parse_debug(item) {
            Ok(Debug::HugeFrom(n)) => {
                assert!(item.starts_with(b"hugemin=") && n > crate::base::MAX_SMALL_SIZE)
            }
            Ok(_) => assert!(item.contains(&b'=')),
            Err(accepted) => assert!(!accepted.contains('\n')),
        }
    }
    // The files are asked for from the group upwards, each below the root, and the least is taken.
    let mut asked = 0;
    let mut least = None;
    let mut before = usize::MAX;
    let got = cgroup_limit_in(bytes, |path| {
        let path = path.to_bytes();
        assert!(path.starts_with(b"/sys/fs/cgroup"));
        assert!(path.ends_with(b"/memory.max") || path.ends_with(b"/memory.high"));
        asked += 1;
        assert!(path.len() <= before.saturating_add(1), "not upwards");
        before = path.len();
        let limit = parse_cgroup_file(&bytes[..bytes.len().min(asked)]);
        least = least.into_iter().chain(limit).min();
        limit
    });
    assert!(got == least || got.is_none(), "{got:?} of {least:?}");
    assert!(asked <= 2 * bytes.len() + 2);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_and_a_bounded_while() {
        crate::replay::replay("options", 20_000, fuzz);
    }

    #[test]
    fn limits_parse_as_in_go() {
        for (text, limit) in [
            ("", Some(Limit::Off)),
            ("off", Some(Limit::Off)),
            ("auto", Some(Limit::Auto)),
            ("0", Some(Limit::Bytes(0))),
            ("123B", Some(Limit::Bytes(123))),
            ("4KiB", Some(Limit::Bytes(4096))),
            ("512MiB", Some(Limit::Bytes(512 << 20))),
            ("3GiB", Some(Limit::Bytes(3 << 30))),
            ("1TiB", Some(Limit::Bytes(1 << 40))),
            ("9223372036854775807", Some(Limit::Bytes(isize::MAX as usize))),
            ("9223372036854775808", None),
            ("8388608TiB", None),
            ("1MB", None),
            ("1 MiB", None),
            ("-1", None),
            ("+1", None),
            ("1.5GiB", None),
            ("MiB", None),
            ("Off", None),
        ] {
            assert_eq!(parse_limit(text.as_bytes()), limit, "{text:?}");
        }
        assert_eq!(parse_limit(b"\xff"), None);
    }

    #[test]
    fn cgroup_files() {
        assert_eq!(cgroup_of(b"12:cpu:/a\n0::/user.slice/x\n"), Some("/user.slice/x"));
        assert_eq!(cgroup_of(b"1:memory:/a\n"), None);
        assert_eq!(cgroup_of(b"0::/a\0b\n"), None);
        assert_eq!(parse_cgroup_file(b"max\n"), None);
        assert_eq!(parse_cgroup_file(b"1048576\n"), Some(1 << 20));
    }
}
