//! Every record type: what goes into views, batches, arrays and slots comes out again, and keys agree with `Ord`.

mod common;

use bytes::Bytes;
use common::{batch_of, date, decimal, place, records_of, text, timestamp, wide};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use std::fmt::Debug;
use windrow_datasets::record::{Batch, Builder, Heap, Key, Record};

/// Owned, view, builder, batch, array, batch, view, owned; and by way of slots.
fn comes_back<T: Record + PartialEq + Debug>(records: &[T]) {
    let batch = batch_of(records);
    assert_eq!(records_of::<T>(&batch), records);
    let array = batch.to_array();
    assert_eq!(array.data_type(), &T::data_type());
    assert_eq!(array.len(), records.len());
    assert!(T::nullable() || array.null_count() == 0);
    let again = T::Batch::from_array(&array).unwrap();
    assert_eq!(records_of::<T>(&again), records);
    let part = T::Batch::from_array(&array.slice(records.len() / 3, records.len() / 2)).unwrap();
    assert_eq!(records_of::<T>(&part), records[records.len() / 3..][..records.len() / 2]);

    // From a batch's views into a heap, and from there into another builder.
    let mut heap = Heap::new();
    let slots: Vec<T::Slot> =
        (0..again.len()).map(|index| T::keep(again.get(index), &mut heap)).collect();
    drop((batch, array, again));
    let mut builder = T::Builder::default();
    for slot in &slots {
        // SAFETY: the heap is alive.
        builder.push(unsafe { T::slot_view(slot) });
    }
    assert_eq!(records_of::<T>(&builder.finish()), records);
}

/// Hash, equality, order and prefix of every pair, from batches, views and heaps alike.
fn is_a_key<T: Key + Ord + Debug>(records: &[T]) {
    let batch = batch_of(records);
    let mut heap = Heap::new();
    // SAFETY: `batch`, `records` and `heap` outlive the slots; the indexes are in bounds.
    unsafe {
        let slots: Vec<[T::Slot; 4]> = records
            .iter()
            .enumerate()
            .map(|(index, record)| {
                let probed = T::probe(record.view());
                [
                    probed,
                    T::probe_batch(&batch, index),
                    T::keep_slot(&probed, &mut heap),
                    T::keep(record.view(), &mut heap),
                ]
            })
            .collect();
        for (a, x) in records.iter().zip(&slots) {
            assert!(x.iter().all(|slot| T::own(T::slot_view(slot)) == *a));
            assert_eq!(T::hash(a.view()), T::slot_hash(&x[0]));
            for (b, y) in records.iter().zip(&slots) {
                for (x, y) in x.iter().zip(y.iter().rev()) {
                    assert_eq!(T::slot_eq(x, y), a == b, "{a:?} {b:?}");
                    assert_eq!(T::slot_cmp(x, y), a.cmp(b), "{a:?} {b:?}");
                    // Equal keys have to have equal hashes; here others never collide.
                    assert_eq!(T::slot_hash(x) == T::slot_hash(y), a == b, "{a:?} {b:?}");
                    let prefixes = (T::prefix(x) >> 32, T::prefix(y) >> 32);
                    let order = prefixes.0.cmp(&prefixes.1);
                    if T::PREFIX_IS_EXACT {
                        assert_eq!(order, a.cmp(b), "{a:?} {b:?}");
                        let below = u128::MAX.checked_shr(T::PREFIX_BITS).unwrap_or(0);
                        assert_eq!(T::prefix(x) & below, 0, "bits below the prefix of {a:?}");
                    } else if order.is_ne() {
                        assert_eq!(order, a.cmp(b), "{a:?} {b:?}");
                    }
                }
            }
        }
    }
}

fn both<T: Key + Ord + Debug>(records: &[T]) {
    comes_back(records);
    is_a_key(records);
}

/// Tests of keys, each over a few of them with likely equals.
macro_rules! keys {
    ($($name:ident: $strategy:expr;)+) => {
        proptest! {
            $(#[test]
            fn $name(records in vec($strategy, 0..9)) {
                both(&records);
            })+
        }
    };
}

keys! {
    bytes: any::<u8>();
    small_numbers: -2..2i8;
    shorts: any::<u16>();
    signed_shorts: any::<i16>();
    words: any::<u32>();
    signed_words: any::<i32>();
    long_words: any::<u64>();
    signed_long_words: any::<i64>();
    flags: any::<bool>();
    nothing: Just(());
    texts: text();
    byte_strings: vec(0u8..3, 0..20).prop_map(Bytes::from);
    one_byte: any::<[u8; 1]>();
    ten_bytes: prop::array::uniform10(0u8..2);
    twelve_bytes: prop::array::uniform12(0u8..2);
    thirteen_bytes: prop::array::uniform13(0u8..2);
    sixteen_bytes: prop::array::uniform16(0u8..2);
    thirty_bytes: prop::array::uniform30(0u8..2);
    dates: date();
    timestamps: timestamp();
    small_decimals: decimal::<3, 1>();
    middle_decimals: decimal::<28, 2>();
    large_decimals: decimal::<38, 0>();
    options: of(-2..2i64);
    options_of_text: of(text());
    options_of_options: of(of(0..2u8));
    options_of_nothing: of(Just(()));
    pairs: (0..3u8, of(-1..2i16));
    text_first: (text(), any::<u8>());
    text_last: (any::<u8>(), of(text()), Just(()));
    structs: place();
    nested: (of(place()), ((any::<bool>(), 0..2u64), date()));
    eight: (0..2u8, 0..2u8, 0..2u8, 0..2u8, 0..2u8, 0..2u8, 0..2u8, 0..2u8);
}

proptest! {
    #[test]
    fn floats(records in vec((any::<f32>(), any::<f64>()), 0..20)) {
        comes_back(&records);
    }

    #[test]
    fn lists(records in vec(vec(of((text(), 0..3u8)), 0..5), 0..20)) {
        comes_back(&records);
    }

    #[test]
    fn structs_of_everything(records in vec(wide(), 0..20)) {
        comes_back(&records);
    }

    #[test]
    fn any_records_have_a_size(records in vec(wide(), 0..4)) {
        for record in &records {
            prop_assert!(common::Wide::approximate_bytes(record.view()) > 20);
        }
    }
}

#[test]
fn hashes_stay_what_they_are() {
    // The order of output rests on them: other values need another version of everything.
    let hashes = [
        <u64 as Key>::hash(1),
        <i32 as Key>::hash(-1),
        <String as Key>::hash("word"),
        <String as Key>::hash("a word of more than 12"),
        <[u8; 10] as Key>::hash(b"0123456789"),
        <(u32, String) as Key>::hash((7, "x")),
        <Option<u8> as Key>::hash(None),
        <Option<u8> as Key>::hash(Some(0)),
    ];
    let expected = [
        8_424_960_619_446_671_337,
        11_643_857_282_343_772_283,
        10_734_273_855_784_891_846,
        3_921_648_373_561_846_690,
        2_961_975_648_125_064_652,
        16_302_240_083_778_417_111,
        5_464_932_214_037_382_218,
        3_690_868_127_190_498_544,
    ];
    assert_eq!(hashes, expected);
}
