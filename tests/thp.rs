//! Where gort asks the kernel for transparent huge pages, as the kernel tells it in /proc/self/smaps: the flag `hg` on mappings that
//! want them, `nh` on those that must not have any.

mod common;

use std::fs;
use std::ops::Range;

use common::{Case, Object, layout};

const MIB: usize = 1 << 20;

/// The mapping that holds `addr` and its flags; none where the kernel does not know huge pages.
fn mapping(addr: usize) -> Option<(Range<usize>, String)> {
    let smaps = fs::read_to_string("/proc/self/smaps").expect("smaps can be read");
    let mut inside = 0..0;
    for line in smaps.lines() {
        if let Some((start, end)) = line.split(' ').next().and_then(|range| range.split_once('-'))
            && let (Ok(start), Ok(end)) = (usize::from_str_radix(start, 16), usize::from_str_radix(end, 16))
        {
            inside = start..end;
        } else if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| inside.contains(&addr)) {
            return Some((inside, format!("{flags} ")));
        }
    }
    panic!("no mapping holds {addr:#x}");
}

/// Whether the mapping that holds the object wants huge pages, must not have any, or neither.
fn advice(object: &Object) -> &'static str {
    let (_, flags) = mapping(object.addr()).unwrap_or_default();
    let has = |flag| flags.contains(flag);
    if has(" hg ") {
        "yes"
    } else if has(" nh ") {
        "no"
    } else {
        "none"
    }
}

/// Objects of 64 KiB that have so many bytes together.
fn filled(bytes: usize) -> Vec<Object> {
    (0..bytes / 65_536).map(|i| Object::new(layout(65_536, 8), i as u64)).collect()
}

/// What is advised on the heap's first object, before and after it has grown; on one of its later ones; on a huge object; and on
/// a huge object that has grown.
fn advised() -> [&'static str; 5] {
    let first = Object::new(layout(1000, 8), 1);
    let before = advice(&first);
    let many = filled(40 * MIB);
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
fn a_heap_that_has_grown_asks_for_huge_pages() {
    let test = "a_heap_that_has_grown_asks_for_huge_pages";
    expect(test, "thpmaxus=1000000", ["no", "yes", "yes", "none", "yes"]);
    expect(test, "thpmin=4MiB,thpmaxus=1000000", ["no", "yes", "yes", "none", "yes"]);
}

#[test]
fn from_the_start_where_that_is_wanted() {
    let test = "from_the_start_where_that_is_wanted";
    expect(test, "thpmin=0,thpmaxus=1000000", ["yes", "yes", "yes", "none", "yes"]);
}

#[test]
fn not_before_the_size_that_is_wanted() {
    let test = "not_before_the_size_that_is_wanted";
    expect(test, "thpmin=1GiB,thpmaxus=1000000", ["no", "no", "no", "none", "none"]);
}

#[test]
fn what_may_stay_untouched_goes_without() {
    if kernel_has_them() {
        let test = "what_may_stay_untouched_goes_without";
        Case::new(test, "").env("GODEBUG", "thpmin=0,thpmaxus=1000000").succeeds(|| {
            let before = filled(8 * MIB);
            assert_eq!(advice(&before[0]), "yes");
            let large = Object::new(layout(40 * MIB, 8), 1);
            assert_eq!(advice(&large), "no");
            let after = filled(40 * MIB);
            assert_eq!(advice(&after[0]), "yes");
            // One mapping, whatever was advised in between: of two, no object's frames could be moved that lies in both.
            let heap = mapping(before[0].addr());
            assert!([&large, &after[after.len() - 1]].iter().all(|object| mapping(object.addr()) == heap));
        });
    }
}

#[test]
fn not_where_they_are_dear() {
    // Nothing is as cheap as that. Huge objects that grow are not asked.
    expect("not_where_they_are_dear", "thpmaxus=0", ["no", "no", "no", "none", "yes"]);
}

#[test]
fn nowhere_where_they_are_disabled() {
    expect("nowhere_where_they_are_disabled", "disablethp=1", ["no", "no", "no", "no", "no"]);
    expect("nowhere_where_they_are_disabled", "disablethp=1,thpmin=0", ["no", "no", "no", "no", "no"]);
}

#[test]
fn nowhere_under_a_memory_limit() {
    if !kernel_has_them() {
        return;
    }
    let test = "nowhere_under_a_memory_limit";
    let case = |what| Case::new(test, what).env("GODEBUG", "hugemin=64MiB,thpmin=0,thpmaxus=1000000");
    case("from the start").env("GOMEMLIMIT", "1GiB").succeeds(|| assert_eq!(advised(), ["no"; 5]));
    case("set later").succeeds(|| {
        let first = Object::new(layout(1000, 8), 1);
        assert_eq!(advice(&first), "yes");
        gort::set_memory_limit(1 << 30);
        assert_eq!(advice(&first), "no");
        assert_eq!(advised(), ["no"; 5]);
    });
}
