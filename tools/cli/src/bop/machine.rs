//! What a benchmark's header says about the machine, in Go's words.

use std::fs;
use std::thread;

/// Operating system, as Go calls it.
pub(super) const OS: &str = std::env::consts::OS;

/// Architecture, as Go calls it.
pub(super) fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

/// Processors that this process may use: Go's default for GOMAXPROCS.
pub(super) fn processors() -> usize {
    thread::available_parallelism().map_or(1, |n| n.get())
}

/// The processor's name.
pub(super) fn cpu() -> Option<String> {
    field(&fs::read_to_string("/proc/cpuinfo").ok()?, "model name").map(str::to_owned)
}

/// Bytes of memory that the machine has.
pub(super) fn physical_memory() -> Option<usize> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let kib: usize = field(&meminfo, "MemTotal")?.strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
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
    fn this_machine_has_memory() {
        assert!(physical_memory().is_some_and(|bytes| bytes > 1 << 20));
    }
}
