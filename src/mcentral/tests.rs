//! Random batches against a set of the objects that are out.

extern crate std;
use super::*;
use crate::base::Random;
use crate::heap;
use std::{collections::BTreeSet, vec, vec::Vec};

impl Central {
    /// Objects in the transfer cache and free ones in listed spans.
    fn free_objects(&self) -> usize {
        let s = self.state.lock();
        s.held + s.partial.iter().flat_map(SpanList::iter).map(Span::nfree).sum::<usize>()
    }
}

/// Random refills, flushes and trims of a store of the test's own against a set of objects that are out.
#[test]
fn random_batches_match_a_set_for_every_class() {
    let (heap, _alone) = heap::heap_alone();
    for class in Class::all() {
        let central = Central::new();
        let mut random = Random::from_env("central", class.index() as u64);
        let mut out: BTreeSet<usize> = BTreeSet::new();
        let mut spans: BTreeSet<usize> = BTreeSet::new();
        for _ in 0..120 {
            match random.below(8) {
                0..4 => {
                    let mut buf = vec![ptr::null_mut(); 1 + random.below(200)];
                    let room = buf.len();
                    let got = central.refill(class, heap, &mut buf, None);
                    assert!(got > 0);
                    for p in &buf[room - got..] {
                        assert!(out.insert(p.addr()), "handed out twice");
                        let span = heap.span_of(*p).unwrap();
                        assert_eq!(span.class(), Some(class));
                        assert_eq!(span.is_out(*p), Some(true));
                        spans.insert(span.base());
                    }
                }
                4..7 => {
                    let n = random.below(out.len() + 1).min(300);
                    let mut batch: Vec<*mut u8> = vec![];
                    for _ in 0..n {
                        let at = random.below(out.len());
                        let p = *out.iter().nth(at.min(40)).unwrap_or(out.first().unwrap());
                        out.remove(&p);
                        batch.push(ptr::with_exposed_provenance_mut(p));
                    }
                    if random.below(2) == 0 {
                        central.flush(class, heap, &batch, None);
                    } else {
                        central.flush_to_spans(class, heap, &batch);
                    }
                }
                _ => central.trim(class, heap, random.below(2) == 0, None),
            }
            central.state.lock().check_invariants(class);
            let counts = central.counts();
            let held = central.state.lock().held as u64;
            assert_eq!(counts.objects_in - counts.objects_out, held, "{counts:?}");
            assert_eq!(
                counts.objects_from_spans - counts.objects_to_spans,
                out.len() as u64 + held,
                "out of spans are those that are out and those that are transferred: {counts:?}"
            );
            // The slow twin: every object of a span that is still one is out, transferred or free.
            spans.retain(|&base| {
                heap.span_of(ptr::without_provenance(base))
                    .is_some_and(|s| s.base() == base && s.class() == Some(class))
            });
            assert_eq!(
                out.len() + central.free_objects(),
                spans.len() * class.objects(),
                "objects are lost or made up"
            );
            assert_eq!(counts.spans_made - counts.spans_freed, spans.len() as u64, "{counts:?}");
        }
        let rest: Vec<*mut u8> = out.iter().map(|&p| ptr::with_exposed_provenance_mut(p)).collect();
        central.flush_to_spans(class, heap, &rest);
        central.trim(class, heap, true, None);
        assert_eq!(central.free_objects(), 0, "a span whose objects are all back goes to the page heap");
    }
}
