//! What a thread keeps of what spans are made of, so that making one takes no lock: a window of pages, and free headers. Answers to
//! Go's p.pcache and p.mspancache.
//!
//! Headers come from the metadata arena and go back there a batch at a time, under one lock. Kept are those of up to three cache
//! lines, which is all of them but for a table of size classes of one's own. Invariant: a kept header is no span's, and nobody else's.
#![expect(unsafe_code, reason = "chains free headers through themselves")]

use core::ptr::{self, NonNull};

use super::meta::{LINE, LINES, Meta};
use super::mheap::Heap;
use super::mspan::Span;
use crate::base::{Bytes, PageIdx, Pages};
use crate::page::PageCache;
use crate::sys::Linux;

/// Longest header that is kept, in cache lines.
const LONGEST: usize = 3;
/// Headers of one length that are fetched and given back together; so many twice are kept at most.
const BATCH: usize = 16;

const _: () = assert!(LINES[LONGEST - 1] == LONGEST, "each length of a header is a length of a block");

/// A thread's window of pages and free headers. Not `Copy`: it owns them, and dropping it without flushing loses them.
#[must_use = "what it holds is lost unless it is flushed"]
pub(crate) struct SpanCache {
    pages: PageCache,
    headers: [Headers; LONGEST],
}

/// Free headers of one length.
struct Headers {
    first: *mut Free,
    held: usize,
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
    /// One that holds nothing.
    pub(crate) const fn empty() -> Self {
        Self {
            pages: PageCache::empty(),
            headers: [const { Headers { first: ptr::null_mut(), held: 0 } }; LONGEST],
        }
    }

    /// Whether the next short span takes pages from the heap.
    pub(crate) const fn has_no_pages(&self) -> bool {
        self.pages.is_empty()
    }

    /// The headers that have `bytes`.
    fn headers(&mut self, bytes: Bytes) -> Option<&mut Headers> {
        self.headers.get_mut(bytes.0.div_ceil(LINE) - 1)
    }

    /// How many headers it holds.
    #[cfg(test)]
    fn held(&self) -> usize {
        self.headers.iter().map(|h| h.held).sum()
    }
}

impl Heap {
    /// A block for a header of `bytes`.
    pub(super) fn alloc_header(&self, bytes: Bytes, cache: Option<&mut SpanCache>) -> Option<NonNull<u8>> {
        let Some(headers) = cache.and_then(|c| c.headers(bytes)) else { return self.alloc_metadata(bytes) };
        if headers.held == 0 {
            self.fetch_headers(bytes, headers);
        }
        headers.take()
    }

    #[cold]
    fn fetch_headers(&self, bytes: Bytes, headers: &mut Headers) {
        let mut meta = self.meta.lock();
        for _ in 0..BATCH {
            let Some(block) = meta.alloc(bytes) else { break };
            // SAFETY: a new block of this length.
            unsafe { headers.put(block) };
        }
        self.note_metadata(&meta);
    }

    /// Takes back the headers of spans that are chained to one another, are retired and have given up their pages.
    pub(super) fn free_headers(&self, first: Option<Span>, mut cache: Option<&mut SpanCache>) {
        let mut meta = None;
        let mut next = first;
        while let Some(span) = next {
            next = span.chained();
            let (block, bytes) = (span.address(), Span::metadata_bytes(span.nelems()));
            let mut headers = cache.as_deref_mut().and_then(|c| c.headers(bytes));
            if let Some(headers) = headers.as_deref_mut()
                && headers.held < 2 * BATCH
            {
                // SAFETY: `alloc_span` allocated the header with this length; the page map no longer names it.
                unsafe { headers.put(block) };
                continue;
            }
            let meta = meta.get_or_insert_with(|| self.meta.lock());
            // SAFETY: as above.
            unsafe { meta.free(block, bytes) };
            if let Some(headers) = headers {
                headers.flush(bytes, BATCH, meta);
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
            *pages = self.pages.lock().alloc.alloc_to_cache()?;
        }
        pages.alloc(n)
    }

    /// Gives back what a thread's cache holds.
    pub(crate) fn flush_span_cache(&self, cache: &mut SpanCache) {
        if !cache.pages.is_empty() {
            self.pages.lock().alloc.flush_cache(&mut cache.pages);
        }
        if cache.headers.iter().any(|h| h.held > 0) {
            let mut meta = self.meta.lock();
            for (headers, lines) in cache.headers.iter_mut().zip(1..) {
                headers.flush(Bytes(lines * LINE), 0, &mut meta);
            }
        }
    }
}
