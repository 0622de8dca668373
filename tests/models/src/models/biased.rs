//! `sync/biased.rs`: the owner and another thread are never in together, and see what was done before.
//!
//! The halves of the fence are two fences, each SeqCst. So a protocol that needs more than that from a processor is refuted here; that
//! `membarrier` and a fence for the compiler alone are as good as those two is the kernel's promise, and not explored.

use std::sync::Arc;

use super::doors::{join, spawn};
use crate::atomic::{Cell, fence_all};
use crate::execution::explore;
use crate::sync::Biased;

struct Guarded {
    lock: Biased,
    words: [Cell<u32>; 2],
}

impl Guarded {
    fn change(&self) {
        assert_eq!(self.words[0].get(), self.words[1].get());
        self.words.iter().for_each(|w| w.set(w.get() + 1));
    }

    fn own(&self) -> u32 {
        u32::from(self.lock.own(|| self.change()).is_some())
    }

    fn claim(&self) -> u32 {
        self.lock.claim();
        u32::from(self.lock.unclaim_after(fence_all(), || self.change()).is_some())
    }
}

fn guarded() -> Arc<Guarded> {
    Arc::new(Guarded { lock: Biased::new(false), words: [Cell::new(0), Cell::new(0)] })
}

/// The owner enters twice while another claims once.
pub(super) fn owner_and_claimer() {
    for times in 1..3 {
        explore(4, move || {
            let g = guarded();
            let owner = {
                let g = g.clone();
                spawn(move || (0..times).map(|_| g.own()).sum::<u32>())
            };
            let claimed = g.claim();
            let owned = owner.join().expect("it ends");
            assert_eq!(g.words[0].get(), owned + claimed);
            assert_eq!(g.own(), 1, "the claim is over");
        });
    }
}

/// Two that claim one after the other, by what guards them: here, that one ends before the other begins.
pub(super) fn claimers_take_turns() {
    explore(3, || {
        let g = guarded();
        let owner = {
            let g = g.clone();
            spawn(move || g.own() + g.own())
        };
        let claimed = {
            let g = g.clone();
            spawn(move || {
                let first = g.claim();
                let other = g.clone();
                first + spawn(move || other.claim()).join().expect("it ends")
            })
        };
        let all = join([owner, claimed]).iter().sum();
        assert_eq!(g.words[1].get(), all);
    });
}
