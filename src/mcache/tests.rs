//! Random programs on an mcache of the test's own, against a slow twin that counts by hand.

extern crate std;
use std::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use super::slow::{LEFT_ROOM, beyond_first};
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
    if !m.push(class, p) {
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
            let beyond = |class| beyond_first(m.bin(class).cap(), class);
            assert_eq!(m.capacity.get(), Class::all().map(beyond).sum::<usize>());
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

/// A large object, as the door makes one, and where it came from.
fn alloc_large(m: &MCache, heap: &heap::Heap, n: Pages) -> (Span, From) {
    if let Some(span) = m.reuse_large(n, n.bytes().0) {
        return (span, From::Kept);
    }
    m.ask_large(heap, n);
    if let Some(span) = m.cut_large(heap, n) {
        return (span, From::Longer);
    }
    (m.alloc_ahead(heap, n).expect("the OS has memory").0, From::Heap)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum From {
    Kept,
    Longer,
    Heap,
}

/// Keeps it, as the door does.
fn keep_large(m: &MCache, heap: &heap::Heap, span: Span) -> bool {
    m.keep_large(span) || m.keep_large_slow(heap, span)
}

/// The twin of what is kept: first addresses and lengths, for those that the heap still says are kept.
fn still_kept(kept: &mut BTreeMap<usize, Pages>, heap: &heap::Heap) {
    kept.retain(|&base, n| {
        let at = core::ptr::with_exposed_provenance::<u8>(base);
        heap.large_at(at).is_some_and(|span| span.is(State::Cached) && span.npages() == *n)
    });
}

#[test]
fn large_spans_are_kept_within_bounds_and_used_again_by_length() {
    let (heap, _alone) = heap::heap_alone();
    let (mut cut, mut ahead) = (0, 0);
    for case in 0..8 {
        let mut random = Random::from_env("large spans", case);
        let m = Box::leak(Box::new(MCache::new()));
        // Never touched: what may be kept follows the heap in use.
        let rest = Pages([1, 4096, 16384][random.below(3)]);
        let (rest, _) = heap.alloc_span(rest, None, Pages(1), None).expect("the OS has memory");
        let mut most = 0;
        let longest = [16, 160][random.below(2)];
        let lengths: Vec<_> = (0..1 + random.below(12)).map(|_| Pages(5 + random.below(longest))).collect();
        let mut live: BTreeMap<usize, Span> = BTreeMap::new();
        let (mut kept, mut reused) = (BTreeMap::new(), 0);
        for _ in 0..4_000 {
            if random.below(16) < if live.len() < 20 { 9 } else { 6 } {
                let n = lengths[random.below(lengths.len())];
                let mut before = kept.clone();
                let (span, from) = alloc_large(m, heap, n);
                assert_eq!(span.npages(), n);
                assert!(span.is(State::InUse));
                match from {
                    From::Kept => {
                        assert_eq!(kept.remove(&span.base()), Some(n), "what was kept is used again")
                    }
                    From::Longer => {
                        let of = kept.remove(&span.base()).expect("it is cut off what was kept");
                        // But the one that the process keeps, which goes first.
                        still_kept(&mut before, heap);
                        before.insert(span.base(), of);
                        let shortest = before.values().filter(|&&len| len > n).min();
                        assert_eq!(Some(&of), shortest, "of the shortest that is longer");
                        kept.insert(span.base() + n.bytes().0, of - n);
                        cut += 1;
                    }
                    From::Heap => {
                        // What it took with it.
                        let behind = span.base() + n.bytes().0;
                        let rest = heap.large_at(core::ptr::with_exposed_provenance(behind));
                        if let Some(rest) = rest.filter(|rest| rest.is(State::Cached))
                            && kept.insert(behind, rest.npages()).is_none()
                        {
                            ahead += 1;
                        }
                    }
                }
                let before = live.range(..span.base()).next_back();
                assert!(
                    before.is_none_or(|(&base, s)| base + s.bytes().0 <= span.base()),
                    "handed out twice"
                );
                let next = live.range(span.base()..).next();
                assert!(next.is_none_or(|(&base, _)| span.base() + n.bytes().0 <= base), "handed out twice");
                reused += usize::from(from != From::Heap);
                live.insert(span.base(), span);
            } else if let Some(&base) = live.keys().nth(random.below(live.len().max(1))) {
                let span = live.remove(&base).expect("it was just there");
                if keep_large(m, heap, span) {
                    assert!(span.is(State::Cached) && !m.keep_large(span), "freed twice");
                    kept.insert(span.base(), span.npages());
                } else {
                    assert!(span.is(State::InUse), "nothing was done");
                    heap.free_span(span, Some(m.spans()));
                }
            }
            match random.below(400) {
                0 => m.flush_all(heap),
                1 => m.event(heap),
                _ => {}
            }
            // What was given back is not kept any more, and perhaps somebody else's.
            still_kept(&mut kept, heap);
            let pages: usize = kept.values().map(|n| n.0).sum();
            most = (heap.in_use_bytes().0 / PAGE_SIZE).max(most);
            let bound = (most / 16).clamp(32, 512) + 165;
            assert!(pages <= bound, "{pages} pages are kept of {most}");
        }
        let much_room = rest.npages().0 > 8192;
        assert!(!much_room || reused > 100, "{reused} of {} lengths", lengths.len());
        live.into_values().for_each(|span| heap.free_span(span, None));
        heap.free_span(rest, None);
        m.flush_all(heap);
        still_kept(&mut kept, heap);
        assert!(kept.is_empty(), "what was cut goes back as well");
    }
    assert!(cut > 100 && ahead > 10, "{cut} were cut off longer ones, {ahead} took some with them");
}

#[test]
fn an_object_grows_in_place_over_what_it_was_cut_off() {
    let (heap, _alone) = heap::heap_alone();
    let m = Box::leak(Box::new(MCache::new()));
    let grow = |span: Span, n: Pages, may: bool| {
        heap.resize_object(heap::Object::Large(span), n, 1, |span| may && m.make_way(heap, span))
    };
    // Never touched: what may be kept follows the heap in use.
    let (room, _) = heap.alloc_span(Pages(16384), None, Pages(1), None).expect("the OS has memory");
    m.ask_large(heap, Pages(60));
    let (whole, _) = heap.alloc_span(Pages(60), None, Pages(1), None).expect("the OS has memory");
    // Something behind it, so that no other pages are there to grow into.
    let (wall, _) = heap.alloc_span(Pages(1), None, Pages(1), None).expect("the OS has memory");
    let base = whole.base();
    assert!(keep_large(m, heap, whole));
    let span = m.cut_large(heap, Pages(9)).expect("it is cut off the longer one");
    assert_eq!((span.base(), span.npages()), (base, Pages(9)));
    // Another that is kept stays.
    m.ask_large(heap, Pages(7));
    let (other, _) = heap.alloc_span(Pages(7), None, Pages(1), None).expect("the OS has memory");
    assert!(keep_large(m, heap, other));

    assert_eq!(grow(span, Pages(20), false), None, "the rest is in the way");
    assert_eq!(grow(span, Pages(20), true).map(|p| p.as_ptr().addr()), Some(base));
    assert_eq!(grow(span, Pages(60), true).map(|p| p.as_ptr().addr()), Some(base));
    assert_eq!(span.npages(), Pages(60));
    assert_eq!(m.reuse_large(Pages(7), 1), Some(other));
    for span in [span, wall, other, room] {
        heap.free_span(span, None);
    }
    m.flush_all(heap);
}

#[test]
fn one_look_into_the_page_heap_is_enough_for_several() {
    let (heap, _alone) = heap::heap_alone();
    let m = Box::leak(Box::new(MCache::new()));
    let take =
        |n: usize, align| heap.alloc_span(Pages(n), None, Pages(align), None).expect("the OS has memory").0;
    // Never touched: what may be kept follows the heap in use.
    let room = take(16384, 1);
    // In one chunk.
    let run = take(64, 64);
    let base = run.base();
    // Nothing is free below it, nor right behind it.
    let mut walls = std::vec![take(1, 1)];
    while walls.iter().all(|wall| wall.base() < base) {
        walls.push(take(1, 1));
    }
    heap.free_span(run, None);

    let before = heap.in_use_bytes();
    let mut at = base;
    // The first takes seven times its length.
    let spans = [9, 14, 9, 15, 16].map(|n| {
        let taken = heap.lock_counts().0.taken;
        let (span, from) = alloc_large(m, heap, Pages(n));
        let looks = heap.lock_counts().0.taken - taken;
        assert_eq!((span.base(), span.npages()), (at, Pages(n)));
        match at - base {
            0 => assert_eq!((from, looks), (From::Heap, 1)),
            // All that is left.
            end if end == 47 * PAGE_SIZE => assert_eq!((from, looks), (From::Kept, 0)),
            _ => assert_eq!((from, looks), (From::Longer, 0)),
        }
        at += n * PAGE_SIZE;
        span
    });
    assert_eq!(heap.in_use_bytes().0 - before.0, 63 * PAGE_SIZE);
    for span in spans.into_iter().chain(walls).chain([room]) {
        heap.free_span(span, None);
    }
    m.flush_all(heap);
}

/// In a small heap, where the process keeps what is in the way.
#[test]
fn an_object_grows_in_place_over_one_for_which_there_was_no_room() {
    let (heap, _alone) = heap::heap_alone();
    let m = Box::leak(Box::new(MCache::new()));
    let (span, _) = heap.alloc_span(Pages(100), None, Pages(1), None).expect("the OS has memory");
    let grow = |n: Pages, may: bool| {
        let way = |span| may && m.make_way(heap, span);
        heap.resize_object(heap::Object::Large(span), n, 1, way).map(|p| p.as_ptr().addr())
    };
    let (base, size) = (span.base(), Pages(40));
    assert_eq!(grow(Pages(60), false), Some(base));
    m.ask_large(heap, size);
    let (behind, _) = heap.alloc_span(size, None, Pages(1), None).expect("the OS has memory");
    assert_eq!(behind.base(), base + Pages(60).bytes().0);
    assert!(keep_large(m, heap, behind));
    assert_eq!(grow(Pages(100), false), None, "it is in the way");
    assert_eq!(grow(Pages(100), true), Some(base));
    heap.free_span(span, None);
    m.flush_all(heap);
}

#[test]
fn what_was_kept_beside_an_object_that_grows_stays() {
    let (heap, _alone) = heap::heap_alone();
    let m = Box::leak(Box::new(MCache::new()));
    // Never touched: what may be kept follows the heap in use.
    let (room, _) = heap.alloc_span(Pages(16384), None, Pages(1), None).expect("the OS has memory");
    let (all, _) = heap.alloc_span(Pages(300), None, Pages(1), None).expect("the OS has memory");
    m.ask_large(heap, Pages(60));
    let (below, _) = heap.alloc_span(Pages(60), None, Pages(1), None).expect("the OS has memory");
    let same = heap.resize_object(heap::Object::Large(all), Pages(60), 1, |_| false);
    assert_eq!(same.map(|p| p.as_ptr().addr()), Some(all.base()));
    // Chained to one another; the one that comes out first grows beyond the lengths that are kept by length.
    assert!(keep_large(m, heap, below) && keep_large(m, heap, all));
    assert_eq!(m.reuse_large(Pages(60), 1), Some(all));
    let grown = heap.resize_object(heap::Object::Large(all), Pages(200), 1, |_| false);
    assert_eq!(grown.map(|p| p.as_ptr().addr()), Some(all.base()));
    m.ask_large(heap, Pages(200));
    assert!(keep_large(m, heap, all));
    // It goes, alone.
    m.ask_large(heap, Pages(60));
    assert!(below.is(State::Cached));
    assert_eq!(m.reuse_large(Pages(60), 1), Some(below));
    [below, room].into_iter().for_each(|span| heap.free_span(span, None));
    m.flush_all(heap);
}

/// What is kept lies in the way of what comes next. But any length is used again at once, and several threads keep something each.
#[test]
fn a_small_heap_keeps_little_and_one_of_any_length() {
    let (heap, _alone) = heap::heap_alone();
    let m = Box::leak(Box::new(MCache::new()));
    let before = heap.in_use_bytes();
    for n in [Pages(5), Pages(8), Pages(32), Pages(40), Pages(128), Pages(300)] {
        come_and_go(m, heap, &[n, n, n], &[From::Heap, From::Kept, From::Kept]);
    }
    let others = [(); 6].map(|()| &*Box::leak(Box::new(MCache::new())));
    for m in others {
        come_and_go(m, heap, &[Pages(8), Pages(8)], &[From::Heap, From::Kept]);
    }
    others.into_iter().for_each(|m| m.flush_all(heap));

    (1..=128).for_each(|n| keep_or_free(m, heap, alloc_large(m, heap, Pages(n)).0));
    let kept = (heap.in_use_bytes().0 - before.0) / PAGE_SIZE;
    assert!((1..=32 + 128).contains(&kept), "{kept} pages are kept");
    m.flush_all(heap);
}

/// One for which there is no room takes nobody else's; and there is room for it when the heap has grown.
#[test]
fn long_spans_come_and_go_beside_short_ones() {
    let (heap, _alone) = heap::heap_alone();
    let m = Box::leak(Box::new(MCache::new()));
    let [short, long, other] = [8, 60, 70].map(Pages);
    come_and_go(m, heap, &[short, long, other], &[From::Heap; 3]);
    come_and_go(m, heap, &[short, other, long, short], &[From::Kept, From::Kept, From::Heap, From::Kept]);
    // Never touched: what may be kept follows the heap in use.
    let (room, _) = heap.alloc_span(Pages(16384), None, Pages(1), None).expect("the OS has memory");
    come_and_go(m, heap, &[long, other, long, other], &[From::Kept, From::Heap, From::Longer, From::Heap]);
    come_and_go(m, heap, &[long, other, short, long], &[From::Kept; 4]);
    heap.free_span(room, None);
    m.flush_all(heap);
}

/// Objects of these lengths, one after the other, and where they must come from.
fn come_and_go(m: &MCache, heap: &heap::Heap, lengths: &[Pages], wanted: &[From]) {
    let comes = |&n| {
        let (span, from) = alloc_large(m, heap, n);
        keep_or_free(m, heap, span);
        from
    };
    assert_eq!(lengths.iter().map(comes).collect::<Vec<_>>(), wanted, "{lengths:?}");
}

fn keep_or_free(m: &MCache, heap: &heap::Heap, span: Span) {
    if !keep_large(m, heap, span) {
        heap.free_span(span, Some(m.spans()));
    }
}

#[test]
fn a_thread_that_leaves_gives_back_headers_and_pages() {
    let (heap, _alone) = heap::heap_alone();
    let m = Box::leak(Box::new(MCache::new()));
    let classes = [1, 2, 3, 4, 30, 60].map(|c| Class::new(c).expect("a class"));
    for round in 0..50 {
        let mut live = Vec::new();
        for class in classes {
            live.extend((0..2_000).map(|_| (class, alloc(m, class, heap))));
        }
        live.into_iter().for_each(|(class, p)| free(m, class, heap, p));
        assert!(m.spans().headers() > 0, "round {round}");
        m.flush_all(heap);
        assert_eq!((m.spans().headers(), m.spans().has_no_pages()), (0, true));
    }
}

#[test]
fn a_thread_that_leaves_gives_back_long_arrays() {
    let (heap, _alone) = heap::heap_alone();
    let m = Box::leak(Box::new(MCache::new()));
    for round in 0..3 {
        // Long arrays, and then short ones of large objects.
        let large = Class::all().find(|c| c.size().0 >= 4096);
        for class in Class::all().take(24).chain(large) {
            let count = 20_000.min((2 << 20) / class.size().0);
            let live: Vec<_> = (0..count).map(|_| alloc(m, class, heap)).collect();
            live.into_iter().for_each(|p| free(m, class, heap, p));
        }
        assert!(Class::all().any(|c| m.bin(c).cap() > LEFT_ROOM), "round {round}");
        m.flush_all(heap);
        m.drop_arrays(heap);
        let arrays = Class::all().map(|c| m.bin(c).array().1);
        assert!(arrays.max() <= Some(LEFT_ROOM), "round {round}");
        let beyond = Class::all().map(|c| beyond_first(m.bin(c).cap(), c)).sum::<usize>();
        assert_eq!((m.capacity.get(), beyond), (0, 0), "round {round}");
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

/// The cache that threads without one share counts as many allocations as there are, not only those that a bin is armed for.
#[test]
fn the_shared_cache_counts_without_end() {
    const COUNT: u64 = 70_000;
    let (heap, _alone) = heap::heap_alone();
    let class = Class::all().next().expect("there are classes");
    let counts = || MCache::shared(|m| m.class_counts(class));
    let before = counts();
    for i in 1..=COUNT {
        let p = MCache::alloc_shared(class, heap);
        assert!(!p.is_null());
        MCache::free_shared(class, heap, p);
        assert_eq!(counts(), (before.0 + i, before.1 + i));
    }
}
