//! What a thread keeps of what spans are made of, so that making one takes no lock: a window of pages, and free headers. Answers to
//! Go's p.pcache and p.mspancache.
//!
//! Headers come from the metadata arena and go back there many at a time, under one lock. Kept are those of up to three cache
//! lines, which is all of them but for a table of size classes of one's own. Invariant: a kept header is no span's, and nobody else's.
#![expect(unsafe_code, reason = "chains free headers through themselves")]

use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering::Relaxed;

use super::meta::{LINE, LINES, Meta};
use super::mheap::Heap;
use super::mspan::Span;
use super::shards::Group;
use super::thp::HugePage;
use crate::base::{Bytes, PageIdx, Pages};
use crate::page::{PageAlloc, PageCache};
use crate::sys::Linux;

/// Longest header that is kept, in cache lines.
const LONGEST: usize = 3;
/// Headers of one length that are fetched together at first, ...
const BATCH: usize = 16;
/// ... by a thread that makes span after span, ...
const LARGEST_BATCH: usize = 64;
/// ... and that are kept at most; half of them then go back together.
const KEPT: usize = 128;

const _: () = assert!(LINES[LONGEST - 1] == LONGEST, "each length of a header is a length of a block");

/// A thread's window of pages and free headers. Not `Copy`: it owns them, and dropping it without flushing loses them.
#[must_use = "what it holds is lost unless it is flushed"]
pub(crate) struct SpanCache {
    pages: PageCache,
    headers: [Headers; LONGEST],
    /// Whose pages it takes.
    group: Group,
}

/// Free headers of one length.
struct Headers {
    first: *mut Free,
    held: usize,
    /// How many are fetched next.
    batch: usize,
}

/// A free header; the link lives in it.
struct Free {
    next: *mut Free,
}

impl Headers {
    fn take(&mut self) -> Option<NonNull<u8>> {
        let block = NonNull::new(self.first)?;
        // SAFETY: `put` wrote it, and nobody else has it.
        self.first = unsafe { block.as_ref() }.next;
        self.held -= 1;
        Some(block.cast())
    }

    /// # Safety
    /// 1. `block` is a metadata block of this length that nobody uses.
    unsafe fn put(&mut self, block: NonNull<u8>) {
        let free = block.cast::<Free>();
        // SAFETY: the block is a line long at least and aligned to it, and ours now (1).
        unsafe { free.write(Free { next: self.first }) };
        self.first = free.as_ptr();
        self.held += 1;
    }

    /// Gives headers of `bytes` back until `left` are left.
    fn flush(&mut self, bytes: Bytes, left: usize, meta: &mut Meta<Linux>) {
        while self.held > left
            && let Some(block) = self.take()
        {
            // SAFETY: it came from there, with the same length in lines, and nobody uses it.
            unsafe { meta.free(block, bytes) };
        }
    }
}

impl SpanCache {
    /// One that holds nothing, of the first group.
    pub(crate) const fn empty() -> Self {
        Self {
            pages: PageCache::empty(),
            headers: [const { Headers { first: ptr::null_mut(), held: 0, batch: BATCH } }; LONGEST],
            group: Group::FIRST,
        }
    }

    #[cfg(test)]
    pub(super) const fn of_group(group: Group) -> Self {
        Self { group, ..Self::empty() }
    }

    /// Takes pages from the heap's next group from now on.
    pub(crate) fn join_next_group(&mut self, heap: &Heap) {
        self.group = heap.next_group();
    }

    pub(super) fn group(&self) -> Group {
        self.group
    }

    /// Whether the next short span takes pages from the heap.
    pub(crate) const fn has_no_pages(&self) -> bool {
        self.pages.is_empty()
    }

    /// The headers that have `bytes`.
    fn of_length(&mut self, bytes: Bytes) -> Option<&mut Headers> {
        self.headers.get_mut(bytes.0.div_ceil(LINE) - 1)
    }

    /// How many headers it holds.
    #[cfg(test)]
    pub(crate) fn headers(&self) -> usize {
        self.headers.iter().map(|h| h.held).sum()
    }
}

impl Heap {
    /// A block for a header of `bytes`.
    pub(super) fn alloc_header(&self, bytes: Bytes, cache: Option<&mut SpanCache>) -> Option<NonNull<u8>> {
        let Some(headers) = cache.and_then(|c| c.of_length(bytes)) else { return self.alloc_metadata(bytes) };
        if headers.held == 0 {
            self.fetch_headers(bytes, headers);
        }
        headers.take()
    }

    #[cold]
    fn fetch_headers(&self, bytes: Bytes, headers: &mut Headers) {
        let mut meta = self.meta.lock();
        for _ in 0..headers.batch {
            let Some(block) = meta.alloc_uncut(bytes) else { break };
            // SAFETY: a new block of this length.
            unsafe { headers.put(block) };
        }
        if headers.held == 0
            && let Some(block) = meta.alloc(bytes)
        {
            // SAFETY: as above.
            unsafe { headers.put(block) };
        }
        headers.batch = (headers.batch * 2).min(LARGEST_BATCH);
        self.note_metadata(&meta);
    }

    /// Takes back the headers of spans that are chained to one another, are retired and have given up their pages.
    pub(super) fn free_headers(&self, first: Option<Span>, mut cache: Option<&mut SpanCache>) {
        let mut meta = None;
        let mut next = first;
        while let Some(span) = next {
            next = span.chained();
            let (block, bytes) = (span.address(), Span::metadata_bytes(span.nelems()));
            let mut headers = cache.as_deref_mut().and_then(|c| c.of_length(bytes));
            if let Some(headers) = headers.as_deref_mut()
                && headers.held < KEPT
            {
                // SAFETY: `alloc_span` allocated the header with this length; the page map no longer names it.
                unsafe { headers.put(block) };
                continue;
            }
            let meta = meta.get_or_insert_with(|| self.meta.lock());
            // SAFETY: as above.
            unsafe { meta.free(block, bytes) };
            if let Some(headers) = headers {
                headers.flush(bytes, KEPT / 2, meta);
            }
        }
    }

    /// `n` pages of the thread's window, which is filled again when it is empty, and how many of them were scavenged.
    pub(super) fn alloc_cached(&self, n: Pages, cache: &mut SpanCache) -> Option<(PageIdx, Pages)> {
        let pages = &mut cache.pages;
        if let Some(got) = pages.alloc(n) {
            return Some(got);
        }
        if pages.is_empty() {
            *pages = self.fetch_window(cache.group)?;
        }
        pages.alloc(n)
    }

    /// A window of free pages, for which the heap grows if need be.
    #[cold]
    fn fetch_window(&self, group: Group) -> Option<PageCache> {
        let huge = self.wants_huge_pages();
        let take = |alloc: &mut PageAlloc<Linux>| {
            let window = alloc.alloc_to_cache()?;
            let untouched = window.untouched().filter(|_| huge);
            Some((window, untouched.and_then(|range| HugePage::begun(alloc, range))))
        };
        let (mut window, huge) = self.take_in_group(group, take).or_else(|| {
            let mut pages = self.pages.lock();
            take(&mut pages.alloc).or_else(|| {
                self.grow(&mut pages, Pages(1))?;
                take(&mut pages.alloc)
            })
        })?;
        if huge.is_some_and(|huge| self.touch(huge)) {
            self.released.fetch_sub(window.got_frames().0, Relaxed);
        }
        Some(window)
    }

    /// Gives back what a thread's cache holds.
    pub(crate) fn flush_span_cache(&self, cache: &mut SpanCache) {
        if !cache.pages.is_empty() {
            self.flush_window(&mut cache.pages);
        }
        if cache.headers.iter().any(|h| h.held > 0) {
            let mut meta = self.meta.lock();
            for (headers, lines) in cache.headers.iter_mut().zip(1..) {
                headers.flush(Bytes(lines * LINE), 0, &mut meta);
                headers.batch = BATCH;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::base::{Class, Random};
    use crate::heap::heap_alone;
    use std::{collections::BTreeSet, vec::Vec};

    /// Spans made and freed with a cache, with another and without, against the set of headers that are spans'.
    #[test]
    fn no_header_is_two_spans_and_few_are_kept() {
        let (heap, _alone) = heap_alone();
        let mut random = Random::from_env("span cache", 0);
        let mut caches = [SpanCache::empty(), SpanCache::empty()];
        let classes: Vec<_> =
            Class::all().map(Some).filter(|_| random.below(4) == 0).chain([Class::new(1), None]).collect();
        let (mut live, mut headers): (Vec<Span>, _) = (Vec::new(), BTreeSet::new());
        for step in 0..20_000 {
            let mut cache = caches.get_mut(random.below(3));
            if random.below(16) < if step / 500 % 2 == 0 { 12 } else { 4 } {
                let class = classes[random.below(classes.len())];
                let n = class.map_or(Pages(5), Class::pages);
                let (span, _) = heap.alloc_span(n, class, Pages(1), cache.as_deref_mut()).expect("memory");
                assert!(headers.insert(span.address()), "a header of two spans");
                assert_eq!(heap.span_of(ptr::without_provenance(span.base())), Some(span));
                live.push(span);
            } else {
                // Several at a time, chained.
                let mut chain = None;
                for _ in 0..random.below(40).min(live.len()) {
                    let span = live.swap_remove(random.below(live.len()));
                    headers.remove(&span.address());
                    span.chain(chain);
                    chain = Some(span);
                }
                heap.free_chain(chain, cache.as_deref_mut());
            }
            if let Some(cache) = cache {
                for (of_length, lines) in cache.headers.iter().zip(1..) {
                    let chain = core::iter::successors(NonNull::new(of_length.first), |free| {
                        // SAFETY: a free header that the cache keeps.
                        NonNull::new(unsafe { free.as_ref() }.next)
                    });
                    let kept: BTreeSet<_> = chain.map(NonNull::cast::<u8>).collect();
                    assert_eq!(kept.len(), of_length.held, "{lines} lines");
                    assert!(kept.len() <= KEPT && kept.is_disjoint(&headers));
                }
                if random.below(500) == 0 {
                    heap.flush_span_cache(cache);
                    assert_eq!((cache.headers(), cache.has_no_pages()), (0, true));
                }
            }
        }
        live.drain(..).for_each(|span| heap.free_span(span, None));
        caches.iter_mut().for_each(|cache| heap.flush_span_cache(cache));
    }

    #[test]
    fn the_metadata_lock_is_taken_once_for_many_headers() {
        let (heap, _alone) = heap_alone();
        let mut cache = SpanCache::empty();
        let taken = || heap.lock_counts().1.taken;
        let mut round = |spans: usize| {
            let before = taken();
            let live: Vec<_> = (0..spans)
                .map(|_| heap.alloc_span(Pages(5), None, Pages(1), Some(&mut cache)).expect("memory").0)
                .collect();
            live.into_iter().for_each(|span| heap.free_span(span, Some(&mut cache)));
            taken() - before
        };
        round(1);
        assert_eq!((0..100).map(|_| round(BATCH)).sum::<u64>(), 0, "few come and go without it");
        let many = round(1_600);
        assert!(many > 0 && many <= (1_600 / BATCH + 2 * 1_600 / KEPT) as u64, "{many}");
        heap.flush_span_cache(&mut cache);
    }
}
