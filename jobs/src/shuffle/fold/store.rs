//! The tables of a shuffle, shared by all threads.

use super::Folding;
use super::forecast::Seen;
use super::front::Front;
use super::kept::{Kept, upsert_all};
use super::lane::FoldLane;
use super::read::{FoldBucket, Tables};
use super::spilled::{Merged, Part};
use super::table::{Row, Table, order_hash, range_of};
use crate::shuffle::left_out::{KeyHash, leaving_out};
use crate::shuffle::{
    Bucket, Combining, FramesOut, KeyFilter, Lanes, Memory, SpillFailed, Store, StoreContext, lock,
};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use windrow_datasets::memory::Share;
use windrow_datasets::push::{AnyPush, BATCH_RECORDS, Demand, PushError};
use windrow_datasets::spill::SpillFile;
use windrow_datasets::{Builder, Key, Record};

/// The most tables of a store, where the number of buckets is a multiple of it.
const TABLES_MAX: u32 = 256;

/// The most times as large as it is that a table becomes at once.
const GROWTH_MAX: f64 = 256.0;

/// A table takes no more than this part of the budget together with all others of its store.
const PART_OF_BUDGET: (u64, u64) = (5, 8);

/// There are fewer tables where each could not have so many bytes of the budget.
const TABLE_BYTES: u64 = if cfg!(test) { 1 } else { 1 << 20 };

/// While memory is short, a table is worth spilling that has at least one part in so many of what it may have.
const WORTH_SPILLING: u64 = 8;

/// The bytes of rows of all tables from which on they are set apart: then they lie in no cache of their own.
const APART_BYTES: usize = if cfg!(test) { 64 << 10 } else { 32 << 20 };

/// With fewer tables, one of them would not lie in a cache either.
const APART_TABLES_MIN: u32 = if cfg!(test) { 1 } else { 32 };

/// Rows are set apart whose keys point to at most one byte for so many of their own: those are copied with them.
const APART_KEYS: usize = if cfg!(test) { 0 } else { 4 };

/// Rows are set apart if at least this part of them will have brought a new key, as far as can be told: where keys come
/// again and again, each row that waits is memory that a table saves.
const APART_NEW: Option<f64> = if cfg!(test) { None } else { Some(0.3) };

/// The most files that a store spills to.
const FILES_MAX: usize = 8;

/// See the module.
pub(super) struct FoldStore<F: Folding> {
    pub(super) fold: Arc<F>,
    buckets: u32,
    tables: Vec<RwLock<Held<F>>>,
    /// Those of threads that are not in a lane just now.
    fronts: Mutex<Vec<Front<F>>>,
    /// What all fronts have.
    of_fronts: Share,
    lanes: Arc<Lanes>,
    /// The keys whose rows are of use.
    combining: Combining,
    filter: Option<Arc<KeyFilter>>,
    pub(super) seen: Seen,
    memory: Memory,
    /// The most bytes of a table.
    table_bytes: u64,
    /// What was spilled, tables by turns.
    files: [Mutex<Option<Arc<SpillFile>>>; FILES_MAX],
    /// Why something could not be spilled.
    failed: OnceLock<SpillFailed>,
}

/// Hashes rows as tables do.
struct ByKey<F>(PhantomData<fn() -> F>);

impl<F: Folding> KeyHash for ByKey<F> {
    type Row = F::Row;

    #[inline(always)]
    fn hash(row: <F::Row as Record>::View<'_>) -> u64 {
        let (slot, _) = F::take_view(row);
        // SAFETY: the slot borrows from the row's view, which is alive.
        order_hash(unsafe { F::Key::slot_hash(&slot) })
    }
}

/// What is kept of a range of the hash, and what of it was spilled.
struct Held<F: Folding> {
    kept: Kept<F>,
    share: Share,
    parts: Vec<Arc<Part>>,
}

impl<F: Folding> Held<F> {
    /// Says how much it has, if that has changed.
    #[inline(always)]
    fn count(&mut self) {
        let (rows, keys) = self.kept.bytes();
        let bytes = (rows + keys) as u64;
        if bytes != self.share.bytes() {
            self.share.set(bytes);
        }
    }
}

impl<F: Folding> FoldStore<F> {
    pub(super) fn new(fold: Arc<F>, context: &StoreContext) -> FoldStore<F> {
        let (buckets, budget) = (context.buckets, &context.memory.budget);
        let (part, of) = PART_OF_BUDGET;
        let bytes = budget.limit() / of * part;
        let mut tables = TABLES_MAX;
        while tables > 1 && bytes / u64::from(tables) < TABLE_BYTES {
            tables /= 2;
        }
        if !buckets.is_multiple_of(tables) {
            tables = buckets;
        }
        let held = || {
            let (kept, share) = (Kept::Table(Table::new(tables, 0)), budget.share());
            RwLock::new(Held { kept, share, parts: Vec::new() })
        };
        FoldStore {
            fold,
            buckets,
            tables: (0..tables).map(|_| held()).collect(),
            fronts: Mutex::default(),
            of_fronts: budget.share(),
            lanes: context.lanes.clone(),
            filter: context.filter.clone(),
            combining: context.combining,
            seen: Seen::default(),
            memory: context.memory.clone(),
            table_bytes: bytes / u64::from(tables),
            files: Default::default(),
            failed: OnceLock::new(),
        }
    }

    #[inline(always)]
    pub(super) fn tables(&self) -> u32 {
        self.tables.len() as u32
    }

    /// A front for a thread.
    pub(super) fn front(&self) -> Front<F> {
        lock(&self.fronts).pop().unwrap_or_else(|| {
            let front = Front::new(self.tables(), self.combining);
            self.of_fronts.add(front.bytes() as u64);
            front
        })
    }

    /// A thread does not need its front for now.
    pub(super) fn rest(&self, front: Front<F>) {
        lock(&self.fronts).push(front);
    }

    /// Whether all could be spilled that had to be.
    ///
    /// # Errors
    /// If not.
    pub(super) fn check(&self) -> Result<(), PushError> {
        self.failed.get().map_or(Ok(()), |why| Err(why.clone().into()))
    }

    /// Moves rows into a table.
    ///
    /// # Safety
    /// The rows are initialized, are not used afterwards, are of this table, and what their keys point to is alive.
    pub(super) unsafe fn merge(
        &self,
        number: usize,
        rows: &[Row<<F::Key as Record>::Slot, F::Acc>],
    ) {
        let mut held = self.tables[number].write().unwrap_or_else(PoisonError::into_inner);
        if !held.kept.has_room(rows.len()) || held.kept.bytes().1 as u64 > self.table_bytes / 2 {
            self.make_room(number, &mut held, rows.len());
        }
        match &mut held.kept {
            Kept::Table(table) => {
                let before = table.used();
                // SAFETY: the caller's promise; room was made.
                unsafe { upsert_all(table, &*self.fold, rows) };
                self.seen.arrived(rows.len(), table.used() - before);
            }
            // SAFETY: the caller's promise.
            Kept::Apart(apart) => unsafe { apart.add(rows) },
        }
        held.count();
    }

    /// Makes room for rows: a table grows as long as it may, or is set apart; what is apart is settled when it is time.
    /// Where there is no memory for that, what is kept is spilled.
    #[cold]
    fn make_room(&self, number: usize, held: &mut Held<F>, more: usize) {
        let most = self.table_bytes;
        // What is left is for all tables alike: they all grow at about the same time.
        let left = self.memory.budget.left() / u64::from(self.tables());
        if let Kept::Apart(apart) = &mut held.kept {
            let is_short = apart_is_short(apart.bytes(), most, left);
            if apart.is_due() || is_short && apart.may_shrink() {
                apart.settle(&self.fold, &self.memory.budget);
            }
        }
        let (rows, keys) = held.kept.bytes();
        // Keys that are not inline may have as much as the rows.
        let most_rows = if keys > 0 { most / 2 } else { most };
        let grows = !held.kept.has_room(more);
        let is_full = match &held.kept {
            Kept::Table(_) => {
                keys as u64 > most / 2
                    || grows && (rows as u64 / 2 * 3 > most_rows || rows as u64 / 4 > left)
            }
            Kept::Apart(_) => apart_is_short((rows, keys), most / 4 * 3, left),
        };
        let is_worth_it = (rows + keys) as u64 >= most / WORTH_SPILLING && !held.kept.is_empty();
        if is_full
            && is_worth_it
            && let Err(error) = self.spill(number, held)
        {
            // What it had may be gone: whoever comes next ends the job.
            self.failed.get_or_init(|| error);
        }
        if let Kept::Table(table) = &mut held.kept
            && !table.has_room(more)
        {
            let most = (most_rows as f64 / rows as f64).min(1.0 + left as f64 / rows as f64);
            let growth = self.seen.growth(&self.lanes);
            if self.sets_apart(rows, keys, growth) {
                held.kept.set_apart(self.tables());
            } else {
                table.make_room(more, || growth.clamp(1.25, GROWTH_MAX.min(most.max(1.25))));
            }
        }
        held.count();
    }

    /// Whether a table that would become so many times as large is better set apart.
    fn sets_apart(&self, rows: usize, keys: usize, growth: f64) -> bool {
        self.tables() >= APART_TABLES_MIN
            && rows as f64 * growth > APART_BYTES as f64 / f64::from(self.tables())
            && keys * APART_KEYS <= rows
            && self.seen.new_at_end(&self.lanes) >= APART_NEW
    }

    /// Writes what a table has to scratch; it is empty then.
    fn spill(&self, number: usize, held: &mut Held<F>) -> Result<(), SpillFailed> {
        let (rows, keys) = held.kept.bytes();
        let budget = &self.memory.budget;
        let written = self
            .file(number)
            .and_then(|file| Part::write(file, &*self.fold, budget, &mut held.kept, self.buckets))
            .map_err(|error| {
                SpillFailed::new("a table of an aggregate", (rows + keys) as u64, budget, &error)
            })?;
        held.parts.push(Arc::new(written));
        held.count();
        Ok(())
    }

    /// The file that a table is spilled to.
    fn file(&self, number: usize) -> Result<Arc<SpillFile>, PushError> {
        let mut file = lock(&self.files[number % FILES_MAX]);
        if let Some(file) = &*file {
            return Ok(file.clone());
        }
        Ok(file.insert(Arc::new(self.memory.spills.file()?)).clone())
    }

    /// What there is of a bucket, if a part of it was spilled.
    pub(super) fn merged(&self, number: usize, bucket: u32) -> Option<Merged<F>> {
        let held = self.tables[number].read().unwrap_or_else(PoisonError::into_inner);
        if held.parts.is_empty() {
            return None;
        }
        Some(Merged::new(self.fold.clone(), held.parts.clone(), bucket))
    }

    /// A table whose rows are in order: several buckets of it may be read side by side.
    pub(super) fn ordered(&self, table: usize) -> Ordered<'_, F> {
        let lock = &self.tables[table];
        let read = lock.read().unwrap_or_else(PoisonError::into_inner);
        if read.kept.is_ordered() {
            return Ordered(read);
        }
        drop(read);
        let mut held = lock.write().unwrap_or_else(PoisonError::into_inner);
        held.kept.order(&self.fold, &self.memory.budget);
        held.count();
        drop(held);
        Ordered(lock.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The table that has a bucket, and the bucket's first and last hash.
    fn place(&self, bucket: u32) -> (usize, u64, u64) {
        let from = first_hash(bucket, self.buckets);
        let last = bucket + 1 == self.buckets;
        let to = if last { u64::MAX } else { first_hash(bucket + 1, self.buckets) - 1 };
        (range_of(from, self.tables()) as usize, from, to)
    }
}

/// A table whose rows are in order.
pub(super) struct Ordered<'s, F: Folding>(RwLockReadGuard<'s, Held<F>>);

impl<F: Folding> Ordered<'_, F> {
    pub(super) fn kept(&self) -> &Kept<F> {
        &self.0.kept
    }
}

/// The first hash of a bucket: the least for which [`range_of`] is that.
pub(super) fn first_hash(bucket: u32, buckets: u32) -> u64 {
    let first = (u128::from(bucket) << 64).div_ceil(u128::from(buckets));
    u64::try_from(first).unwrap_or(u64::MAX)
}

impl<F: Folding> Store for FoldStore<F> {
    fn lane(self: Arc<Self>, _rank: u64) -> AnyPush {
        leaving_out::<ByKey<F>>(self.filter.clone(), FoldLane::new(self))
    }

    fn seal(&self) -> Result<(), PushError> {
        use rayon::prelude::*;
        let fronts = std::mem::take(&mut *lock(&self.fronts));
        fronts.into_par_iter().for_each(|mut front| front.flush(self));
        self.of_fronts.set(0);
        self.check()?;
        // A bucket is then either in memory, or in scratch.
        self.tables.par_iter().enumerate().try_for_each(|(number, held)| {
            let mut held = held.write().unwrap_or_else(PoisonError::into_inner);
            if held.parts.is_empty() { Ok(()) } else { Ok(self.spill(number, &mut held)?) }
        })
    }

    fn bucket(self: Arc<Self>, bucket: u32) -> Bucket {
        let (table, from, to) = self.place(bucket);
        let tables = match self.merged(table, bucket) {
            Some(merged) => Tables::Parts(merged),
            None => Tables::Shared(self, table),
        };
        Bucket::new(FoldBucket::<F> { tables, from, to })
    }

    fn encode(&self, bucket: u32, out: &mut FramesOut<'_>) -> Result<u64, PushError> {
        let (table, from, to) = self.place(bucket);
        let mut builder = <(F::Key, F::Wire) as Record>::Builder::default();
        if let Some(merged) = self.merged(table, bucket) {
            let mut rows = 0;
            merged.read(|key, acc| {
                let wire = self.fold.to_wire(&acc);
                builder.push((F::Key::shorten(key), wire.view()));
                rows += 1;
                if builder.len() == BATCH_RECORDS {
                    out.add::<(F::Key, F::Wire)>(&builder.finish())?;
                }
                Ok(Demand::More)
            })?;
            if !builder.is_empty() {
                out.add::<(F::Key, F::Wire)>(&builder.finish())?;
            }
            return Ok(rows);
        }
        let table = self.ordered(table);
        let mut rows = 0;
        for row in table.kept().between(from, to).flatten() {
            // SAFETY: ordered rows are initialized; their keys point into a heap of what is kept.
            unsafe {
                let wire = self.fold.to_wire(row.acc.assume_init_ref());
                let key = F::Key::slot_view(row.slot.assume_init_ref());
                builder.push((key, wire.view()));
            }
            rows += 1;
            if builder.len() == BATCH_RECORDS {
                out.add::<(F::Key, F::Wire)>(&builder.finish())?;
            }
        }
        if !builder.is_empty() {
            out.add::<(F::Key, F::Wire)>(&builder.finish())?;
        }
        Ok(rows)
    }
}

/// Whether rows that are apart have more memory than they may.
fn apart_is_short((rows, keys): (usize, usize), most: u64, left: u64) -> bool {
    let bytes = (rows + keys) as u64;
    bytes > most || keys as u64 > most / 2 || bytes / 4 > left
}
