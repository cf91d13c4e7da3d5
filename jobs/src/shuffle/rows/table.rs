//! The rows of a store as a table that is looked up by key, for a join that need not be in the order of its keys.
//!
//! Each bucket's rows are put in the order of their hashes, as for any reader, and copied in that order, so that a key's
//! rows lie side by side. Where to begin is found by the hash's next bits in an array of places, of which there is about
//! one for each row. To look a key up touches one line of that array, one of the keys and one of each column of the value;
//! the three steps are apart, so that those of many keys overlap. Where many rows have one place, their keys are in one more
//! table, by a hash that nobody can know.

use super::{HashOrder, RowsBucket, Sorted};
use crate::shuffle::fold::{order_hash, range_of};
use crate::shuffle::{Bucket, KeyFilter, Memory};
use arrow::buffer::ScalarBuffer;
use rayon::prelude::*;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;
use windrow_datasets::memory::{Gather, Share, prefetch};
use windrow_datasets::push::PushError;
use windrow_datasets::{Batch, Builder, Key, Record};

/// Rows are copied into batches of so many.
const BATCH_ROWS: usize = if cfg!(test) { 4 } else { 1 << 16 };

/// Among more rows than these a key is looked up by a hash with a secret: keys may have been made to have one hash.
const FEW: usize = 16;

/// A row is asked for so many rows ahead.
const AHEAD: usize = 8;

/// See the module.
pub(crate) struct Table<K: Key, V: Record> {
    parts: Vec<Part<K, V>>,
    _share: Share,
}

/// A bucket of it.
struct Part<K: Key, V: Record> {
    batches: Vec<<(K, V) as Record>::Batch>,
    /// Where the rows begin whose hash has these bits next, and the end of all.
    places: ScalarBuffer<u32>,
    /// How far the bits of a hash that are not the same in all of the bucket are shifted to give a number of a place.
    shift: u32,
    crowd: Crowd,
    bytes: u64,
}

/// The keys of places with more than a [`FEW`] rows: slots by hash, each empty or with the first row of a key.
#[derive(Default)]
struct Crowd {
    secret: RandomState,
    /// One more than the row; 0 is empty. None, or a power of two that is above the number of keys.
    slots: Vec<u32>,
}

impl Crowd {
    /// # Safety
    /// What the slot points to is alive.
    unsafe fn home<K: Key>(&self, key: &K::Slot) -> usize {
        let mut hasher = self.secret.build_hasher();
        // SAFETY: the caller's promise.
        unsafe { K::slot_feed(key, &mut hasher) };
        hasher.finish() as usize
    }

    /// The first slot from a key's home on that is empty, or has a row with which `is_it` agrees.
    fn slot(&self, home: usize, is_it: impl Fn(usize) -> bool) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = home & mask;
        while self.slots[at] != 0 && !is_it(self.slots[at] as usize - 1) {
            at = (at + 1) & mask;
        }
        at
    }
}

/// Where a key's rows are if there are any: found by its hash alone.
#[derive(Clone, Copy)]
pub(crate) struct Seek {
    part: u32,
    place: u32,
}

/// The rows that have a key.
pub(crate) struct Found<'t, K: Key, V: Record> {
    part: &'t Part<K, V>,
    /// The first of them, and the end of those among which they all are.
    range: Range<usize>,
}

/// Not by `derive`, which would ask for more of the types.
impl<K: Key, V: Record> Clone for Found<'_, K, V> {
    fn clone(&self) -> Self {
        Found { part: self.part, range: self.range.clone() }
    }
}

impl<'t, K: Key, V: Record> Found<'t, K, V> {
    /// Whether there are none.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// The values of the rows, in no order.
    #[inline(always)]
    pub(crate) fn values(&self) -> impl Iterator<Item = V::View<'t>> + use<'t, K, V> {
        let (part, range) = (self.part, self.range.clone());
        let first = range.start;
        range.map_while(move |at| (at == first || part.same_key(first, at)).then(|| part.get(at).1))
    }
}

impl<K: Key, V: Record> Part<K, V> {
    fn of(rows: &Sorted<HashOrder<K, V>>, buckets: u32) -> Part<K, V> {
        let count = rows.len();
        let bits = count.next_power_of_two().trailing_zeros().clamp(1, 31);
        let shift = u64::BITS - bits;
        let mut places = Gather::<u32>::default();
        places.reserve((1 << bits) + 1);
        let (mut batches, mut bytes) = (Vec::new(), 0);
        let mut builder = <(K, V) as Record>::Builder::default();
        for at in 0..count {
            if at % BATCH_ROWS == 0 {
                builder.reserve(BATCH_ROWS.min(count - at));
            }
            rows.prefetch(at + AHEAD);
            let row = rows.get(at);
            let place = place_of((rows.order(at) >> 64) as u64, buckets, shift);
            while places.len() <= place as usize {
                places.push(at as u32);
            }
            bytes += <(K, V)>::approximate_bytes(row) as u64;
            builder.push(row);
            if builder.len() == BATCH_ROWS {
                batches.push(builder.finish());
            }
        }
        if !builder.is_empty() {
            batches.push(builder.finish());
        }
        while places.len() <= 1 << bits {
            places.push(count as u32);
        }
        let places = places.take().into();
        let mut part = Part { batches, places, shift, crowd: Crowd::default(), bytes };
        part.crowd = part.crowded();
        part.bytes += size_of::<u32>() as u64 * (part.places.len() + part.crowd.slots.len()) as u64;
        part
    }

    /// The table of keys whose places have more than a few rows.
    fn crowded(&self) -> Crowd {
        let places = self.places.windows(2).map(|place| place[0] as usize..place[1] as usize);
        let crowded = places.filter(|rows| rows.len() > FEW);
        // A key's rows lie side by side.
        let firsts = crowded.flat_map(|rows| {
            let first = rows.start;
            rows.filter(move |&at| at == first || !self.same_key(at - 1, at))
        });
        let count = firsts.clone().count();
        if count == 0 {
            return Crowd::default();
        }
        let mut crowd =
            Crowd { slots: vec![0; (2 * count).next_power_of_two()], ..Crowd::default() };
        for at in firsts {
            // SAFETY: the slot borrows from a batch of this part.
            let home = unsafe { crowd.home::<K>(&self.key(at)) };
            let slot = crowd.slot(home, |_| false);
            crowd.slots[slot] = at as u32 + 1;
        }
        crowd
    }

    #[inline(always)]
    fn find(&self, at: usize) -> (&<(K, V) as Record>::Batch, usize) {
        (&self.batches[at / BATCH_ROWS], at % BATCH_ROWS)
    }

    #[inline(always)]
    fn get(&self, at: usize) -> (K::View<'_>, V::View<'_>) {
        let (batch, index) = self.find(at);
        // SAFETY: all places are of rows of the batches, which have as many rows as they say.
        unsafe { batch.get_unchecked(index) }
    }

    /// The key of a row, borrowed.
    #[inline(always)]
    fn key(&self, at: usize) -> K::Slot {
        let (batch, index) = self.find(at);
        // SAFETY: as above.
        unsafe { K::probe_batch(&batch.0, index) }
    }

    #[inline(always)]
    fn same_key(&self, a: usize, b: usize) -> bool {
        // SAFETY: slots borrow from batches of this part.
        unsafe { K::slot_eq(&self.key(a), &self.key(b)) }
    }

    /// The first of the rows of a place that has a key, or the end of them.
    ///
    /// # Safety
    /// What the slot points to is alive.
    #[inline(always)]
    unsafe fn first(&self, key: &K::Slot, rows: Range<usize>) -> usize {
        let end = rows.end;
        // SAFETY: the caller's promise; the other slot borrows from a batch of this part.
        let is_it = |at: usize| unsafe { K::slot_eq(key, &self.key(at)) };
        if rows.len() > FEW {
            // SAFETY: the caller's promise.
            return unsafe { self.first_of_crowd(key, is_it) }.unwrap_or(end);
        }
        rows.into_iter().find(|&at| is_it(at)).unwrap_or(end)
    }

    /// The same of a place that has many.
    ///
    /// # Safety
    /// As there.
    #[cold]
    unsafe fn first_of_crowd(&self, key: &K::Slot, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        // SAFETY: the caller's promise.
        let home = unsafe { self.crowd.home::<K>(key) };
        let row = self.crowd.slots[self.crowd.slot(home, is_it)];
        (row as usize).checked_sub(1)
    }
}

/// The number of a hash's place in its bucket's array.
#[inline(always)]
fn place_of(hash: u64, buckets: u32, shift: u32) -> u32 {
    (hash.wrapping_mul(u64::from(buckets)) >> shift) as u32
}

impl<K: Key, V: Record> Table<K, V> {
    /// A table of the rows of all buckets.
    ///
    /// # Errors
    /// If rows cannot be read.
    pub(crate) fn of(buckets: Vec<Bucket>, memory: &Memory) -> Result<Self, PushError> {
        let share = memory.budget.share();
        let count = buckets.len() as u32;
        let part = |bucket: Bucket| {
            let _told = tracing::info_span!(target: "windrow::trace", "table").entered();
            let bucket: RowsBucket<HashOrder<K, V>> = bucket.into();
            let part = Part::of(&bucket.sort()?, count);
            share.add(part.bytes);
            Ok::<_, PushError>(part)
        };
        let parts = buckets.into_par_iter().map(part).collect::<Result<Vec<_>, _>>()?;
        Ok(Table { parts, _share: share })
    }

    /// The keys that the rows have; none if they are too many.
    pub(crate) fn keys(&self, memory: &Memory) -> Option<KeyFilter> {
        let batches = || self.parts.iter().flat_map(|part| &part.batches);
        let keys = KeyFilter::for_rows(batches().map(Batch::len).sum(), &memory.budget)?;
        self.parts.par_iter().flat_map_iter(|part| &part.batches).for_each(|batch| {
            for at in 0..batch.len() {
                // SAFETY: the index is below the batch's length; the slot borrows from the batch.
                keys.add(order_hash(unsafe { K::slot_hash(&K::probe_batch(&batch.0, at)) }));
            }
        });
        Some(keys)
    }

    /// Where a key would be; asks for what [`ask`](Table::ask) will look at.
    ///
    /// # Safety
    /// What the slot points to is alive.
    #[inline(always)]
    pub(crate) unsafe fn seek(&self, key: &K::Slot) -> Seek {
        // SAFETY: the caller's promise.
        let hash = order_hash(unsafe { K::slot_hash(key) });
        let buckets = self.parts.len() as u32;
        let part = range_of(hash, buckets);
        let of = &self.parts[part as usize];
        let place = place_of(hash, buckets, of.shift);
        prefetch(&of.places[place as usize]);
        Seek { part, place }
    }

    /// Asks for the row that [`find`](Table::find) will look at.
    #[inline(always)]
    pub(crate) fn ask(&self, seek: Seek) {
        let part = &self.parts[seek.part as usize];
        let at = part.places[seek.place as usize];
        if at < part.places[seek.place as usize + 1] {
            let (batch, index) = part.find(at as usize);
            batch.prefetch(index);
        }
    }

    /// The rows of the key that `seek` was made of.
    ///
    /// # Safety
    /// What the slot points to is alive.
    #[inline(always)]
    pub(crate) unsafe fn find(&self, seek: Seek, key: &K::Slot) -> Found<'_, K, V> {
        let part = &self.parts[seek.part as usize];
        let place = seek.place as usize;
        let mut range = part.places[place] as usize..part.places[place + 1] as usize;
        // SAFETY: the caller's promise.
        range.start = unsafe { part.first(key, range.clone()) };
        Found { part, range }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Whole;
    use crate::shuffle::ShuffleCode;
    use crate::shuffle::rows::RowsShuffle;
    use crate::shuffle::testing::{BUCKETS, context};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use windrow_datasets::push::Selection;

    /// A table of these rows, whose values are their numbers.
    fn table(keys: &[String], buckets: u32) -> Table<String, u64> {
        let code = RowsShuffle { order: HashOrder::<String, u64>::new() };
        let context = context(buckets, &Whole::default());
        let store = code.store(&context);
        let mut lane = store.clone().lane(0).into::<(String, u64)>();
        let mut builder = <(String, u64) as Record>::Builder::default();
        (0..).zip(keys).for_each(|(number, key)| builder.push((key, number)));
        lane.batch(&builder.finish(), Selection::All).unwrap();
        lane.finish().unwrap();
        store.seal().unwrap();
        let buckets = (0..buckets).map(|bucket| store.clone().bucket(bucket)).collect();
        Table::of(buckets, &context.memory).unwrap()
    }

    fn found(table: &Table<String, u64>, key: &str) -> Vec<u64> {
        let slot = String::probe(key);
        // SAFETY: the key lives until the end of this function.
        let found = unsafe { table.find(table.seek(&slot), &slot) };
        let mut values: Vec<u64> = found.values().collect();
        assert_eq!(found.is_empty(), values.is_empty());
        values.sort_unstable();
        values
    }

    proptest! {
        #[test]
        fn all_rows_of_a_key_are_found_and_no_others(
            keys in prop::collection::vec("[ab]{0,4}|c", 0..200),
            others in prop::collection::vec("[abc]{0,5}", 0..50),
            buckets in prop::sample::select(&BUCKETS[..]),
        ) {
            let table = table(&keys, buckets);
            let mut expected: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
            others.iter().for_each(|key| { expected.entry(key).or_default(); });
            (0..).zip(&keys).for_each(|(number, key)| expected.entry(key).or_default().push(number));
            for (key, numbers) in expected {
                prop_assert_eq!(found(&table, key), numbers);
            }
        }
    }
}
