//! Spans, the page heap, large and huge objects, the pacing of the scavenger, the memory limit and what they add up to.

mod facts;
#[cfg_attr(feature = "hardened", path = "freed_hardened.rs")]
#[cfg_attr(not(feature = "hardened"), path = "freed_plain.rs")]
mod freed;
mod huge;
mod large;
mod meta;
mod mheap;
mod mspan;
#[cfg_attr(feature = "hardened", path = "objects_hardened.rs")]
#[cfg_attr(not(feature = "hardened"), path = "objects_plain.rs")]
mod objects;
mod pace;
mod shards;
mod spancache;
mod stats;
mod thp;

pub(crate) use facts::Facts;
pub(crate) use huge::Huge;
pub(crate) use large::Object;
pub(crate) use meta::block_size;
#[cfg(test)]
pub(crate) use mheap::heap_alone;
pub(crate) use mheap::{Heap, heap, heap_or_hold, init, may_start};
pub(crate) use mspan::{Span, SpanList, State};
#[cfg(feature = "hardened")]
pub(crate) use objects::{ObjectState, ObjectWord, random};
pub(crate) use spancache::SpanCache;
pub(crate) use stats::HeapStats;
