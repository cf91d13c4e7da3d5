//! Aggregates by key, each against a plain sequential program.

mod common;

use common::{
    RECORDS, assert_rows, by_hash, everywhere, failure, in_this_process, many, random, rows,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use windrow::record::Decimal;
use windrow::{Dataset, Flow, Key};

/// How many keys there are, and how they are spread.
#[derive(Clone, Copy, Debug)]
enum Keys {
    /// So many, all alike.
    Of(u64),
    /// Few frequent ones and many rare ones.
    Skewed,
    /// Another one in each record.
    All,
}

impl Keys {
    const EACH: [Keys; 4] = [Keys::Of(1), Keys::Of(500), Keys::Skewed, Keys::All];

    fn key(self, number: u64) -> u64 {
        match self {
            Keys::Of(count) => random(number) % count,
            Keys::Skewed => random(number) % (1 << (random(!number) % 15)),
            Keys::All => number,
        }
    }

    /// A key that is often longer than what is inline.
    fn text(self, number: u64) -> String {
        let key = self.key(number);
        format!("{}{key}", ["", "key ", "a rather long key "][key as usize % 3])
    }
}

/// Values by key, in order.
fn grouped<K: Key + Ord, V>(rows: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, Vec<V>> {
    let mut groups: BTreeMap<K, Vec<V>> = BTreeMap::new();
    rows.into_iter().for_each(|(key, value)| groups.entry(key).or_default().push(value));
    groups
}

/// What `f` makes of each key's values, in the order of rows behind a keyed operator.
fn expect<K: Key + Ord, V, U>(
    rows: impl IntoIterator<Item = (K, V)>,
    f: impl Fn(Vec<V>) -> U,
) -> Vec<(K, U)> {
    by_hash(grouped(rows).into_iter().map(|(key, values)| (key, f(values))))
}

fn numbers(flow: &Flow, keys: Keys) -> Dataset<(u64, i32)> {
    many(flow, RECORDS, move |n| (keys.key(n), random(n) as i32))
}

fn all_numbers(keys: Keys) -> impl Iterator<Item = (u64, i32)> {
    (0..RECORDS).map(move |n| (keys.key(n), random(n) as i32))
}

fn texts(flow: &Flow, keys: Keys) -> Dataset<(String, String)> {
    many(flow, RECORDS, move |n| (keys.text(n), keys.text(n / 7)))
}

fn all_texts(keys: Keys) -> impl Iterator<Item = (String, String)> {
    (0..RECORDS).map(move |n| (keys.text(n), keys.text(n / 7)))
}

#[test]
fn counts_and_distinct() {
    for keys in Keys::EACH {
        let expected = expect(all_texts(keys), |values| values.len() as u64);
        assert_rows(&rows(|flow| texts(flow, keys).count_by_key()), &expected);
        let values = |flow: &Flow| many(flow, RECORDS, move |n| keys.text(n));
        assert_rows(&rows(|flow| values(flow).count_by_value()), &expected);
        let once: Vec<String> = expected.into_iter().map(|(key, _)| key).collect();
        assert_rows(&rows(|flow| values(flow).distinct()), &once);
        // By rows rather than batches.
        let found = rows(|flow| values(flow).emit::<String>(|v, out| out.push(v)).distinct());
        assert_rows(&found, &once);
    }
}

#[test]
fn keys_of_several_parts() {
    let key = |n: u64| {
        (
            n.is_multiple_of(3),
            (!n.is_multiple_of(5)).then_some(Keys::Skewed.text(n)),
            [n as u8 % 7; 3],
        )
    };
    let found = rows(|flow| many(flow, RECORDS, move |n| (key(n), ())).count_by_key());
    let expected = expect((0..RECORDS).map(|n| (key(n), ())), |values| values.len() as u64);
    assert_rows(&found, &expected);
}

#[test]
fn sums_of_integers() {
    for keys in Keys::EACH {
        let expected = expect(all_numbers(keys), |v| v.into_iter().map(i64::from).sum::<i64>());
        assert_rows(&rows(|flow| numbers(flow, keys).sum_by_key()), &expected);
        let expected = expect(all_numbers(keys), |v| {
            v.into_iter().map(|v| u64::from(v.unsigned_abs() as u16)).sum::<u64>()
        });
        let found = rows(|flow| {
            numbers(flow, keys).map(|(k, v)| (k, v.unsigned_abs() as u16)).sum_by_key()
        });
        assert_rows(&found, &expected);
    }
}

#[test]
fn a_sum_that_does_not_fit_is_an_error() {
    let said =
        failure(|flow| many(flow, RECORDS, |n| (n % 3, i64::MAX / 3)).sum_by_key().collect("out"));
    assert!(said.contains("sum_by_key") && said.contains("i64"), "{said}");
    assert!(said.contains("`f64` or a decimal"), "{said}");
    let said =
        failure(|flow| flow.from_iter([(1u8, u64::MAX), (1, 1)]).sum_by_key().collect("out"));
    assert!(said.contains("a sum does not fit u64"), "{said}");
    // What goes beyond and comes back does fit.
    let found = rows(|flow| {
        many(flow, 60_000, |n| (0u8, [i64::MAX, i64::MIN][n as usize % 2])).sum_by_key()
    });
    assert_eq!(found, [(0, -30_000)]);
}

#[test]
fn sums_of_floats_do_not_depend_on_threads() {
    for keys in Keys::EACH {
        let value = |n: u64| (random(n) as f64).sqrt() / 3.0;
        // `everywhere` compares bytes.
        let found = rows(|flow| many(flow, RECORDS, move |n| (keys.key(n), value(n))).sum_by_key());
        let all = (0..RECORDS).map(|n| (keys.key(n), value(n)));
        let expected = expect(all, |values| values.into_iter().sum::<f64>());
        for ((key, sum), (expected_key, near)) in found.iter().zip(&expected) {
            assert_eq!(key, expected_key);
            assert!((sum / near - 1.0).abs() < 1e-12, "{sum} and {near}");
        }
        assert_eq!(found.len(), expected.len());
    }
    // Where lanes pass rows on, and all come in one go, a sum is that from the left, bit for bit.
    let value = |n: u64| (random(n) as f32).sqrt();
    let key = |n: u64| random(n) % 1_000_000;
    let found = rows(|flow| many(flow, RECORDS, move |n| (key(n), value(n))).sum_by_key());
    let expected =
        expect((0..RECORDS).map(|n| (key(n), value(n))), |v| v.into_iter().fold(0.0, |a, b| a + b));
    assert_rows(&found, &expected);
}

#[test]
fn least_and_greatest() {
    for keys in Keys::EACH {
        let expected = expect(all_numbers(keys), |v| v.into_iter().min().unwrap());
        assert_rows(&rows(|flow| numbers(flow, keys).min_by_key()), &expected);
        let expected = expect(all_texts(keys), |v| v.into_iter().max().unwrap());
        assert_rows(&rows(|flow| texts(flow, keys).max_by_key()), &expected);
    }
    let floats = [f64::NAN, -0.0, 0.0, f64::NEG_INFINITY, 1.5, f64::INFINITY];
    let input = floats.map(|f| (0u8, f));
    let least = rows(|flow| flow.from_iter(input).min_by_key());
    assert_eq!(least, [(0, f64::NEG_INFINITY)]);
    let zeros = rows(|flow| flow.from_iter([(0u8, 0.0f64), (0, -0.0)]).min_by_key());
    assert!(zeros[0].1.is_sign_negative());
    assert!(rows(|flow| flow.from_iter(input).max_by_key())[0].1.is_nan());
    type Price = Decimal<10, 2>;
    let price = |n: i128| Price::from_raw(n).unwrap();
    let found = rows(|flow| flow.from_iter((-5..5).map(|n| (n > 2, price(n)))).max_by_key());
    assert_eq!(by_hash(found), by_hash([(false, price(2)), (true, price(4))]));
}

#[test]
fn reduce() {
    for keys in Keys::EACH {
        let expected = expect(all_numbers(keys), |v| v.into_iter().reduce(|a, b| a ^ b).unwrap());
        let reduced = |flow: &Flow| numbers(flow, keys).reduce_by_key(|a, b| a ^ b);
        assert_rows(&rows(|flow| reduced(flow).clone()), &expected);
        assert_rows(&rows(|flow| reduced(flow).commutative()), &expected);
    }
}

#[test]
fn sums_of_decimals() {
    type Wide = Decimal<38, 4>;
    let most = 10i128.pow(38) - 1;
    let value = move |n: u64| {
        let raw = if n.is_multiple_of(2) { most - n as i128 } else { -most };
        Wide::from_raw(raw).unwrap()
    };
    let found = rows(|flow| many(flow, RECORDS, move |n| (n / 2 % 3, value(n))).sum_by_key());
    let expected = expect((0..RECORDS).map(|n| (n / 2 % 3, n)), |v| {
        Wide::from_raw(-v.into_iter().filter(|n| n % 2 == 0).map(i128::from).sum::<i128>()).unwrap()
    });
    assert_rows(&found, &expected);
    let said = failure(|flow| {
        let price = Decimal::<38, 0>::from_raw(10i128.pow(38) - 1).unwrap();
        flow.from_iter([(1u8, price), (1, price)]).sum_by_key().collect("out")
    });
    assert!(said.contains("sum_by_key: a sum does not fit"), "{said}");
}

/// The first and the last value, and how many: associative and not commutative.
type Span = (String, String, u64);

fn join_spans(a: Span, b: Span) -> Span {
    (a.0, b.1, a.2 + b.2)
}

#[test]
fn reduce_in_order() {
    for keys in Keys::EACH {
        let span = |v: &str| (v.to_string(), v.to_string(), 1);
        let found = rows(|flow| {
            let spans = texts(flow, keys).map(move |(k, v)| (k.to_string(), span(v)));
            spans.reduce_by_key(join_spans).clone()
        });
        let expected =
            expect(all_texts(keys), |v| v.iter().map(|v| span(v)).reduce(join_spans).unwrap());
        assert_rows(&found, &expected);
    }
}

#[test]
fn fold_in_order() {
    for keys in [Keys::Of(40), Keys::Skewed, Keys::All] {
        let found = rows(|flow| {
            numbers(flow, keys).filter(|(_, v)| v % 10 == 0).fold_by_key(
                Vec::new,
                |all: &mut Vec<i32>, v| all.push(v),
                |all, more| all.extend(more),
            )
        });
        let expected = expect(all_numbers(keys).filter(|(_, v)| v % 10 == 0), |values| values);
        assert_rows(&found, &expected);
    }
}

#[test]
fn aggregates_of_nothing() {
    let none = |flow: &Flow| numbers(flow, Keys::All).filter(|_| false);
    assert_eq!(rows(|flow| none(flow).count_by_key()), []);
    assert_eq!(rows(|flow| none(flow).sum_by_key()), []);
    assert_eq!(rows(|flow| none(flow).reduce_by_key(|a, _| a).clone()), []);
    assert_eq!(rows(|flow| flow.from_iter(Vec::<String>::new()).distinct()), Vec::<String>::new());
}

#[test]
fn several_stages() {
    let ran = everywhere(|flow, output| {
        let counts = texts(flow, Keys::Skewed).count_by_key();
        let of_counts = counts.map(|(_, count)| (count, 1u64)).sum_by_key();
        of_counts.sort_by_key().write_text(output.join("counts"))?;
        counts.map(|(_, count)| ((), count)).max_by_key().collect("most")?;
        of_counts.count().collect("out")
    });
    let counts = expect(all_texts(Keys::Skewed), |v| v.len() as u64);
    let of_counts = grouped(counts.iter().map(|(_, count)| (*count, ())));
    let lines: Vec<String> =
        of_counts.iter().map(|(count, rows)| format!("{count}\t{}", rows.len())).collect();
    assert_rows(&ran.lines("counts/"), &lines);
    assert_eq!(ran.rows::<u64>(), [of_counts.len() as u64]);
    let most = counts.iter().map(|(_, count)| *count).max().unwrap();
    assert_eq!(ran.named::<((), u64)>("most"), [((), most)]);
}

#[test]
fn a_panic_in_a_fold_fails_the_job() {
    let said = failure(|flow| {
        let rows = numbers(flow, Keys::Of(10)).reduce_by_key(|_, _| panic!("not this one"));
        rows.collect("out")
    });
    assert!(said.contains("not this one"), "{said}");
    let said = failure(|flow| {
        let rows = texts(flow, Keys::Of(10)).reduce_by_key(|_, _| panic!("nor this"));
        rows.commutative().collect("out")
    });
    assert!(said.contains("nor this"), "{said}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_rows(input in prop::collection::vec(("[ab]{0,20}", any::<i16>()), 0..2000)) {
        let ran = in_this_process(|flow, _| {
            let rows = flow.from_iter(input.clone());
            rows.sum_by_key().collect("sum")?;
            rows.count_by_value().collect("count")?;
            rows.reduce_by_key(|a, b| a.wrapping_mul(31).wrapping_add(b)).collect("or")?;
            rows.min_by_key().collect("min")
        });
        let sum = expect(input.clone(), |v| v.into_iter().map(i64::from).sum::<i64>());
        prop_assert_eq!(ran.named::<(String, i64)>("sum"), sum);
        let count = expect(input.iter().cloned().map(|row| (row, ())), |v| v.len() as u64);
        prop_assert_eq!(ran.named::<((String, i16), u64)>("count"), count);
        let min = expect(input.clone(), |v| v.into_iter().min().unwrap());
        prop_assert_eq!(ran.named::<(String, i16)>("min"), min);
    }
}
