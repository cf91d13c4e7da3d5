//! One store for all lanes, and blocks of a store for each task, give the same rows in the same order.

use super::kept::Kept;
use super::store::first_hash;
use super::table::Row as TableRow;
use super::*;
use crate::exec::Whole;
use crate::shuffle::testing::{
    BUCKETS, Tasks, by_blocks, context, directly, encoded, read, with_memory,
};
use arrow::array::{ArrayRef, DictionaryArray, Int32Array, StringViewArray};
use proptest::prelude::*;
use std::collections::BTreeMap;
use windrow_datasets::Builder;
use windrow_datasets::codec::{Compression, Encoder};
use windrow_datasets::memory::Budget;
use windrow_datasets::record::Batch2;

/// Adds numbers, and keeps all text: an accumulator that has to be dropped.
struct Totals;

type Row = (String, u32);
type Out = (String, (u64, Vec<u32>));

impl Folding for Totals {
    type Row = Row;
    type Key = String;
    type Value = u32;
    type Acc = (u64, Vec<u32>);
    type Wire = (u64, Vec<u32>);
    type Out = (u64, Vec<u32>);
    tally_by_accumulator!();

    unsafe fn take(
        batch: &<Row as Record>::Batch,
        index: usize,
    ) -> (<String as Record>::Slot, u32) {
        // SAFETY: the caller's promise.
        unsafe { (String::probe_batch(&batch.0, index), batch.get_unchecked(index).1) }
    }
    fn key_codes(
        batch: &<Row as Record>::Batch,
        selection: Selection<'_>,
        most: u32,
        codes: &mut [u32],
    ) -> Option<u32> {
        String::add_codes(&batch.0, selection, most, codes)
    }
    fn take_view<'a>(
        view: <Row as Record>::View<'a>,
    ) -> (<String as Record>::Slot, <u32 as Record>::View<'a>) {
        (String::probe(view.0), view.1)
    }
    fn start(&self, value: u32) -> Self::Acc {
        (u64::from(value), vec![value])
    }
    fn push(&self, acc: &mut Self::Acc, value: u32) {
        self.merge(acc, (u64::from(value), vec![value]));
    }
    fn merge(&self, acc: &mut Self::Acc, other: Self::Acc) {
        acc.0 += other.0;
        acc.1.extend(other.1);
        // In whatever order they come.
        acc.1.sort_unstable();
    }
    fn to_wire(&self, acc: &Self::Acc) -> Self::Acc {
        acc.clone()
    }
    fn from_wire(&self, wire: <Self::Wire as Record>::View<'_>) -> Self::Acc {
        Record::own(wire)
    }
    fn finish(&self, acc: &Self::Acc) -> Result<Self::Acc, PushError> {
        Ok(acc.clone())
    }
}

fn tasks() -> impl Strategy<Value = Tasks<Row>> {
    let key = prop_oneof![
        Just("the same rather long key".to_string()),
        "[ab]{0,3}",
        "rather long key [a-c\u{0}]{0,6}",
    ];
    let lane = prop::collection::vec((key, 0..1000u32), 0..120);
    prop::collection::vec(prop::collection::vec(lane, 0..4), 0..4)
}

fn totals(tasks: &Tasks<Row>) -> Vec<Out> {
    let mut totals: BTreeMap<String, (u64, Vec<u32>)> = BTreeMap::new();
    for (key, value) in tasks.iter().flatten().flatten() {
        let (sum, values) = totals.entry(key.clone()).or_default();
        *sum += u64::from(*value);
        values.push(*value);
        values.sort_unstable();
    }
    let mut totals: Vec<Out> = totals.into_iter().collect();
    totals.sort_by_key(|(key, _)| (order_hash(String::hash(key)), key.clone()));
    totals
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn stores_and_blocks(tasks in tasks(), buckets in prop::sample::select(&BUCKETS[..])) {
        let fold = Arc::new(Totals);
        let (code, reader) = (FoldShuffle { fold: fold.clone() }, FoldRead { fold });
        let context = context(buckets, &Whole::default());
        let found = read::<Out>(&reader, directly(&code, &context, &tasks));
        prop_assert_eq!(&found, &read::<Out>(&reader, by_blocks(&code, &context, &tasks)));
        let short = with_memory(&context, 0);
        prop_assert_eq!(&found, &read::<Out>(&reader, directly(&code, &short, &tasks)));
        prop_assert_eq!(&found, &read::<Out>(&reader, by_blocks(&code, &short, &tasks)));
        for (bucket, rows) in (0..).zip(&found) {
            let of = |row: &Out| range_of(order_hash(String::hash(&row.0)), buckets);
            prop_assert!(rows.iter().all(|row| of(row) == bucket));
        }
        prop_assert_eq!(found.concat(), totals(&tasks));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Rows that are apart, settled now and then and at last dropped or drained, are those of a table.
    #[test]
    fn rows_that_are_apart(
        batches in prop::collection::vec(
            (prop::collection::vec(("[ab]{0,3}|rather long key [a-c]{0,4}", 0..1000u32), 0..200), 0..4u8),
            1..8,
        ),
        one_hash in any::<bool>(),
        drained in any::<bool>(),
    ) {
        let budget = Budget::of(u64::MAX);
        let hash_of = |key: &str| if one_hash { 7 << 60 } else { order_hash(String::hash(key)) };
        let mut kept = Kept::<Totals>::Table(Table::new(1, 0));
        let mut expected: BTreeMap<(u64, String), (u64, Vec<u32>)> = BTreeMap::new();
        kept.set_apart(1);
        for (rows, then) in &batches {
            let slots = rows.iter().map(|(key, value)| {
                TableRow::new(hash_of(key), String::probe(key), (u64::from(*value), vec![*value]))
            });
            let slots: Vec<_> = slots.collect();
            let Kept::Apart(apart) = &mut kept else { panic!("it was set apart") };
            // SAFETY: the rows move, and their keys are alive.
            unsafe { apart.add(&slots) };
            if *then == 0 {
                apart.settle(&Totals, &budget);
            }
            for (key, value) in rows {
                let total = expected.entry((hash_of(key), key.clone())).or_default();
                Totals.merge(total, (u64::from(*value), vec![*value]));
            }
        }
        kept.order(&Totals, &budget);
        let mut found = Vec::new();
        for row in kept.between(0, u64::MAX).flatten() {
            // SAFETY: ordered rows are initialized, and their keys are kept.
            let (key, acc) = unsafe {
                (String::slot_view(row.slot.assume_init_ref()), row.acc.assume_init_ref())
            };
            found.push(((row.hash, key.to_string()), acc.clone()));
        }
        let expected: Vec<_> = expected.into_iter().collect();
        prop_assert_eq!(&found, &expected);
        if drained {
            let mut drained = Vec::new();
            // SAFETY: the slot is borrowed from what is kept.
            kept.drain(&Totals, &budget, |hash, slot, acc| unsafe {
                drained.push(((hash, String::slot_view(slot).to_string()), acc));
            });
            prop_assert_eq!(&drained, &expected);
            prop_assert!(kept.is_empty());
        }
    }
}

#[test]
fn many_keys_go_through_the_front() {
    let row =
        |n: u32| (format!("{}{n}", ["", "a long key that is on the heap "][n as usize % 2]), n);
    // Some come several times one after the other, and a few as often as goes beyond what is looked up at once.
    let rows = |n: u32| vec![row(n); if n.is_multiple_of(997) { 70 } else { 1 + n as usize % 2 }];
    let lane =
        |from: u32| (from..from + 60_000).chain(from..from + 20_000).flat_map(rows).collect();
    let tasks: Tasks<Row> = vec![vec![lane(0), lane(30_000)], vec![lane(50_000)]];
    let fold = Arc::new(Totals);
    let (code, reader) = (FoldShuffle { fold: fold.clone() }, FoldRead { fold });
    let context = context(256, &Whole::default());
    let found = read::<Out>(&reader, directly(&code, &context, &tasks)).concat();
    assert!(found == totals(&tasks));
    assert!(found == read::<Out>(&reader, by_blocks(&code, &context, &tasks)).concat());
    let short = with_memory(&context, 0);
    assert!(found == read::<Out>(&reader, directly(&code, &short, &tasks)).concat());
    assert!(found == read::<Out>(&reader, by_blocks(&code, &short, &tasks)).concat());
    assert!(short.memory.spills.written() > 0);
}

#[test]
fn keys_with_codes_are_folded_by_them() {
    // Two codes stand for one value, and one for none of the rows.
    let values = ["x", "a text that does not fit a slot", "", "x", "unused"];
    let codes = Int32Array::from_iter_values((0..400).map(|row| row % 4));
    let dictionary: ArrayRef =
        Arc::new(DictionaryArray::new(codes, Arc::new(StringViewArray::from(values.to_vec()))));
    let mut numbers = <u32 as Record>::Builder::default();
    (0..400).for_each(|row| numbers.push(row));
    let keys = <String as Record>::Batch::from_array(&dictionary).unwrap();
    assert_eq!(String::add_codes(&keys, Selection::All, 100, &mut [0; 400]), Some(5));
    let batch = Batch2(keys, numbers.finish());
    let selected: Vec<u32> = (0..400).filter(|row| row % 7 != 3).collect();
    let fold = Arc::new(Totals);
    let (code, reader) = (FoldShuffle { fold: fold.clone() }, FoldRead { fold });
    let context = context(1, &Whole::default());
    let store = code.store(&context);
    let mut lane = store.clone().lane(0).into::<Row>();
    lane.batch(&batch, Selection::All).unwrap();
    lane.batch(&batch, Selection::Rows(&selected)).unwrap();
    lane.finish().unwrap();
    store.seal().unwrap();
    let rows = (0..400).chain(selected).map(|row| (values[row as usize % 4].to_string(), row));
    let expected = totals(&vec![vec![rows.collect()]]);
    assert_eq!(read::<Out>(&reader, vec![store.bucket(0)]).concat(), expected);
}

#[test]
fn buckets_are_ranges_of_the_hash() {
    for buckets in [1, 2, 3, 7, 256, 512, 4096] {
        for bucket in 0..buckets {
            let first = first_hash(bucket, buckets);
            assert_eq!(range_of(first, buckets), bucket);
            assert!(bucket == 0 || range_of(first - 1, buckets) == bucket - 1);
        }
        assert_eq!(range_of(u64::MAX, buckets), buckets - 1);
    }
}

#[test]
fn a_block_of_another_bucket_is_an_error() {
    let code = FoldShuffle { fold: Arc::new(Totals) };
    let context = context(2, &Whole::default());
    let store = code.store(&context);
    let mut lane = store.clone().lane(0).into::<Row>();
    for n in 0..100 {
        lane.row((&format!("{n}"), n)).unwrap();
    }
    lane.finish().unwrap();
    store.seal().unwrap();
    let (rows, bytes) = encoded(&*store, 0, &mut Encoder::new(Compression::Lz4));
    assert!(rows > 0);
    let block = Buffer::from_vec(bytes);
    assert!(code.decode(0, vec![block.clone()], &context).is_ok());
    let error = code.decode(1, vec![block], &context).err().unwrap();
    assert!(error.to_string().contains("rows of another bucket"), "{error}");
}
