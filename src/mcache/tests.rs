//! Random programs on an mcache of the test's own, against a slow twin that counts by hand.

extern crate std;
use std::{boxed::Box, collections::BTreeSet, vec::Vec};

use super::{Counts, MCache};
use crate::base::{Class, NUM_CLASSES, Random};
use crate::heap;

/// The twin: what is out, and how often each class was allocated and freed.
struct Twin {
    live: [Vec<usize>; NUM_CLASSES],
    all: BTreeSet<usize>,
    counts: [(u64, u64); NUM_CLASSES],
}

/// As the doors do it: fast path first, slow path when the bin cannot.
fn alloc(m: &MCache, class: Class, heap: &heap::Heap) -> *mut u8 {
    m.bin(class).pop().unwrap_or_else(|| m.alloc_slow(class, heap))
}

fn free(m: &MCache, class: Class, heap: &heap::Heap, p: *mut u8) {
    if !m.bin(class).push(p) {
        m.free_slow(class, heap, p);
    }
}

fn check(m: &MCache, twin: &Twin, class: Class) {
    assert_eq!(m.class_counts(class), twin.counts[class.index()], "counts of {class:?}");
    let bin = m.bin(class);
    assert!(bin.held() <= bin.cap() && bin.cap() <= bin.array().1);
    for p in bin.slots(bin.held()) {
        assert!(!twin.all.contains(&p.addr()), "held and out at the same time");
    }
}

#[test]
fn random_programs_match_a_twin_that_counts_by_hand() {
    let (heap, _alone) = heap::heap_alone();
    for case in 0..12 {
        let mut random = Random::from_env("mcache", case);
        let m = Box::leak(Box::new(MCache::new()));
        let mut twin = Twin {
            live: [const { Vec::new() }; NUM_CLASSES],
            all: BTreeSet::new(),
            counts: [(0, 0); NUM_CLASSES],
        };
        let classes: Vec<_> = Class::all().filter(|_| random.below(4) == 0).collect();
        for _ in 0..3_000 {
            let class = classes[random.below(classes.len())];
            let live = &mut twin.live[class.index()];
            // Phases that mostly allocate and phases that mostly free, so that bins run dry and run over.
            for _ in 0..random.below(40) {
                if random.below(16) < if live.len() < 400 { 10 } else { 3 } {
                    let p = alloc(m, class, heap);
                    assert!(!p.is_null());
                    assert!(twin.all.insert(p.addr()), "handed out twice");
                    live.push(p.expose_provenance());
                    twin.counts[class.index()].0 += 1;
                } else if !live.is_empty() {
                    let p = live.swap_remove(random.below(live.len()));
                    twin.all.remove(&p);
                    free(m, class, heap, core::ptr::with_exposed_provenance_mut(p));
                    twin.counts[class.index()].1 += 1;
                }
            }
            match random.below(200) {
                0 => m.flush_all(heap),
                1 => m.look(heap),
                _ => {}
            }
            check(m, &twin, class);
        }
        let mut sum = Counts::default();
        for class in Class::all() {
            check(m, &twin, class);
            let (allocs, frees) = twin.counts[class.index()];
            sum.add(class.size().0, allocs, frees);
        }
        assert_eq!(m.totals(), sum);
        for class in Class::all() {
            for p in twin.live[class.index()].drain(..) {
                free(m, class, heap, core::ptr::with_exposed_provenance_mut(p));
            }
        }
        m.flush_all(heap);
        assert!(Class::all().all(|c| m.bin(c).held() == 0));
    }
}

#[test]
fn a_cache_that_only_frees_stays_small() {
    let (heap, _alone) = heap::heap_alone();
    let (maker, eater) = (Box::leak(Box::new(MCache::new())), Box::leak(Box::new(MCache::new())));
    let class = Class::new(8).unwrap();
    for _ in 0..50_000 {
        let p = alloc(maker, class, heap);
        free(eater, class, heap, p);
    }
    assert!(eater.bin(class).cap() <= 64, "a thread that only frees hoards nothing");
    assert!(maker.bin(class).cap() > 64, "a thread that allocates gets room");
    assert_eq!(eater.class_counts(class), (0, 50_000));
}
