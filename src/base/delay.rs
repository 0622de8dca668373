//! A queue of which one cannot tell when something comes out: for what was freed in the hardened build.
//!
//! What is put in first changes places with something at random in an array, and what falls out there goes through a ring. So it comes out
//! after at least as many others as the ring has places, and one cannot tell how many more.

use core::cell::Cell;

use super::Random;

/// The array and the ring, of `N` places each.
pub(crate) struct Delay<T, const N: usize> {
    array: [Cell<Option<T>>; N],
    ring: [Cell<Option<T>>; N],
    /// Where the oldest of the ring is, or would be.
    next: Cell<usize>,
}

impl<T: Copy, const N: usize> Delay<T, N> {
    pub(crate) const fn new() -> Self {
        Self {
            array: [const { Cell::new(None) }; N],
            ring: [const { Cell::new(None) }; N],
            next: Cell::new(0),
        }
    }

    /// Puts something in; what has to make room for it.
    pub(crate) fn put(&self, t: T, random: &mut Random) -> Option<T> {
        let fell_out = self.array[random.below(N)].replace(Some(t))?;
        let at = self.next.get();
        self.next.set((at + 1) % N);
        self.ring[at].replace(Some(fell_out))
    }

    /// All that is in it, what is oldest in the ring first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = T> {
        self.places().filter_map(Cell::get)
    }

    /// As `iter`, and takes it out.
    pub(crate) fn take(&self) -> impl Iterator<Item = T> {
        self.places().filter_map(Cell::take)
    }

    fn places(&self) -> impl Iterator<Item = &Cell<Option<T>>> {
        let (newer, older) = self.ring.split_at(self.next.get());
        older.iter().chain(newer).chain(&self.array)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{collections::VecDeque, vec::Vec};

    #[test]
    fn all_comes_out_once_and_late() {
        const N: usize = 8;
        let delay = Delay::<usize, N>::new();
        let mut random = Random::new(1);
        let (mut inside, mut waits) = (Vec::new(), Vec::new());
        for i in 0..2_000 {
            inside.push(i);
            if let Some(out) = delay.put(i, &mut random) {
                inside.retain(|&j| j != out);
                waits.push(i - out);
            }
            let mut all: Vec<_> = delay.iter().collect();
            all.sort_unstable();
            assert_eq!(all, inside);
            assert!(inside.len() <= 2 * N);
        }
        assert!(waits.iter().all(|&wait| wait >= N), "{waits:?}");
        assert!(waits.iter().max() > waits.iter().min());
        // Taken one at a time, the ring's in the order in which they would have come out.
        let mut rest: VecDeque<_> = delay.take().take(N).collect();
        let mut twin = delay.take();
        rest.extend(&mut twin);
        drop(twin);
        assert!(delay.iter().next().is_none());
        rest.make_contiguous().sort_unstable();
        assert_eq!(rest, inside);
    }
}
