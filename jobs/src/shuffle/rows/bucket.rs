//! The rows of one bucket, put in order.

use super::lane::{ORDER, Run};
use super::order::{HashOrder, RowOrder};
use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;
use windrow_datasets::push::PushError;
use windrow_datasets::{Batch, Key, Record};

/// The rows of one bucket, from all lanes.
pub(crate) struct RowsBucket<O: RowOrder> {
    /// Of all lanes, in order.
    runs: Arc<Vec<Run<O::Row>>>,
    /// Which bucket of the runs it is.
    bucket: u32,
}

impl<O: RowOrder> RowsBucket<O> {
    pub(super) fn new(runs: Arc<Vec<Run<O::Row>>>, bucket: u32) -> Self {
        RowsBucket { runs, bucket }
    }

    /// Puts the rows in order.
    ///
    /// # Errors
    /// For more than 2^32 rows.
    pub(crate) fn sort(self) -> Result<Sorted<O>, PushError> {
        let count: usize = self.runs.iter().map(|run| run.rows_of(self.bucket).len()).sum();
        if u32::try_from(count).is_err() {
            return Err(format!(
                "{count} rows in one bucket are too many; ask for more partitions, or let fewer rows have one key"
            )
            .into());
        }
        let (mut entries, mut places) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for (number, run) in (0u32..).zip(self.runs.iter()) {
            for row in run.rows_of(self.bucket) {
                entries.push(run.entries()[row] | entries.len() as u128);
                places.push((number, row as u32));
                // They lie one after the other here, and do not when they are read in their order.
                run.batch.prefetch(row);
            }
        }
        let mut sorted = Sorted { runs: self.runs, entries, places };
        if O::SORTED {
            sorted.entries.sort_unstable();
            if !O::EXACT {
                sorted.sort_ties();
            }
        }
        Ok(sorted)
    }
}

/// The rows of one bucket, in order.
pub(crate) struct Sorted<O: RowOrder> {
    runs: Arc<Vec<Run<O::Row>>>,
    /// The order of each row, and in the lower 32 bits its index in `places`, which is also its arrival.
    entries: Vec<u128>,
    /// Run, and row of it.
    places: Vec<(u32, u32)>,
}

impl<O: RowOrder> Sorted<O> {
    /// The number of rows.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    #[inline(always)]
    fn find(&self, entry: u128) -> (&<O::Row as Record>::Batch, usize) {
        let (run, row) = self.places[entry as u32 as usize];
        (&self.runs[run as usize].batch, row as usize)
    }

    /// The row at `at`.
    #[inline(always)]
    pub(crate) fn get(&self, at: usize) -> <O::Row as Record>::View<'_> {
        let (batch, index) = self.find(self.entries[at]);
        // SAFETY: an entry's place is within its batch.
        unsafe { batch.get_unchecked(index) }
    }

    /// Asks for the row at `at`, if there is one.
    #[inline(always)]
    pub(crate) fn prefetch(&self, at: usize) {
        if let Some(&entry) = self.entries.get(at) {
            let (batch, index) = self.find(entry);
            batch.prefetch(index);
        }
    }

    #[inline]
    fn compare(&self, a: u128, b: u128) -> Ordering {
        let (a, b) = (self.find(a), self.find(b));
        // SAFETY: an entry's place is within its batch.
        unsafe { O::compare(a, b) }
    }

    /// Sorts each run of rows whose 96 bits are equal.
    fn sort_ties(&mut self) {
        let mut entries = std::mem::take(&mut self.entries);
        let mut from = 0;
        while from < entries.len() {
            let order = entries[from] & ORDER;
            let mut to = from + 1;
            let mut in_order = true;
            while to < entries.len() && entries[to] & ORDER == order {
                in_order &= self.compare(entries[to - 1], entries[to]).is_le();
                to += 1;
            }
            if !in_order {
                entries[from..to].sort_by(|&a, &b| self.compare(a, b));
            }
            from = to;
        }
        self.entries = entries;
    }

    /// Sorts the rows in `range` by `compare`; those that are equal stay as they came.
    pub(crate) fn sort_range(
        &mut self,
        range: Range<usize>,
        mut compare: impl for<'a, 'b> FnMut(
            <O::Row as Record>::View<'a>,
            <O::Row as Record>::View<'b>,
        ) -> Ordering,
    ) {
        let mut entries = std::mem::take(&mut self.entries);
        entries[range].sort_by(|&a, &b| {
            let (a, b) = (self.find(a), self.find(b));
            // SAFETY: an entry's place is within its batch.
            unsafe { compare(a.0.get_unchecked(a.1), b.0.get_unchecked(b.1)) }
        });
        self.entries = entries;
    }
}

impl<K: Key, V: Record> Sorted<HashOrder<K, V>> {
    /// The end of the run of rows that have the key of the row at `from`.
    pub(crate) fn group_end(&self, from: usize) -> usize {
        let first = self.entries[from];
        let same =
            |&entry: &u128| entry & ORDER == first & ORDER && self.compare(first, entry).is_eq();
        from + self.entries[from..].iter().take_while(|&entry| same(entry)).count()
    }

    /// The order of the key of the row at `at` and that of a row of another shuffle with the same keys.
    pub(crate) fn compare_keys<W: Record>(
        &self,
        at: usize,
        other: &Sorted<HashOrder<K, W>>,
        other_at: usize,
    ) -> Ordering {
        let (a, b) = (self.entries[at], other.entries[other_at]);
        (a & ORDER).cmp(&(b & ORDER)).then_with(|| {
            let ((batch, index), (other, at)) = (self.find(a), other.find(b));
            // SAFETY: an entry's place is within its batch; slots borrow from their batches.
            unsafe { K::slot_cmp(&K::probe_batch(&batch.0, index), &K::probe_batch(&other.0, at)) }
        })
    }
}
