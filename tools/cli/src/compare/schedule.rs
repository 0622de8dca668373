//! Which run comes after which.

/// One run to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Turn {
    /// From 1.
    pub(super) round: u32,
    pub(super) row: usize,
    pub(super) allocator: usize,
    /// Which of its row's runs in this round it is, from 0.
    pub(super) position: usize,
}

/// All runs. Whatever slows the machine for a while meets all allocators: they take turns on each row, each round goes through
/// all rows, and another allocator begins in each row and in each round. Nor does one always come after the same other, whose pages the
/// kernel hands on to it: from one turn of a row to its next the order is another.
pub(super) fn turns(rounds: u32, rows: usize, allocators: usize) -> impl Iterator<Item = Turn> {
    let strides: Vec<usize> = (1..=allocators).filter(|stride| gcd(*stride, allocators) == 1).collect();
    (0..rounds as usize).flat_map(move |round| {
        let strides = strides.clone();
        (0..rows).flat_map(move |row| {
            let stride = strides[(row + round) % strides.len()];
            (0..allocators).map(move |position| {
                let allocator = (position * stride + row + round) % allocators;
                Turn { round: round as u32 + 1, row, allocator, position }
            })
        })
    })
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn order(all: &[Turn], round: u32, row: usize) -> Vec<usize> {
        all.iter().filter(|t| (t.round, t.row) == (round, row)).map(|t| t.allocator).collect()
    }

    #[test]
    fn each_allocator_has_each_row_once_in_a_round_and_begins_in_turn() {
        for allocators in 1..10 {
            let all: Vec<Turn> = turns(3, 5, allocators).collect();
            let distinct: BTreeSet<_> = all.iter().map(|t| (t.round, t.row, t.allocator)).collect();
            assert_eq!((all.len(), distinct.len()), (15 * allocators, 15 * allocators));
            for (round, row) in (1..=3).flat_map(|round| (0..5).map(move |row| (round, row))) {
                let first = (row + round as usize - 1) % allocators;
                assert_eq!(order(&all, round, row)[0], first);
            }
        }
    }

    #[test]
    fn nobody_always_comes_after_the_same_other() {
        for allocators in [3, 5, 8] {
            let all: Vec<Turn> = turns(5, 98, allocators).collect();
            for allocator in 0..allocators {
                let before: BTreeSet<usize> = (1..=5)
                    .flat_map(|round| order(&all, round, 0).windows(2).map(<[_]>::to_vec).collect::<Vec<_>>())
                    .filter(|pair| pair[1] == allocator)
                    .map(|pair| pair[0])
                    .collect();
                assert!(before.len() > 1, "{allocator} of {allocators} comes after {before:?} alone");
            }
        }
    }
}
