//! Aggregates and predicates over columns, each against a plain sequential program.

mod common;

use common::{RECORDS, assert_rows, by_hash, failure, in_this_process, many, random, rows};
use proptest::prelude::*;
use std::collections::BTreeMap;
use windrow::plan::Plan;
use windrow::prelude::*;

#[derive(Record, Clone, Debug, PartialEq)]
struct Trip {
    zone: u32,
    #[record(rename = "payment")]
    payment_type: String,
    day: Option<Date>,
    meters: i32,
    fare: f64,
    tip: Option<f32>,
    note: Option<String>,
    price: Decimal<9, 2>,
}

/// How many zones there are: a few, and nearly as many as records.
const ZONES: [u64; 2] = [40, 1 << 40];

fn trip(n: u64, zones: u64) -> Trip {
    let r = random(n);
    Trip {
        zone: (r % zones) as u32,
        payment_type: ["card", "cash", "a voucher of another company"][r as usize / 7 % 3].into(),
        day: (!r.is_multiple_of(5)).then(|| Date::from_days((r / 32 % 9) as i32)),
        meters: random(!n) as i32,
        fare: (r as f64).sqrt() / 3.0,
        tip: (r / 64).is_multiple_of(3).then_some((r % 1000) as f32 / 8.0),
        note: (r / 128).is_multiple_of(4).then(|| format!("note {}", random(n / 3) % 1000)),
        price: Decimal::from_raw(i128::from(r % 100_000) - 5000).unwrap(),
    }
}

fn trips(flow: &Flow, zones: u64) -> Dataset<Trip> {
    many(flow, RECORDS, move |n| trip(n, zones))
}

/// What `f` makes of the trips of each key, in the order of rows behind a keyed operator.
fn expect<K: Key + Ord, U>(
    trips: impl IntoIterator<Item = Trip>,
    key: impl Fn(&Trip) -> K,
    f: impl Fn(&[Trip]) -> U,
) -> Vec<(K, U)> {
    let mut groups: BTreeMap<K, Vec<Trip>> = BTreeMap::new();
    trips.into_iter().for_each(|trip| groups.entry(key(&trip)).or_default().push(trip));
    by_hash(groups.into_iter().map(|(key, trips)| (key, f(&trips))))
}

fn all(zones: u64) -> impl Iterator<Item = Trip> {
    (0..RECORDS).map(move |n| trip(n, zones))
}

#[test]
fn exact_aggregates() {
    for zones in ZONES {
        let found = rows(|flow| {
            trips(flow, zones).aggregate_by(
                |c| c.zone,
                |c| (c.meters.sum(), c.count(), c.tip.count(), c.fare.min(), c.meters.mean()),
            )
        });
        let expected = expect(
            all(zones),
            |t| t.zone,
            |trips| {
                let meters: i64 = trips.iter().map(|t| i64::from(t.meters)).sum();
                let tips = trips.iter().filter(|t| t.tip.is_some()).count() as u64;
                let least = trips.iter().map(|t| t.fare).min_by(f64::total_cmp).unwrap();
                let count = trips.len() as u64;
                (meters, count, tips, least, meters as f64 / count as f64)
            },
        );
        assert_rows(&found, &expected);
    }
}

#[test]
fn nulls_and_text() {
    for zones in ZONES {
        let found = rows(|flow| {
            trips(flow, zones).aggregate_by(
                |c| (c.zone, c.day),
                |c| (c.note.max(), c.note.count(), c.payment_type.min(), c.tip.max()),
            )
        });
        let expected = expect(
            all(zones),
            |t| (t.zone, t.day),
            |trips| {
                let notes = trips.iter().filter_map(|t| t.note.clone());
                let least = trips.iter().map(|t| t.payment_type.clone()).min().unwrap();
                let tips = trips.iter().filter_map(|t| t.tip);
                (notes.clone().max(), notes.count() as u64, least, tips.max_by(f32::total_cmp))
            },
        );
        assert_rows(&found, &expected);
    }
}

#[test]
fn keys_of_text_and_of_many_columns() {
    let found = rows(|flow| trips(flow, 40).aggregate_by(|c| c.payment_type, |c| c.count()));
    let expected = expect(all(40), |t| t.payment_type.clone(), |trips| trips.len() as u64);
    assert_rows(&found, &expected);
    let found = rows(|flow| {
        trips(flow, 300).aggregate_by(|c| (c.note, c.payment_type, c.zone, c.price), |c| c.count())
    });
    let key = |t: &Trip| (t.note.clone(), t.payment_type.clone(), t.zone, t.price);
    assert_rows(&found, &expect(all(300), key, |trips| trips.len() as u64));
}

/// Sums and means of floats, and a count.
type Sums = (f64, Option<f32>, Option<f64>, u64);

#[test]
fn floats_do_not_depend_on_threads() {
    for zones in ZONES {
        // `everywhere` compares bytes.
        let found = rows(|flow| {
            trips(flow, zones)
                .aggregate_by(|c| c.zone, |c| (c.fare.sum(), c.tip.sum(), c.tip.mean(), c.count()))
        });
        let expected = expect(
            all(zones),
            |t| t.zone,
            |trips| {
                let tips = trips.iter().filter_map(|t| t.tip);
                let (count, sum) = (tips.clone().count(), tips.map(f64::from).sum::<f64>());
                let mean = (count > 0).then(|| sum / count as f64);
                let fares = trips.iter().map(|t| t.fare).sum::<f64>();
                // Tips are eighths below 125, so that sums of them are exact, in `f32` too.
                (fares, mean.map(|_| sum as f32), mean, trips.len() as u64)
            },
        );
        let exact = |rows: &[(u32, Sums)]| {
            rows.iter().map(|(k, (_, a, b, c))| (*k, *a, *b, *c)).collect::<Vec<_>>()
        };
        assert_rows(&exact(&found), &exact(&expected));
        for ((_, (sum, ..)), (_, (near, ..))) in found.iter().zip(&expected) {
            assert!((sum / near - 1.0).abs() < 1e-12, "{sum} and {near}");
        }
    }
}

#[test]
fn what_is_not_a_number() {
    let input = [(1u8, 1.5), (1, f64::NAN), (1, -2.0), (2, f64::INFINITY), (2, 0.0), (2, -0.0)];
    let found = rows(|flow| {
        flow.from_iter(input)
            .aggregate_by(|c| c.0, |c| (c.1.min(), c.1.max(), c.1.sum(), c.1.mean(), c.1.count()))
    });
    let of = |key: u8| found.iter().find(|row| row.0 == key).unwrap().1;
    let (least, greatest, sum, mean, count) = of(1);
    assert!(least == -2.0 && greatest.is_nan() && sum.is_nan() && mean.is_nan() && count == 3);
    let (least, greatest, sum, mean, _) = of(2);
    assert!(least == 0.0 && least.is_sign_negative());
    assert_eq!((greatest, sum, mean), (f64::INFINITY, f64::INFINITY, f64::INFINITY));
    // A predicate compares as Rust does.
    let kept = |flow: &Flow| flow.from_iter(input).filter_by(|c| c.1.le(f64::INFINITY));
    assert_eq!(rows(|flow| kept(flow).count()), [5]);
    let not_kept = |flow: &Flow| flow.from_iter(input).filter_by(|c| !c.1.le(f64::INFINITY));
    assert_eq!(rows(|flow| not_kept(flow).count()), [1]);
}

#[test]
fn sums_that_do_not_fit() {
    let numbers = |flow: &Flow| many(flow, RECORDS, |n| (n % 3, i64::MAX / 3));
    let said = failure(|flow| {
        numbers(flow).aggregate_by(|c| c.0, |c| (c.count(), c.1.sum())).collect("out")
    });
    assert!(said.contains("aggregate_by: sum(_1) does not fit i64"), "{said}");
    // A mean has room for it, and so has a sum that goes beyond and comes back.
    let means = rows(|flow| numbers(flow).aggregate_by(|c| c.0, |c| c.1.mean()));
    assert_eq!(means.len(), 3);
    assert!(means.iter().all(|(_, mean)| (mean / (i64::MAX / 3) as f64 - 1.0).abs() < 1e-15));
    let back = rows(|flow| {
        many(flow, 60_000, |n| (0u8, [i64::MAX, i64::MIN][n as usize % 2]))
            .aggregate_by(|c| c.0, |c| c.1.sum())
    });
    assert_eq!(back, [(0, -30_000)]);
    let said = failure(|flow| {
        let prices = [(1u8, Decimal::<38, 0>::from_raw(10i128.pow(38) - 1)); 2];
        flow.from_iter(prices).aggregate_by(|c| c.0, |c| c.1.sum()).collect("out")
    });
    assert!(said.contains("sum(_1) does not fit"), "{said}");
    // A sum has room for more digits than what is added.
    let sums = rows(|flow| {
        let prices = [(1u8, Decimal::<3, 0>::whole(-999)); 2];
        flow.from_iter(prices).aggregate_by(|c| c.0, |c| c.1.sum())
    });
    assert_eq!(sums, [(1, Decimal::<38, 0>::whole(-1998))]);
}

#[test]
fn computed_columns() {
    type Total = Decimal<38, 4>;
    let share = |t: &Trip| Decimal::<9, 2>::from_raw(i128::from(t.meters.rem_euclid(100))).unwrap();
    let by_zone = rows(|flow| {
        trips(flow, ZONES[0]).filter_by(|c| c.zone.lt(30)).aggregate_by(
            |c| c.zone,
            |c| {
                let share =
                    |meters: i32| Decimal::<9, 2>::from_raw(i128::from(meters.rem_euclid(100)));
                let charge = c.computed("charge", move |t| -> Decimal<18, 4> {
                    t.price.times(share(t.meters).unwrap())
                });
                let length = c.computed("length", |t| t.payment_type.len() as u32);
                (charge.clone().sum(), charge.max(), length.clone().mean(), length.min(), c.count())
            },
        )
    });
    let mut expected = BTreeMap::<u32, (i128, i128, u64, u32, u64)>::new();
    for trip in (0..RECORDS).map(|n| trip(n, ZONES[0])).filter(|trip| trip.zone < 30) {
        let charge = trip.price.raw() * share(&trip).raw();
        let length = trip.payment_type.len() as u32;
        let of = expected.entry(trip.zone).or_insert((0, i128::MIN, 0, u32::MAX, 0));
        *of =
            (of.0 + charge, of.1.max(charge), of.2 + u64::from(length), of.3.min(length), of.4 + 1);
    }
    assert_eq!(by_zone.len(), expected.len());
    for (zone, (sum, most, mean, least, count)) in by_zone {
        let of = expected[&zone];
        assert_eq!(sum, Total::from_raw(of.0).unwrap());
        assert_eq!((most.raw(), least, count), (of.1, of.3, of.4));
        assert_eq!(mean, of.2 as f64 / of.4 as f64);
    }
}

#[test]
fn a_panic_in_a_computed_column_names_the_record() {
    let said = failure(|flow| {
        flow.generate(RECORDS, |n| (n, 1u8))
            .filter_by(|c| c.0.ge(7))
            .aggregate(|c| c.computed("inverse", |(n, _)| 100 / n.wrapping_sub(4321)).sum())
            .collect("out")
    });
    assert!(said.contains("divide by zero") && said.contains("4321"), "{said}");
}

#[test]
fn aggregates_of_all_records() {
    let all =
        rows(|flow| trips(flow, 300).aggregate(|c| (c.count(), c.meters.sum(), c.note.min())));
    let trips_of_all = || (0..RECORDS).map(|n| trip(n, 300));
    let meters: i64 = trips_of_all().map(|trip| i64::from(trip.meters)).sum();
    let note = trips_of_all().filter_map(|trip| trip.note).min();
    assert_eq!(all, [(RECORDS, meters, note)]);
    // Floats are added in the order of the records, with a lane's sum in one piece.
    let one = rows(|flow| trips(flow, 300).aggregate(|c| c.fare.sum()));
    assert_eq!(one.len(), 1);
    let none = rows(|flow| trips(flow, 9).filter_by(|c| c.zone.gt(9)).aggregate(|c| c.count()));
    assert!(none.is_empty());
    let said =
        failure(|flow| many(flow, 3, |_| (i64::MAX, ())).aggregate(|c| c.0.sum()).collect("out"));
    assert!(said.contains("aggregate: sum(_0) does not fit i64"), "{said}");
}

#[test]
fn aggregates_of_nothing() {
    let none = |flow: &Flow| trips(flow, 9).filter_by(|c| c.zone.gt(9));
    let exact = |flow: &Flow| none(flow).aggregate_by(|c| c.zone, |c| (c.count(), c.price.max()));
    assert_eq!(rows(exact), []);
    let ordered = |flow: &Flow| none(flow).aggregate_by(|c| c.payment_type, |c| c.fare.sum());
    assert_eq!(rows(ordered), []);
    let no_file =
        |flow: &Flow| flow.from_iter(Vec::<Trip>::new()).aggregate_by(|c| c.note, |c| c.note.min());
    assert_eq!(rows(no_file), []);
}

#[test]
fn behind_operators_that_pass_single_rows_on() {
    let found = rows(|flow| {
        many(flow, RECORDS, |n| n)
            .emit::<(String, u64)>(|n, out| {
                if n % 3 > 0 {
                    out.push((["odd", "even"][n as usize % 2], n));
                }
            })
            .filter_by(|c| c.1.is_in([4, 5]).not().and(c.0.ne("none")))
            .aggregate_by(|c| c.0, |c| (c.1.sum(), c.1.min()))
    });
    let sum = |odd: u64| (0..RECORDS).filter(|n| n % 3 > 0 && n % 2 == odd && n / 2 != 2).sum();
    let expected = [("odd".to_string(), (sum(0), 2)), ("even".to_string(), (sum(1), 1))];
    assert_rows(&found, &by_hash(expected));
}

#[test]
fn predicates_keep_the_same_as_closures() {
    let found = rows(|flow| {
        trips(flow, 40).filter_by(|c| {
            let paid = c.payment_type.eq("cash").or(c.payment_type.eq("card"));
            let noted = c.note.is_null().not().and(c.note.between("note 2", "note 7"));
            paid.and(c.fare.gt(7e8)).and(noted.or(c.tip.lt(50.0)))
        })
    });
    let expected: Vec<Trip> = all(40)
        .filter(|t| ["card", "cash"].contains(&t.payment_type.as_str()) && t.fare > 7e8)
        .filter(|t| {
            t.note.as_deref().is_some_and(|n| ("note 2"..="note 7").contains(&n))
                || t.tip.is_some_and(|tip| tip < 50.0)
        })
        .collect();
    assert!(expected.len() > 1000);
    assert_rows(&found, &expected);
}

#[test]
fn parquet_with_dictionaries() {
    let folder = tempfile::tempdir().unwrap();
    let input = Location::of_path(folder.path()).unwrap().join("trips");
    let written = |flow: &Flow| trips(flow, 40).write_parquet(&input);
    Local::new().threads(2).run_plan("write", written).unwrap();
    let read = |flow: &Flow| {
        let costly = flow.read_parquet::<Trip>(&input).filter_by(|c| c.fare.gt(7e8));
        costly.aggregate_by(|c| (c.payment_type, c.day), |c| (c.tip.sum(), c.count(), c.note.max()))
    };
    let expected = expect(
        all(40).filter(|t| t.fare > 7e8),
        |t| (t.payment_type.clone(), t.day),
        |trips| {
            let tips = trips.iter().filter_map(|t| t.tip);
            let notes = trips.iter().filter_map(|t| t.note.clone());
            let sum = (tips.clone().count() > 0).then(|| tips.sum::<f32>());
            (sum, trips.len() as u64, notes.max())
        },
    );
    assert_rows(&rows(read), &expected);
    // The plan sees what is done, and which columns are read: those of the record.
    let plan = Plan::from_fn("trips", |flow| read(flow).collect("out")).unwrap();
    let explained = plan.explain(Vec::new()).to_string();
    for line in [
        "    columns zone, payment, day, meters, fare, tip, note, price\n",
        "  filter_by fare > 700000000.0\n",
        "  aggregate_by payment, day: sum(tip), count(), max(note)\n",
    ] {
        assert!(explained.contains(line), "{explained}");
    }
    assert!(plan.outline().contains("columns (aggregate_by payment, day: sum(tip)"));
}

#[test]
fn columns_have_the_names_of_the_schema() {
    assert_eq!(Trip::COLS.payment_type.name(), "payment");
    assert_eq!(<(u8, Trip)>::COLS.1.name(), "_1");
}

/// Fields with the names of what columns have of their own.
#[derive(Record, Clone, Debug)]
struct Names {
    count: u64,
    fields: u64,
    r#type: u64,
}

#[test]
fn columns_of_any_name() {
    let input: Vec<Names> = (0..10).map(|n| Names { count: n, fields: n % 2, r#type: 1 }).collect();
    let found = rows(|flow| {
        flow.from_iter(input.clone())
            .aggregate_by(|c| c.fields, |c| (c.count.sum(), c.count(), c.r#type.max()))
    });
    assert_eq!(by_hash(found), by_hash([(0, (20, 5, 1)), (1, (25, 5, 1))]));
}

type AnyRow = (Option<String>, i16, Option<i64>, f32);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_rows(
        input in prop::collection::vec(
            (prop::option::of("[ab]{0,20}"), 0..4i16, any::<Option<i64>>(), -8..8i8),
            0..2000,
        )
    ) {
        let input: Vec<AnyRow> =
            input.into_iter().map(|(a, b, c, d)| (a, b, c, f32::from(d))).collect();
        let ran = in_this_process(|flow, _| {
            let rows = flow.from_iter(input.clone());
            let exact = rows.aggregate_by(|c| (c.0, c.1), |c| (c.2.mean(), c.2.max(), c.count()));
            exact.collect("exact")?;
            rows.aggregate_by(|c| c.0, |c| (c.3.sum(), c.2.count())).collect("ordered")
        });
        let mut exact = BTreeMap::<_, (i128, u64, Option<i64>, u64)>::new();
        let mut ordered = BTreeMap::<_, (f32, u64)>::new();
        for (text, number, value, float) in &input {
            let group = exact.entry((text.clone(), *number)).or_default();
            group.0 += i128::from(value.unwrap_or(0));
            group.1 += u64::from(value.is_some());
            group.2 = group.2.max(*value);
            group.3 += 1;
            let group = ordered.entry(text.clone()).or_default();
            group.0 += float;
            group.1 += u64::from(value.is_some());
        }
        let exact = exact.into_iter().map(|(key, (sum, values, most, count))| {
            (key, ((values > 0).then(|| sum as f64 / values as f64), most, count))
        });
        type Exact = ((Option<String>, i16), (Option<f64>, Option<i64>, u64));
        prop_assert_eq!(ran.named::<Exact>("exact"), by_hash(exact));
        type Ordered = (Option<String>, (f32, u64));
        prop_assert_eq!(ran.named::<Ordered>("ordered"), by_hash(ordered));
    }
}
