//! The whole page allocator against a plain array of page states, step by step, on small, large and two-root heaps.

extern crate std;

use super::twin::{Pair, range};
use super::*;
use crate::base::{Class, Random};
use crate::page::testing::{Choices as _, FakeOs, PAGE_SIZES};
use std::vec::Vec;

fn run(
    case: u64,
    os_page: usize,
    chunks: usize,
    at_first: usize,
    steps: usize,
    longest: usize,
    check_every: usize,
) {
    let mut rng = Random::from_env("page allocator", case);
    let mut p = Pair::new(FakeOs::new(os_page), chunks * 512);
    p.grow(at_first);
    for i in 0..steps {
        p.step(&mut rng, (i / (steps / 8).max(50)).is_multiple_of(2), longest);
        if rng.one_in(150) && p.model.pages.len() + 512 <= chunks * 512 {
            let left = chunks - p.model.pages.len() / 512;
            p.grow(1 + rng.below(left));
        }
        if i % check_every == 0 {
            p.check();
        }
    }
    p.wind_down(&mut rng);
}

#[test]
fn small_heaps_match_the_model_after_every_step() {
    for (i, os_page) in PAGE_SIZES.into_iter().enumerate() {
        for round in 0..4 {
            run(100 + 10 * i as u64 + round, os_page, 9, 1, 2_500, 40 << (2 * round), 1);
        }
    }
}

#[test]
fn a_heap_of_several_families_matches_the_model() {
    run(200, 4096, 700, 70, 1_500, 4_000, 1);
    run(201, 4096, 700, 650, 1_000, 90_000, 1);
}

#[test]
fn a_heap_of_two_roots_matches_the_model() {
    run(300, 4096, 5_000, 4_095, 150, 1_500_000, 10);
}

/// The sizes of spans, as the heap above asks for them: short runs through a cache, freed in any order.
#[test]
fn span_sized_runs_through_a_cache() {
    let mut rng = Random::from_env("span_sized_runs_through_a_cache", 400);
    let mut p = Pair::new(FakeOs::new(4096), 32 * 512);
    p.grow(16);
    let sizes: Vec<usize> = Class::all().map(|c| c.pages().0).collect();
    for i in 0..6_000 {
        if rng.below(100) < [70, 40][i / 1_000 % 2] {
            let n = sizes[rng.below(sizes.len())];
            if p.caches.is_empty() {
                p.fill_cache();
            }
            if let Some(c) = p.caches.first_mut() {
                match c.alloc(Pages(n)) {
                    Some((start, _)) => p.live.push(PageRange { start, len: Pages(n) }),
                    None => {
                        p.flush_any(&mut rng);
                        p.alloc(n);
                    }
                }
            }
        } else if !p.live.is_empty() {
            let r = p.live.swap_remove(rng.below(p.live.len()));
            p.free(r, false);
        }
        if i % 16 == 0 {
            p.check();
        }
    }
    p.wind_down(&mut rng);
}

#[test]
fn aligned_search_does_not_walk_through_all_unfit_runs() {
    let mut p = Pair::new(FakeOs::new(4096), 16 * 512);
    p.grow(16);
    // Holes of four pages that begin one page too late everywhere, one that fits far behind, and a long run at the end.
    p.alloc(15 * 512);
    p.live.clear();
    for i in 0..14 * 64 {
        p.free(range(i * 8 + 1, 4), false);
    }
    p.free(range(14 * 512, 4), false);
    p.alloc_aligned(4, 4);
    assert_eq!(p.live.pop(), Some(range(15 * 512, 4)), "settles for the long run");
    p.alloc(512 - 4);
    p.alloc_aligned(4, 4);
    assert_eq!(p.live.pop(), Some(range(14 * 512, 4)), "goes on when there is no long run");
    p.alloc_aligned(4, 4);
    assert_eq!(p.live, [range(15 * 512 + 4, 508)]);
    p.check();
}

#[test]
fn nearly_full_chunks_are_scavenged_only_by_force() {
    let mut p = Pair::new(FakeOs::new(4096), 3 * 512);
    p.grow(3);
    p.alloc(3 * 512);
    p.free(range(512, 16), false);
    assert_eq!(p.real.take_for_scavenge(Pages(8), false), None);
    p.check();
    p.free(range(600, 1), false);
    p.scavenge(8, false);
    assert_eq!(p.scavenging, [range(600, 1)]);
    p.check();
    // Now it is nearly full again, and higher up there is nothing.
    p.scavenge(8, false);
    p.scavenge(9, true);
    assert_eq!(p.scavenging, [range(600, 1), range(519, 9)]);
    p.check();
}

/// A page that the program locked must not keep the rest from being given back.
#[test]
fn a_chunk_that_the_os_refuses_does_not_hold_up_the_others() {
    let mut p = Pair::new(FakeOs::new(4096), 4 * 512);
    p.grow(4);
    p.alloc(4 * 512);
    let mut real = p.real;
    real.free(range(100, 1900));
    let top = real.take_for_scavenge(Pages(16), true).unwrap();
    assert_eq!(top, range(2000 - 16, 16));
    real.refused(top);
    real.check_invariants();
    let next = real.take_for_scavenge(Pages(16), true).unwrap();
    assert_eq!(next, range(3 * 512 - 16, 16), "the chunk below has its turn");
    real.scavenged(next);
    real.free(range(2000, 4));
    assert_eq!(
        real.take_for_scavenge(Pages(16), true),
        Some(range(2004 - 16, 16)),
        "freeing more makes it worth a try"
    );
    real.check_invariants();
    // What is refused again and again has its turn when somebody asks for all.
    while let Some(r) = real.take_for_scavenge(Pages(512), true) {
        real.refused(r);
    }
    real.check_invariants();
    let dirty = real.free_unscavenged();
    real.retry_refused();
    real.check_invariants();
    let mut given = Pages(0);
    while let Some(r) = real.take_for_scavenge(Pages(512), true) {
        real.scavenged(r);
        given += r.len;
    }
    // The run that this test took and still has is not among them.
    assert_eq!((given, real.free_unscavenged()), (dirty, Pages(0)));
    real.check_invariants();
}

#[test]
fn requests_that_cannot_be_met() {
    let mut p = Pair::new(FakeOs::new(4096), 2 * 512);
    assert_eq!(p.real.alloc(Pages(1)), None);
    assert!(p.real.alloc_to_cache().is_none());
    assert_eq!(p.real.take_for_scavenge(Pages(1), true), None);
    assert!(!p.real.is_free(range(0, 1)));
    p.check();
    p.grow(1);
    assert_eq!(p.real.alloc(Pages(513)), None);
    assert_eq!(p.real.alloc(Pages(usize::MAX)), None);
    assert_eq!(p.real.alloc_aligned(Pages(1), Pages(1 << 40)), Some((PageIdx(0), Pages(1))));
    assert_eq!(p.real.alloc_aligned(Pages(1), Pages(1 << 40)), None);
    assert_eq!(p.real.alloc_at(range(511, 2)), None);
    assert_eq!(p.real.alloc_at(range(512, 1)), None);
    assert_eq!(p.real.alloc_at(range(511, 1)), Some(Pages(1)));
    assert!(p.real.is_free(range(5, 0)));
    assert_eq!(p.real.grow(range(512, 1024)), Err(OutOfMemory));
    assert_eq!(p.real.usable_pages(), Pages(512));
    p.real.check_invariants();
    p.real.grow(range(512, 512)).unwrap();
    p.real.check_invariants();
}

/// Every call to the operating system is refused in turn; what failed works when it is tried again, and what stood before
/// is as it was.
#[test]
fn each_refused_call_leaves_an_allocator_that_works_on() {
    const ARENA: usize = 16 * 512;
    let mut refusals = 0;
    for nth in 0.. {
        let os = FakeOs::new(4096);
        os.refuse(nth, 1);
        let mut seen = 0;
        let mut p = loop {
            match PageAlloc::new(os, Pages(516 * ARENA)) {
                Some(p) => break p,
                None => {
                    os.assert_all_given_back();
                    seen += 1;
                    assert!(seen <= 1, "one call was refused, more failed");
                }
            }
        };
        for arenas in 1..=200 {
            let r = range(p.usable_pages().0, ARENA * if arenas % 50 == 0 { 80 } else { 1 });
            let before = (p.usable_pages(), p.free_pages(), p.free_unscavenged());
            while p.grow(r).is_err() {
                seen += 1;
                assert!(seen <= 1, "one call was refused, more failed");
                assert_eq!((p.usable_pages(), p.free_pages(), p.free_unscavenged()), before);
                p.check_invariants();
                // Without the new pages it still serves from what it has.
                if let Some((start, scavenged)) = p.alloc(Pages(3)) {
                    assert_eq!(scavenged, Pages(3));
                    p.free_scavenged(PageRange { start, len: Pages(3) });
                }
            }
            if arenas % 50 == 0 {
                p.check_invariants();
            }
            p.alloc(Pages(ARENA)).unwrap();
        }
        drop(p);
        os.assert_all_given_back();
        if seen == 0 {
            break;
        }
        refusals += 1;
    }
    assert!(refusals > 6, "reservations and commits were refused: {refusals}");
}

#[test]
fn the_corpus_and_a_bounded_while() {
    crate::replay::replay("pages", 40, super::fuzz);
}
