//! What the heap knows of an address that a program should not have passed, as facts of the line on it.
//!
//! Only for lines that end the process: it reads headers of spans that other threads may change meanwhile. Of a small object in the plain
//! build its bit says whether it is in its span, but nothing of one that is out: it may be in a cache.

use core::fmt;
use core::sync::atomic::Ordering::Relaxed;

use super::mheap::{Heap, heap};
use super::mspan::{Span, State};
use super::objects;
use crate::base::{Bytes, Class, PAGE_SIZE};
use crate::throw::fatal;

/// Whether the program owns an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owned {
    /// It does.
    Live,
    /// It freed it.
    Freed,
    /// It never had it, since the span was made.
    #[cfg(feature = "hardened")]
    NeverAllocated,
    /// It does not: the object is in its span.
    #[cfg(not(feature = "hardened"))]
    Free,
    /// It does, or the object is in a thread's bin or in the transfer cache.
    #[cfg(not(feature = "hardened"))]
    LiveOrCached,
}

/// The object that an address points to or into, as facts behind the address: `, class=64, size=60, state=Live`.
#[derive(Clone, Copy)]
pub(crate) enum Facts {
    /// There is none.
    Nothing,
    /// What is not known of it is left out.
    Object {
        /// `None` for whole pages.
        class: Option<Class>,
        /// Its first byte.
        start: Option<usize>,
        /// Bytes that the program may use.
        size: Option<usize>,
        state: Option<Owned>,
    },
}

impl Facts {
    /// What is known of an address. Takes the lock of rank HUGE for one outside the reservation.
    #[cold]
    pub(crate) fn of(p: *const u8) -> Self {
        let Some(heap) = heap() else { return Self::Nothing };
        if heap.contains(p) {
            return heap.span_around(p).map_or(Self::Nothing, |span| span.facts_of(p));
        }
        let found = heap.huge.lock().whose(p.addr(), 0);
        found.map_or(Self::Nothing, |(huge, owned)| Self::large(huge.addr, Bytes(huge.usable), owned))
    }

    pub(super) fn large(start: usize, bytes: Bytes, state: Owned) -> Self {
        Self::Object { class: None, start: Some(start), size: Some(bytes.0), state: Some(state) }
    }

    /// Ends the process with one line: what is wrong with an address, and what is known of it.
    #[cold]
    pub(crate) fn refuse(self, p: *const u8, what: fmt::Arguments<'_>) -> ! {
        fatal(format_args!("{what} (addr={p:?}{self})"))
    }

    /// As `refuse`, with the size that the program says.
    #[cold]
    pub(crate) fn refuse_said(self, p: *const u8, said: usize, what: fmt::Arguments<'_>) -> ! {
        fatal(format_args!("{what} (addr={p:?}, said={said}{self})"))
    }

    /// What is wrong with an address at which no live object of whole pages was found a moment ago; `otherwise` where too little is known
    /// of it.
    pub(crate) fn wrong(self, p: *const u8, otherwise: &'static str) -> &'static str {
        match self {
            Self::Object { state: Some(Owned::Freed), .. } => "object is already free",
            Self::Object { start: Some(start), .. } if start != p.addr() => {
                "pointer into the middle of an object"
            }
            Self::Object { class: Some(_), start: Some(_), .. } => "object is smaller than its layout says",
            // Or another thread got a new one there meanwhile.
            _ => otherwise,
        }
    }

    /// Those of a small object that is free.
    pub(crate) fn freed(class: Class) -> Self {
        Self::Object { class: Some(class), start: None, size: None, state: Some(Owned::Freed) }
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Object { class, size, state, .. } = self else { return Ok(()) };
        match class {
            Some(class) => write!(f, ", class={}", class.size().0)?,
            None => f.write_str(", class=large")?,
        }
        if let Some(size) = size {
            write!(f, ", size={size}")?;
        }
        state.map_or(Ok(()), |state| write!(f, ", state={state:?}"))
    }
}

impl Span {
    /// What is known of the object that `p`, an address in the span, points to or into.
    #[cold]
    pub(crate) fn facts_of(self, p: *const u8) -> Facts {
        let Some(class) = self.class() else {
            let state = if self.is(State::InUse) { Owned::Live } else { Owned::Freed };
            return Facts::large(self.base(), self.bytes(), state);
        };
        let object = p.addr().wrapping_sub(self.base()) / class.size().0;
        // Behind the last one is nothing.
        if object >= self.nelems() {
            return Facts::Object { class: Some(class), start: None, size: None, state: None };
        }
        let (size, state) = objects::known_of(self, object);
        let start = Some(self.base() + object * class.size().0);
        Facts::Object { class: Some(class), start, size, state }
    }
}

impl Heap {
    /// The span that an address of the reservation is in. Of a large one the page map names the first page only.
    fn span_around(&self, p: *const u8) -> Option<Span> {
        let page = self.page_of(p.addr()).0;
        if page >= self.usable.load(Relaxed) {
            return None;
        }
        let span = (0..=page).find_map(|back| self.span_of(p.wrapping_sub(back * PAGE_SIZE)))?;
        (p.addr().wrapping_sub(span.base()) < span.bytes().0).then_some(span)
    }
}
