//! Which rows of a row group are read.

use parquet::arrow::arrow_reader::RowSelection;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The runs of rows that a row group is told apart into at most, so that a split stays small enough to send.
const RUNS_MAX: u64 = 512;

/// Rows by their numbers: runs that ascend, none empty, with other rows between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rows(Vec<Range<u64>>);

impl Rows {
    /// One run.
    pub(super) fn run(rows: Range<u64>) -> Rows {
        Rows::of_runs([rows])
    }

    /// Of runs that ascend; those that touch become one.
    pub(super) fn of_runs(runs: impl IntoIterator<Item = Range<u64>>) -> Rows {
        let mut all: Vec<Range<u64>> = Vec::new();
        for run in runs.into_iter().filter(|run| run.start < run.end) {
            match all.last_mut() {
                Some(last) if last.end >= run.start => last.end = last.end.max(run.end),
                _ => all.push(run),
            }
        }
        Rows(all)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many rows there are.
    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|run| run.end - run.start).sum()
    }

    /// How many runs there are.
    pub(super) fn runs(&self) -> usize {
        self.0.len()
    }

    /// Those of them in a range.
    pub(super) fn within(&self, range: &Range<u64>) -> Rows {
        let cut = |run: &Range<u64>| run.start.max(range.start)..run.end.min(range.end);
        Rows::of_runs(self.0.iter().map(cut))
    }

    /// These rows, and some of those between them, of `total` rows, in few enough runs.
    pub(super) fn coarse(self, total: u64) -> Rows {
        let gap = total / RUNS_MAX;
        if self.0.len() as u64 <= RUNS_MAX {
            return self;
        }
        let mut all: Vec<Range<u64>> = Vec::new();
        for run in self.0 {
            match all.last_mut() {
                Some(last) if run.start - last.end <= gap => last.end = run.end,
                _ => all.push(run),
            }
        }
        Rows(all)
    }

    /// The row that is the `index`-th of them, counted from 0.
    pub(super) fn nth(&self, mut index: u64) -> u64 {
        for run in &self.0 {
            let rows = run.end - run.start;
            if index < rows {
                return run.start + index;
            }
            index -= rows;
        }
        // Only an index that is none gets here.
        self.0.last().map_or(0, |run| run.end) + index
    }

    /// Those of them at these indexes, which ascend.
    pub(super) fn at(&self, indexes: &[u32]) -> Rows {
        let (mut all, mut before, mut runs) = (Vec::<Range<u64>>::new(), 0, self.0.iter());
        let mut run = runs.next();
        for &index in indexes {
            while let Some(now) = run.filter(|now| u64::from(index) - before >= now.end - now.start)
            {
                before += now.end - now.start;
                run = runs.next();
            }
            let Some(now) = run else { break };
            let row = now.start + u64::from(index) - before;
            match all.last_mut() {
                Some(last) if last.end == row => last.end += 1,
                _ => all.push(row..row + 1),
            }
        }
        Rows(all)
    }

    /// What a decoder of a row group of `total` rows is told; `None` where that is to read all of them.
    pub(super) fn selection(&self, total: u64) -> Option<RowSelection> {
        if self.count() == total {
            return None;
        }
        let runs = self.0.iter().map(|run| run.start as usize..run.end as usize);
        Some(RowSelection::from_consecutive_ranges(runs, total as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of_numbers(numbers: &[u64]) -> Rows {
        Rows::of_runs(numbers.iter().map(|&row| row..row + 1))
    }

    fn numbers(rows: &Rows) -> Vec<u64> {
        (0..rows.count()).map(|index| rows.nth(index)).collect()
    }

    proptest! {
        #[test]
        fn rows_are_what_they_were_made_of(
            rows in prop::collection::btree_set(0u64..200, 0..100),
            from in 0u64..200,
            length in 0u64..200,
            picks in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let all: Vec<u64> = rows.into_iter().collect();
            let rows = of_numbers(&all);
            prop_assert_eq!(&numbers(&rows), &all);
            let some = all.iter().copied().filter(|row| (from..from + length).contains(row));
            prop_assert_eq!(numbers(&rows.within(&(from..from + length))), some.collect::<Vec<_>>());
            if !all.is_empty() {
                let picks: std::collections::BTreeSet<u32> =
                    picks.iter().map(|pick| pick.index(all.len()) as u32).collect();
                let picks: Vec<u32> = picks.into_iter().collect();
                let expected: Vec<u64> = picks.iter().map(|&at| all[at as usize]).collect();
                prop_assert_eq!(numbers(&rows.at(&picks)), expected);
            }
        }
    }

    #[test]
    fn many_runs_are_put_together() {
        let rows = Rows::of_runs((0..2000u64).map(|at| at * 10..at * 10 + 1));
        let coarse = rows.clone().coarse(20_000);
        assert!(coarse.runs() as u64 <= RUNS_MAX);
        assert_eq!(coarse.within(&(0..5)).count(), 5);
        let few = of_numbers(&[1, 3, 100_000]);
        assert_eq!(few.clone().coarse(200_000), few);
    }
}
