//! `mcentral`: objects travel through the transfer cache, which has room for three, and through spans, none is lost or handed out twice,
//! and who gets one sees what who gave it back did.

use super::doors::{give_up, got, heap, join, nothing_is_lost, spawn, two};
use crate::execution::explore;
use crate::heap::Heap;
use crate::mcentral::{central, trim_all};

/// Takes two objects at a time.
fn come(heap: &Heap) -> Vec<*mut u8> {
    let mut batch = [core::ptr::null_mut(); 2];
    let n = central(two()).refill(two(), heap, &mut batch, None);
    batch[2 - n..].iter().map(|&p| got(heap, p)).collect()
}

/// Gives them back.
fn go(heap: &Heap, batch: &[*mut u8]) {
    batch.iter().for_each(|&p| give_up(heap, p));
    central(two()).flush(two(), heap, batch, None);
}

fn come_and_go(heap: &Heap, times: u32) {
    (0..times).for_each(|_| go(heap, &come(heap)));
}

/// Two threads that refill and flush.
pub(super) fn objects_travel() {
    explore(3, || {
        let heap = heap();
        let threads = [2, 2].map(|n| spawn(move || come_and_go(heap, n)));
        join(threads);
        nothing_is_lost(heap);
        counts_add_up();
    });
}

fn counts_add_up() {
    let counts = central(two()).counts();
    assert_eq!(counts.objects_in, counts.objects_out);
    assert_eq!(counts.objects_from_spans, counts.objects_to_spans);
    assert_eq!(counts.spans_made, counts.spans_freed);
}

/// Two threads that refill and flush while a third trims.
pub(super) fn trimmed_meanwhile() {
    explore(2, || {
        let heap = heap();
        let threads = [1, 2].map(|n| spawn(move || come_and_go(heap, n)));
        trim_all(heap, true);
        join(threads);
        nothing_is_lost(heap);
        counts_add_up();
    });
}

/// A thread takes what another is about to trim, and keeps it until that one is done.
pub(super) fn trimmed_in_vain() {
    explore(3, || {
        let heap = heap();
        come_and_go(heap, 1);
        let taker = spawn(move || come(heap));
        trim_all(heap, true);
        join([taker]).iter().for_each(|batch| go(heap, batch));
        nothing_is_lost(heap);
        counts_add_up();
    });
}
