//! Where gort asks the kernel for transparent huge pages, as the kernel tells it in /proc/self/smaps: the flag `hg` on mappings that
//! want them, `nh` on those that must not have any.

mod common;

use std::fs;

use common::{Case, Object, layout};

const MIB: usize = 1 << 20;

/// The flags of the mapping that holds `addr`; none where the kernel does not know huge pages.
fn flags(addr: usize) -> Option<String> {
    let smaps = fs::read_to_string("/proc/self/smaps").expect("smaps can be read");
    let mut inside = false;
    for line in smaps.lines() {
        if let Some((start, end)) = line.split(' ').next().and_then(|range| range.split_once('-'))
            && let (Ok(start), Ok(end)) = (usize::from_str_radix(start, 16), usize::from_str_radix(end, 16))
        {
            inside = (start..end).contains(&addr);
        } else if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| inside) {
            return Some(format!("{flags} "));
        }
    }
    panic!("no mapping holds {addr:#x}");
}

/// Whether the mapping that holds the object wants huge pages, must not have any, or neither.
fn advice(object: &Object) -> &'static str {
    let flags = flags(object.addr()).unwrap_or_default();
    let has = |flag| flags.contains(flag);
    if has(" hg ") {
        "yes"
    } else if has(" nh ") {
        "no"
    } else {
        "none"
    }
}

/// What is advised on the heap's first object, before and after it has grown; on one of its later ones; on a huge object; and on
/// a huge object that has grown.
fn advised() -> [&'static str; 5] {
    let objects = |bytes: usize| -> Vec<_> {
        (0..bytes / 65_536).map(|i| Object::new(layout(65_536, 8), i as u64)).collect()
    };
    let first = Object::new(layout(1000, 8), 1);
    let before = advice(&first);
    let many = objects(24 * MIB);
    let huge = Object::new(layout(64 * MIB, 8), 2);
    let new = advice(&huge);
    let grown = huge.resize(72 * MIB);
    [before, advice(&first), advice(&many[many.len() - 1]), new, advice(&grown)]
}

/// A kernel without huge pages has nothing to advise on.
fn kernel_has_them() -> bool {
    fs::exists("/sys/kernel/mm/transparent_hugepage/enabled").is_ok_and(|there| there)
}

fn expect(test: &'static str, options: &str, expected: [&'static str; 5]) {
    if kernel_has_them() {
        Case::new(test, &format!("with {options}"))
            .env("GODEBUG", &format!("hugemin=64MiB,{options}"))
            .succeeds(|| assert_eq!(advised(), expected));
    }
}

#[test]
fn unasked_nothing_is_advised() {
    expect("unasked_nothing_is_advised", "", ["none"; 5]);
}

#[test]
fn a_heap_that_has_grown_asks_for_huge_pages() {
    expect("a_heap_that_has_grown_asks_for_huge_pages", "thpmin=4MiB", ["no", "yes", "yes", "none", "yes"]);
}

#[test]
fn from_the_start_where_that_is_wanted() {
    expect("from_the_start_where_that_is_wanted", "thpmin=0", ["yes", "yes", "yes", "none", "yes"]);
}

#[test]
fn not_before_the_size_that_is_wanted() {
    expect("not_before_the_size_that_is_wanted", "thpmin=1GiB", ["no", "no", "no", "none", "yes"]);
}

#[test]
fn nowhere_where_they_are_disabled() {
    expect("nowhere_where_they_are_disabled", "disablethp=1", ["no", "no", "no", "no", "no"]);
    expect("nowhere_where_they_are_disabled", "disablethp=1,thpmin=0", ["no", "no", "no", "no", "no"]);
}
