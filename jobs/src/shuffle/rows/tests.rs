//! One store for all lanes, and blocks of a store for each task, give the same rows in the same order.

use super::*;
use crate::exec::Whole;
use crate::shuffle::fold::{order_hash, range_of};
use crate::shuffle::testing::{BUCKETS, Tasks, by_blocks, context, directly, encoded, with_memory};
use proptest::prelude::*;
use std::marker::PhantomData;
use windrow_datasets::Key;
use windrow_datasets::codec::{Compression, Encoder};

type Row = (String, u32);

/// Rows with few keys and many, numbered.
fn tasks() -> impl Strategy<Value = Tasks<Row>> {
    let key = prop_oneof![
        Just("the same rather long key".to_string()),
        "[ab]{0,3}",
        "rather long key [a-c\u{0}]{0,6}",
    ];
    let lane = prop::collection::vec(key, 0..60);
    prop::collection::vec(prop::collection::vec(lane, 0..4), 0..4).prop_map(|tasks| {
        let mut number = 0;
        let mut row = |key| {
            number += 1;
            (key, number)
        };
        let mut lane = |lane: Vec<String>| lane.into_iter().map(&mut row).collect();
        tasks.into_iter().map(|task| task.into_iter().map(&mut lane).collect()).collect()
    })
}

fn sorted<O: RowOrder<Row = Row>>(buckets: Vec<Bucket>) -> Vec<Vec<Row>> {
    let rows = |bucket: Bucket| {
        let rows = bucket.into::<RowsBucket<O>>().sort().unwrap();
        (0..rows.len()).map(|at| Row::own(rows.get(at))).collect()
    };
    buckets.into_iter().map(rows).collect()
}

/// The rows of each bucket, the same both ways.
fn both<O: RowOrder<Row = Row>>(
    order: O,
    tasks: &Tasks<Row>,
    buckets: u32,
    whole: &Whole,
) -> Vec<Vec<Row>> {
    let (code, context) = (RowsShuffle { order }, context(buckets, whole));
    let found = sorted::<O>(directly(&code, &context, tasks));
    assert_eq!(found, sorted::<O>(by_blocks(&code, &context, tasks)));
    for bytes in [0, 3_000, 30_000] {
        let context = with_memory(&context, bytes);
        assert_eq!(found, sorted::<O>(directly(&code, &context, tasks)), "{bytes} bytes");
        assert_eq!(found, sorted::<O>(by_blocks(&code, &context, tasks)), "{bytes} bytes");
        let rows: usize = found.iter().map(Vec::len).sum();
        assert!(bytes > 0 || (context.memory.spills.written() > 0) == (rows > 0));
        assert_eq!((context.memory.budget.counted(), context.memory.spills.bytes()), (0, 0));
    }
    found
}

fn all(tasks: &Tasks<Row>) -> Vec<Row> {
    tasks.iter().flatten().flatten().cloned().collect()
}

fn sample_of(keys: &[&str]) -> Whole {
    let mut builder = <String as Record>::Builder::default();
    keys.iter().for_each(|key| builder.push(key));
    let mut frames = Vec::new();
    if !keys.is_empty() {
        let mut encoder = Encoder::new(Compression::Lz4);
        encoder.encode::<String>(&builder.finish(), &mut frames).unwrap();
    }
    Whole::new([(0, frames)]).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn by_hash(tasks in tasks(), buckets in prop::sample::select(&BUCKETS[..])) {
        let found = both(HashOrder::new(), &tasks, buckets, &Whole::default());
        let hash = |row: &Row| order_hash(<String as Key>::hash(&row.0));
        for (bucket, rows) in (0..).zip(&found) {
            prop_assert!(rows.iter().all(|row| range_of(hash(row), buckets) == bucket));
        }
        let mut expected = all(&tasks);
        expected.sort_by(|a, b| (hash(a), &a.0).cmp(&(hash(b), &b.0)));
        prop_assert_eq!(found.concat(), expected);
    }

    #[test]
    fn by_key(
        tasks in tasks(),
        buckets in prop::sample::select(&BUCKETS[..]),
        sampled in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let mut expected = all(&tasks);
        let keys: Vec<&str> = match &expected[..] {
            [] => Vec::new(),
            rows => sampled.iter().map(|at| &*at.get(rows).0).collect(),
        };
        let order = SortOrder::<ByFirst<String, u32>> { sample: 0, by: PhantomData };
        let found = both(order, &tasks, buckets, &sample_of(&keys));
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        prop_assert_eq!(found.concat(), expected);
    }

    #[test]
    fn as_they_came(tasks in tasks(), buckets in prop::sample::select(&BUCKETS[..])) {
        let choose = |row: (&str, u32), arrival: u64, _: u32| row.0.len() as u32 + arrival as u32 % 3;
        let found = both(ArrivalOrder::new(choose), &tasks, buckets, &Whole::default());
        let mut expected = vec![Vec::new(); buckets as usize];
        for lane in tasks.iter().flatten() {
            for (arrival, row) in (0..).zip(lane) {
                let bucket = choose((&row.0, row.1), arrival, buckets) % buckets;
                expected[bucket as usize].push(row.clone());
            }
        }
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn a_key_that_is_often_there_has_a_bucket_to_itself() {
    let keys =
        ["a", "a long key that is there often", "a long key that is there often, or not", "b"];
    let of = |n: usize| if n % 10 < 9 { 1 } else { n / 10 % 4 };
    let rows = (0..400).map(|n| (keys[of(n)].to_string(), n as u32));
    let rows: Vec<Row> = rows.collect();
    let sample: Vec<&str> = rows.iter().map(|row| &*row.0).collect();
    let order = SortOrder::<ByFirst<String, u32>> { sample: 0, by: PhantomData };
    let found = both(order, &vec![vec![rows.clone()]], 7, &sample_of(&sample));
    let has_it = |rows: &&Vec<Row>| rows.iter().any(|row| row.0 == keys[1]);
    let of_key = Vec::from_iter(found.iter().filter(has_it));
    assert_eq!(of_key.len(), 1);
    assert!(of_key[0].iter().all(|row| row.0 == keys[1]) && of_key[0].len() == 370);
}

#[test]
fn a_damaged_block_is_an_error() {
    let code = RowsShuffle { order: HashOrder::<String, u32>::new() };
    let context = context(1, &Whole::default());
    let store = code.store(&context);
    let mut lane = store.clone().lane(0).into::<Row>();
    lane.row(("key", 1)).unwrap();
    lane.finish().unwrap();
    store.seal().unwrap();
    let (rows, mut bytes) = encoded(&*store, 0, &mut Encoder::new(Compression::Lz4));
    assert_eq!(rows, 1);
    bytes.pop();
    assert!(code.decode(0, vec![Buffer::from_vec(bytes)], &context).is_err());
}
