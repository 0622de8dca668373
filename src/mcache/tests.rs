//! Random programs on an mcache of the test's own, against a slow twin that counts by hand.

extern crate std;
use std::{boxed::Box, collections::BTreeSet, vec::Vec};

use super::{Counts, MCache};
use crate::base::{Class, NUM_CLASSES, PAGE_SIZE, Pages, Random};
use crate::heap::{self, Span, State};

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

/// A large object, as the door makes one.
fn alloc_large(m: &MCache, heap: &heap::Heap, n: Pages) -> (Span, bool) {
    match m.reuse_large(n, n.bytes().0) {
        Some(span) => (span, true),
        None => {
            m.ask_large(heap, n);
            let (span, _) = heap.alloc_span(n, None, Pages(1), None).expect("the OS has memory");
            (span, false)
        }
    }
}

/// Keeps it, as the door does.
fn keep_large(m: &MCache, heap: &heap::Heap, span: Span) -> bool {
    m.keep_large(span) || {
        m.make_room(heap, span.npages());
        m.keep_large(span)
    }
}

#[test]
fn large_spans_are_kept_within_bounds_and_used_again_by_length() {
    let (heap, _alone) = heap::heap_alone();
    for case in 0..8 {
        let mut random = Random::from_env("large spans", case);
        let m = Box::leak(Box::new(MCache::new()));
        // Never touched: what may be kept follows the heap in use.
        let rest = Pages([1, 4096, 16384][random.below(3)]);
        let (rest, _) = heap.alloc_span(rest, None, Pages(1), None).expect("the OS has memory");
        let mut most = 0;
        let lengths: Vec<_> = (0..1 + random.below(12)).map(|_| Pages(5 + random.below(160))).collect();
        let mut live: Vec<Span> = Vec::new();
        let (mut kept, mut reused) = (BTreeSet::new(), 0);
        for _ in 0..4_000 {
            if random.below(16) < if live.len() < 20 { 9 } else { 6 } {
                let n = lengths[random.below(lengths.len())];
                let (span, again) = alloc_large(m, heap, n);
                assert_eq!(span.npages(), n);
                assert!(span.is(State::InUse));
                // A new one may be where one was that has been given back meanwhile.
                assert!(kept.remove(&span.base()) || !again, "only what was kept is used again");
                assert!(!live.contains(&span), "handed out twice");
                reused += usize::from(again);
                live.push(span);
            } else if !live.is_empty() {
                let span = live.swap_remove(random.below(live.len()));
                if keep_large(m, heap, span) {
                    assert!(span.is(State::Cached) && !m.keep_large(span), "freed twice");
                    kept.insert(span.base());
                } else {
                    assert!(span.is(State::InUse), "nothing was done");
                    heap.free_span(span, None);
                }
            }
            match random.below(400) {
                0 => m.flush_all(heap),
                1 => m.make_room(heap, lengths[0]),
                _ => {}
            }
            // What was given back is not kept any more, and perhaps somebody else's.
            kept.retain(|&base| {
                let at = core::ptr::with_exposed_provenance::<u8>(base);
                heap.large_at(at).is_some_and(|span| span.is(State::Cached))
            });
            let pages: usize = kept
                .iter()
                .filter_map(|&base| heap.large_at(core::ptr::with_exposed_provenance(base)))
                .map(|span| span.npages().0)
                .sum();
            most = (heap.in_use_bytes().0 / PAGE_SIZE).max(most);
            let bound = (most / 16).clamp(128, 512) + 165;
            assert!(pages <= bound, "{pages} pages are kept of {most}");
        }
        let much_room = rest.npages().0 > 8192;
        assert!(!much_room || reused > 100, "{reused} of {} lengths", lengths.len());
        live.drain(..).for_each(|span| heap.free_span(span, None));
        heap.free_span(rest, None);
        m.flush_all(heap);
    }
}

#[test]
fn a_length_that_nobody_asked_for_is_not_kept() {
    let (heap, _alone) = heap::heap_alone();
    let m = Box::leak(Box::new(MCache::new()));
    for n in [Pages(8), Pages(128), Pages(300)] {
        let (span, _) = heap.alloc_span(n, None, Pages(1), None).expect("the OS has memory");
        assert!(!keep_large(m, heap, span));
        m.ask_large(heap, n);
        assert!(keep_large(m, heap, span));
        assert_eq!(m.reuse_large(n, 1), Some(span));
        heap.free_span(span, None);
    }
}
