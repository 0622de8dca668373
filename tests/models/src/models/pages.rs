//! The page heap: windows, the page map, groups of threads, huge objects.

use loom::sync::mpsc::channel;

use super::doors::{heap, join, nothing_is_lost, one, spawn};
use crate::base::{PAGE_SIZE, Pages};
use crate::execution::explore;
use crate::heap::{Heap, Object, Span, SpanCache};
use crate::sys;

/// Pages of a chunk that a group borrows.
const CHUNK: usize = 512;

fn span(heap: &Heap, n: usize, cache: Option<&mut SpanCache>) -> Span {
    let class = (n == 1).then(one);
    heap.alloc_span(Pages(n), class, Pages(1), cache).expect("there is memory").0
}

/// Spans made of the windows of two threads, each freed by the other.
pub(super) fn windows() {
    explore(2, || {
        let heap = heap();
        let (to_a, at_a) = channel::<Span>();
        let (to_b, at_b) = channel::<Span>();
        let work = |send: loom::sync::mpsc::Sender<Span>, receive: loom::sync::mpsc::Receiver<Span>| {
            spawn(move || {
                let mut cache = SpanCache::empty();
                send.send(span(heap, 1, Some(&mut cache))).expect("the other is there");
                heap.free_span(receive.recv().expect("the other sends one"), Some(&mut cache));
                heap.flush_span_cache(&mut cache);
            })
        };
        join([work(to_b, at_a), work(to_a, at_b)]);
        nothing_is_lost(heap);
    });
}

/// A thread looks for a span where one is being made: it sees all of its header, or no span.
pub(super) fn map_is_read_without_a_lock() {
    explore(3, || {
        let heap = heap();
        // Once it has a span, its maker does not look at it: see `atomic::Cell` on who fills in what others look at first.
        let maker = spawn(move || span(heap, 2, None));
        // The lowest pages come first.
        let p = core::ptr::without_provenance::<u8>(heap.reservation().0);
        let look = || {
            heap.span_of(p).inspect(|found| {
                assert!(found.class().is_none());
                assert_eq!((found.base(), found.npages()), (p.addr(), Pages(2)));
            })
        };
        let (first, second) = (look(), look());
        assert!(first.is_none() || first == second, "it was there");
        let made = maker.join().expect("it ends");
        assert_eq!(look(), Some(made));
        heap.free_span(made, None);
        assert_eq!(look(), None);
        nothing_is_lost(heap);
    });
}

/// Headers go back to the arena, and to other threads from there: not before their pages have.
pub(super) fn headers_change_hands() {
    explore(3, || {
        let heap = heap();
        let threads = [2, 3].map(|n| {
            spawn(move || {
                let made = span(heap, n, None);
                heap.free_span(made, None);
            })
        });
        join(threads);
        nothing_is_lost(heap);
    });
}

/// All pages are free, and the heap has them but for some chunks that groups keep: spans of all others do not make it grow.
fn all_but_kept_are_free(heap: &Heap, kept: usize) {
    let usable = heap.stats().usable;
    let all: Vec<_> = (kept..usable.0 / PAGE_SIZE / CHUNK).map(|_| span(heap, CHUNK, None)).collect();
    assert_eq!(heap.stats().usable, usable, "pages do not come back to the heap");
    all.into_iter().for_each(|span| heap.free_span(span, None));
}

/// A group borrows two chunks and gives one back, while a thread of the first group takes pages, perhaps of that one.
pub(super) fn chunks_come_back() {
    explore(2, || {
        let heap = heap();
        let room = span(heap, 1200, None);
        heap.free_span(room, None);
        let borrower = spawn(move || {
            let mut cache = SpanCache::empty();
            cache.join_next_group(heap);
            cache.join_next_group(heap);
            let all = [(); 3].map(|()| span(heap, 200, Some(&mut cache)));
            all.into_iter().for_each(|own| heap.free_span(own, Some(&mut cache)));
            heap.flush_span_cache(&mut cache);
        });
        let own = span(heap, 300, None);
        heap.free_span(own, None);
        join([borrower]);
        let own = span(heap, 300, None);
        heap.free_span(own, None);
        all_but_kept_are_free(heap, 1);
        nothing_is_lost(heap);
    });
}

/// A group for whose tables there is no memory gives back at once what it borrowed, while a thread of the first group takes pages.
pub(super) fn group_without_memory() {
    explore(2, || {
        let heap = heap();
        let room = span(heap, 1200, None);
        heap.free_span(room, None);
        sys::refuse();
        let borrower = spawn(move || {
            let mut cache = SpanCache::empty();
            cache.join_next_group(heap);
            cache.join_next_group(heap);
            let own = span(heap, 200, Some(&mut cache));
            heap.free_span(own, Some(&mut cache));
            heap.flush_span_cache(&mut cache);
        });
        let own = span(heap, 300, None);
        heap.free_span(own, None);
        join([borrower]);
        all_but_kept_are_free(heap, 0);
        nothing_is_lost(heap);
    });
}

/// Threads of two groups: the second borrows a chunk, the first frees what is of it.
pub(super) fn of_groups() {
    explore(2, || {
        let heap = heap();
        let room = span(heap, 1200, None);
        heap.free_span(room, None);
        let (send, receive) = channel::<Span>();
        let borrower = spawn(move || {
            let mut cache = SpanCache::empty();
            // The first is of the first group.
            cache.join_next_group(heap);
            cache.join_next_group(heap);
            send.send(span(heap, 2, Some(&mut cache))).expect("the other is there");
            let own = span(heap, 3, Some(&mut cache));
            heap.free_span(own, Some(&mut cache));
            heap.flush_span_cache(&mut cache);
        });
        let other = spawn(move || {
            let mut cache = SpanCache::empty();
            let own = span(heap, 1, Some(&mut cache));
            heap.free_span(receive.recv().expect("the other sends one"), Some(&mut cache));
            heap.free_span(own, Some(&mut cache));
            heap.flush_span_cache(&mut cache);
        });
        join([borrower, other]);
        nothing_is_lost(heap);
    });
}

/// Free pages go to the kernel while threads take them.
pub(super) fn scavenged_meanwhile() {
    explore(2, || {
        let heap = heap();
        let first = span(heap, 3, None);
        heap.free_span(first, None);
        let other = spawn(move || {
            let made = span(heap, 2, None);
            heap.free_span(made, None);
        });
        heap.release_all();
        join([other]);
        nothing_is_lost(heap);
        heap.release_all();
        assert_eq!(heap.stats().released, heap.stats().usable);
    });
}

/// Two threads with huge objects of their own, one that grows, and a third that looks for one.
pub(super) fn huge_objects() {
    explore(2, || {
        let heap = heap();
        let known = heap.alloc_huge(Pages(1), 1).expect("there is memory");
        let at = known.as_ptr().expose_provenance();
        let threads = [1, 2].map(|n| {
            spawn(move || {
                let p = heap.alloc_huge(Pages(n), 1).expect("there is memory");
                let object = heap.object_at(p.as_ptr()).expect("it is alive");
                assert_eq!(object.bytes(), Pages(n).bytes());
                let p = heap.resize_object(object, Pages(3), 1, |_| false).expect("there is memory");
                assert_eq!(heap.free_huge(p.as_ptr()), Some(Pages(3).bytes()));
            })
        });
        let found = heap.object_at(core::ptr::with_exposed_provenance(at));
        assert!(matches!(found, Some(Object::Huge(h)) if h.addr == at));
        join(threads);
        assert!(heap.free_huge(known.as_ptr()).is_some());
        assert_eq!((heap.stats().huge.0, heap.stats().huge_objects), (0, 0));
        nothing_is_lost(heap);
    });
}
