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
/// all rows, and another allocator begins in each row and in each round.
pub(super) fn turns(rounds: u32, rows: usize, allocators: usize) -> impl Iterator<Item = Turn> {
    (1..=rounds).flat_map(move |round| {
        (0..rows).flat_map(move |row| {
            (0..allocators).map(move |position| {
                let allocator = (position + row + round as usize - 1) % allocators;
                Turn { round, row, allocator, position }
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_allocator_has_each_row_once_in_a_round_and_begins_in_turn() {
        let all: Vec<Turn> = turns(3, 2, 3).collect();
        assert_eq!(all.len(), 18);
        let distinct: BTreeSet<_> = all.iter().map(|t| (t.round, t.row, t.allocator)).collect();
        assert_eq!(distinct.len(), all.len());
        let order = |round, row| -> Vec<usize> {
            all.iter().filter(|t| (t.round, t.row) == (round, row)).map(|t| t.allocator).collect()
        };
        assert_eq!([order(1, 0), order(2, 0), order(3, 0)], [[0, 1, 2], [1, 2, 0], [2, 0, 1]]);
        assert_eq!(order(1, 1), [1, 2, 0]);
    }
}
