//! `mcache/large.rs`: large spans stay with their threads, others take them away, and the longest are anybody's.

use super::doors::{exit, free_pages, heap, join, malloc_pages, nothing_is_lost, spawn};
use crate::base::Pages;
use crate::execution::explore;
use crate::heap::Heap;
use crate::mcache::drop_large;

fn come_and_go(heap: &Heap, lengths: &[usize]) {
    for &n in lengths {
        let span = malloc_pages(heap, Pages(n));
        free_pages(heap, span);
    }
}

/// The owner keeps, uses again and cuts; another takes all it finds.
pub(super) fn kept_and_swept() {
    explore(2, || {
        let heap = heap();
        let owner = spawn(move || {
            come_and_go(heap, &[2, 2, 1]);
            exit(heap);
        });
        drop_large(heap, None, true);
        join([owner]);
        nothing_is_lost(heap);
    });
}

/// Two sweep at the same time, one of them for what is idle.
pub(super) fn swept_by_two() {
    explore(2, || {
        let heap = heap();
        let owner = spawn(move || {
            come_and_go(heap, &[2, 2]);
            exit(heap);
        });
        let other = spawn(move || drop_large(heap, None, true));
        drop_large(heap, None, false);
        join([owner, other]);
        nothing_is_lost(heap);
    });
}

/// Three sweep, one after the other: the last sees what the first has done, although the second may have found nothing to claim, and
/// passed no fence.
pub(super) fn swept_by_three() {
    explore(2, || {
        let heap = heap();
        come_and_go(heap, &[2, 1]);
        // By its length, and the second was cut off it. If it were the one that the process keeps, it would have been given back before.
        assert_eq!(heap.in_use_bytes(), Pages(2).bytes(), "the thread keeps them");
        let others = [(), ()].map(|()| spawn(move || drop_large(heap, None, true)));
        drop_large(heap, None, true);
        join(others);
        exit(heap);
        nothing_is_lost(heap);
    });
}

/// Another sweeps while the owner makes a new span that takes others with it.
pub(super) fn taken_ahead_and_swept() {
    explore(2, || {
        let heap = heap();
        let one = move || {
            let span = malloc_pages(heap, Pages(1));
            let in_use = heap.in_use_bytes();
            exit(heap);
            (span, in_use)
        };
        // Pages that have frames.
        come_and_go(heap, &[3]);
        drop_large(heap, None, true);
        for (span, in_use) in join([spawn(one)]) {
            assert_eq!(in_use, Pages(3).bytes(), "it takes others with it");
            free_pages(heap, span);
        }
        assert_eq!(heap.in_use_bytes(), Pages(0).bytes());

        let owner = spawn(one);
        drop_large(heap, None, true);
        for (span, _) in join([owner]) {
            free_pages(heap, span);
        }
        exit(heap);
        nothing_is_lost(heap);
    });
}

/// Two find room for what their new spans take with them, and there is room for one.
pub(super) fn taken_ahead_by_two() {
    explore(2, || {
        let heap = heap();
        let of = |n| malloc_pages(heap, Pages(n));
        [of(3), of(3), of(2)].into_iter().for_each(|span| free_pages(heap, span));
        drop_large(heap, None, true);
        let one = move || {
            let span = malloc_pages(heap, Pages(1));
            exit(heap);
            span
        };
        for span in join([spawn(one), spawn(one)]) {
            free_pages(heap, span);
        }
        exit(heap);
        nothing_is_lost(heap);
    });
}

/// Spans above the longest that threads keep, and those for which there is no room: whoever is first gets the one that was freed.
pub(super) fn long_spans_change_hands() {
    for lengths in [[[5, 5], [5, 6]], [[2, 3], [3, 3]]] {
        explore(2, move || {
            let heap = heap();
            let threads = lengths.map(|lengths| {
                spawn(move || {
                    come_and_go(heap, &lengths);
                    exit(heap);
                })
            });
            join(threads);
            nothing_is_lost(heap);
        });
    }
}
