//! What the doors promise: objects that overlap no other, are aligned, keep their contents, and are zero where that was asked.
//!
//! The test binary itself allocates from the system, so that nothing but the cases reaches gort.
#![expect(unsafe_code, reason = "calls the doors with sizes that no object can have")]

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::collections::BTreeMap;

use common::{Case, Object, PAGE, Random, check_heap, class_of, layout, rounded};
use gort::GoAlloc;
use gort_size_classes::table::CLASS_TO_SIZE;

const MIB: usize = 1 << 20;

/// The live objects, with what the heap has set aside for each.
#[derive(Default)]
struct Model {
    objects: Vec<Object>,
    ranges: BTreeMap<usize, usize>,
    bytes: usize,
}

impl Model {
    fn insert(&mut self, object: Object) {
        let (start, end) = (object.addr(), object.end());
        assert!(
            end - start >= object.layout().size(),
            "less set aside than asked for: {:?}",
            object.layout()
        );
        if let Some((&other, &other_end)) = self.ranges.range(..end).next_back() {
            assert!(other_end <= start, "{start:#x}..{end:#x} overlaps {other:#x}..{other_end:#x}");
        }
        self.bytes += end - start;
        self.ranges.insert(start, end);
        self.objects.push(object);
    }

    fn remove(&mut self, random: &mut Random) -> Option<Object> {
        if self.objects.is_empty() {
            return None;
        }
        let object = self.objects.swap_remove(random.below(self.objects.len()));
        self.ranges.remove(&object.addr());
        self.bytes -= object.end() - object.addr();
        Some(object)
    }
}

/// A layout of any kind, `largest` bytes at most: mostly small ones, edges of classes and of pages, large alignments.
fn any_layout(random: &mut Random, largest: usize) -> Layout {
    let edge = |random: &mut Random, n: usize| (n + random.below(3)).saturating_sub(1).max(1);
    let (size, align) = match random.below(16) {
        0..6 => (1 + random.below(1024), 1 << random.below(5)),
        6..9 => (random.magnitude(14), 1 << random.below(5)),
        9 | 10 => {
            let class = random.pick(&CLASS_TO_SIZE) as usize;
            (edge(random, class), 1 << random.below(4))
        }
        11 => {
            let align = 1 << random.below(14);
            (1 + random.below(3 * align), align)
        }
        12 => {
            let pages = random.below(40) * PAGE;
            (edge(random, pages), 8)
        }
        13 => (random.magnitude(largest.ilog2() as usize - 1), 1 << random.below(13)),
        14 => (random.magnitude(16), 1 << (13 + random.below(9))),
        _ => (edge(random, 32768), 1 << random.below(13)),
    };
    layout(size.min(largest), align)
}

/// Runs `steps` operations at random against the model.
fn random_operations(random: &mut Random, steps: usize, largest: usize) {
    const MOST_OBJECTS: usize = 3_000;
    const MOST_BYTES: usize = 160 * MIB;
    let mut model = Model::default();
    for step in 0..steps {
        let tag = step as u64;
        match random.below(10) {
            0..4 => model.insert(Object::new(any_layout(random, largest), tag)),
            4 => model.insert(Object::zeroed(any_layout(random, largest), tag)),
            5 | 6 => {
                if let Some(object) = model.remove(random) {
                    let size = any_layout(random, largest).size();
                    model.insert(object.resize(size));
                }
            }
            _ => drop(model.remove(random)),
        }
        if model.objects.len() > MOST_OBJECTS || model.bytes > MOST_BYTES {
            // Most of it, so that spans become empty and pages come back.
            for _ in 0..model.objects.len() * 7 / 8 {
                drop(model.remove(random));
            }
        }
        if step % 256 == 0 {
            check_heap();
        }
    }
}

#[test]
fn random_operations_keep_objects_apart_and_intact() {
    random_operations(&mut Random::new(1), 60_000, 4 * MIB);
}

#[test]
fn random_operations_on_several_threads() {
    std::thread::scope(|s| {
        for thread in 0..3 {
            s.spawn(move || random_operations(&mut Random::new(100 + thread), 15_000, MIB));
        }
    });
}

#[test]
fn random_operations_with_huge_objects_from_half_a_mebibyte() {
    Case::new("random_operations_with_huge_objects_from_half_a_mebibyte", "it")
        .env("GODEBUG", "hugemin=512KiB")
        .succeeds(|| {
            let huge = Object::new(layout(MIB, 8), 1);
            assert_eq!(gort::stats().huge_inuse, MIB as u64, "GODEBUG=hugemin was not read");
            drop(huge);
            random_operations(&mut Random::new(2), 8_000, 4 * MIB);
            assert_eq!(gort::stats().huge_inuse, 0);
        });
}

/// Several objects of one layout at once, new and zeroed, and once more after those were freed dirty.
fn several(layout: Layout) {
    let count = if layout.size() + layout.align() > MIB { 2 } else { 4 };
    for round in 0..2 {
        let mut model = Model::default();
        for i in 0..count {
            model.insert(Object::new(layout, round * 16 + i));
            model.insert(Object::zeroed(layout, round * 16 + i + 8));
        }
    }
}

#[test]
fn every_alignment() {
    for align in (0..=21).chain([26]).map(|shift| 1usize << shift) {
        for size in
            [1, align / 2 + 1, align.saturating_sub(1).max(1), align, align + 1, align + align / 2 + 1]
        {
            if align <= 2 * MIB || size == 1 || size == align {
                several(layout(size, align));
            }
        }
    }
}

#[test]
fn every_size_at_the_edge_of_a_class() {
    let edges = CLASS_TO_SIZE.iter().map(|&size| size as usize);
    let pages = (4..12).chain([16, 63, 64, 65, 127, 128, 511, 512, 513]).map(|n| n * PAGE);
    for size in edges.chain(pages).flat_map(|n| [n.saturating_sub(1), n, n + 1]) {
        several(layout(size, 1));
        for align in [1, 8, 16, 64, 128, 1024, 4096, PAGE, 2 * PAGE] {
            let layout = layout(size, align);
            assert_eq!(gort::usable_size(layout) as u64, rounded(layout), "{layout:?}");
        }
    }
}

#[test]
fn size_zero_is_answered() {
    for align in [1, 8, 16, 4096, PAGE, 4 * PAGE, 2 * MIB] {
        several(layout(0, align));
    }
    let empty = Object::new(layout(0, 1), 1);
    drop(empty.resize(100).resize(40_000).resize(1));
}

#[test]
fn huge_objects() {
    for size in [64 * MIB - PAGE, 64 * MIB - 1, 64 * MIB, 64 * MIB + 1, 100 * MIB] {
        let (object, zeroed) = (Object::new(layout(size, 8), 1), Object::zeroed(layout(size, 1 << 16), 2));
        let mut model = Model::default();
        model.insert(object);
        model.insert(zeroed);
    }
}

#[test]
fn sizes_that_no_object_can_have_give_null() {
    const MOST: usize = isize::MAX as usize;
    let witness = Object::new(layout(100, 8), 1);
    let mut large = Object::new(layout(50_000, 8), 2);
    for align in [1, 8, 4096, PAGE, 2 * MIB, 64 * MIB, 1 << 40] {
        let largest = MOST - (align - 1);
        for size in
            [largest, largest - 1, largest - PAGE, largest - 64 * MIB, MOST / 2, 1 << 48, (1 << 47) + 1]
        {
            let Ok(layout) = Layout::from_size_align(size, align) else { continue };
            assert!(Object::try_new(layout, 0).is_none(), "{layout:?}");
            assert!(Object::try_zeroed(layout, 0).is_none(), "{layout:?}");
            if align == 8 {
                large = large.try_resize(size).err().expect("no such size");
            }
        }
    }
    // An alignment that no address has.
    for shift in 48..64 {
        assert!(Object::try_new(layout(0, 1 << shift), 0).is_none());
        assert!(shift == 63 || Object::try_new(layout(8, 1 << shift), 0).is_none());
    }
    let small = witness.try_resize(MOST - 7).err().expect("no such size");
    drop((small, large, Object::zeroed(layout(100_000, 8), 3)));
    // SAFETY: usable_size only computes; the layout is within what a layout may be.
    let most = unsafe { Layout::from_size_align_unchecked(MOST, 1) };
    assert_eq!(gort::usable_size(most), MOST.next_multiple_of(PAGE));
}

#[test]
fn sizes_between_memory_and_address_space_never_crash() {
    for shift in 35..47 {
        let layout = layout(1 << shift, 8);
        // SAFETY: the layout has a size.
        let p = unsafe { GoAlloc.alloc(layout) };
        if !p.is_null() {
            // SAFETY: the object has that many bytes; two of its pages are touched.
            unsafe { p.write(1) };
            // SAFETY: as above.
            unsafe { p.wrapping_add(layout.size() - 1).write(1) };
            // SAFETY: allocated above with this layout.
            unsafe { GoAlloc.dealloc(p, layout) };
        }
    }
}

#[test]
fn addresses_too_few_for_a_heap_give_null() {
    let test = "addresses_too_few_for_a_heap_give_null";
    for megabytes in [40, 60, 80, 100, 120] {
        Case::new(test, &megabytes.to_string()).address_space(megabytes * 1_000_000).succeeds(|| {
            // Where the heap starts all the same, it works.
            for size in [1, 1_000, 50_000, 3 * MIB, 200 * MIB] {
                drop(Object::try_new(layout(size, 8), 1).map(|object| object.try_resize(2 * size)));
                drop(Object::try_zeroed(layout(size, 8), 2));
            }
            let stats = gort::stats();
            assert_eq!(stats.heap_objects, 0);
            assert!(stats.heap_sys < 200 << 20);
        });
    }
}

#[test]
fn realloc_between_all_kinds_keeps_contents() {
    const SMALL_AND_LARGE: [usize; 12] =
        [1, 8, 100, 1024, 1025, 32_768, 32_769, 5 * PAGE, 5 * PAGE + 1, 300_000, MIB + 1, 3 * MIB];
    let there_and_back = |from, to, align| {
        drop(Object::new(layout(from, align), (from ^ to) as u64).resize(to).resize(from));
    };
    for align in [1, 64, 4096, 4 * PAGE] {
        for from in SMALL_AND_LARGE {
            SMALL_AND_LARGE.into_iter().for_each(|to| there_and_back(from, to, align));
        }
    }
    for from in [8, 5 * PAGE, 3 * MIB, 66 * MIB] {
        there_and_back(from, 64 * MIB + 1, 8);
    }
}

#[test]
fn a_chain_of_reallocs_keeps_contents() {
    let mut random = Random::new(3);
    let mut objects: Vec<_> = (0..8).map(|tag| Object::new(layout(1, 1 << (tag * 2)), tag)).collect();
    for _ in 0..2_000 {
        let object = objects.swap_remove(random.below(objects.len()));
        let size = random.magnitude(22);
        objects.push(object.resize(size));
    }
}

#[test]
#[cfg_attr(feature = "hardened", ignore = "guard pages are in the way")]
fn large_objects_grow_and_shrink_in_place() {
    Case::new("large_objects_grow_and_shrink_in_place", "it").succeeds(|| {
        let object = Object::new(layout(MIB, 8), 1);
        let at = object.addr();
        // Nothing is behind the only object of the heap.
        let object = object.resize(6 * MIB);
        assert_eq!(object.addr(), at, "did not grow in place");
        let object = object.resize(4 * MIB);
        assert_eq!(object.addr(), at, "did not shrink in place");
        // What it gave up is free for others, and clean where that is asked for.
        let other = Object::zeroed(layout(2 * MIB, 8), 2);
        assert_eq!(other.addr(), at + 4 * MIB, "the tail is not the first place that fits");
        let object = object.resize(5 * MIB);
        assert_ne!(object.addr(), at, "grew over a neighbour");
        drop(object);
        drop(other.resize(4 * MIB));
    });
}

#[test]
#[cfg_attr(feature = "hardened", ignore = "guard pages are in the way")]
fn a_large_object_grows_in_place_over_the_end_of_an_arena() {
    Case::new("a_large_object_grows_in_place_over_the_end_of_an_arena", "it").succeeds(|| {
        let object = Object::new(layout(40 * MIB, 8), 1);
        let at = object.addr();
        let before = gort::stats().heap_sys;
        let object = object.resize(100 * MIB);
        assert_eq!(object.addr(), at, "did not grow in place");
        assert!(gort::stats().heap_sys > before);
        assert_eq!(gort::stats().huge_inuse, 0);
        drop(object.resize(MIB));
    });
}

/// Whether this kernel moves the pages of a mapping and leaves it mapped (Linux 5.7).
fn kernel_moves_pages() -> bool {
    const FLAGS: i32 = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP;
    let map = || {
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping disturbs no other.
        unsafe { libc::mmap(std::ptr::null_mut(), PAGE, prot, flags, -1, 0) }
    };
    let (from, to) = (map(), map());
    // SAFETY: both mappings were made above and nothing refers to them.
    unsafe { libc::mremap(from, PAGE, PAGE, FLAGS, to) == to }
}

#[test]
#[cfg_attr(feature = "hardened", ignore = "guard pages are in the way")]
fn a_blocked_object_of_a_mebibyte_moves_its_pages() {
    Case::new("a_blocked_object_of_a_mebibyte_moves_its_pages", "it").succeeds(|| {
        for size in [MIB, MIB + 3 * PAGE, 5 * MIB] {
            let object = Object::new(layout(size, 8), 7);
            let at = object.addr();
            let neighbour = Object::new(layout(size, 8), 8);
            assert_eq!(neighbour.addr(), object.end(), "the neighbour blocks the way");
            let before = gort::stats().heap_released;
            let moved = object.resize(size + PAGE);
            assert_ne!(moved.addr(), at);
            if kernel_moves_pages() {
                assert_eq!(
                    gort::stats().huge_inuse,
                    rounded(moved.layout()),
                    "the pages were copied, not moved"
                );
                // The place it left has no page frames.
                assert_eq!(gort::stats().heap_released - before, size as u64);
            }
            // What it left behind is free, and reads as zeros.
            let place = Object::zeroed(layout(size, 8), 9);
            assert_eq!(place.addr(), at, "the place it left is not free");
            // From now on the kernel grows and shrinks it.
            let moved = moved.resize(2 * size).resize(9 * size).resize(size / 2).resize(40_000);
            drop((neighbour, place));
            drop(moved.resize(100));
            assert_eq!(gort::stats().huge_inuse, 0);
            // The thread keeps no span for itself that would be in the next one's way.
            gort::free_os_memory();
        }
    });
}

#[test]
fn blocked_objects_with_an_alignment_keep_it() {
    for align in [PAGE, 4 * PAGE, 64 << 10, MIB] {
        let (object, neighbour) =
            (Object::new(layout(2 * MIB, align), 1), Object::new(layout(2 * MIB, align), 2));
        // `resize` checks the alignment.
        drop((object.resize(5 * MIB).resize(70 * MIB).resize(90 * MIB).resize(3 * MIB), neighbour));
    }
}

#[test]
fn the_talks_objects() {
    let sizes = [(1024, 8192), (1025, 9472), (1024 * 1024, 8_388_608), (1024 * 1024 + 1, 8_396_800)];
    for (len, bytes) in sizes {
        let layout = Layout::array::<i64>(len).expect("a layout");
        assert_eq!(gort::usable_size(layout), bytes);
        assert_eq!((class_of(layout) == 0, rounded(layout)), (len > 4096, bytes as u64));
    }
}

/// Fails unless an object that was freed comes back, and after `delay` other frees at least.
#[cfg(feature = "hardened")]
fn comes_back_after(size: usize, delay: usize) {
    let layout = layout(size, 8);
    let mut freed: Vec<usize> = (0..20_000).map(|_| 0).collect();
    for i in 0..freed.len() {
        let object = Object::new(layout, i as u64);
        let at = object.addr();
        let last = &freed[i.saturating_sub(delay)..i];
        let since = last.iter().rev().position(|&p| p == at);
        assert_eq!(since, None, "{size} bytes: it came back after so many other frees");
        drop(object);
        freed[i] = at;
    }
    freed.sort_unstable();
    assert!(freed.windows(2).any(|two| two[0] == two[1]), "{size} bytes: none ever came back");
}

#[test]
#[cfg(feature = "hardened")]
fn what_was_freed_comes_back_after_the_quarantines_delay() {
    Case::new("what_was_freed_comes_back_after_the_quarantines_delay", "it").succeeds(|| {
        for size in [1, 64, 1 << 10] {
            comes_back_after(size, 256);
        }
        for size in [1_025, 5_000, 32 << 10] {
            comes_back_after(size, 16);
        }
    });
}
