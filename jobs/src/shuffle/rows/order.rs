//! By what rows are cut into buckets and ordered within one.

use crate::shuffle::StoreContext;
use crate::shuffle::fold::{order_hash, range_of};
use std::cmp::Ordering;
use std::marker::PhantomData;
use std::sync::Arc;
use windrow_datasets::{Batch, Heap, Key, Record};

/// The upper 96 bits of an entry: what rows are ordered by.
pub(super) const ORDER: u128 = !0xffff_ffff;

/// See the module.
pub(crate) trait RowOrder: Send + Sync + 'static {
    /// The rows.
    type Row: Record;
    /// What is known about the buckets of one store.
    type Cutter: Send + Sync + 'static;

    /// What a store with this context knows.
    fn cutter(&self, context: &StoreContext) -> Self::Cutter;

    /// The bucket of a row. `arrival` is its number in its lane.
    ///
    /// # Safety
    /// `index` is below the batch's length.
    unsafe fn bucket(
        cutter: &Self::Cutter,
        batch: &<Self::Row as Record>::Batch,
        index: usize,
        arrival: u64,
    ) -> u32;

    /// The bits by which a row is ordered in its bucket: the upper 96, and zeros below.
    ///
    /// # Safety
    /// `index` is below the batch's length.
    unsafe fn order(batch: &<Self::Row as Record>::Batch, index: usize) -> u128;

    /// The order of two rows whose 96 bits are equal.
    ///
    /// # Safety
    /// Each index is below its batch's length.
    unsafe fn compare(
        a: (&<Self::Row as Record>::Batch, usize),
        b: (&<Self::Row as Record>::Batch, usize),
    ) -> Ordering;

    /// Bits by which rows whose 96 bits are equal are ordered, unless these are equal too.
    ///
    /// # Safety
    /// `index` is below the batch's length.
    unsafe fn tie(_batch: &<Self::Row as Record>::Batch, _index: usize) -> u128 {
        0
    }

    /// Whether rows are sorted at all; otherwise they leave as they came.
    const SORTED: bool = true;

    /// Whether rows whose 96 bits are equal are never told apart.
    const EXACT: bool;

    /// Whether the upper 64 of the bits are the hash of the row's key.
    const HASHED: bool = false;

    /// The hash of a row's key, where there is one.
    fn hash(_row: <Self::Row as Record>::View<'_>) -> u64 {
        0
    }
}

/// Rows (key, value) by the hash of the key, then the key: whatever groups.
pub(crate) struct HashOrder<K, V>(PhantomData<fn() -> (K, V)>);

impl<K, V> HashOrder<K, V> {
    pub(crate) fn new() -> Self {
        HashOrder(PhantomData)
    }
}

/// The hash of the key of the row at `index`.
///
/// # Safety
/// `index` is below the batch's length.
#[inline(always)]
unsafe fn hash_at<K: Key, V: Record>(batch: &<(K, V) as Record>::Batch, index: usize) -> u64 {
    // SAFETY: the caller's promise; the slot borrows from the batch.
    unsafe { order_hash(K::slot_hash(&K::probe_batch(&batch.0, index))) }
}

impl<K: Key, V: Record> RowOrder for HashOrder<K, V> {
    type Row = (K, V);
    /// The number of buckets.
    type Cutter = u32;

    fn cutter(&self, context: &StoreContext) -> u32 {
        context.buckets
    }

    #[inline(always)]
    unsafe fn bucket(
        buckets: &u32,
        batch: &<(K, V) as Record>::Batch,
        index: usize,
        _arrival: u64,
    ) -> u32 {
        // SAFETY: the caller's promise.
        range_of(unsafe { hash_at::<K, V>(batch, index) }, *buckets)
    }

    #[inline(always)]
    unsafe fn order(batch: &<(K, V) as Record>::Batch, index: usize) -> u128 {
        // SAFETY: the caller's promise.
        u128::from(unsafe { hash_at::<K, V>(batch, index) }) << 64
    }

    #[inline]
    unsafe fn compare(
        a: (&<(K, V) as Record>::Batch, usize),
        b: (&<(K, V) as Record>::Batch, usize),
    ) -> Ordering {
        // SAFETY: the caller's promise; slots borrow from their batches.
        unsafe {
            let (a, b) = (K::probe_batch(&a.0.0, a.1), K::probe_batch(&b.0.0, b.1));
            if K::slot_eq(&a, &b) { Ordering::Equal } else { K::slot_cmp(&a, &b) }
        }
    }

    unsafe fn tie(batch: &<(K, V) as Record>::Batch, index: usize) -> u128 {
        // SAFETY: the caller's promise; the slot borrows from the batch.
        unsafe { K::prefix(&K::probe_batch(&batch.0, index)) & ORDER }
    }

    const EXACT: bool = false;

    const HASHED: bool = true;

    #[inline(always)]
    fn hash((key, _): <(K, V) as Record>::View<'_>) -> u64 {
        order_hash(K::hash(key))
    }
}

/// How a row's sort key is taken: a sort by it is the order of the whole output.
pub(crate) trait SortBy: Send + Sync + 'static {
    /// The rows.
    type Row: Record;
    /// The key.
    type Key: Key;

    /// The key's slot, borrowed from the batch.
    ///
    /// # Safety
    /// `index` is below the batch's length.
    unsafe fn key(
        batch: &<Self::Row as Record>::Batch,
        index: usize,
    ) -> <Self::Key as Record>::Slot;
}

/// Rows (key, value) by the key.
pub(crate) struct ByFirst<K, V>(PhantomData<fn() -> (K, V)>);

impl<K: Key, V: Record> SortBy for ByFirst<K, V> {
    type Row = (K, V);
    type Key = K;

    #[inline(always)]
    unsafe fn key(batch: &<(K, V) as Record>::Batch, index: usize) -> K::Slot {
        // SAFETY: the caller's promise.
        unsafe { K::probe_batch(&batch.0, index) }
    }
}

/// Rows by themselves.
pub(crate) struct ByAll<T>(PhantomData<fn() -> T>);

impl<T: Key> SortBy for ByAll<T> {
    type Row = T;
    type Key = T;

    #[inline(always)]
    unsafe fn key(batch: &T::Batch, index: usize) -> T::Slot {
        // SAFETY: the caller's promise.
        unsafe { T::probe_batch(batch, index) }
    }
}

/// Rows of `N` bytes by their first `P`.
pub(crate) struct ByPrefix<const N: usize, const P: usize>;

impl<const N: usize, const P: usize> SortBy for ByPrefix<N, P> {
    type Row = [u8; N];
    type Key = [u8; P];

    #[inline(always)]
    unsafe fn key(batch: &<[u8; N] as Record>::Batch, index: usize) -> [u8; P] {
        // SAFETY: the caller's promise.
        let record: &[u8; N] = unsafe { batch.get_unchecked(index) };
        *record.first_chunk().expect("a prefix is no longer than its record")
    }
}

/// Rows by a sort key; buckets are ranges of it, cut by a sample.
pub(crate) struct SortOrder<S> {
    /// The number of the collected sample.
    pub(crate) sample: u32,
    pub(crate) by: PhantomData<fn() -> S>,
}

/// The first keys of all buckets but the first, ascending. Several of them may be one key, which is there often then: it
/// has the last of the buckets between them to itself, and the others are empty.
pub(crate) struct Bounds<K: Key> {
    /// Each key once.
    slots: Vec<K::Slot>,
    /// The upper 96 bits of their prefixes.
    prefixes: Vec<u128>,
    /// The bucket of keys that are above so many of these and below the next.
    above: Vec<u32>,
    /// For the upper 12 bits of a prefix, how many bounds lie below.
    below: Vec<u32>,
    /// What the slots point into.
    _heap: Heap,
}

/// Bits of a prefix by which bounds are looked up.
const LOOKUP_BITS: u32 = 12;

impl<K: Key> Bounds<K> {
    /// The bounds of so many buckets, as a sample of keys suggests them.
    fn of(sample: &[<K as Record>::Batch], buckets: u32) -> Bounds<K> {
        let mut heap = Heap::new();
        let mut keys: Vec<K::Slot> = Vec::new();
        for batch in sample {
            // SAFETY: indexes are in bounds; slots borrow from the batch until they are copied.
            keys.extend(
                (0..batch.len())
                    .map(|i| unsafe { K::keep_slot(&K::probe_batch(batch, i), &mut heap) }),
            );
        }
        // SAFETY: all slots point into the heap.
        keys.sort_by(|a, b| unsafe { K::slot_cmp(a, b) });
        let count = keys.len();
        let buckets = buckets as usize;
        let mut bounds: Vec<K::Slot> = Vec::new();
        if count > 0 {
            bounds.extend((1..buckets).map(|b| keys[(b * count / buckets).min(count - 1)]));
        }
        let (mut slots, mut above): (Vec<K::Slot>, _) = (Vec::new(), vec![0]);
        for (number, slot) in (1..).zip(&bounds) {
            // SAFETY: as above.
            if slots.last().is_some_and(|last| unsafe { K::slot_eq(last, slot) }) {
                above.pop();
            } else {
                slots.push(*slot);
            }
            above.push(number);
        }
        // SAFETY: as above.
        let prefixes: Vec<u128> =
            slots.iter().map(|slot| unsafe { K::prefix(slot) } & ORDER).collect();
        let below = (0..=1u128 << LOOKUP_BITS)
            .map(|at| {
                let from = at.checked_shl(128 - LOOKUP_BITS).filter(|_| at < 1 << LOOKUP_BITS);
                from.map_or(prefixes.len(), |from| prefixes.partition_point(|p| *p < from)) as u32
            })
            .collect();
        Bounds { slots, prefixes, above, below, _heap: heap }
    }

    /// The bucket of a key.
    #[inline(always)]
    fn bucket(&self, slot: &K::Slot, prefix: u128) -> u32 {
        let at = (prefix >> (128 - LOOKUP_BITS)) as usize;
        let (mut from, to) = (self.below[at] as usize, self.below[at + 1] as usize);
        from += self.prefixes[from..to].partition_point(|bound| *bound < prefix);
        // Bounds with the same prefix are few or none, or very many: of keys that begin alike.
        let same = match self.prefixes.get(from) {
            Some(bound) if *bound == prefix => {
                self.prefixes[from..].partition_point(|bound| *bound == prefix)
            }
            _ => 0,
        };
        from += if K::PREFIX_IS_EXACT || same == 0 {
            same
        } else {
            let bounds = &self.slots[from..from + same];
            // SAFETY: bounds point into the heap; the caller's slot is borrowed from a batch that is alive.
            bounds.partition_point(|bound| unsafe { K::slot_cmp(bound, slot) }.is_le())
        };
        let above = self.above[from];
        if from == 0 || above - self.above[from - 1] == 1 {
            return above;
        }
        // SAFETY: as above.
        above - u32::from(unsafe { K::slot_eq(&self.slots[from - 1], slot) })
    }
}

impl<S: SortBy> RowOrder for SortOrder<S> {
    type Row = S::Row;
    type Cutter = Bounds<S::Key>;

    fn cutter(&self, context: &StoreContext) -> Bounds<S::Key> {
        let sample = context.whole.batches::<S::Key>(self.sample);
        Bounds::of(&sample, context.buckets)
    }

    #[inline(always)]
    unsafe fn bucket(
        bounds: &Bounds<S::Key>,
        batch: &<S::Row as Record>::Batch,
        index: usize,
        _arrival: u64,
    ) -> u32 {
        // SAFETY: the caller's promise; the slot borrows from the batch.
        unsafe {
            let slot = S::key(batch, index);
            bounds.bucket(&slot, S::Key::prefix(&slot) & ORDER)
        }
    }

    #[inline(always)]
    unsafe fn order(batch: &<S::Row as Record>::Batch, index: usize) -> u128 {
        // SAFETY: the caller's promise; the slot borrows from the batch.
        unsafe { S::Key::prefix(&S::key(batch, index)) & ORDER }
    }

    #[inline]
    unsafe fn compare(
        a: (&<S::Row as Record>::Batch, usize),
        b: (&<S::Row as Record>::Batch, usize),
    ) -> Ordering {
        // SAFETY: the caller's promise; slots borrow from their batches.
        unsafe { S::Key::slot_cmp(&S::key(a.0, a.1), &S::key(b.0, b.1)) }
    }

    const EXACT: bool = S::Key::PREFIX_IS_EXACT;
}

/// Rows as they came, each in the bucket that `choose` says of the row, its number in its lane, and the number of
/// buckets.
pub(crate) struct ArrivalOrder<T, C>(Arc<C>, PhantomData<fn() -> T>);

impl<T, C> ArrivalOrder<T, C> {
    pub(crate) fn new(choose: C) -> Self {
        ArrivalOrder(Arc::new(choose), PhantomData)
    }
}

impl<T, C> RowOrder for ArrivalOrder<T, C>
where
    T: Record,
    C: for<'a> Fn(T::View<'a>, u64, u32) -> u32 + Send + Sync + 'static,
{
    type Row = T;
    /// The number of buckets, and how one is chosen.
    type Cutter = (u32, Arc<C>);

    fn cutter(&self, context: &StoreContext) -> Self::Cutter {
        (context.buckets, self.0.clone())
    }

    #[inline]
    unsafe fn bucket(
        (buckets, choose): &Self::Cutter,
        batch: &T::Batch,
        index: usize,
        arrival: u64,
    ) -> u32 {
        // SAFETY: the caller's promise.
        let view = unsafe { batch.get_unchecked(index) };
        choose(view, arrival, *buckets) % buckets
    }

    #[inline(always)]
    unsafe fn order(_: &T::Batch, _: usize) -> u128 {
        0
    }

    unsafe fn compare(_: (&T::Batch, usize), _: (&T::Batch, usize)) -> Ordering {
        Ordering::Equal
    }

    const SORTED: bool = false;
    const EXACT: bool = true;
}
