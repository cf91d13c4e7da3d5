//! Merging streams that are in order, by a tree of losers (Knuth, The Art of Computer Programming, volume 3, 5.4.1).

use std::cmp::Ordering;

/// A stream that is in order, and stands at a row or at its end.
pub(super) trait Cursor {
    /// Whether it is at its end.
    fn is_done(&self) -> bool;
    /// The order of the rows that two stand at; neither is at its end.
    fn compare(&self, other: &Self) -> Ordering;
}

/// Streams, and which of them stands at the least row. Of equal rows, that of the earlier stream is the least.
pub(super) struct LoserTree<C> {
    cursors: Vec<C>,
    /// The node `n` has the loser of what `2 n` and `2 n + 1` have won; cursor `c` is the leaf `cursors.len() + c`.
    losers: Vec<u32>,
    winner: u32,
}

impl<C: Cursor> LoserTree<C> {
    pub(super) fn new(cursors: Vec<C>) -> LoserTree<C> {
        let losers = vec![0; cursors.len()];
        let mut tree = LoserTree { cursors, losers, winner: 0 };
        if !tree.cursors.is_empty() {
            tree.winner = tree.play(1);
        }
        tree
    }

    /// Lets the cursors below a node play; gives the winner.
    fn play(&mut self, node: usize) -> u32 {
        if node >= self.cursors.len() {
            return (node - self.cursors.len()) as u32;
        }
        let (a, b) = (self.play(2 * node), self.play(2 * node + 1));
        let (winner, loser) = if self.beats(a, b) { (a, b) } else { (b, a) };
        self.losers[node] = loser;
        winner
    }

    #[inline(always)]
    fn beats(&self, a: u32, b: u32) -> bool {
        let (left, right) = (&self.cursors[a as usize], &self.cursors[b as usize]);
        match (left.is_done(), right.is_done()) {
            (false, false) => left.compare(right).then(a.cmp(&b)).is_lt(),
            (done, other) => !done && other,
        }
    }

    /// The stream that stands at the least row; `None` once all are at their ends.
    #[inline]
    pub(super) fn least(&self) -> Option<&C> {
        self.cursors.get(self.winner as usize).filter(|cursor| !cursor.is_done())
    }

    /// Lets the stream at the least row go on by `step`.
    #[inline]
    pub(super) fn step<E>(&mut self, step: impl FnOnce(&mut C) -> Result<(), E>) -> Result<(), E> {
        let mut winner = self.winner;
        if let Some(cursor) = self.cursors.get_mut(winner as usize) {
            step(cursor)?;
            let mut node = (winner as usize + self.cursors.len()) / 2;
            while node > 0 {
                if self.beats(self.losers[node], winner) {
                    std::mem::swap(&mut self.losers[node], &mut winner);
                }
                node /= 2;
            }
            self.winner = winner;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Numbers(std::vec::IntoIter<(u8, usize)>, Option<(u8, usize)>);

    impl Cursor for Numbers {
        fn is_done(&self) -> bool {
            self.1.is_none()
        }
        fn compare(&self, other: &Self) -> Ordering {
            self.1.map(|row| row.0).cmp(&other.1.map(|row| row.0))
        }
    }

    proptest! {
        #[test]
        fn streams_become_one_and_equal_rows_stay_in_order(
            streams in prop::collection::vec(prop::collection::vec(0..20u8, 0..30), 0..12),
        ) {
            let mut expected = Vec::new();
            let mut cursors = Vec::new();
            for (number, mut stream) in streams.into_iter().enumerate() {
                stream.sort_unstable();
                let rows: Vec<(u8, usize)> = stream.into_iter().map(|row| (row, number)).collect();
                expected.extend(rows.iter().copied());
                let mut rows = rows.into_iter();
                let first = rows.next();
                cursors.push(Numbers(rows, first));
            }
            expected.sort_by_key(|row| row.0);
            let mut tree = LoserTree::new(cursors);
            let mut found = Vec::new();
            while let Some(row) = tree.least().and_then(|cursor| cursor.1) {
                found.push(row);
                let step: Result<(), ()> = tree.step(|cursor| {
                    cursor.1 = cursor.0.next();
                    Ok(())
                });
                prop_assert!(step.is_ok());
            }
            prop_assert_eq!(found, expected);
        }
    }
}
