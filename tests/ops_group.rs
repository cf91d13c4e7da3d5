//! Groups and joins, each against a plain sequential program.

mod common;

use common::{RECORDS, assert_rows, by_hash, everywhere, many, random, rows, rows_in_this_process};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use windrow::{Dataset, Flow, Local};

/// A key that is often longer than what is inline.
fn key(number: u64, keys: u64) -> String {
    let key = random(number) % keys;
    format!("{}{key}", ["", "key ", "a rather long key "][key as usize % 3])
}

fn pairs(flow: &Flow, count: u64, keys: u64) -> Dataset<(String, u64)> {
    many(flow, count, move |n| (key(n, keys), n))
}

fn all(count: u64, keys: u64) -> Vec<(String, u64)> {
    (0..count).map(|n| (key(n, keys), n)).collect()
}

fn groups<V: Clone>(rows: &[(String, V)]) -> BTreeMap<String, Vec<V>> {
    let mut groups: BTreeMap<String, Vec<V>> = BTreeMap::new();
    for (key, value) in rows {
        groups.entry(key.clone()).or_default().push(value.clone());
    }
    groups
}

#[test]
fn group_by_key() {
    for keys in [1, 700, 10_000_000] {
        let found = rows(|flow| {
            let groups = pairs(flow, RECORDS, keys).group_by_key();
            groups.map(|key, values| (key.to_string(), values.collect::<Vec<u64>>()))
        });
        assert_rows(&found, &by_hash(groups(&all(RECORDS, keys))));
    }
}

#[test]
fn group_values_by_views() {
    let found = rows(|flow| {
        pairs(flow, RECORDS, 700).group_by_key().map(|_, mut values| {
            let first = values.next_view();
            let (len, size) = (values.len() as u64, values.size_hint().0 as u64);
            let sum = values.fold_views(0, |sum, v| *sum += v);
            (first, len, size, sum, values.is_empty())
        })
    });
    let groups = by_hash(groups(&all(RECORDS, 700)));
    let expected: Vec<_> = groups
        .into_iter()
        .map(|(_, v)| {
            let len = v.len() as u64 - 1;
            (Some(v[0]), len, len, v[1..].iter().sum::<u64>(), true)
        })
        .collect();
    assert_rows(&found, &expected);
}

#[test]
fn sorted_groups_and_flat_map() {
    let found = rows(|flow| {
        // By less than the whole value, so that equal ones have to stay as they came.
        let sorted =
            pairs(flow, RECORDS, 700).group_by_key().sorted_by(|a, b| (b % 10).cmp(&(a % 10)));
        sorted.flat_map(|key, values| {
            let key = key.to_string();
            values.take(5).map(|v| (key.clone(), v)).collect::<Vec<_>>()
        })
    });
    let mut expected = Vec::new();
    for (key, mut values) in by_hash(groups(&all(RECORDS, 700))) {
        values.sort_by_key(|v| std::cmp::Reverse(v % 10));
        expected.extend(values.into_iter().take(5).map(|v| (key.clone(), v)));
    }
    assert_rows(&found, &expected);
}

/// The sides of joins: of other sizes, so that each alone would be cut into other buckets.
const SIDES: [(u64, u64); 4] = [(RECORDS, 800), (800, RECORDS), (3_000, 3_000), (0, 2_000)];

/// Left and right values of each key, in the order of rows behind a join.
fn both(left: u64, right: u64) -> Vec<(String, Vec<u64>, Vec<String>)> {
    let (a, b) = (groups(&all(left, 1_000)), groups(&right_rows(right)));
    let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let of = |key: &String| {
        (a.get(key).cloned().unwrap_or_default(), b.get(key).cloned().unwrap_or_default())
    };
    let rows = by_hash(keys.into_iter().map(|key| (key.clone(), of(key))));
    rows.into_iter().map(|(key, (a, b))| (key, a, b)).collect()
}

fn right(flow: &Flow, count: u64) -> Dataset<(String, String)> {
    // Keys that the left side has not, and the other way round.
    many(flow, count, |n| (key(n + 77, 1_300), format!("right {n}")))
}

fn right_rows(count: u64) -> Vec<(String, String)> {
    (0..count).map(|n| (key(n + 77, 1_300), format!("right {n}"))).collect()
}

/// What each of the joins gives.
fn expect_join<U>(
    left: u64,
    of_right: u64,
    each: impl Fn(&[u64], &[String]) -> Vec<U>,
) -> Vec<(String, U)> {
    let keys = both(left, of_right).into_iter();
    keys.flat_map(|(key, a, b)| {
        each(&a, &b).into_iter().map(move |u| (key.clone(), u)).collect::<Vec<_>>()
    })
    .collect()
}

fn product(a: &[u64], b: &[String]) -> Vec<(u64, String)> {
    a.iter().flat_map(|a| b.iter().map(|b| (*a, b.clone()))).collect()
}

#[test]
fn joins() {
    for (a, b) in SIDES {
        let left = |flow: &Flow| pairs(flow, a, 1_000);
        let inner = rows(|flow| left(flow).join(&right(flow, b)));
        assert_rows(&inner, &expect_join(a, b, product));
        let semi = rows(|flow| left(flow).semi_join(&right(flow, b)));
        let values = |a: &[u64], b: bool| if b { a.to_vec() } else { Vec::new() };
        assert_rows(&semi, &expect_join(a, b, |a, b| values(a, !b.is_empty())));
        let anti = rows(|flow| left(flow).anti_join(&right(flow, b)));
        assert_rows(&anti, &expect_join(a, b, |a, b| values(a, b.is_empty())));
    }
}

#[test]
fn outer_joins() {
    for (a, b) in SIDES {
        let left = |flow: &Flow| pairs(flow, a, 1_000);
        let some = |a: &[u64], b: &[String]| -> Vec<(Option<u64>, Option<String>)> {
            product(a, b).into_iter().map(|(a, b)| (Some(a), Some(b))).collect()
        };
        let no_right = |a: &[u64]| a.iter().map(|a| (Some(*a), None)).collect::<Vec<_>>();
        let no_left = |b: &[String]| b.iter().map(|b| (None, Some(b.clone()))).collect::<Vec<_>>();
        let full = rows(|flow| left(flow).full_join(&right(flow, b)));
        let expected = expect_join(a, b, |a, b| match (a, b) {
            (a, []) => no_right(a),
            ([], b) => no_left(b),
            (a, b) => some(a, b),
        });
        assert_rows(&full, &expected);
        let of_left = rows(|flow| left(flow).left_join(&right(flow, b)));
        let expected: Vec<_> = full
            .iter()
            .filter_map(|(key, (a, b))| Some((key.clone(), ((*a)?, b.clone()))))
            .collect();
        assert_rows(&of_left, &expected);
        let of_right = rows(|flow| left(flow).right_join(&right(flow, b)));
        let expected: Vec<_> =
            full.iter().filter_map(|(key, (a, b))| Some((key.clone(), (*a, b.clone()?)))).collect();
        assert_rows(&of_right, &expected);
    }
}

/// Nobody sees the order of what the joins give, so that the left side's rows, the right side's being fewer, are looked
/// up as they come.
#[test]
fn joins_in_any_order() {
    for b in [0, 1, 900] {
        let left = |flow: &Flow| pairs(flow, RECORDS, 1_000);
        let expected = expect_join(RECORDS, b, |a, b| vec![(a.len(), b.len())]);
        let sum = |of: fn(usize, usize) -> usize| {
            let pairs = expected.iter().map(|(_, (a, b))| of(*a, *b)).sum::<usize>();
            vec![pairs as u64]
        };
        let inner = rows(|flow| left(flow).join(&right(flow, b)).count());
        assert_eq!(inner, sum(|a, b| a * b));
        let outer = rows(|flow| left(flow).left_join(&right(flow, b)).count());
        assert_eq!(outer, sum(|a, b| a * b.max(1)));
        let outer = rows(|flow| right(flow, b).right_join(&left(flow)).count());
        assert_eq!(outer, sum(|a, b| a * b.max(1)));
        let semi = rows(|flow| left(flow).semi_join(&right(flow, b)).count());
        assert_eq!(semi, sum(|a, b| if b > 0 { a } else { 0 }));
        let anti = rows(|flow| left(flow).anti_join(&right(flow, b)).count());
        assert_eq!(anti, sum(|a, b| if b > 0 { 0 } else { a }));
    }
}

#[test]
fn co_group() {
    for (a, b) in SIDES {
        let found = rows(|flow| {
            let groups = pairs(flow, a, 1_000).co_group(&right(flow, b));
            groups.map(|key, a, b| {
                (key.to_string(), a.collect::<Vec<u64>>(), b.collect::<Vec<String>>())
            })
        });
        assert_rows(&found, &both(a, b));
        let found = rows(|flow| {
            let groups = pairs(flow, a, 1_000).co_group(&right(flow, b));
            groups
                .flat_map(|_, a, b| (a.len() != b.len()).then(|| (a.len() as u64, b.len() as u64)))
        });
        let lens = both(a, b).into_iter().map(|(_, a, b)| (a.len() as u64, b.len() as u64));
        assert_rows(&found, &lens.filter(|(a, b)| a != b).collect::<Vec<_>>());
    }
}

/// Over workers with little memory the rows of that key are too many for one task, and the other side for a table.
#[test]
fn a_join_of_which_one_key_has_most_rows() {
    for count in [2_000, 300_000] {
        let key = |n| if random(n) % 10 < 9 { 7 } else { random(n) / 10 % 20_000 };
        let text = |n| format!("{n} is the number of this row, which is one of many");
        let found: Vec<(u64, u64)> = rows(|flow| {
            let left = many(flow, count, move |n| (key(n), text(n)));
            let right = many(flow, 60_000, |n| (n, n + 1));
            let joined = left.join(&right);
            joined.map(|(key, (text, more))| (key % 11, text.len() as u64 + more)).sum_by_key()
        });
        let mut sums = BTreeMap::new();
        for n in 0..count {
            *sums.entry(key(n) % 11).or_default() += text(n).len() as u64 + key(n) + 1;
        }
        assert_eq!(BTreeMap::from_iter(found), sums);
    }
}

#[test]
fn a_dataset_joined_with_itself_and_with_its_aggregate() {
    let ran = everywhere(|flow, _| {
        let pairs = pairs(flow, 5_000, 1_000);
        pairs.join(&pairs).collect("out")?;
        pairs.join(&pairs.count_by_key()).join(&pairs.distinct().sort_by_key()).collect("more")
    });
    let groups = by_hash(groups(&all(5_000, 1_000)));
    let mut expected = Vec::new();
    let mut more = Vec::new();
    for (key, values) in groups {
        for a in &values {
            for b in &values {
                expected.push((key.clone(), (*a, *b)));
            }
        }
        // Those that are distinct come by their hashes, which the sort keeps for equal keys.
        let distinct: Vec<u64> = by_hash(values.iter().map(|v| ((key.clone(), *v), ())))
            .into_iter()
            .map(|((_, v), ())| v)
            .collect();
        for a in &values {
            for b in &distinct {
                more.push((key.clone(), ((*a, values.len() as u64), *b)));
            }
        }
    }
    assert_rows(&ran.rows::<(String, (u64, u64))>(), &expected);
    assert_rows(&ran.named::<(String, ((u64, u64), u64))>("more"), &more);
}

#[test]
fn an_aggregate_joined_with_more_keys_or_fewer() {
    for others in [500, RECORDS * 2] {
        let counts = |flow: &Flow| pairs(flow, RECORDS, 1_000).count_by_key();
        let others_of = move |flow: &Flow| right(flow, others).filter(|(_, name)| name.len() < 12);
        let inner = rows(|flow| counts(flow).join(&others_of(flow)));
        let left = rows(|flow| counts(flow).left_join(&others_of(flow)));
        let of_right = rows(|flow| others_of(flow).left_join(&counts(flow)));
        let anti = rows(|flow| counts(flow).anti_join(&others_of(flow)));
        let mut expected = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (key, a, b) in both(RECORDS, others) {
            let count = Some(a.len() as u64).filter(|count| *count > 0);
            let names: Vec<String> = b.into_iter().filter(|name| name.len() < 12).collect();
            for name in &names {
                expected.0.extend(count.map(|count| (key.clone(), (count, name.clone()))));
                expected.2.push((key.clone(), (name.clone(), count)));
            }
            if let Some(count) = count {
                let or_none =
                    names.iter().cloned().map(Some).chain(names.is_empty().then_some(None));
                expected.1.extend(or_none.map(|name| (key.clone(), (count, name))));
                expected.3.extend(names.is_empty().then(|| (key.clone(), count)));
            }
        }
        assert_rows(&inner, &expected.0);
        assert_rows(&left, &expected.1);
        assert_rows(&of_right, &expected.2);
        assert_rows(&anti, &expected.3);
    }
}

/// The bytes that went to scratch in a job with memory for hardly anything.
fn spilled(plan: impl Fn(&Flow) -> windrow::Result<()>) -> u64 {
    let outcome = Local::new().threads(2).memory(1 << 20).run_plan("spilling", plan).unwrap();
    outcome.summary.spilled_bytes
}

#[test]
fn rows_without_a_partner_are_not_kept() {
    let many_of = |flow: &Flow| pairs(flow, RECORDS, RECORDS);
    let few_of = |flow: &Flow| pairs(flow, 10, RECORDS);
    let all = spilled(|flow| {
        many_of(flow).co_group(&few_of(flow)).map(|_, a, _| a.len() as u64).collect("out")
    });
    assert!(all > 1_000_000, "{all}");
    let few = [
        spilled(|flow| many_of(flow).join(&few_of(flow)).collect("out")),
        spilled(|flow| few_of(flow).left_join(&many_of(flow)).collect("out")),
        spilled(|flow| few_of(flow).anti_join(&many_of(flow)).collect("out")),
        spilled(|flow| many_of(flow).count_by_key().join(&few_of(flow)).collect("out")),
    ];
    assert!(few.iter().all(|bytes| *bytes < all / 10), "{few:?} of {all}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn joins_of_any_rows(
        a in prop::collection::vec(("[ab]{0,14}", any::<u8>()), 0..60),
        b in prop::collection::vec(("[ab]{0,14}", any::<u8>()), 0..60),
    ) {
        let found = rows_in_this_process(|flow| {
            flow.from_iter(a.clone()).join(&flow.from_iter(b.clone()))
        });
        let mut expected = Vec::new();
        for (key, x) in &a {
            for (_, y) in b.iter().filter(|(other, _)| other == key) {
                expected.push((key.clone(), (*x, *y)));
            }
        }
        prop_assert_eq!(found, by_hash(expected));
    }
}
