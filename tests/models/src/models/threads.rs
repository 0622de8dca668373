//! `mcache/list.rs` and the slow paths: threads attach, allocate, free and exit, and leave their caches to others.

use core::ptr;

use loom::sync::mpsc::channel;

use super::doors::{exit, free, heap, join, malloc, nothing_is_lost, one, spawn, two};
use crate::base::Class;
use crate::execution::explore;
use crate::heap::Heap;
use crate::mcache::{Entered, MCache, each_mcache};

fn live_and_exit(heap: &Heap, class: Class, objects: usize) {
    let out: Vec<_> = (0..objects).map(|_| malloc(heap, class)).collect();
    out.into_iter().for_each(|p| free(heap, class, p));
    exit(heap);
}

/// The cache that is there before all others: a walk over all ends with it.
fn shared() -> &'static MCache {
    let all: Vec<_> = each_mcache().collect();
    assert_eq!(all.len(), 1);
    all[0]
}

/// A thread attaches and exits while another adds up its counts.
pub(super) fn attach_and_exit() {
    explore(2, || {
        let heap = heap();
        let shared = shared();
        let thread = spawn(move || live_and_exit(heap, two(), 1));
        let mut last = None;
        for m in each_mcache() {
            let (a, f) = m.class_counts(two());
            assert!(f <= a && a <= 1, "{f} of {a} objects were freed");
            last = Some(m);
        }
        assert!(last.is_some_and(|m| ptr::eq(m, shared)), "the walk ends before the list does");
        join([thread]);
        // The shared one, and the thread's.
        assert_eq!(each_mcache().count(), 2);
        assert_eq!(each_mcache().map(|m| m.class_counts(two())).max(), Some((1, 1)));
        nothing_is_lost(heap);
    });
}

/// Two threads attach and exit while another walks over all caches.
pub(super) fn attach_at_once() {
    explore(2, || {
        let heap = heap();
        let shared = shared();
        let threads = [1, 2].map(|n| spawn(move || live_and_exit(heap, two(), n)));
        assert!(each_mcache().all(|m| !m.is_stand_in()));
        assert!(each_mcache().any(|m| ptr::eq(m, shared)), "the walk ends before the list does");
        join(threads);
        // The shared one, and one or two.
        assert!((2..=3).contains(&each_mcache().count()));
        assert_eq!(each_mcache().map(|m| m.class_counts(two()).0).sum::<u64>(), 3);
        nothing_is_lost(heap);
    });
}

/// A thread takes over the cache of one that exits, while another makes its own.
pub(super) fn take_over_caches() {
    explore(2, || {
        let heap = heap();
        live_and_exit(heap, one(), 1);
        let threads = [1, 1].map(|n| spawn(move || live_and_exit(heap, one(), n)));
        join(threads);
        assert!((2..=3).contains(&each_mcache().count()));
        nothing_is_lost(heap);
    });
}

/// Threads whose exit hooks have run go on: they share one cache.
pub(super) fn past_their_exit() {
    explore(2, || {
        let heap = heap();
        let threads = [(), ()].map(|()| {
            spawn(move || {
                exit(heap);
                live_and_exit(heap, two(), 1);
                assert!(Entered::new("test").mcache().is_exited());
                free(heap, two(), malloc(heap, two()));
            })
        });
        join(threads);
        nothing_is_lost(heap);
    });
}

/// Objects that one thread allocates and another frees, and the first allocates again.
pub(super) fn free_what_others_allocate() {
    explore(2, || {
        let heap = heap();
        let (send, receive) = channel();
        let maker = spawn(move || {
            for _ in 0..3 {
                send.send(malloc(heap, two()).expose_provenance()).expect("the other is there");
            }
            let p = malloc(heap, two());
            free(heap, two(), p);
            exit(heap);
        });
        let eater = spawn(move || {
            for _ in 0..3 {
                let p = receive.recv().expect("the other sends them");
                free(heap, two(), ptr::with_exposed_provenance_mut(p));
            }
            exit(heap);
        });
        join([maker, eater]);
        nothing_is_lost(heap);
    });
}
