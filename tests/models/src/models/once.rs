//! `sync/once.rs`: who comes first initialises, the others wait, and all see what was written.

use std::sync::Arc;

use super::doors::{join, spawn};
use crate::atomic::Cell;
use crate::execution::explore;
use crate::futex;
use crate::sync::Once;

struct Gate {
    once: Once,
    written: Cell<u32>,
}

impl Gate {
    fn write(&self) -> Option<()> {
        self.written.set(self.written.get() + 1);
        Some(())
    }
}

fn gate() -> Arc<Gate> {
    Arc::new(Gate { once: Once::new(), written: Cell::new(0) })
}

/// Two threads and a third that only looks.
pub(super) fn has_one_winner() {
    explore(3, || {
        let g = gate();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let g = g.clone();
                spawn(move || {
                    let won = g.once.call(|| g.write()).is_some();
                    assert!(g.once.is_done());
                    assert_eq!(g.written.get(), 1);
                    u32::from(won)
                })
            })
            .collect();
        if g.once.is_done() {
            assert_eq!(g.written.get(), 1);
        }
        assert_eq!(join(threads).iter().sum::<u32>(), 1);
    });
}

/// The first to try fails; who waited tries again, and sees what the first one did.
pub(super) fn is_tried_again() {
    explore(3, || {
        let g = gate();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let g = g.clone();
                spawn(move || {
                    let r = g.once.call(|| {
                        g.written.set(g.written.get() + 1);
                        (g.written.get() == 2).then_some(())
                    });
                    u32::from(r.is_some())
                })
            })
            .collect();
        assert_eq!(join(threads).iter().sum::<u32>(), 1);
        assert!(g.once.is_done());
        assert_eq!(g.written.get(), 2);
    });
}

/// The word is that of another process, in which somebody was at it at the fork.
pub(super) fn in_a_forked_child() {
    explore(3, || {
        let g = gate();
        g.once.call(|| {
            futex::fork();
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let g = g.clone();
                    spawn(move || u32::from(g.once.call(|| g.write()).is_some()))
                })
                .collect();
            assert_eq!(join(threads).iter().sum::<u32>(), 1);
            assert!(g.once.is_done());
            assert_eq!(g.written.get(), 1);
            None::<()>
        });
    });
}

/// A thread that forks holds it: nobody begins before it gives up, in the parent or in the child, which has no other threads before.
pub(super) fn held_over_a_fork() {
    let two_begin = |g: &Arc<Gate>| -> Vec<_> {
        let begin = |g: Arc<Gate>| spawn(move || u32::from(g.once.call(|| g.write()).is_some()));
        vec![begin(g.clone()), begin(g.clone())]
    };
    explore(3, move || {
        let g = gate();
        assert!(g.once.hold());
        let threads = two_begin(&g);
        assert_eq!(g.written.get(), 0);
        g.once.give_up();
        assert_eq!(join(threads).iter().sum::<u32>(), 1);
    });
    explore(3, move || {
        let g = gate();
        assert!(g.once.hold());
        futex::fork();
        g.once.give_up();
        assert_eq!(join(two_begin(&g)).iter().sum::<u32>(), 1);
    });
}
