//! Records of many shapes, and how tests make and compare them.

#![allow(dead_code, reason = "each test binary uses its part")]

use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeMap;
use windrow_datasets::record::{Date, Decimal, Encoded, LocalTimestamp, Timestamp};
use windrow_datasets::{Batch, Builder, Record};

/// A derived struct with a field of each kind.
#[derive(Record, Clone, Debug, PartialEq)]
#[record(crate = "windrow_datasets")]
pub(crate) struct Wide {
    pub(crate) id: u64,
    pub(crate) flag: bool,
    pub(crate) name: String,
    pub(crate) tags: Vec<Option<String>>,
    pub(crate) place: Option<Place>,
    pub(crate) rest: (i8, [u8; 5], Bytes),
    pub(crate) odd: Option<Option<()>>,
    pub(crate) nested: Option<Vec<Vec<i16>>>,
    pub(crate) when: (Date, Option<Timestamp>, LocalTimestamp),
    pub(crate) price: Option<Decimal<12, 2>>,
    pub(crate) other: Encoded<BTreeMap<String, u8>>,
}

/// A derived key.
#[derive(Record, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[record(crate = "windrow_datasets", key)]
pub(crate) struct Place {
    pub(crate) zone: Option<i32>,
    pub(crate) name: String,
}

/// Some text, often longer than what is inline in a view.
pub(crate) fn text() -> impl Strategy<Value = String> {
    "[a-cé]{0,24}"
}

pub(crate) fn place() -> impl Strategy<Value = Place> {
    (proptest::option::of(-3..3), text()).prop_map(|(zone, name)| Place { zone, name })
}

pub(crate) fn date() -> impl Strategy<Value = Date> {
    any::<i32>().prop_map(Date::from_days)
}

pub(crate) fn timestamp() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_micros)
}

pub(crate) fn decimal<const P: u8, const S: i8>() -> impl Strategy<Value = Decimal<P, S>> {
    let limit = 10i128.pow(u32::from(P));
    prop_oneof![-3..3i128, 1 - limit..limit].prop_map(|raw| Decimal::from_raw(raw).unwrap())
}

pub(crate) fn wide() -> impl Strategy<Value = Wide> {
    use proptest::collection::{btree_map, vec};
    use proptest::option::of;
    let rest = (any::<i8>(), any::<[u8; 5]>(), vec(any::<u8>(), 0..30).prop_map(Bytes::from));
    let nested = of(vec(vec(any::<i16>(), 0..3), 0..3));
    let tags = vec(of(text()), 0..4);
    let local = any::<i64>().prop_map(LocalTimestamp::from_micros);
    let when = (date(), of(timestamp()), local);
    let other = btree_map(text(), any::<u8>(), 0..3).prop_map(Encoded);
    let first = (any::<u64>(), any::<bool>(), text(), tags, of(place()), rest);
    let last = (of(of(Just(()))), nested, when, of(decimal()), other);
    (first, last).prop_map(
        |((id, flag, name, tags, place, rest), (odd, nested, when, price, other))| Wide {
            id,
            flag,
            name,
            tags,
            place,
            rest,
            odd,
            nested,
            when,
            price,
            other,
        },
    )
}

/// The batch of these records.
pub(crate) fn batch_of<T: Record>(records: &[T]) -> T::Batch {
    let mut builder = T::Builder::default();
    for record in records {
        builder.push(record.view());
    }
    assert_eq!(builder.len(), records.len());
    let batch = builder.finish();
    assert!(builder.is_empty());
    batch
}

/// The records of a batch.
pub(crate) fn records_of<T: Record>(batch: &T::Batch) -> Vec<T> {
    (0..batch.len()).map(|index| T::own(batch.get(index))).collect()
}
