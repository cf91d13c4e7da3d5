//! Keys that were made to have one hash, and keys that begin alike: all operators by key do with them what they do with
//! others, and in about the time. With a cost that is quadratic these tests would not end.

mod common;

use common::{assert_rows, in_this_process, many};
use std::collections::BTreeMap;
use windrow::{Dataset, Flow, Key};

type Name = [u8; 16];

const KEYS: u64 = 60_000;

/// Keys whose first half makes the multiplication in the hash one by zero, so that the second half is of no account.
fn name(number: u64) -> Name {
    let halves = [0x2d35_8dcc_aa6c_78a5u64, number % KEYS * 7 % KEYS];
    let mut name = [0; 16];
    name[..8].copy_from_slice(&halves[0].to_le_bytes());
    name[8..].copy_from_slice(&halves[1].to_le_bytes());
    name
}

fn named(flow: &Flow, count: u64) -> Dataset<(Name, u64)> {
    many(flow, count, |number| (name(number), number))
}

#[test]
fn the_keys_have_one_hash() {
    let hash = Name::hash(&name(1));
    assert!((0..KEYS).all(|number| Name::hash(&name(number)) == hash));
}

#[test]
fn aggregates_groups_joins_and_lookups() {
    let ran = in_this_process(|flow, _| {
        let rows = named(flow, KEYS * 3 / 2);
        rows.sum_by_key().collect("sums")?;
        rows.map(|(name, number)| (*name, number as f64)).sum_by_key().collect("floats")?;
        let groups =
            rows.group_by_key().map(|name, numbers| (*name, numbers.collect::<Vec<u64>>()));
        groups.collect("groups")?;
        let few = named(flow, 30_000).filter(|(_, number)| number % 2 == 0);
        rows.join(&few).map(|(name, (a, b))| (*name, a + b)).collect("joined")?;
        // Nobody sees the order of these: rows are looked up in a table of the few.
        rows.join(&few).count().collect("counted")?;
        rows.anti_join(&few).count().collect("without")?;
        rows.map_with(&few.broadcast(), |(name, number), few| (number, few.get(name)))
            .filter(|(_, found)| found.is_some())
            .count()
            .collect("found")
    });
    let mut groups: BTreeMap<Name, Vec<u64>> = BTreeMap::new();
    (0..KEYS * 3 / 2).for_each(|number| groups.entry(name(number)).or_default().push(number));
    let sums = groups.iter().map(|(name, numbers)| (*name, numbers.iter().sum::<u64>()));
    let sums: Vec<(Name, u64)> = sums.collect();
    assert_rows(&ran.named::<(Name, u64)>("sums"), &sums);
    let floats: Vec<(Name, f64)> = sums.iter().map(|(name, sum)| (*name, *sum as f64)).collect();
    assert_rows(&ran.named::<(Name, f64)>("floats"), &floats);
    let mut joined = Vec::new();
    for (name, numbers) in &groups {
        let few = numbers.iter().filter(|number| **number < 30_000 && *number % 2 == 0);
        let few: Vec<u64> = few.copied().collect();
        joined.extend(numbers.iter().flat_map(|a| few.iter().map(move |b| (*name, a + b))));
    }
    assert_rows(&ran.named::<(Name, u64)>("joined"), &joined);
    assert_eq!(ran.named::<u64>("found"), [joined.len() as u64]);
    assert_eq!(ran.named::<u64>("counted"), [joined.len() as u64]);
    let without = KEYS * 3 / 2 - joined.len() as u64;
    assert_eq!(ran.named::<u64>("without"), [without]);
    let groups: Vec<(Name, Vec<u64>)> = groups.into_iter().collect();
    assert_rows(&ran.named::<(Name, Vec<u64>)>("groups"), &groups);
}

#[test]
fn a_sort_of_keys_that_begin_alike() {
    let text = |number: u64| format!("a rather long beginning {:05}", number * 7 % KEYS);
    let ran = in_this_process(|flow, _| {
        let rows = many(flow, KEYS * 3 / 2, move |number| (text(number), number));
        rows.sort_by_key().collect("out")
    });
    let mut expected: Vec<(String, u64)> =
        (0..KEYS * 3 / 2).map(|number| (text(number), number)).collect();
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_rows(&ran.rows::<(String, u64)>(), &expected);
}
