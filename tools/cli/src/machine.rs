//! What the head of a benchmark says about the machine; operating system and architecture in Go's words.

use std::fs;
use std::thread;

/// Operating system, as Go calls it.
pub(crate) const OS: &str = std::env::consts::OS;

/// Architecture, as Go calls it.
pub(crate) fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

/// Processors that this process may use: Go's default for GOMAXPROCS.
pub(crate) fn processors() -> usize {
    thread::available_parallelism().map_or(1, |n| n.get())
}

/// The processor's name.
pub(crate) fn cpu() -> Option<String> {
    field(&fs::read_to_string("/proc/cpuinfo").ok()?, "model name").map(str::to_owned)
}

/// Bytes of memory that the machine has.
pub(crate) fn physical_memory() -> Option<usize> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let kib: usize = field(&meminfo, "MemTotal")?.strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}

/// The kernel's release.
pub(crate) fn kernel() -> Option<String> {
    Some(fs::read_to_string("/proc/sys/kernel/osrelease").ok()?.trim().to_owned())
}

/// When memory that is not asked for it comes in huge pages: always, madvise or never.
pub(crate) fn huge_pages() -> Option<String> {
    let setting = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").ok()?;
    Some(chosen(&setting)?.to_owned())
}

/// How many threads ran or wanted to, on average over the last minute.
pub(crate) fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// `b` of `a [b] c`.
fn chosen(setting: &str) -> Option<&str> {
    Some(setting.split_once('[')?.1.split_once(']')?.0)
}

/// The value of the first line `name : value`.
fn field<'a>(file: &'a str, name: &str) -> Option<&'a str> {
    let values = file.lines().filter_map(|line| line.split_once(':'));
    values.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim()).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_field() {
        let file = "processor\t: 0\nmodel name\t: A: B\nmodel name\t: C\nMemTotal:       16 kB\n";
        assert_eq!(field(file, "model name"), Some("A: B"));
        assert_eq!(field(file, "MemTotal"), Some("16 kB"));
        assert_eq!(field(file, "model"), None);
    }

    #[test]
    fn finds_what_is_chosen() {
        assert_eq!(chosen("always [madvise] never\n"), Some("madvise"));
        assert_eq!(chosen("always"), None);
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(physical_memory().is_some_and(|bytes| bytes > 1 << 20));
    }
}
