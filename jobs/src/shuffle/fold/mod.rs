//! The shuffle of exact and commutative aggregates: one accumulator a key, combined in any order.
//!
//! The store is a number of tables, each with a range of the hash. A thread adds to its [`front::Front`], which sends
//! what it turns away to the tables, a batch at a time. Nothing is merged at the end: a bucket is a range of a table's
//! rows, in the order of (hash, key), whoever added them.

mod forecast;
mod front;
mod groups;
mod table;

pub(crate) use table::{order_hash, range_of};

use self::forecast::Seen;
use self::front::Front;
use self::groups::Groups;
use self::table::{Row, Table};
use super::{Bucket, Lanes, ReadCode, ShuffleCode, Store, StoreContext, lock};
use crate::exec::Emitter;
use arrow::buffer::Buffer;
use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use windrow_datasets::codec::{self, Encoder};
use windrow_datasets::push::{AnyPush, BATCH_RECORDS, Demand, Push, PushError, Selection};
use windrow_datasets::{Batch, Builder, Key, Record};

/// The most tables of a store, where the number of buckets is a multiple of it.
const TABLES_MAX: u32 = 256;

/// The most times as large as it is that a table becomes at once.
const GROWTH_MAX: f64 = 256.0;

/// How keys and values are taken from rows, and values put together.
///
/// `push` and `merge` may be done in any order and any grouping: the result must not depend on it.
pub(crate) trait Folding: Send + Sync + 'static {
    /// The rows that come in.
    type Row: Record;
    /// The key.
    type Key: Key;
    /// What is folded.
    type Value: Record;
    /// What a key has in the tables.
    type Acc: Send + Sync + 'static;
    /// The accumulator of one batch's values in the making: it may be smaller, and quicker to add to.
    type Tally: Send + 'static;
    /// An accumulator on its way between processes.
    type Wire: Record;
    /// What comes out for a key.
    type Out: Record;

    /// The key's slot, borrowed from the batch, and the value of a batch's row.
    ///
    /// # Safety
    /// `index` is below the batch's length.
    unsafe fn take(
        batch: &<Self::Row as Record>::Batch,
        index: usize,
    ) -> (<Self::Key as Record>::Slot, <Self::Value as Record>::View<'_>);

    /// Codes of the keys of the selected rows, as [`Key::add_codes`] gives them.
    fn key_codes(
        batch: &<Self::Row as Record>::Batch,
        selection: Selection<'_>,
        most: u32,
        codes: &mut [u32],
    ) -> Option<u32>;

    /// The key's slot, borrowed from the view, and the value of a single row.
    fn take_view<'a>(
        view: <Self::Row as Record>::View<'a>,
    ) -> (<Self::Key as Record>::Slot, <Self::Value as Record>::View<'a>);

    /// The accumulator of a key's first value.
    fn start(&self, value: <Self::Value as Record>::View<'_>) -> Self::Acc;
    /// Adds a value.
    fn push(&self, acc: &mut Self::Acc, value: <Self::Value as Record>::View<'_>);
    /// Adds what another accumulator has.
    fn merge(&self, acc: &mut Self::Acc, other: Self::Acc);
    /// A tally of no value yet.
    fn empty(&self) -> Self::Tally;
    /// Adds a value.
    fn tally(&self, tally: &mut Self::Tally, value: <Self::Value as Record>::View<'_>);
    /// The accumulator of the `values` that were added; `None` if there were none.
    fn tallied(&self, tally: Self::Tally, values: u64) -> Option<Self::Acc>;
    /// The accumulator for the way to another process.
    fn to_wire(&self, acc: &Self::Acc) -> Self::Wire;
    /// What [`Folding::to_wire`] was given.
    #[expect(clippy::wrong_self_convention, reason = "the folding is no part of the accumulator")]
    fn from_wire(&self, wire: <Self::Wire as Record>::View<'_>) -> Self::Acc;
    /// The result.
    ///
    /// # Errors
    /// If it cannot be represented, as a sum that overflows.
    fn finish(&self, acc: &Self::Acc) -> Result<Self::Out, PushError>;
}

/// The tally of a [`Folding`] that has no better one: an accumulator, once there is a value.
macro_rules! tally_by_accumulator {
    () => {
        type Tally = Option<Self::Acc>;

        fn empty(&self) -> Self::Tally {
            None
        }
        #[inline(always)]
        fn tally(
            &self,
            tally: &mut Self::Tally,
            value: <Self::Value as windrow_datasets::Record>::View<'_>,
        ) {
            match tally {
                Some(acc) => self.push(acc, value),
                none => *none = Some(self.start(value)),
            }
        }
        fn tallied(&self, tally: Self::Tally, _: u64) -> Option<Self::Acc> {
            tally
        }
    };
}
pub(crate) use tally_by_accumulator;

/// A shuffle over a [`Folding`].
pub(crate) struct FoldShuffle<F> {
    pub(crate) fold: Arc<F>,
}

impl<F: Folding> ShuffleCode for FoldShuffle<F> {
    fn store(&self, context: &StoreContext) -> Arc<dyn Store> {
        Arc::new(FoldStore::new(self.fold.clone(), context))
    }

    fn decode(
        &self,
        bucket: u32,
        blocks: Vec<Buffer>,
        context: &StoreContext,
    ) -> Result<Bucket, PushError> {
        let frames: Vec<Buffer> =
            blocks.iter().flat_map(codec::frames).collect::<Result<_, _>>()?;
        let rows = frames.iter().map(|frame| codec::frame_records(frame)).sum::<Result<_, _>>()?;
        // Rows of a block come in the order of their hashes: there must be room for all from the beginning.
        let mut table = Table::<F::Key, F::Acc>::new(context.buckets, rows);
        for frame in &frames {
            let batch = codec::decode::<(F::Key, F::Wire)>(frame)?;
            for index in 0..batch.len() {
                // SAFETY: the index is in bounds; the slot borrows from the batch.
                unsafe {
                    let slot = F::Key::probe_batch(&batch.0, index);
                    let hash = order_hash(F::Key::slot_hash(&slot));
                    if range_of(hash, context.buckets) != bucket {
                        return Err("a block has rows of another bucket".into());
                    }
                    let acc = self.fold.from_wire(batch.1.get_unchecked(index));
                    table.upsert(hash, &slot, acc, |acc, more| self.fold.merge(acc, more));
                }
            }
        }
        table.order();
        Ok(Bucket::new(FoldBucket::<F> { tables: Tables::Own(table), from: 0, to: u64::MAX }))
    }
}

/// See the module.
pub(super) struct FoldStore<F: Folding> {
    fold: Arc<F>,
    buckets: u32,
    tables: Vec<RwLock<Table<F::Key, F::Acc>>>,
    /// Those of threads that are not in a lane just now.
    fronts: Mutex<Vec<Front<F>>>,
    lanes: Arc<Lanes>,
    seen: Seen,
}

impl<F: Folding> FoldStore<F> {
    fn new(fold: Arc<F>, context: &StoreContext) -> FoldStore<F> {
        let buckets = context.buckets;
        let tables = if buckets.is_multiple_of(TABLES_MAX) { TABLES_MAX } else { buckets };
        FoldStore {
            fold,
            buckets,
            tables: (0..tables).map(|_| RwLock::new(Table::new(tables, 0))).collect(),
            fronts: Mutex::default(),
            lanes: context.lanes.clone(),
            seen: Seen::default(),
        }
    }

    #[inline(always)]
    fn tables(&self) -> u32 {
        self.tables.len() as u32
    }

    /// Moves rows into a table.
    ///
    /// # Safety
    /// The rows are initialized, are not used afterwards, are of this table, and what their keys point to is alive.
    unsafe fn merge(&self, table: usize, rows: &[Row<<F::Key as Record>::Slot, F::Acc>]) {
        let mut table = self.tables[table].write().unwrap_or_else(PoisonError::into_inner);
        table.make_room(rows.len(), || self.seen.growth(&self.lanes).clamp(1.25, GROWTH_MAX));
        rows.iter().for_each(|row| table.prefetch(row.hash));
        if !F::Key::PREFIX_IS_EXACT {
            rows.iter().for_each(|row| table.prefetch_key(row.hash));
        }
        let before = table.used();
        for row in rows {
            // SAFETY: the caller's promise.
            unsafe {
                let acc = row.acc.assume_init_read();
                table.upsert(row.hash, row.slot.assume_init_ref(), acc, |acc, more| {
                    self.fold.merge(acc, more);
                });
            }
        }
        self.seen.arrived(rows.len(), table.used() - before);
    }

    /// A table whose rows are in order: several buckets of it may be read side by side.
    fn ordered(&self, table: usize) -> RwLockReadGuard<'_, Table<F::Key, F::Acc>> {
        let lock = &self.tables[table];
        let read = lock.read().unwrap_or_else(PoisonError::into_inner);
        if read.is_ordered() {
            return read;
        }
        drop(read);
        lock.write().unwrap_or_else(PoisonError::into_inner).order();
        lock.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The table that has a bucket, and the bucket's first and last hash.
    fn place(&self, bucket: u32) -> (usize, u64, u64) {
        let from = first_hash(bucket, self.buckets);
        let last = bucket + 1 == self.buckets;
        let to = if last { u64::MAX } else { first_hash(bucket + 1, self.buckets) - 1 };
        (range_of(from, self.tables()) as usize, from, to)
    }
}

/// The first hash of a bucket: the least for which [`range_of`] is that.
fn first_hash(bucket: u32, buckets: u32) -> u64 {
    let first = (u128::from(bucket) << 64).div_ceil(u128::from(buckets));
    u64::try_from(first).unwrap_or(u64::MAX)
}

impl<F: Folding> Store for FoldStore<F> {
    fn lane(self: Arc<Self>, _rank: u64) -> AnyPush {
        let front = lock(&self.fronts).pop().unwrap_or_else(|| Front::new(self.tables()));
        let groups = Groups::default();
        let lane = FoldLane { store: self, front: Some(front), groups, rows: 0, told: 0 };
        AnyPush::new::<F::Row>(Box::new(lane))
    }

    fn seal(&self) -> Result<(), PushError> {
        use rayon::prelude::*;
        let fronts = std::mem::take(&mut *lock(&self.fronts));
        fronts.into_par_iter().for_each(|mut front| front.flush(self));
        Ok(())
    }

    fn bucket(self: Arc<Self>, bucket: u32) -> Bucket {
        let (table, from, to) = self.place(bucket);
        Bucket::new(FoldBucket::<F> { tables: Tables::Shared(self, table), from, to })
    }

    fn encode(
        &self,
        bucket: u32,
        encoder: &mut Encoder,
        out: &mut Vec<u8>,
    ) -> Result<u64, PushError> {
        let (table, from, to) = self.place(bucket);
        let table = self.ordered(table);
        let rows = rows_between(table.ordered(), from, to);
        let mut builder = <(F::Key, F::Wire) as Record>::Builder::default();
        for chunk in rows.chunks(BATCH_RECORDS) {
            for row in chunk {
                // SAFETY: ordered rows are initialized; their keys point into the table's heap.
                unsafe {
                    let wire = self.fold.to_wire(row.acc.assume_init_ref());
                    let key = F::Key::slot_view(row.slot.assume_init_ref());
                    builder.push((key, wire.view()));
                }
            }
            encoder.encode::<(F::Key, F::Wire)>(&builder.finish(), out)?;
        }
        Ok(rows.len() as u64)
    }
}

fn rows_between<S, A>(rows: &[Row<S, A>], from: u64, to: u64) -> &[Row<S, A>] {
    let start = rows.partition_point(|row| row.hash < from);
    let end = rows.partition_point(|row| row.hash <= to);
    &rows[start..end]
}

/// A thread's receiver. The front goes back to the store when the lane ends, however it ends: what a failed lane has
/// added spoils the store, which is dropped then.
struct FoldLane<F: Folding> {
    store: Arc<FoldStore<F>>,
    front: Option<Front<F>>,
    groups: Groups<F::Tally>,
    /// Rows that came, and those of them that the store was told of.
    rows: u64,
    told: u64,
}

/// After so many rows that came one by one the store is told of them.
const TELL_ROWS: u64 = 4096;

impl<F: Folding> FoldLane<F> {
    fn tell(&mut self) {
        self.store.seen.rows(self.rows - self.told);
        self.told = self.rows;
    }
}

/// How many keys are hashed before the first is looked up.
const AHEAD: usize = 32;

impl<F: Folding> Push<F::Row> for FoldLane<F> {
    fn batch(
        &mut self,
        batch: &<F::Row as Record>::Batch,
        selection: Selection<'_>,
    ) -> Result<Demand, PushError> {
        let count = selection.count(batch.len());
        self.rows += count as u64;
        self.tell();
        let Some(front) = &mut self.front else { return Ok(Demand::Enough) };
        let store = &*self.store;
        let mut keys = [const { (0u64, MaybeUninit::<<F::Key as Record>::Slot>::uninit()) }; AHEAD];
        let index = |at: usize| match selection {
            Selection::All => at,
            Selection::Rows(rows) => rows[at] as usize,
        };
        if self.groups.fold(front, store, batch, selection) {
            return Ok(Demand::More);
        }
        let mut from = 0;
        while from < count {
            let to = (from + AHEAD).min(count);
            for at in from..to {
                // SAFETY: the indexes of a selection are below the batch's length.
                unsafe {
                    let (slot, _) = F::take(batch, index(at));
                    let hash = order_hash(F::Key::slot_hash(&slot));
                    front.prefetch(hash);
                    keys[at - from] = (hash, MaybeUninit::new(slot));
                }
            }
            let mut at = from;
            while at < to {
                let (hash, slot) = &keys[at - from];
                // SAFETY: as above; the slot was written just before, and borrows from the batch.
                let (slot, value) =
                    unsafe { (slot.assume_init_ref(), F::take(batch, index(at)).1) };
                at += 1;
                let again = |at: usize| {
                    if at < to {
                        let (other, key) = &keys[at - from];
                        // SAFETY: as above.
                        return other == hash
                            && unsafe { F::Key::slot_eq(key.assume_init_ref(), slot) };
                    }
                    // SAFETY: as above.
                    at < count && unsafe { F::Key::slot_eq(&F::take(batch, index(at)).0, slot) }
                };
                if !again(at) {
                    // SAFETY: as above.
                    unsafe { front.add(store, *hash, slot, value) };
                    continue;
                }
                // Input is often sorted or grouped: equal neighbours are looked up once.
                let mut acc = store.fold.start(value);
                while again(at) {
                    // SAFETY: as above.
                    store.fold.push(&mut acc, unsafe { F::take(batch, index(at)).1 });
                    at += 1;
                }
                // SAFETY: as above.
                unsafe { front.merge(store, *hash, slot, acc) };
            }
            from = at;
        }
        if front.is_full() {
            front.flush(store);
        }
        Ok(Demand::More)
    }

    #[inline]
    fn row(&mut self, view: <F::Row as Record>::View<'_>) -> Result<Demand, PushError> {
        let Some(front) = &mut self.front else { return Ok(Demand::Enough) };
        let (slot, value) = F::take_view(view);
        // SAFETY: the slot borrows from the view, which is alive.
        unsafe {
            let hash = order_hash(F::Key::slot_hash(&slot));
            front.add(&self.store, hash, &slot, value);
        }
        if front.is_full() {
            front.flush(&self.store);
        }
        self.rows += 1;
        if self.rows - self.told == TELL_ROWS {
            self.tell();
        }
        Ok(Demand::More)
    }

    fn wants_rows(&self) -> bool {
        true
    }

    fn finish(&mut self) -> Result<(), PushError> {
        self.tell();
        self.store.seen.lane(self.rows);
        lock(&self.store.fronts).extend(self.front.take());
        Ok(())
    }
}

/// The rows of a bucket.
struct FoldBucket<F: Folding> {
    tables: Tables<F>,
    /// The first and the last hash.
    from: u64,
    to: u64,
}

enum Tables<F: Folding> {
    Shared(Arc<FoldStore<F>>, usize),
    Own(Table<F::Key, F::Acc>),
}

/// Reads what a [`FoldShuffle`] kept: rows (key, result).
pub(crate) struct FoldRead<F> {
    pub(crate) fold: Arc<F>,
}

impl<F: Folding> ReadCode for FoldRead<F> {
    fn read(&self, mut buckets: Vec<Bucket>, out: AnyPush) -> Result<u64, PushError> {
        let bucket: FoldBucket<F> = buckets.remove(0).into();
        let mut out = Emitter::new(out);
        match &bucket.tables {
            Tables::Own(table) => self.push(table, bucket.from, bucket.to, &mut out)?,
            Tables::Shared(store, number) => {
                let table = store.ordered(*number);
                self.push(&table, bucket.from, bucket.to, &mut out)?;
            }
        }
        out.finish()
    }
}

/// How far ahead of the row at hand keys are asked for.
const PREFETCH_ROWS: usize = 16;

impl<F: Folding> FoldRead<F> {
    fn push(
        &self,
        table: &Table<F::Key, F::Acc>,
        from: u64,
        to: u64,
        out: &mut Emitter<(F::Key, F::Out)>,
    ) -> Result<(), PushError> {
        let rows = rows_between(table.ordered(), from, to);
        for (at, row) in rows.iter().enumerate() {
            if let Some(ahead) = rows.get(at + PREFETCH_ROWS) {
                // SAFETY: ordered rows are initialized.
                F::Key::prefetch(unsafe { ahead.slot.assume_init_ref() });
            }
            // SAFETY: as above; their keys point into the table's heap.
            let (key, acc) = unsafe {
                (F::Key::slot_view(row.slot.assume_init_ref()), row.acc.assume_init_ref())
            };
            let result = self.fold.finish(acc)?;
            if out.push((key, result.view()))? == Demand::Enough {
                break;
            }
        }
        Ok(())
    }
}

/// A table of one lane, for folds in the order of the rows.
pub(crate) struct Combiner<F: Folding> {
    fold: Arc<F>,
    table: Table<F::Key, F::Acc>,
}

impl<F: Folding> Combiner<F> {
    pub(crate) fn new(fold: Arc<F>) -> Combiner<F> {
        Combiner { fold, table: Table::new(1, 0) }
    }

    /// The number of keys.
    #[inline(always)]
    pub(crate) fn keys(&self) -> usize {
        self.table.used()
    }

    /// Adds one value.
    ///
    /// # Safety
    /// What `slot` points to is alive.
    #[inline(always)]
    pub(crate) unsafe fn add(
        &mut self,
        slot: &<F::Key as Record>::Slot,
        value: <F::Value as Record>::View<'_>,
    ) {
        self.table.make_room(1, || 2.0);
        let fold = &*self.fold;
        // SAFETY: the caller's promise.
        unsafe {
            let hash = order_hash(F::Key::slot_hash(slot));
            self.table.fold(
                hash,
                slot,
                value,
                |value| fold.start(value),
                |acc, value| {
                    fold.push(acc, value);
                },
            );
        }
    }

    /// Passes all keys on, in the order of their hashes; the table is empty then.
    ///
    /// # Errors
    /// What the receiver says.
    pub(crate) fn drain(&mut self, out: &mut Emitter<(F::Key, F::Wire)>) -> Result<(), PushError> {
        let mut result = Ok(());
        let fold = &*self.fold;
        self.table.drain(|slot, acc| {
            if result.is_ok() {
                // SAFETY: the slot points into the table's heap.
                let key = unsafe { F::Key::slot_view(slot) };
                result = out.push((key, fold.to_wire(&acc).view())).map(|_| ());
            }
        });
        result
    }
}

#[cfg(test)]
mod tests;
