//! `#[derive(Record)]`: views, columns by name, keys, text, and names that meet the user's.

use arrow::array::{ArrayRef, AsArray, Int32Array, StringArray, StructArray};
use arrow::datatypes::{DataType, Field};
use std::sync::Arc;
use windrow_datasets::Columns;
use windrow_datasets::record::{Batch, BindError, Builder, Key, ListView, Record, TextRecord};

// For users there is the crate `windrow`, which has this one as `datasets`; here this test stands for it.
extern crate self as windrow;

mod datasets {
    pub(crate) use windrow_datasets::record;
}

#[derive(Record)]
#[record(key)]
struct OfAUser {
    zone_id: u32,
}

#[derive(Record, Clone, Debug, PartialEq)]
#[record(crate = "windrow_datasets")]
struct Trip {
    zone_id: u32,
    fare: f64,
    #[record(rename = "payment")]
    payment_type: String,
    tip: Option<f64>,
    stops: Vec<Place>,
}

#[derive(Record, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[record(crate = "windrow_datasets", key)]
struct Place {
    name: String,
    r#type: u8,
}

/// A struct whose fields and type have the names that generated code might want.
#[allow(non_camel_case_types)]
mod names {
    use windrow_datasets::record::Record;

    #[derive(Clone, Record)]
    #[record(crate = "windrow_datasets")]
    pub(super) struct Batch {
        pub(super) len: u32,
        pub(super) view: String,
        pub(super) heap: bool,
        pub(super) index: Slot,
        pub(super) columns: u8,
        pub(super) own: u8,
        pub(super) out: u8,
    }

    #[derive(Clone, Record)]
    #[record(crate = "windrow_datasets", key)]
    pub(super) struct Slot {
        pub(super) hash: u64,
        pub(super) a: u8,
        pub(super) b: u8,
        pub(super) slot: i8,
    }
}

#[derive(Record)]
#[record(crate = "windrow_datasets", key)]
struct Pair<A, B: Clone>
where
    A: Clone,
{
    left: A,
    right: B,
}

macro_rules! made_by_a_macro {
    ($name:ident { $($field:ident: $type:ty),+ }) => {
        #[derive(Record, Clone, Debug, PartialEq)]
        #[record(crate = "windrow_datasets")]
        struct $name {
            $($field: $type),+
        }
    };
}

made_by_a_macro!(Made { name: String, parts: Vec<Place> });

fn batch<T: Record>(records: &[T]) -> T::Batch {
    let mut builder = T::Builder::default();
    for record in records {
        builder.push(record.view());
    }
    builder.finish()
}

fn trips() -> Vec<Trip> {
    let stop = |name: &str, r#type| Place { name: name.to_string(), r#type };
    vec![
        Trip {
            zone_id: 7,
            fare: 12.5,
            payment_type: "card".into(),
            tip: None,
            stops: vec![stop("Harlem", 1), stop("a stop with a long name", 2)],
        },
        Trip {
            zone_id: 8,
            fare: -1.0,
            payment_type: "in cash, and in small coins".into(),
            tip: Some(0.5),
            stops: vec![],
        },
    ]
}

#[test]
fn views_give_what_was_pushed() {
    let trips = trips();
    let batch = batch(&trips);
    let view: TripView<'_> = batch.get(0);
    assert_eq!((view.zone_id, view.payment_type, view.tip), (7, "card", None));
    assert_eq!(view.stops.get(1).unwrap().name, "a stop with a long name");
    let again = <Trip as Record>::Batch::from_array(&batch.to_array()).unwrap();
    assert_eq!((again.get(0).own(), again.get(1).own()), (trips[0].clone(), trips[1].clone()));
    assert_eq!(
        format!("{:?}", again.get(1)),
        r#"TripView { zone_id: 8, fare: -1.0, payment_type: "in cash, and in small coins", tip: Some(0.5), stops: [] }"#
    );
}

#[test]
fn columns_are_bound_by_name() {
    let array = batch(&trips()).to_array();
    let columns = array.as_struct();
    assert_eq!(columns.column_names(), ["zone_id", "fare", "payment", "tip", "stops"]);
    // Backwards, with a column more and without the one that may be missing.
    let mut fields: Vec<(Arc<Field>, ArrayRef)> = columns
        .fields()
        .iter()
        .cloned()
        .zip(columns.columns().iter().cloned())
        .filter(|(field, _)| field.name() != "tip")
        .collect();
    let more: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
    fields.push((Arc::new(Field::new("more", DataType::Int32, false)), more));
    fields.reverse();
    let array: ArrayRef = Arc::new(StructArray::from(fields.clone()));
    let again = <Trip as Record>::Batch::from_array(&array).unwrap();
    let mut expected = trips();
    expected[1].tip = None;
    assert_eq!(again.get(1).own(), expected[1]);

    fields.retain(|(field, _)| field.name() != "payment");
    let array: ArrayRef = Arc::new(StructArray::from(fields));
    let Err(error) = <Trip as Record>::Batch::from_array(&array) else { panic!("bound") };
    assert_eq!(
        error.to_string(),
        "column `payment` is missing; the data has: more, stops, fare, zone_id"
    );
}

#[test]
fn errors_name_the_column() {
    let name: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let array: ArrayRef = Arc::new(StructArray::from(vec![
        (Arc::new(Field::new("name", DataType::Utf8, false)), name.clone()),
        (Arc::new(Field::new("type", DataType::Utf8, false)), name),
    ]));
    let Err(error) = <Place as Record>::Batch::from_array(&array) else { panic!("bound") };
    assert_eq!(error.to_string(), "column `type` is Utf8, but the record has UInt8 there");
    assert!(matches!(error, BindError::Type { .. }));
}

#[test]
fn derived_keys_order_as_the_struct_does() {
    let place = |name: &str, r#type| Place { name: name.into(), r#type };
    let places =
        [place("", 0), place("a", 2), place("a", 3), place("a longer name", 0), place("b", 1)];
    for a in &places {
        for b in &places {
            let (x, y) = (Place::probe(a.view()), Place::probe(b.view()));
            // SAFETY: the slots borrow `places`.
            unsafe {
                assert_eq!(Place::slot_cmp(&x, &y), a.cmp(b));
                assert_eq!(Place::slot_eq(&x, &y), a == b);
                assert_eq!(Place::slot_hash(&x) == Place::slot_hash(&y), a == b);
                if Place::prefix(&x) >> 32 < Place::prefix(&y) >> 32 {
                    assert!(a < b);
                }
            }
        }
    }
    const { assert!(!<Place as Key>::PREFIX_IS_EXACT) };
    const { assert!(<Pair<u32, i64> as Key>::PREFIX_IS_EXACT) };
}

#[test]
fn a_struct_hashes_as_the_tuple_of_its_fields() {
    let pair = Pair { left: "left".to_string(), right: 9u16 };
    assert_eq!(
        <Pair<String, u16> as Key>::hash(pair.view()),
        <(String, u16) as Key>::hash(("left", 9))
    );
}

#[test]
fn structs_have_a_text_form() {
    let mut out = Vec::new();
    Place::write_text(PlaceView { name: "Harlem", r#type: 4 }, &mut out);
    assert_eq!(out, b"Harlem\t4");
}

#[test]
fn names_of_users_do_not_meet_generated_ones() {
    let record = names::Batch {
        len: 1,
        view: "v".into(),
        heap: true,
        index: names::Slot { hash: 1, a: 2, b: 3, slot: -4 },
        columns: 5,
        own: 6,
        out: 7,
    };
    let batch = batch(&[record]);
    let view = batch.get(0);
    assert_eq!((view.len, view.view, view.heap, view.index.slot), (1, "v", true, -4));
    assert_eq!((view.columns, view.own, view.out), (5, 6, 7));
    assert_eq!((view.index.hash, view.index.a, view.index.b), (1, 2, 3));
}

#[test]
fn structs_made_by_macros_are_records() {
    let made = Made { name: "m".into(), parts: trips()[0].stops.clone() };
    let batch = batch(std::slice::from_ref(&made));
    assert_eq!(batch.get(0).name, "m");
    assert_eq!(batch.get(0).own(), made);
}

#[test]
fn users_name_one_crate_only() {
    let batch = batch(&[OfAUser { zone_id: 3 }]);
    assert_eq!(batch.get(0).zone_id, 3);
}

#[test]
fn a_view_can_be_made_by_hand() {
    let stops = trips()[0].stops.clone();
    let mut builder = <Trip as Record>::Builder::default();
    builder.push(TripView {
        zone_id: 1,
        fare: 2.0,
        payment_type: "card",
        tip: Some(1.0),
        stops: ListView::from(&stops),
    });
    assert_eq!(builder.finish().get(0).stops.len(), 2);
}

#[test]
fn columns_have_the_names_of_fields() {
    let c = Trip::COLS;
    assert_eq!(
        (c.zone_id.name(), c.payment_type.name(), c.stops.name()),
        ("zone_id", "payment", "stops")
    );
    let batch = batch(&trips());
    assert_eq!(c.fare.of(&batch).get(1), -1.0);
    assert_eq!(c.payment_type.of(&batch).get(0), "card");
    assert_eq!(c.tip.of(&batch).get(1), Some(0.5));
    assert_eq!(Place::COLS.r#type.name(), "type");
    let made = Made::COLS;
    assert_eq!((made.name.name(), made.parts.name()), ("name", "parts"));
}

#[test]
fn columns_of_a_generic_struct() {
    let c = Pair::<u32, String>::COLS;
    let batch = batch(&[Pair { left: 7u32, right: "seven".to_string() }]);
    assert_eq!((c.left.of(&batch).get(0), c.right.of(&batch).get(0)), (7, "seven"));
}

#[test]
fn fields_are_seen_before_what_columns_have_of_their_own() {
    let c = names::Batch::COLS;
    assert_eq!((c.len.name(), c.columns.name(), c.own.name()), ("len", "columns", "own"));
}
