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

    /// Takes something out: what is oldest in the ring, or what is in the array at random.
    pub(crate) fn take(&self, random: &mut Random) -> Option<T> {
        self.take_from(random.below(N)).next()
    }

    /// Takes all of it out.
    pub(crate) fn take_all(&self) -> impl Iterator<Item = T> {
        self.take_from(0)
    }

    /// Takes the ring's out, the oldest first, and then the array's from a place on.
    fn take_from(&self, place: usize) -> impl Iterator<Item = T> {
        let (newer, older) = self.ring.split_at(self.next.get());
        let (rest, first) = self.array.split_at(place);
        [older, newer, first, rest].into_iter().flatten().filter_map(Cell::take)
    }

    /// All that is in it, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = T> {
        self.array.iter().chain(&self.ring).filter_map(Cell::get)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use core::iter;
    use std::{collections::BTreeSet, vec::Vec};

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
        // Taken out, the ring's come in the order in which they would have come by themselves.
        let in_ring: Vec<_> = (0..N).map(|i| delay.ring[(delay.next.get() + i) % N].get()).collect();
        let taken: Vec<_> = iter::from_fn(|| delay.take(&mut random)).collect();
        assert!(
            taken.len() > N
                && taken.iter().copied().eq(in_ring.into_iter().flatten().chain(taken[N..].to_vec()))
        );
        assert_eq!(BTreeSet::from_iter(taken), BTreeSet::from_iter(inside));
        assert!(delay.iter().next().is_none());
    }
}
