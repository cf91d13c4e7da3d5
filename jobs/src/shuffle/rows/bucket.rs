//! The rows of one bucket, put in order.

use super::laid::Laid;
use super::load::{FrameLoader, Load, Loaded, Loader, Runs};
use super::order::{HashOrder, ORDER, RowOrder};
use super::{RowsStore, spread};
use crate::shuffle::{Memory, SpillFailed};
use arrow::buffer::Buffer;
use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;
use windrow_datasets::push::PushError;
use windrow_datasets::{Batch, Key, Record};

/// The rows of one bucket, from all lanes.
pub(crate) struct RowsBucket<O: RowOrder>(From<O>);

enum From<O: RowOrder> {
    /// A store, and which of its buckets it is.
    Store(Arc<RowsStore<O>>, u32),
    /// Frames that have nothing else, in the order of the lanes.
    Frames(Vec<Buffer>, Memory),
}

impl<O: RowOrder> RowsBucket<O> {
    pub(super) fn stored(store: Arc<RowsStore<O>>, bucket: u32) -> Self {
        RowsBucket(From::Store(store, bucket))
    }

    pub(super) fn of_frames(frames: Vec<Buffer>, memory: Memory) -> Self {
        RowsBucket(From::Frames(frames, memory))
    }

    /// Puts the rows in order.
    ///
    /// # Errors
    /// For more than 2^32 rows in memory, and if what was spilled cannot be read, or rows cannot be spilled.
    pub(crate) fn sort(self) -> Result<Sorted<O>, PushError> {
        match self.0 {
            From::Frames(frames, memory) => {
                let needs = FrameLoader::needs(&frames)?;
                sort_within(FrameLoader::new(&frames), needs, &memory)
            }
            From::Store(store, bucket) => {
                let sealed = store.sealed()?;
                let loader = || Loader::new(&store, &sealed, bucket);
                if sealed.generations.is_empty() {
                    return all_at_once(loader()?);
                }
                let needs = Loader::needs(&sealed, bucket);
                let failed = failed(needs, &store.memory);
                sort_within(loader().map_err(failed)?, needs, &store.memory)
            }
        }
    }
}

/// All rows that a loader gives, in memory.
fn all_at_once<O: RowOrder>(mut loader: impl Load<O>) -> Result<Sorted<O>, PushError> {
    Ok(Sorted::Memory(Ordered::of(loader.load(u64::MAX)?)?))
}

/// All rows that a loader gives, which need so much memory: there, if they fit, else in scratch.
fn sort_within<O: RowOrder>(
    loader: impl Load<O>,
    needs: u64,
    memory: &Memory,
) -> Result<Sorted<O>, PushError> {
    let room = memory.room();
    let sorted = if needs <= room {
        all_at_once(loader)
    } else {
        Laid::of(loader, memory, room).map(|rows| Sorted::Scratch { rows, moved: None })
    };
    sorted.map_err(failed(needs, memory))
}

/// A bucket of so many bytes could not be read.
fn failed(bytes: u64, memory: &Memory) -> impl FnOnce(PushError) -> PushError {
    SpillFailed::of("a bucket of a shuffle", bytes, &memory.budget)
}

/// The rows of one bucket, in order.
pub(crate) enum Sorted<O: RowOrder> {
    /// They fit the memory.
    Memory(Ordered<O>),
    /// They do not.
    Scratch {
        rows: Laid<O>,
        /// Rows of a range that were put into another order: where the range begins, and for each its index in it.
        moved: Option<(usize, Vec<u32>)>,
    },
}

impl<O: RowOrder> Sorted<O> {
    /// The number of rows.
    pub(crate) fn len(&self) -> usize {
        match self {
            Sorted::Memory(rows) => rows.len(),
            Sorted::Scratch { rows, .. } => rows.len(),
        }
    }

    /// The row at `at`: batch, and index.
    #[inline(always)]
    fn find(&self, at: usize) -> (&<O::Row as Record>::Batch, usize) {
        match self {
            Sorted::Memory(rows) => rows.at(at),
            Sorted::Scratch { rows, moved } => rows.find(moved_to(moved.as_ref(), at)),
        }
    }

    /// The bits by which the row at `at` is ordered.
    #[inline(always)]
    pub(super) fn order(&self, at: usize) -> u128 {
        match self {
            Sorted::Memory(rows) => rows.order(at),
            Sorted::Scratch { rows, .. } => rows.order(at),
        }
    }

    /// The row at `at`.
    #[inline(always)]
    pub(crate) fn get(&self, at: usize) -> <O::Row as Record>::View<'_> {
        let (batch, index) = self.find(at);
        // SAFETY: a row's place is within its batch.
        unsafe { batch.get_unchecked(index) }
    }

    /// Asks for the row at `at`, if there is one.
    #[inline(always)]
    pub(crate) fn prefetch(&self, at: usize) {
        if let Sorted::Memory(rows) = self {
            rows.prefetch(at);
        }
    }

    /// Sorts the rows in `range` by `compare`; those that are equal stay as they came.
    ///
    /// # Panics
    /// For a range of over 2^32 rows.
    pub(crate) fn sort_range(
        &mut self,
        range: Range<usize>,
        mut compare: impl for<'a, 'b> FnMut(
            <O::Row as Record>::View<'a>,
            <O::Row as Record>::View<'b>,
        ) -> Ordering,
    ) {
        match self {
            Sorted::Memory(rows) => rows.sort_range(range, compare),
            Sorted::Scratch { rows, moved } => {
                let count = u32::try_from(range.len()).expect("fewer than 2^32 rows of one key");
                let mut order: Vec<u32> = (0..count).collect();
                order.sort_by(|&a, &b| {
                    let (a, b) = (range.start + a as usize, range.start + b as usize);
                    let (a, b) = (rows.find(a), rows.find(b));
                    // SAFETY: a row's place is within its batch.
                    unsafe { compare(a.0.get_unchecked(a.1), b.0.get_unchecked(b.1)) }
                });
                *moved = Some((range.start, order));
            }
        }
    }
}

/// Which row stands at `at`.
#[inline(always)]
fn moved_to(moved: Option<&(usize, Vec<u32>)>, at: usize) -> usize {
    match moved {
        Some((start, order)) if (*start..start + order.len()).contains(&at) => {
            start + order[at - start] as usize
        }
        _ => at,
    }
}

impl<K: Key, V: Record> Sorted<HashOrder<K, V>> {
    /// The end of the run of rows that have the key of the row at `from`.
    pub(crate) fn group_end(&self, from: usize) -> usize {
        let (first, order) = (self.find(from), self.order(from));
        let same = |at: usize| {
            // SAFETY: a row's place is within its batch.
            self.order(at) == order
                && unsafe { HashOrder::<K, V>::compare(first, self.find(at)) }.is_eq()
        };
        // A group may have most of all rows: steps become larger, and the last one is halved.
        let (mut last, mut step) = (from, 1);
        while last + step < self.len() && same(last + step) {
            last += step;
            step *= 2;
        }
        let (mut low, mut high) = (last + 1, self.len().min(last + step));
        while low < high {
            let middle = low.midpoint(high);
            if same(middle) { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// The order of the key of the row at `at` and that of a row of another shuffle with the same keys.
    pub(crate) fn compare_keys<W: Record>(
        &self,
        at: usize,
        other: &Sorted<HashOrder<K, W>>,
        other_at: usize,
    ) -> Ordering {
        self.order(at).cmp(&other.order(other_at)).then_with(|| {
            let ((batch, index), (other, at)) = (self.find(at), other.find(other_at));
            // SAFETY: a row's place is within its batch; slots borrow from their batches.
            unsafe { K::slot_cmp(&K::probe_batch(&batch.0, index), &K::probe_batch(&other.0, at)) }
        })
    }
}

/// Whether rows are in their order as they came, as those of one key are, and those of sorted input.
fn came_in_order<O: RowOrder>(loaded: &Loaded<O>) -> bool {
    // SAFETY: a row's place is within its batch.
    let with_order = loaded.rows().map(|row| (row, unsafe { O::order(row.0, row.1) }));
    with_order.is_sorted_by(|(a, a_order), (b, b_order)| {
        a_order < b_order
            || a_order == b_order
                // SAFETY: as above.
                && (O::EXACT || unsafe { O::compare(*a, *b) }.is_le())
    })
}

/// Rows in memory, in order.
pub(crate) struct Ordered<O: RowOrder> {
    runs: Runs<O>,
    /// The order of each row, and in the lower 32 bits its index in `places`, which is also its arrival. `None` where the
    /// places are in the order of the rows.
    entries: Option<Vec<u128>>,
    /// Run, and row of it.
    places: Vec<(u32, u32)>,
}

/// So many rows are looked at to see whether one key has most of them.
const SAMPLE: usize = if cfg!(test) { 5 } else { 64 };

impl<O: RowOrder> Ordered<O> {
    /// Puts rows in order.
    ///
    /// # Errors
    /// For more than 2^32 rows.
    pub(super) fn of(loaded: Loaded<O>) -> Result<Self, PushError> {
        let count = loaded.count();
        if u32::try_from(count).is_err() {
            return Err(format!(
                "{count} rows in one bucket are too many; ask for more partitions, or let fewer rows have one key"
            )
            .into());
        }
        let mut places = Vec::with_capacity(count);
        for piece in &loaded.pieces {
            places.extend((piece.from..piece.to).map(|row| (piece.run, row)));
        }
        let are_in_order = !O::SORTED || came_in_order(&loaded);
        let mut ordered = Ordered { runs: loaded.runs, entries: None, places };
        if !are_in_order && !ordered.frequent().is_some_and(|order| ordered.sort_around(order)) {
            ordered.sort();
        }
        Ok(ordered)
    }

    /// The bits by which a row is ordered.
    #[inline(always)]
    fn order_of(&self, place: (u32, u32)) -> u128 {
        let (batch, index) = self.find(place);
        // SAFETY: a row's place is within its batch.
        unsafe { O::order(batch, index) }
    }

    /// Makes the entries of all rows.
    fn sort(&mut self) {
        let mut orders = Vec::with_capacity(self.len());
        orders.extend(self.places.iter().map(|&place| {
            // They lie one after the other here, and do not when they are read in their order.
            let (batch, index) = self.find(place);
            batch.prefetch(index);
            // SAFETY: a row's place is within its batch.
            unsafe { O::order(batch, index) }
        }));
        let mut entries = spread::sorted(std::iter::once(&orders[..]));
        drop(orders);
        if !O::EXACT {
            self.sort_ties(&mut entries);
        }
        self.entries = Some(entries);
    }

    /// The order that most rows of a sample have, if there is one.
    fn frequent(&self) -> Option<u128> {
        let count = self.len();
        if count < SAMPLE {
            return None;
        }
        let mut sample: [u128; SAMPLE] =
            std::array::from_fn(|at| self.order_of(self.places[at * count / SAMPLE]));
        sample.sort_unstable();
        let middle = sample[SAMPLE / 2];
        let same = sample.iter().filter(|order| **order == middle).count();
        (same > SAMPLE / 2).then_some(middle)
    }

    /// Puts the places in the order of the rows, where most rows have this one: those stay as they came, if they are of
    /// one key, and only the others are sorted. Else nothing is done; whether it was.
    fn sort_around(&mut self, order: u128) -> bool {
        let mut same = Vec::with_capacity(self.len());
        let (mut others, mut arrivals) = (Vec::new(), Vec::new());
        for (arrival, &place) in (0u32..).zip(&self.places) {
            let of = self.order_of(place);
            if of == order {
                same.push(place);
            } else {
                others.push(of);
                arrivals.push(arrival);
            }
        }
        // SAFETY: a row's place is within its batch.
        let ascends = |a: &_, b: &_| unsafe { O::compare(self.find(*a), self.find(*b)) }.is_le();
        if !O::EXACT && !same.is_sorted_by(ascends) {
            return false;
        }
        let mut others = spread::sorted(std::iter::once(&others[..]));
        for entry in &mut others {
            *entry = *entry & ORDER | u128::from(arrivals[*entry as u32 as usize]);
        }
        if !O::EXACT {
            self.sort_ties(&mut others);
        }
        let (less, greater) = others.split_at(others.partition_point(|entry| *entry < order));
        let mut places = Vec::with_capacity(self.len());
        let place = |entry: &u128| self.places[*entry as u32 as usize];
        places.extend(less.iter().map(place));
        places.append(&mut same);
        places.extend(greater.iter().map(place));
        self.places = places;
        true
    }

    /// The number of rows.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    #[inline(always)]
    fn find(&self, (run, row): (u32, u32)) -> (&<O::Row as Record>::Batch, usize) {
        (&self.runs.get(run).batch, row as usize)
    }

    /// The row of an entry.
    #[inline(always)]
    fn entry(&self, entry: u128) -> (&<O::Row as Record>::Batch, usize) {
        self.find(self.places[entry as u32 as usize])
    }

    /// The row at `at`: batch, and index.
    #[inline(always)]
    fn at(&self, at: usize) -> (&<O::Row as Record>::Batch, usize) {
        match &self.entries {
            Some(entries) => self.entry(entries[at]),
            None => self.find(self.places[at]),
        }
    }

    /// The bits by which the row at `at` is ordered.
    #[inline(always)]
    fn order(&self, at: usize) -> u128 {
        match &self.entries {
            Some(entries) => entries[at] & ORDER,
            None => self.order_of(self.places[at]),
        }
    }

    /// The row at `at`.
    #[inline(always)]
    pub(super) fn get(&self, at: usize) -> <O::Row as Record>::View<'_> {
        let (batch, index) = self.at(at);
        // SAFETY: a row's place is within its batch.
        unsafe { batch.get_unchecked(index) }
    }

    /// Asks for the row at `at`, if there is one.
    #[inline(always)]
    pub(super) fn prefetch(&self, at: usize) {
        if at < self.len() {
            let (batch, index) = self.at(at);
            batch.prefetch(index);
        }
    }

    #[inline]
    fn compare(&self, a: u128, b: u128) -> Ordering {
        let (a, b) = (self.entry(a), self.entry(b));
        // SAFETY: an entry's place is within its batch.
        unsafe { O::compare(a, b) }
    }

    /// Sorts each run of rows whose 96 bits are equal.
    fn sort_ties(&self, entries: &mut [u128]) {
        let mut from = 0;
        while from < entries.len() {
            let order = entries[from] & ORDER;
            let mut to = from + 1;
            let mut in_order = true;
            while to < entries.len() && entries[to] & ORDER == order {
                in_order = in_order && self.compare(entries[to - 1], entries[to]).is_le();
                to += 1;
            }
            if !in_order {
                self.sort_tie(&mut entries[from..to]);
            }
            from = to;
        }
    }

    /// Sorts rows whose 96 bits are equal. They may be many: keys may have been made to have one hash.
    #[cold]
    fn sort_tie(&self, entries: &mut [u128]) {
        let tie = |&entry: &u128| {
            let (batch, index) = self.entry(entry);
            // SAFETY: an entry's place is within its batch.
            unsafe { O::tie(batch, index) }
        };
        let ties: Vec<u128> = entries.iter().map(tie).collect();
        let by_tie = spread::sorted(std::iter::once(&ties[..]));
        drop(ties);
        let mut sorted: Vec<u128> = by_tie.iter().map(|at| entries[*at as u32 as usize]).collect();
        let mut from = 0;
        for same in by_tie.chunk_by(|a, b| a & ORDER == b & ORDER) {
            let to = from + same.len();
            sorted[from..to].sort_by(|&a, &b| self.compare(a, b));
            from = to;
        }
        entries.copy_from_slice(&sorted);
    }

    /// As [`Sorted::sort_range`].
    fn sort_range(
        &mut self,
        range: Range<usize>,
        mut compare: impl for<'a, 'b> FnMut(
            <O::Row as Record>::View<'a>,
            <O::Row as Record>::View<'b>,
        ) -> Ordering,
    ) {
        let mut entries = match self.entries.take() {
            Some(entries) => entries,
            None => (0..self.len()).map(|at| self.order(at) | at as u128).collect(),
        };
        entries[range].sort_by(|&a, &b| {
            let (a, b) = (self.entry(a), self.entry(b));
            // SAFETY: an entry's place is within its batch.
            unsafe { compare(a.0.get_unchecked(a.1), b.0.get_unchecked(b.1)) }
        });
        self.entries = Some(entries);
    }
}
