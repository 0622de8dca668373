//! Where the heap has transparent huge pages, as the kernel tells it in /proc/self/smaps: how much of a mapping is in huge pages, and the
//! flag `hg` on mappings that want them wherever they are touched, `nh` on those that must not have any.
#![expect(unsafe_code, reason = "maps memory that is not the heap's, and writes a word of large objects")]

mod common;

use std::alloc::GlobalAlloc;
use std::fs;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use common::{Case, Object, PAGE, layout, resident};

const MIB: usize = 1 << 20;
const HUGE: usize = 2 * MIB;
/// Each huge page is as cheap as any.
const CHEAP: &str = "thpmaxus=1000000";

/// What the kernel says of a mapping.
#[derive(Debug, Default)]
struct Mapping {
    range: Range<usize>,
    /// Bytes in memory, and those of them in huge pages.
    resident: usize,
    huge: usize,
    flags: String,
}

/// What stands behind a name in smaps.
fn bytes(amount: &str) -> usize {
    amount.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

impl Mapping {
    /// The one that holds `addr`, with its like beside it: of two parts that were touched while what is between them had other advice the kernel
    /// does not make one mapping again.
    fn of(addr: usize) -> Self {
        let smaps = fs::read_to_string("/proc/self/smaps").expect("smaps can be read");
        let mut all: Vec<Self> = vec![];
        let mut mapping = Self::default();
        for line in smaps.lines() {
            if let Some((start, end)) = line.split(' ').next().and_then(|range| range.split_once('-'))
                && let (Ok(start), Ok(end)) =
                    (usize::from_str_radix(start, 16), usize::from_str_radix(end, 16))
            {
                mapping = Self { range: start..end, ..Self::default() };
            } else if let Some(amount) = line.strip_prefix("Rss:") {
                mapping.resident = bytes(amount);
            } else if let Some(amount) = line.strip_prefix("AnonHugePages:") {
                mapping.huge = bytes(amount);
            } else if let Some(flags) = line.strip_prefix("VmFlags:") {
                mapping.flags = format!("{flags} ");
                match all.last_mut().filter(|last| last.is_followed_by(&mapping)) {
                    Some(last) => last.append(&mapping),
                    None => all.push(std::mem::take(&mut mapping)),
                }
            }
        }
        let holds = |mapping: &Self| mapping.range.contains(&addr);
        all.into_iter().find(holds).unwrap_or_else(|| panic!("no mapping holds {addr:#x}"))
    }

    fn is_followed_by(&self, next: &Self) -> bool {
        self.range.end == next.range.start && self.flags == next.flags
    }

    fn append(&mut self, next: &Self) {
        self.range.end = next.range.end;
        self.resident += next.resident;
        self.huge += next.huge;
    }

    /// Whether it wants huge pages, must not have any, or neither.
    fn advice(&self) -> &'static str {
        match &self.flags {
            flags if flags.contains(" hg ") => "yes",
            flags if flags.contains(" nh ") => "no",
            _ => "none",
        }
    }
}

/// Filled objects of 1,000 bytes that have so many bytes together.
fn filled(bytes: usize) -> Vec<Object> {
    (0..bytes / 1024).map(|i| Object::new(layout(1000, 8), i as u64)).collect()
}

/// The mapping that the first and the last of these are in: what is touched is one of its own, but only for as long as that takes.
fn one_mapping(objects: &[Object]) -> Mapping {
    let heap = Mapping::of(objects[0].addr());
    assert!(heap.range.contains(&objects[objects.len() - 1].addr()), "the heap is one mapping: {heap:?}");
    heap
}

/// Filled objects of 1,000 bytes that have so many bytes together, and the mapping they are in.
fn small(bytes: usize) -> (Vec<Object>, Mapping) {
    let objects = filled(bytes);
    let heap = one_mapping(&objects);
    (objects, heap)
}

/// Whether the kernel gives a huge page to who asks: it may not be set to, or have none.
fn kernel_gives_them() -> bool {
    let (bytes, prot) = (2 * HUGE, libc::PROT_READ | libc::PROT_WRITE);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping at an address of the kernel's choice disturbs nothing.
    let p = unsafe { libc::mmap(std::ptr::null_mut(), bytes, prot, flags, -1, 0) };
    assert_ne!(p, libc::MAP_FAILED);
    // SAFETY: advice on the mapping made above.
    unsafe { libc::madvise(p, bytes, libc::MADV_HUGEPAGE) };
    let first = p.cast::<u8>().map_addr(|a| a.next_multiple_of(HUGE));
    // SAFETY: it lies in the mapping, which stays.
    unsafe { first.write_volatile(1) };
    let gives = Mapping::of(first.addr()).huge > 0;
    if !gives {
        eprintln!("this kernel gives no huge pages now: not tested");
    }
    gives
}

/// A case in a process of its own with these options, where there are huge pages.
fn case(test: &'static str, options: &str, body: impl FnOnce()) {
    Case::new(test, &format!("with {options}")).env("GODEBUG", options).succeeds(|| {
        if kernel_gives_them() {
            body();
        }
    });
}

#[test]
fn small_objects_have_them_from_a_size_of_the_heap_on() {
    let test = "small_objects_have_them_from_a_size_of_the_heap_on";
    case(test, CHEAP, || {
        let (_few, heap) = small(3 * MIB);
        assert_eq!((heap.huge, heap.advice()), (0, "no"));
        let before = resident();
        let (_many, heap) = small(40 * MIB);
        assert_eq!(heap.advice(), "no", "nothing else is to have them");
        assert!(heap.huge >= 32 * MIB && heap.huge.is_multiple_of(HUGE), "{heap:?}");
        // The objects' class wastes less than an eighth; one huge page may be resident in advance.
        let grown = resident() - before;
        assert!(grown <= 40 * MIB * 9 / 8 + HUGE + MIB, "grew by {grown}");
    });
    case(test, &format!("thpmin=0,{CHEAP}"), || assert!(small(3 * MIB).1.huge > 0));
    case(test, &format!("thpmin=1GiB,{CHEAP}"), || assert_eq!(small(40 * MIB).1.huge, 0));
}

/// Large objects that were small ones, and have so many bytes together.
fn grown_large(bytes: usize) -> Vec<Object> {
    // Seven pages: some lie across two huge pages.
    let each = 56 << 10;
    (0..bytes / each).map(|i| Object::new(layout(20_000, 8), i as u64).resize(each)).collect()
}

#[test]
fn what_grows_out_of_the_small_ones_has_them() {
    let test = "what_grows_out_of_the_small_ones_has_them";
    case(test, CHEAP, || {
        assert_eq!(one_mapping(&grown_large(3 * MIB)).huge, 0);
        let (small, before) = small(8 * MIB);
        let was = resident();
        let objects = grown_large(24 * MIB);
        let heap = one_mapping(&objects);
        // The kernel may refuse a few, and for each the heap does without another.
        assert!(heap.huge >= before.huge + 14 * MIB, "{heap:?}, before {before:?}");
        assert_eq!(heap.advice(), "no", "nothing else is to have them");
        let grown = resident() - was;
        assert!(grown <= 24 * MIB + HUGE + MIB, "grew by {grown}");
        assert_known(&heap);
        drop((small, objects));
        gort::free_os_memory();
        let stats = gort::stats();
        assert!(stats.heap_sys - stats.heap_released <= stats.heap_inuse + MIB as u64, "{stats:?}");
        assert!(resident() <= was - 6 * MIB, "{} of {was}", resident());
    });
    case(test, &format!("disablethp=1,{CHEAP}"), || {
        assert_eq!(one_mapping(&grown_large(40 * MIB)).huge, 0);
    });
}

#[test]
fn threads_make_them_in_what_grows() {
    case("threads_make_them_in_what_grows", CHEAP, || {
        let (_small, before) = small(4 * MIB);
        std::thread::scope(|s| {
            let fill = || s.spawn(|| grown_large(8 * MIB));
            let threads: Vec<_> = (0..12).map(|_| fill()).collect();
            let all: Vec<_> =
                threads.into_iter().flat_map(|t| t.join().expect("it does not panic")).collect();
            let heap = one_mapping(&all);
            assert!(heap.huge >= before.huge + 40 * MIB, "{heap:?}");
            assert_known(&heap);
        });
    });
}

#[test]
fn what_grows_by_a_few_pages_has_them() {
    case("what_grows_by_a_few_pages_has_them", CHEAP, || {
        let (_small, before) = small(8 * MIB);
        // Resizing checks the contents, and writes what is new.
        let grow = |object: Object, pages| object.resize(pages * PAGE);
        let object = (8..1024).step_by(8).fold(Object::new(layout(56 << 10, 8), 1), grow);
        let now = Mapping::of(object.addr());
        assert_eq!(now.range.start, before.range.start, "it stays in the heap");
        assert!(now.huge > before.huge, "it grew by 8 MiB, 64 KiB at a time: {now:?}, before {before:?}");
    });
}

/// What is resident of the heap must not be more than the heap knows of.
fn assert_known(heap: &Mapping) {
    let stats = gort::stats();
    let known = (stats.heap_sys - stats.heap_released) as usize;
    assert!(heap.resident <= known, "{} bytes resident, {known} known to be", heap.resident);
}

#[test]
fn threads_make_them_together() {
    case("threads_make_them_together", CHEAP, || {
        let (_few, _) = small(4 * MIB);
        std::thread::scope(|s| {
            let threads: Vec<_> = (0..12).map(|_| s.spawn(|| filled(8 * MIB))).collect();
            let all: Vec<_> =
                threads.into_iter().flat_map(|t| t.join().expect("it does not panic")).collect();
            let heap = one_mapping(&all);
            assert_eq!(heap.advice(), "no");
            // Threads of another group than the first borrow 4 MiB at a time, and the last window of each may be a new one.
            assert!(heap.huge >= 48 * MIB, "{heap:?}");
        });
    });
}

#[test]
fn while_one_is_made_others_get_none() {
    case("while_one_is_made_others_get_none", CHEAP, || {
        let (few, _) = small(8 * MIB);
        let all_made = AtomicBool::new(false);
        std::thread::scope(|s| {
            // One makes huge pages; others touch a few pages of a chunk that their group has borrowed, and nobody takes the rest.
            let maker = s.spawn(|| (0..2).for_each(|_| drop(filled(64 * MIB))));
            let toucher = || {
                let mut kept = vec![];
                while !all_made.load(Relaxed) {
                    kept.push(Object::new(layout(40_000, 8), 1));
                    std::thread::sleep(Duration::from_millis(2));
                }
            };
            (0..60).for_each(|_| _ = s.spawn(toucher));
            maker.join().expect("it does not panic");
            all_made.store(true, Relaxed);
        });
        gort::free_os_memory();
        assert_known(&one_mapping(&few));
    });
}

/// The address of an object of which only the first word is written.
fn hardly_written(p: *mut u8) -> usize {
    assert!(!p.is_null(), "there is memory");
    // SAFETY: the callers' objects have room for it.
    unsafe { p.cast::<u64>().write(1) };
    p.addr()
}

#[test]
fn what_may_stay_untouched_goes_without() {
    case("what_may_stay_untouched_goes_without", &format!("thpmin=0,{CHEAP}"), || {
        let (_objects, heap) = small(8 * MIB);
        let before = resident();
        // SAFETY: the layout has a size.
        let one = |_| hardly_written(unsafe { gort::GoAlloc.alloc_zeroed(layout(3 * MIB, 8)) });
        let large: Vec<_> = (0..20).map(one).collect();
        let at = Mapping::of(large[0]);
        // The scavenger may have taken a part of one that is resident in advance.
        assert!(at.range.start == heap.range.start && at.huge <= heap.huge, "{at:?}, before {heap:?}");
        assert!(resident() < before + MIB, "60 MiB, of which 20 words were written");
        let before = resident();
        for _ in 0..320 {
            // SAFETY: the layout has a size.
            hardly_written(unsafe { gort::GoAlloc.alloc_zeroed(layout(64 << 10, 8)) });
        }
        assert!(resident() < before + 320 * PAGE / 2 + MIB, "20 MiB, of which 320 words were written");
    });
}

#[test]
fn what_is_written_at_its_beginning_only_stays_small() {
    case("what_is_written_at_its_beginning_only_stays_small", CHEAP, || {
        let (_objects, _) = small(8 * MIB);
        let before = resident();
        let one = |_| {
            // SAFETY: the layout has a size.
            let word = hardly_written(unsafe { gort::GoAlloc.alloc(layout(6 * MIB, 8)) });
            word.is_multiple_of(HUGE)
        };
        // The price was asked for the small objects, and is asked again for one in sixteen of these.
        let aligned = (0..32).filter(|&i| one(i)).count();
        let grown = resident() - before;
        assert!(
            grown <= (2 + aligned) * HUGE + MIB,
            "{grown} for 32 words, {aligned} of them where a huge page begins"
        );
    });
}

#[test]
fn buffers_that_are_hardly_written_stay_small() {
    case("buffers_that_are_hardly_written_stay_small", CHEAP, || {
        let (_objects, _) = small(8 * MIB);
        for buffer in [layout(40 << 10, 8), layout(64 << 10, 8), layout(256 << 10, 8), layout(64 << 10, HUGE)]
        {
            let before = resident();
            for _ in 0..100 {
                // SAFETY: the layout has a size.
                hardly_written(unsafe { gort::GoAlloc.alloc(buffer) });
            }
            let grown = resident() - before;
            assert!(grown < HUGE, "{grown} for a word in each of 100 objects: {buffer:?}");
        }
    });
}

#[test]
fn what_is_new_and_large_has_them_until_others_ask() {
    case("what_is_new_and_large_has_them_until_others_ask", CHEAP, || {
        let (_objects, heap) = small(8 * MIB);
        let before = resident();
        let large = Object::new(layout(32 * MIB, 8), 1);
        let inside = Mapping::of(last_whole(&large));
        assert_eq!(inside.advice(), "yes");
        assert!(inside.huge == inside.range.len() && inside.huge >= 28 * MIB, "{inside:?}");
        assert!(resident() - before <= 33 * MIB, "grew by {}", resident() - before);
        assert_eq!(Mapping::of(large.addr()).advice(), "no", "its beginning");
        let mut next: Vec<_> = (0..7).map(|i| Object::new(layout(8 * MIB, 8), i)).collect();
        assert_eq!(Mapping::of(last_whole(&large)).advice(), "yes", "seven others asked");
        next.push(Object::new(layout(8 * MIB, 8), 7));
        assert_eq!(Mapping::of(last_whole(&large)).advice(), "no", "eight others asked");
        assert!(next.iter().all(|next| Mapping::of(last_whole(next)).advice() == "yes"));
        drop(next);
        // Where the process has kept its pages, it gives them up for this.
        drop(Object::new(layout(40 * MIB, 8), 3));
        let all = Mapping::of(heap.range.start);
        assert!(all.advice() == "no" && all.range.contains(&last_whole(&large)), "nobody asks: {all:?}");
    });
}

/// The last byte of the last huge page that could be whole in an object.
fn last_whole(object: &Object) -> usize {
    object.end() / HUGE * HUGE - 1
}

#[test]
fn what_grows_has_them() {
    case("what_grows_has_them", &format!("hugemin=64MiB,{CHEAP}"), || {
        let (_objects, heap) = small(8 * MIB);
        let before = resident();
        let large = [2, 4, 8, 16, 32]
            .iter()
            .fold(Object::new(layout(MIB, 8), 1), |large, mib| large.resize(mib * MIB));
        let grown = Mapping::of(last_whole(&large));
        let in_heap = grown.range.start < heap.range.end + 64 * MIB && grown.range.end > heap.range.start;
        if in_heap {
            assert_eq!(grown.advice(), "yes", "what it grew by last: {grown:?}");
            assert!(grown.huge == grown.range.len() && grown.huge >= 14 * MIB, "{grown:?}");
            assert_eq!(Mapping::of(large.addr()).advice(), "no", "its beginning");
            assert!(resident() - before <= 32 * MIB + HUGE, "grew by {}", resident() - before);
            let shorter = large.resize(24 * MIB);
            assert_eq!(Mapping::of(shorter.end() - 1).advice(), "no", "it shrank in there");
            gort::free_os_memory();
            let longer = shorter.resize(32 * MIB);
            let last = last_whole(&longer);
            assert_eq!(Mapping::of(last).advice(), "yes");
            drop(longer);
            // Where the thread has kept its pages, it gives them up for this.
            drop(Object::new(layout(40 * MIB, 8), 1));
            let all = Mapping::of(heap.range.start);
            assert!(all.advice() == "no" && all.range.contains(&last), "nobody has what grew: {all:?}");
        } else {
            assert_eq!(grown.advice(), "yes");
        }
        // SAFETY: the layout has a size.
        let zeroed = unsafe { gort::GoAlloc.alloc_zeroed(layout(64 * MIB, 8)) };
        assert_eq!(Mapping::of(zeroed.addr()).advice(), "none");
        let huge = Object::new(layout(64 * MIB, 8), 2);
        assert_eq!(Mapping::of(huge.addr()).advice(), "yes");
        let huge = huge.resize(72 * MIB);
        assert_eq!(Mapping::of(huge.addr()).advice(), "yes");
    });
}

#[test]
fn hardly_any_where_they_are_dear() {
    case("hardly_any_where_they_are_dear", "thpmaxus=0", || {
        // Nothing is as cheap as that: the price is asked after 1, 2, 4 ... others.
        let huge = small(64 * MIB).1.huge / HUGE;
        assert!((1..=6).contains(&huge), "{huge} huge pages");
    });
}

#[test]
fn nowhere_where_they_are_disabled_or_memory_is_limited() {
    let test = "nowhere_where_they_are_disabled_or_memory_is_limited";
    let nowhere = || {
        let (_objects, heap) = small(24 * MIB);
        assert_eq!((heap.huge, heap.advice()), (0, "no"));
        let huge = Object::new(layout(64 * MIB, 8), 2).resize(72 * MIB);
        assert_eq!(Mapping::of(huge.addr()).advice(), "no");
    };
    case(test, "hugemin=64MiB,disablethp=1,thpmin=0", nowhere);
    let options = format!("hugemin=64MiB,thpmin=0,{CHEAP}");
    Case::new(test, "limited from the start")
        .env("GODEBUG", &options)
        .env("GOMEMLIMIT", "1GiB")
        .succeeds(nowhere);
    Case::new(test, "limited later").env("GODEBUG", &options).succeeds(|| {
        let (_objects, heap) = small(8 * MIB);
        let _large = Object::new(layout(2 * MIB, 8), 1).resize(16 * MIB);
        gort::set_memory_limit(1 << 30);
        let before = Mapping::of(heap.range.start);
        let (_more, now) = small(24 * MIB);
        assert_eq!((now.huge, now.advice()), (before.huge, "no"));
    });
}
