//! `mcache/bin.rs` and the version in `mcache/counts.rs`: statistics read the words of a bin while its owner goes on, and get counts that
//! were true at one moment.

#[path = "../../../../src/mcache/bin.rs"]
#[expect(clippy::module_inception, reason = "gort's name for it")]
mod bin;
#[path = "../../../../src/mcache/counts.rs"]
mod counts;

use core::ptr;
use std::sync::Arc;

use super::doors::spawn;
use crate::base::Class;
use crate::execution::explore;
use crate::sync::atomic::AtomicU64;
use bin::{Bin, Bins};
use counts::Version;

struct Owned {
    bins: Bins,
    base: AtomicU64,
    version: Version,
}

impl Owned {
    /// A bin with an array of its own.
    fn new() -> Arc<Self> {
        let owned = Self { bins: Bins::new(), base: AtomicU64::new(0), version: Version::new() };
        let slots = Box::leak(Box::new([ptr::null_mut(); 4]));
        owned.bin().set_array(slots.as_mut_ptr(), 4);
        owned.bin().set_cap(3, false);
        Arc::new(owned)
    }

    fn bin(&self) -> Bin<'_> {
        self.bins.of(Class::all().next().expect("there is a class"))
    }

    /// As `refill` and `flush` do it.
    fn moved(&self, held: usize, allocs: u64, net: isize) {
        self.version.write(|| self.bin().moved(held, allocs, net));
    }

    fn read(&self) -> (u64, u64) {
        self.version.read(|| self.bin().counts(&self.base))
    }
}

fn at(p: usize) -> *mut u8 {
    ptr::without_provenance_mut(p)
}

/// A thread looks at the counts while the owner takes steps, each of which ends with other counts: one of them, or what was before.
fn looked_at(looks: usize, steps: &'static [fn(&Owned)], counts: &'static [(u64, u64)]) {
    explore(3, move || {
        let o = Owned::new();
        // Three objects come in, one of which goes to the program at once.
        o.moved(2, 1, 3);
        let owner = {
            let o = o.clone();
            spawn(move || steps.iter().for_each(|step| step(&o)))
        };
        let mut first = 0;
        for _ in 0..looks {
            let seen = o.read();
            let now = counts.iter().position(|&c| c == seen).unwrap_or_else(|| panic!("{seen:?} never were"));
            assert!(first <= now, "time goes backwards");
            first = now;
        }
        owner.join().expect("it ends");
        assert_eq!(Some(&o.read()), counts.last());
    });
}

/// The owner's fast paths.
pub(super) fn read_while_used() {
    let steps: &[fn(&Owned)] = &[
        |o| assert!(o.bin().pop().is_some()),
        |o| assert!(o.bin().push(at(64))),
        |o| assert!(o.bin().push(at(128))),
        |o| assert!(o.bin().pop().is_some()),
    ];
    looked_at(2, steps, &[(1, 0), (2, 0), (2, 1), (2, 2), (3, 2)]);
}

/// A slow path between two fast ones, as `refill` and `flush` have it: the words change together.
pub(super) fn read_while_refilled() {
    let steps: &[fn(&Owned)] =
        &[|o| assert!(o.bin().pop().is_some()), |o| o.moved(2, 1, 2), |o| assert!(o.bin().push(at(64)))];
    looked_at(1, steps, &[(1, 0), (2, 0), (3, 0), (3, 1)]);
}

/// Two slow paths.
pub(super) fn read_while_flushed() {
    looked_at(1, &[|o| o.moved(0, 0, -2), |o| o.moved(1, 1, 2)], &[(1, 0), (2, 0)]);
}
