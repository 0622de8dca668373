//! The page heap in parts: threads of another group than the first take their pages from an allocator of their group's, with a lock
//! of its own, so that 64 threads do not meet at one. Go has one lock there, and a cache in front.
//!
//! A group borrows whole free chunks of 4 MiB from the heap, as many as it needs, and gives back those that become free again, but for
//! one. What finds no place there comes from the heap: the heap never grows because a group has no chunk. Where it cannot grow, pages
//! come from whatever group has as many in a row.
//! Pages go back to the allocator that their chunk belongs to, whoever frees them. Up to eight threads there is only the first group,
//! which is the heap itself, and nothing of this.
//!
//! Invariant: a chunk with a page in use has one owner, which does not change.

use super::mheap::Heap;
use super::mspan::Span;
use crate::base::{PAGE_SIZE, PageIdx, PageRange, Pages};
use crate::page::{LONGEST_IN_CHUNK, LentChunk, PageAlloc, PageCache, Table, chunk_of};
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Relaxed, shrunk};
use crate::sync::{LockCounts, Mutex, rank};
use crate::sys::Linux;
use crate::throw::throw;

/// Threads of a group, as far as they come one after the other.
const GROUP: usize = shrunk(8, 1);
/// Groups, the first included; after the last comes the first again.
const GROUPS: usize = shrunk(8, 2);

/// A group's free pages; `None` until one of its threads needs some.
type Part = Mutex<Option<PageAlloc<Linux>>, { rank::HEAP }>;

/// The allocators of all groups but the first.
pub(super) struct Shards {
    parts: [Part; GROUPS - 1],
    /// Threads' caches that were given a group.
    members: AtomicUsize,
    /// Whether a chunk was ever lent.
    any: AtomicBool,
    /// The group that has a chunk. Written under the lock of the heap while all of the chunk is free; read by who has pages of it.
    owner: Table<AtomicU64, Linux>,
}

/// Which group a thread belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group(u8);

impl Group {
    /// The group that is the heap itself.
    pub(super) const FIRST: Self = Self(0);
}

impl Shards {
    /// For a heap of at most `max` pages; `None` when the OS refuses.
    pub(super) fn new(max: Pages) -> Option<Self> {
        Some(Self {
            parts: [const { Mutex::new(None) }; GROUPS - 1],
            members: AtomicUsize::new(0),
            any: AtomicBool::new(false),
            owner: Table::new(Linux, max.0.div_ceil(LONGEST_IN_CHUNK.0), c"gort: owners of chunks")?,
        })
    }

    fn part(&self, group: Group) -> Option<&Part> {
        self.parts.get(usize::from(group.0).wrapping_sub(1))
    }

    /// Takes all locks for a fork, after the heap's.
    pub(super) fn lock_for_fork(&self) {
        self.parts.iter().for_each(Mutex::lock_for_fork);
    }

    /// Gives them back.
    ///
    /// # Safety
    /// 1. This thread (in the child: the thread that forked) took them with `lock_for_fork`.
    #[expect(unsafe_code, reason = "gives locks back after a fork")]
    pub(super) unsafe fn unlock_after_fork(&self, in_child: bool) {
        // SAFETY: passed on unchanged (1).
        self.parts.iter().for_each(|part| unsafe { part.unlock_after_fork(in_child) });
    }

    /// The counts of all locks together.
    pub(super) fn lock_counts(&self) -> LockCounts {
        self.parts.iter().fold(LockCounts::ZERO, |sum, part| sum.plus(part.counts()))
    }

    /// Ends the process unless each allocator is in order.
    #[cfg(feature = "invariants")]
    pub(super) fn check_invariants(&self) {
        self.parts.iter().for_each(|part| part.lock().iter().for_each(PageAlloc::check_invariants));
    }
}

impl Heap {
    /// The group for the next thread's cache.
    pub(crate) fn next_group(&self) -> Group {
        Group((self.shards.members.fetch_add(1, Relaxed) / GROUP % GROUPS) as u8)
    }

    /// All groups that may have pages.
    pub(super) fn groups(&self) -> impl DoubleEndedIterator<Item = Group> + use<> {
        let groups = if self.shards.any.load(Relaxed) { GROUPS } else { 1 };
        (0..groups as u8).map(Group)
    }

    /// The group that a page in use belongs to.
    #[inline]
    pub(super) fn owner_of(&self, page: PageIdx) -> Group {
        // Relaxed, and below: whoever has a page of the chunk had it from a thread that saw the owner.
        if !self.shards.any.load(Relaxed) {
            return Group::FIRST;
        }
        Group(self.shards.owner.get(chunk_of(page)).map_or(0, |owner| owner.load(Relaxed)) as u8)
    }

    /// Runs `f` on the allocator of a group; `None` if it has none.
    #[inline]
    pub(super) fn with_group<R>(
        &self,
        group: Group,
        f: impl FnOnce(&mut PageAlloc<Linux>) -> R,
    ) -> Option<R> {
        match self.shards.part(group) {
            None => Some(f(&mut self.pages.lock().alloc)),
            Some(part) => part.lock().as_mut().map(f),
        }
    }

    /// Runs `f` on the allocator that pages in use belong to.
    #[inline]
    pub(super) fn with_owner<R>(&self, page: PageIdx, f: impl FnOnce(&mut PageAlloc<Linux>) -> R) -> R {
        match self.with_group(self.owner_of(page), f) {
            Some(r) => r,
            None => throw!("page: its chunk's owner does not exist"; page = page.0),
        }
    }

    /// Takes pages out of the allocator of a group, which may borrow a chunk for that. `None` for the first group, and when there is
    /// nothing to borrow.
    #[inline]
    pub(super) fn take_in_group<R>(
        &self,
        group: Group,
        take: impl Fn(&mut PageAlloc<Linux>) -> Option<R>,
    ) -> Option<R> {
        let part = self.shards.part(group)?;
        if let Some(got) = part.lock().as_mut().and_then(&take) {
            return Some(got);
        }
        self.borrow_chunk(group, part)?;
        part.lock().as_mut().and_then(take)
    }

    /// Pages from the allocator of a group, as `PageAlloc::alloc_with_dirt`.
    pub(super) fn alloc_in_group(
        &self,
        group: Group,
        n: Pages,
        most: Pages,
        align: Pages,
    ) -> Option<(PageRange, Pages, Pages)> {
        // Longer ones would mostly borrow in vain.
        if n.0 > LONGEST_IN_CHUNK.0 / 2 || align.0 > 1 {
            return None;
        }
        self.take_in_group(group, |alloc| alloc.alloc_with_dirt(n, most, align))
    }

    /// As the heap's own, from the allocator of any group that has as many: where the heap cannot grow.
    #[cold]
    pub(super) fn alloc_in_any_group(&self, n: Pages, align: Pages) -> Option<(PageRange, Pages, Pages)> {
        let take = |group| self.with_group(group, |alloc| alloc.alloc_with_dirt(n, n, align)).flatten();
        self.groups().skip(1).find_map(take)
    }

    /// Lends a group a chunk of the heap's.
    #[cold]
    fn borrow_chunk(&self, group: Group, part: &Part) -> Option<()> {
        let shards = &self.shards;
        // No look where there is hardly a chunk.
        if self.usable.load(Relaxed).saturating_sub(self.in_use.load(Relaxed)) < 2 * LONGEST_IN_CHUNK.0 {
            return None;
        }
        let lent = {
            let mut pages = self.pages.lock();
            let lent = pages.alloc.lend_chunk()?;
            let before = shards.owner.committed_bytes();
            if shards.owner.grow_to(lent.number() + 1).is_err() {
                let _ = pages.alloc.adopt_chunk(lent);
                return None;
            }
            self.tables_committed.fetch_add(shards.owner.committed_bytes().0 - before.0, Relaxed);
            shards.owner.at(lent.number()).store(group.0.into(), Relaxed);
            shards.any.store(true, Relaxed);
            lent
        };
        let mut own = part.lock();
        if own.is_none() {
            *own = PageAlloc::new(Linux, Pages(self.reserved.0 / PAGE_SIZE));
        }
        let refused = match own.as_mut() {
            None => lent,
            Some(alloc) => {
                let before = alloc.committed_bytes();
                let adopted = alloc.adopt_chunk(lent);
                self.tables_committed.fetch_add(alloc.committed_bytes().0 - before.0, Relaxed);
                match adopted {
                    Ok(()) => return Some(()),
                    Err((lent, _)) => lent,
                }
            }
        };
        drop(own);
        self.take_back(refused);
        None
    }

    /// Makes a chunk the heap's again.
    #[cold]
    fn take_back(&self, lent: LentChunk) {
        let mut pages = self.pages.lock();
        self.shards.owner.at(lent.number()).store(0, Relaxed);
        if pages.alloc.adopt_chunk(lent).is_err() {
            throw!("page: the heap does not know its own chunk");
        }
    }

    /// Runs `f` until it gives no more pages back to the allocator of a group, and takes the chunks from it that are free again.
    pub(super) fn give_back(
        &self,
        group: Group,
        mut f: impl FnMut(&mut PageAlloc<Linux>) -> Option<PageRange>,
    ) {
        let mut range = None;
        loop {
            let emptied = self.with_group(group, |alloc| {
                loop {
                    if let Some(lent) = range.and_then(|range| Self::emptied(alloc, group, range)) {
                        return Some(lent);
                    }
                    range = Some(f(alloc)?);
                }
            });
            match emptied {
                Some(Some(lent)) => self.take_back(lent),
                Some(None) => return,
                None => throw!("page: its chunk's owner does not exist"; group = group.0),
            }
        }
    }

    /// Gives pages back to the allocator that they belong to.
    pub(super) fn free_pages(&self, range: PageRange, scavenged: bool) {
        let mut all = Some(range);
        self.give_back(self.owner_of(range.start), |alloc| {
            let range = all.take()?;
            if scavenged {
                alloc.free_scavenged(range)
            } else {
                alloc.free(range)
            }
            Some(range)
        });
    }

    /// Gives back what a window holds.
    pub(super) fn flush_window(&self, window: &mut PageCache) {
        let mut page = Some(window.first_page());
        self.give_back(self.owner_of(window.first_page()), |alloc| {
            let start = page.take()?;
            alloc.flush_cache(window);
            // It lies in one chunk.
            Some(PageRange { start, len: Pages(1) })
        });
    }

    /// Gives back the pages of spans that are chained to one another, under one lock where that is possible.
    pub(super) fn free_pages_of(&self, first: Option<Span>) {
        let mut next = first;
        while let Some(span) = next {
            let group = self.owner_of(self.range_of(span).start);
            self.give_back(group, |alloc| {
                let span = next.filter(|span| self.owner_of(self.range_of(*span).start) == group)?;
                let range = self.range_of(span);
                alloc.free(range);
                next = span.chained();
                Some(range)
            });
        }
    }

    /// A chunk of those that pages were freed in, if a group is to give it up.
    #[inline]
    fn emptied(alloc: &mut PageAlloc<Linux>, group: Group, range: PageRange) -> Option<LentChunk> {
        if group == Group::FIRST {
            return None;
        }
        // Neighbouring chunks are one piece to the group, so a span may begin in one and end in another.
        let last = chunk_of(PageIdx(range.end().0 - 1));
        (chunk_of(range.start)..=last).find_map(|chunk| alloc.give_up_chunk(chunk))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::base::{Class, Random};
    use crate::heap::{Object, SpanCache, heap_alone};
    use std::{collections::BTreeMap, vec::Vec};

    fn part_invariants(heap: &Heap) {
        heap.pages.lock().alloc.check_invariants();
        for part in &heap.shards.parts {
            part.lock().iter().for_each(PageAlloc::check_invariants);
        }
    }

    /// Pages that no span has, wherever they are. The caches are empty.
    fn free(heap: &Heap) -> usize {
        heap.groups().filter_map(|g| heap.with_group(g, |alloc| alloc.free_pages().0)).sum()
    }

    /// Spans of threads of many groups that free one another's, against a map of what is out.
    #[test]
    fn no_page_is_two_spans_and_none_is_lost() {
        let (heap, _alone) = heap_alone();
        let mut random = Random::from_env("shards", 0);
        let mut caches: Vec<_> = (0..4u8).map(|g| SpanCache::of_group(Group(g))).collect();
        let lost = |heap: &Heap| {
            let usable = heap.usable.load(Relaxed);
            usable - heap.in_use.load(Relaxed) - free(heap)
        };
        caches.iter_mut().for_each(|cache| heap.flush_span_cache(cache));
        // What other tests' caches hold.
        let before = lost(heap);
        let mut live: BTreeMap<usize, Span> = BTreeMap::new();
        let (mut of_groups, mut grown) = (0, 0);
        for step in 0..12_000 {
            let cache = random.below(4);
            match random.below(16) {
                0 => {
                    // In place, or not at all.
                    let Some((_, &span)) = live.iter().nth(random.below(live.len().max(1))) else { continue };
                    let (base, old) = (span.base(), span.npages());
                    let n = Pages((old.0 / 2 + random.below(old.0 + 8)).max(1));
                    if span.class().is_none() && n.0 <= 100 {
                        let to = heap.resize_object(Object::Large(span), n, 1, |_| false);
                        assert!(to.is_none_or(|p| p.as_ptr().addr() == base && span.npages() == n));
                        grown += usize::from(to.is_some() && n > old);
                    }
                }
                what if what < if step / 1_000 % 2 == 0 { 11 } else { 4 } => {
                    let class = [None, Class::new(1), Class::new(40)][random.below(3)];
                    let n = class.map_or(Pages(1 + random.below(90)), Class::pages);
                    let (span, _) =
                        heap.alloc_span(n, class, Pages(1), Some(&mut caches[cache])).expect("memory");
                    of_groups += usize::from(heap.owner_of(heap.range_of(span).start) != Group::FIRST);
                    live.insert(span.base(), span);
                }
                _ => {
                    let mut chain = None;
                    for _ in 0..1 + random.below(6) {
                        let Some(&at) = live.keys().nth(random.below(live.len().max(1))) else { break };
                        let span = live.remove(&at).expect("it was just there");
                        span.chain(chain);
                        chain = Some(span);
                    }
                    heap.free_chain(chain, Some(&mut caches[cache]));
                }
            }
            let ends = live.values().map(|s| s.base() + s.bytes().0);
            assert!(ends.zip(live.keys().skip(1)).all(|(end, &next)| end <= next), "a page of two spans");
            for span in live.values().filter(|_| step % 16 == 0) {
                let range = heap.range_of(*span);
                let last = PageIdx(range.end().0 - 1);
                assert_eq!(heap.owner_of(range.start), heap.owner_of(last), "a span of two owners");
            }
            match random.below(300) {
                0 => heap.flush_span_cache(&mut caches[cache]),
                1 => _ = heap.scavenge(Pages(random.below(2_000)), Pages(64), random.below(2) == 0),
                _ => {}
            }
            if step % 256 == 0 {
                part_invariants(heap);
            }
        }
        assert!(of_groups > 100 && grown > 10, "{of_groups} of groups', {grown} grown");
        live.into_values().for_each(|span| heap.free_span(span, None));
        caches.iter_mut().for_each(|cache| heap.flush_span_cache(cache));
        part_invariants(heap);
        assert_eq!(lost(heap), before);
        // A group keeps no more than a chunk that is all free, and what was next to others'.
        let kept: Vec<_> =
            (1..4).map(|g| heap.with_group(Group(g), |alloc| alloc.free_pages().0).unwrap_or(0)).collect();
        assert!(kept.iter().all(|&n| n <= 2 * LONGEST_IN_CHUNK.0), "{kept:?}");
    }

    #[test]
    fn a_group_gives_up_chunks_that_spans_lay_across() {
        let (heap, _alone) = heap_alone();
        let mut cache = SpanCache::of_group(Group(3));
        let mut span = |n| heap.alloc_span(Pages(n), None, Pages(1), Some(&mut cache)).expect("memory").0;
        let free = |span| heap.free_span(span, None);
        // The heap has chunks to lend.
        free(span(16 * LONGEST_IN_CHUNK.0));
        let spans: Vec<_> = (0..12 * LONGEST_IN_CHUNK.0 / 13).map(|_| span(13)).collect();
        let of_group = spans.iter().filter(|s| heap.owner_of(heap.range_of(**s).start) == Group(3)).count();
        assert!(of_group > 8 * LONGEST_IN_CHUNK.0 / 13, "{of_group} spans are of the group");
        spans.into_iter().rev().for_each(free);
        heap.flush_span_cache(&mut cache);
        let kept = heap.with_group(Group(3), |alloc| alloc.free_pages().0).unwrap_or(0);
        assert!(kept <= 2 * LONGEST_IN_CHUNK.0, "{kept} pages are kept");
    }

    #[test]
    fn a_group_takes_its_own_lock() {
        let (heap, _alone) = heap_alone();
        let mut cache = SpanCache::of_group(Group(5));
        let mut round = || {
            let spans: Vec<_> = (0..32)
                .map(|_| heap.alloc_span(Pages(9), None, Pages(1), Some(&mut cache)).expect("memory").0)
                .collect();
            spans.into_iter().for_each(|span| heap.free_span(span, Some(&mut cache)));
        };
        // The heap has chunks to lend.
        let (room, _) = heap.alloc_span(Pages(4096), None, Pages(1), None).expect("memory");
        heap.free_span(room, None);
        round();
        let before = heap.pages.counts().taken;
        (0..10).for_each(|_| round());
        assert_eq!(heap.pages.counts().taken, before);
        heap.flush_span_cache(&mut cache);
    }

    #[test]
    fn eight_threads_are_the_first_group() {
        let (heap, _alone) = heap_alone();
        heap.shards.members.store(0, Relaxed);
        let groups: Vec<_> = (0..130).map(|_| heap.next_group().0).collect();
        assert!(groups[..8].iter().all(|&g| g == 0));
        assert!(groups[8..64].iter().all(|&g| g > 0 && usize::from(g) < GROUPS));
        assert_eq!(groups[63..66], [7, 0, 0]);
    }
}
