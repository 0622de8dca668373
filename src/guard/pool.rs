//! The places of guarded objects.
//!
//! ```text
//! | closed 64 KiB | room 128 KiB | closed 64 KiB | room | closed | .. | room | closed |
//!                  object ......    opened from the left end of the room,
//!                      ...... object    or up to its right end
//! ```
//!
//! Only those pages of a room are open that its object is on. The object ends where they end or starts where they start, as chance
//! has it, so that an access past the one end or the other is a fault; what is between the object and the other end of its pages is
//! filled with a pattern, and looked at when the object is freed.
//!
//! A place that was freed is closed, its frames go back to the kernel, and it waits behind all that were freed before it. When few wait
//! nothing more is guarded, so that those stay closed for long.
//!
//! Invariants: each place is live or waits, once; a place that is live has pages that are open, others have none.
#![expect(unsafe_code, reason = "opens and closes its own reservation, and fills what is beside objects")]

use core::mem;
use core::ptr::{self, NonNull};
use core::slice;

use super::{Object, Request, Said};
use crate::base::{Bytes, Class, Pages, Random, large_pages};
use crate::sys::{Linux, Os, thread, unwind};
#[cfg(any(test, feature = "invariants"))]
use crate::throw::check;

/// Places. An index is a byte.
const PLACES: usize = 256;
/// Bytes of a place that an object may have.
pub(super) const ROOM: usize = 128 << 10;
/// Bytes before and behind each that nobody may touch: a kernel page of any supported size.
pub(super) const GUARD: usize = 64 << 10;
const STRIDE: usize = ROOM + GUARD;
/// Bytes of addresses for all of them.
pub(super) const AREA: usize = PLACES * STRIDE + GUARD;
/// Places that always wait.
const LEAST_WAITING: usize = 32;
/// What is beside objects.
const PATTERN: u8 = 0xb5;
/// Calls that are kept of a stack.
const CALLS: usize = 16;

/// Who did something: the kernel's number of the thread, and the calls that led there, the last one first.
#[derive(Clone, Copy)]
pub(crate) struct Trace {
    pub(super) thread: u32,
    len: u32,
    calls: [usize; CALLS],
}

impl Trace {
    const NONE: Self = Self { thread: 0, len: 0, calls: [0; CALLS] };

    /// The callers of the function in whose frame `inside` is.
    pub(crate) fn of_callers(inside: *const u8) -> Self {
        Self::new(|calls| unwind::callers(inside, calls))
    }

    /// This thread, with the calls that `fill` writes and counts.
    pub(super) fn new(fill: impl FnOnce(&mut [usize]) -> usize) -> Self {
        let mut trace = Self { thread: thread::kernel_id(), ..Self::NONE };
        trace.len = fill(&mut trace.calls) as u32;
        trace
    }

    pub(super) fn calls(&self) -> &[usize] {
        &self.calls[..self.len as usize]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Unused,
    Live,
    Freed,
}

/// A place, and its last object.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) state: State,
    /// The object's first byte.
    pub(super) addr: usize,
    /// Bytes that are accounted for it, and those that the program may use.
    pub(super) bytes: usize,
    pub(super) usable: usize,
    pub(super) class: Option<Class>,
    /// Bytes that are booked for it: its object's pages, and those of former objects that the kernel refused to take back.
    booked: usize,
    pub(super) allocated: Trace,
    pub(super) freed: Trace,
}

impl Place {
    const UNUSED: Self = Self {
        state: State::Unused,
        addr: 0,
        bytes: 0,
        usable: 0,
        class: None,
        booked: 0,
        allocated: Trace::NONE,
        freed: Trace::NONE,
    };

    fn is_at(&self, addr: usize, state: State) -> bool {
        self.state == state && self.addr == addr
    }

    /// The object's pages: their first byte, and their bytes.
    fn pages(&self, page: usize) -> (usize, usize) {
        let from = self.addr & !(page - 1);
        (from, (self.addr + self.bytes).next_multiple_of(page) - from)
    }

    /// How far an address is from the object.
    fn distance(&self, addr: usize) -> usize {
        self.addr.saturating_sub(addr).max(addr.saturating_sub(self.addr + self.bytes))
    }

    /// Whether an object of whole pages for `size` bytes may be here.
    fn has_pages_for(&self, size: usize) -> bool {
        self.class.is_none() && large_pages(Bytes(size)).map(Pages::bytes) == Some(Bytes(self.bytes))
    }

    fn object(&self) -> Object {
        Object { bytes: Bytes(self.bytes), usable: self.usable, class: self.class }
    }
}

/// Why an object is not freed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No object was ever there.
    Nothing,
    Middle,
    AlreadyFree,
    /// It is not of the class that the program says.
    NotOf(Class),
    /// It is not of as many whole pages as the program says, in bytes.
    OtherSize(usize),
    /// It was written to before its start or past its end; the byte's address.
    Written(usize),
}

/// The places; all zeros is none.
pub(super) struct Pool {
    base: usize,
    /// Bytes of a kernel page.
    page: usize,
    random: Random,
    /// Those that wait: a ring, the one that waits for longest at `first`.
    ring: [u8; PLACES],
    first: usize,
    waiting: usize,
    /// Whether a fault has been reported: from then on nothing is opened again.
    closed: bool,
    places: [Place; PLACES],
}

impl Pool {
    pub(super) const fn new() -> Self {
        Self {
            base: 0,
            page: 0,
            random: Random::new(0),
            ring: [0; PLACES],
            first: 0,
            waiting: 0,
            closed: false,
            places: [const { Place::UNUSED }; PLACES],
        }
    }

    /// Makes places of a reservation of `AREA` bytes at `base`.
    pub(super) fn set_up(&mut self, base: usize, random: Random) {
        (self.base, self.page, self.random) = (base, Linux.page_size(), random);
        // In an order of chance (Fisher and Yates).
        for i in 0..PLACES {
            let j = self.random.below(i + 1);
            self.ring[i] = self.ring[j];
            self.ring[j] = i as u8;
        }
        self.waiting = PLACES;
    }

    fn room(&self, index: usize) -> usize {
        self.base + GUARD + index * STRIDE
    }

    /// Lets nothing be opened any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Whether enough places wait.
    pub(super) fn has_place(&self) -> bool {
        self.waiting > LEAST_WAITING && !self.closed
    }

    /// A new object, and how many more bytes are to be booked for its place.
    pub(super) fn alloc(&mut self, request: &Request, by: &Trace) -> Option<(NonNull<u8>, Bytes)> {
        let (bytes, usable) = (request.bytes.0, request.usable);
        if !self.has_place() || bytes > ROOM || usable > bytes {
            return None;
        }
        let index = usize::from(self.ring[self.first]);
        let room = self.room(index);
        let at_end = self.random.below(2) == 0;
        let addr = if at_end { room + ROOM - bytes } else { room };
        let mut place =
            Place { state: State::Live, addr, bytes, usable, class: request.class, ..Place::UNUSED };
        let (from, len) = place.pages(self.page);
        // SAFETY: pages of this place, which nobody has.
        if !unsafe { Linux.commit(NonNull::new(ptr::with_exposed_provenance_mut(from))?, len) } {
            return None;
        }
        place.allocated = *by;
        let before = self.places[index].booked;
        place.booked = (before + len).min(ROOM);
        let more = place.booked - before;
        self.first = (self.first + 1) % PLACES;
        self.waiting -= 1;
        self.fill(&place);
        self.places[index] = place;
        Some((NonNull::new(ptr::with_exposed_provenance_mut(addr))?, Bytes(more)))
    }

    /// What is beside the bytes that the program may use of a live object, on its pages.
    #[expect(clippy::mut_from_ref, reason = "it is in the places, not in the pool")]
    fn beside(&self, place: &Place) -> [&mut [u8]; 2] {
        let (from, len) = place.pages(self.page);
        let end = place.addr + place.usable;
        // SAFETY: open pages of the place, beside the object; the pool is borrowed.
        let part = |from: usize, to: usize| unsafe {
            slice::from_raw_parts_mut(ptr::with_exposed_provenance_mut(from), to - from)
        };
        [part(from, place.addr), part(end, from + len)]
    }

    fn fill(&self, place: &Place) {
        self.beside(place).into_iter().for_each(|part| part.fill(PATTERN));
    }

    /// The byte beside a live object that was written to and is nearest to it.
    fn written(&self, place: &Place) -> Option<usize> {
        let [before, behind] = self.beside(place);
        // All of them at first, without a branch for each.
        let odd = |part: &[u8]| part.iter().fold(0, |odd, b| odd | (b ^ PATTERN));
        if odd(before) | odd(behind) == 0 {
            return None;
        }
        let behind = behind.iter().position(|&b| b != PATTERN).map(|i| place.addr + place.usable + i);
        behind.or_else(|| before.iter().rposition(|&b| b != PATTERN).map(|i| place.addr - before.len() + i))
    }

    /// Frees an object; with it, how many bytes are booked for its place no more.
    pub(super) fn free(&mut self, addr: usize, said: Said, by: &Trace) -> Result<(Object, Bytes), Refusal> {
        let index = self.index_near(addr).ok_or(Refusal::Nothing)?;
        let place = &self.places[index];
        let refusal = match place.state {
            State::Unused => Some(Refusal::Nothing),
            _ if place.addr != addr => Some(Refusal::Middle),
            State::Freed => Some(Refusal::AlreadyFree),
            State::Live => match said {
                Said::Class(said) if Some(said) != place.class => Some(Refusal::NotOf(said)),
                Said::WholePages(size) if !place.has_pages_for(size) => Some(Refusal::OtherSize(size)),
                _ => self.written(place).map(Refusal::Written),
            },
        };
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        let (from, len) = place.pages(self.page);
        let object = place.object();
        if let Some(from) = NonNull::new(ptr::with_exposed_provenance_mut(from)) {
            // Refused, an access after the free is not noticed; nothing else depends on it.
            // SAFETY: pages of this place, whose object is given up.
            let _ = unsafe { Linux.forbid(from, len) };
        }
        let place = &mut self.places[index];
        (place.state, place.freed) = (State::Freed, *by);
        self.ring[(self.first + self.waiting) % PLACES] = index as u8;
        self.waiting += 1;
        Ok((object, self.release(index)))
    }

    /// Gives the frames of a freed place back. How many bytes are booked for it no more: none when the kernel refuses.
    fn release(&mut self, index: usize) -> Bytes {
        let (place, room) = (&self.places[index], self.room(index));
        let (from, len) = place.pages(self.page);
        // Frames of former objects may be anywhere in the room.
        let (from, len) = if place.booked > len { (room, ROOM) } else { (from, len) };
        let from = NonNull::new(ptr::with_exposed_provenance_mut(from));
        // SAFETY: pages of this place, whose object is given up: nobody relies on their contents.
        let gone = from.is_some_and(|from| unsafe { Linux.release(from, len) });
        let booked = &mut self.places[index].booked;
        Bytes(if gone { mem::take(booked) } else { 0 })
    }

    /// Tries again to give back what the kernel refused to take. How many bytes are booked no more.
    pub(super) fn release_all(&mut self) -> Bytes {
        let kept = |place: &Place| place.state == State::Freed && place.booked > 0;
        Bytes((0..PLACES).map(|i| if kept(&self.places[i]) { self.release(i).0 } else { 0 }).sum())
    }

    /// The live object that starts at an address.
    pub(super) fn object_at(&self, addr: usize) -> Option<Object> {
        let place = self.places.get(self.index_near(addr)?)?;
        place.is_at(addr, State::Live).then(|| place.object())
    }

    /// Notes that the program may use another number of bytes of an object.
    pub(super) fn resized(&mut self, addr: usize, usable: usize) {
        let Some(index) = self.index_near(addr) else { return };
        let place = &mut self.places[index];
        if place.is_at(addr, State::Live) && usable <= place.bytes {
            place.usable = usable;
            self.fill(&self.places[index]);
        }
    }

    /// The place that an address is in, or that has or had the object nearest to it.
    fn index_near(&self, addr: usize) -> Option<usize> {
        let offset = addr.checked_sub(self.base).filter(|&offset| offset < AREA)?;
        // In a room, or before it.
        let next = offset / STRIDE;
        if offset % STRIDE >= GUARD {
            return Some(next);
        }
        let known = |&i: &usize| self.places.get(i).is_some_and(|place| place.state != State::Unused);
        let near = [next.checked_sub(1), Some(next)].into_iter().flatten().filter(known);
        near.min_by_key(|&i| self.places[i].distance(addr))
    }

    /// As `index_near`, the place, if it ever had an object.
    pub(super) fn place_near(&self, addr: usize) -> Option<&Place> {
        self.index_near(addr).map(|i| &self.places[i]).filter(|place| place.state != State::Unused)
    }

    /// Ends the process unless each place is live or waits, once, and each live object is inside its room.
    #[cfg(any(test, feature = "invariants"))]
    pub(super) fn check_invariants(&self) {
        let mut waits = [false; PLACES];
        for i in 0..self.waiting {
            let index = usize::from(self.ring[(self.first + i) % PLACES]);
            check!(!waits[index]; place = index);
            waits[index] = true;
        }
        if self.base == 0 {
            return;
        }
        for (i, place) in self.places.iter().enumerate() {
            check!((place.state == State::Live) != waits[i]; place = i);
            if place.state == State::Live {
                let room = self.room(i);
                check!(place.addr == room || place.addr + place.bytes == room + ROOM; place = i);
                check!(place.usable <= place.bytes && place.bytes <= ROOM; place = i);
                check!(place.pages(self.page).1 <= place.booked && place.booked <= ROOM; place = i);
            }
        }
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
