//! Pages: the address space they come from, the map from a page to its owner, which of them are free, and which of the free
//! ones are with the kernel.
//!
//! Mechanism only: this layer can hand out, take back and release pages; how many, and when, is decided above. It depends on
//! `base` and on the [`Os`](crate::sys::Os) trait, so its tests run it on an operating system that refuses calls. Nothing
//! here is thread-safe by itself except [`PageMap`]: the rest is reached through `&mut`, which the layer above gets from
//! its lock.

mod bitmap;
mod cache;
mod lend;
mod map;
mod palloc;
mod scavenge;
mod space;
mod summary;
mod table;
#[cfg(any(test, feature = "fuzzing"))]
mod testing;

pub(crate) use cache::PageCache;
pub(crate) use lend::{LONGEST_IN_CHUNK, LentChunk, chunk_of};
pub(crate) use map::{Entry, Kind, PageMap};
pub(crate) use palloc::PageAlloc;
#[cfg(feature = "fuzzing")]
pub(crate) use palloc::fuzz as fuzz_page_alloc;
pub(crate) use space::AddressSpace;
pub(crate) use table::{Table, Zeroable};

/// The operating system refused memory or address space, or a structure is at its limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OutOfMemory;
