//! Sorts, `top`, and other partitions, each against a plain sequential program.

mod common;

use common::{RECORDS, assert_rows, everywhere, in_this_process, many, random, rows};
use proptest::prelude::*;
use windrow::{Dataset, Flow, Key};

/// Keys of which many begin alike, and many are equal.
fn text(number: u64) -> String {
    let key = random(number) % 5_000;
    format!("{}{key}", ["", "a key that begins like others ", "a key "][key as usize % 3])
}

/// The sorted rows of several inputs, through memory and through files.
fn check_sort<T: Key + Ord + Clone + std::fmt::Debug>(
    make: impl Fn(u64) -> T + Send + Sync + Copy + 'static,
) {
    let mut expected: Vec<T> = (0..RECORDS).map(make).collect();
    expected.sort();
    assert_rows(&rows(|flow| many(flow, RECORDS, make).sort()), &expected);
}

#[test]
fn sort() {
    check_sort(random);
    check_sort(|n| random(n) as i32 % 100);
    check_sort(text);
    check_sort(|n| (random(n).is_multiple_of(3), text(n), n as u8));
    check_sort(|n| (!random(n).is_multiple_of(5)).then(|| text(n)));
    check_sort(|n| n);
    check_sort(|n| RECORDS - n);
    check_sort(|_| "all the same and rather long".to_string());
}

#[test]
fn sort_by_key_is_stable() {
    let ran = everywhere(|flow, output| {
        let sorted = many(flow, RECORDS, |n| (text(n), n)).sort_by_key();
        sorted.write_text(output.join("sorted"))?;
        sorted.collect("out")
    });
    let mut expected: Vec<(String, u64)> = (0..RECORDS).map(|n| (text(n), n)).collect();
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_rows(&ran.rows(), &expected);
    let lines: Vec<String> = expected.iter().map(|(key, n)| format!("{key}\t{n}")).collect();
    assert_rows(&ran.lines("sorted/"), &lines);
    assert!(ran.file_names().len() > 1, "{:?}", ran.file_names());
    let found = rows(|flow| many(flow, RECORDS, |n| (random(n) % 3, n)).sort_by_key());
    let mut expected: Vec<(u64, u64)> = (0..RECORDS).map(|n| (random(n) % 3, n)).collect();
    expected.sort_by_key(|row| row.0);
    assert_rows(&found, &expected);
}

#[test]
fn sort_by_prefix() {
    let record = |n: u64| {
        let mut record = [b'-'; 20];
        record[..3].copy_from_slice(&random(n).to_be_bytes()[..3]);
        record[0] %= 4;
        record[12..].copy_from_slice(&n.to_be_bytes());
        record
    };
    let mut expected: Vec<[u8; 20]> = (0..RECORDS).map(record).collect();
    expected.sort_by_key(|record| record[..2].to_vec());
    assert_rows(&rows(|flow| many(flow, RECORDS, record).sort_by_prefix::<2>()), &expected);
}

#[test]
fn sorts_of_nothing_and_of_little() {
    assert_rows(&rows(|flow| many(flow, 0, random).sort()), &[]);
    assert_rows(&rows(|flow| many(flow, RECORDS, random).filter(|_| false).sort()), &[]);
    // The sample sees none of those that are left.
    let found = rows(|flow| many(flow, RECORDS, |n| n).filter(|n| n % 5_000 == 4_999).sort());
    assert_rows(&found, &(0..12).map(|n| n * 5_000 + 4_999).collect::<Vec<_>>());
    let ran = everywhere(|flow, output| {
        flow.from_iter(Vec::<u64>::new()).sort().write_text(output.join("none"))
    });
    assert_rows(&ran.lines("none/"), &[]);
}

#[test]
fn sorts_behind_other_shuffles() {
    let ran = everywhere(|flow, _| {
        let counts = many(flow, RECORDS, text).count_by_value();
        let by_count = counts.map(|(text, count)| (count, text.to_string()));
        by_count.sort().collect("out")?;
        // A sort of what was sorted, and of a union of both.
        by_count.sort_by_key().map(|(count, _)| count).sort().collect("again")?;
        by_count.sort().union(&by_count).sort().collect("both")
    });
    let mut counts = std::collections::BTreeMap::<String, u64>::new();
    (0..RECORDS).for_each(|n| *counts.entry(text(n)).or_default() += 1);
    let mut expected: Vec<(u64, String)> = counts.into_iter().map(|(t, n)| (n, t)).collect();
    expected.sort();
    assert_rows(&ran.rows(), &expected);
    let again: Vec<u64> = expected.iter().map(|(count, _)| *count).collect();
    assert_rows(&ran.named::<u64>("again"), &again);
    let both: Vec<_> = expected.iter().flat_map(|row| [row.clone(), row.clone()]).collect();
    assert_rows(&ran.named::<(u64, String)>("both"), &both);
}

#[test]
fn top() {
    for n in [0, 1, 10, 3_000, 100_000] {
        let found = rows(|flow| {
            many(flow, RECORDS, |n| (text(n), n)).top(n, |a, b| b.0.len().cmp(&a.0.len()))
        });
        let mut expected: Vec<(String, u64)> = (0..RECORDS).map(|n| (text(n), n)).collect();
        expected.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        expected.truncate(n);
        assert_rows(&found, &expected);
    }
}

#[test]
fn repartition() {
    let ran = everywhere(|flow, output| {
        let parts = many(flow, RECORDS, |n| n).repartition(4);
        parts.write_text(output.join("four"))?;
        parts.map(|n| n).repartition(1).write_text(output.join("one"))
    });
    let four: Vec<Vec<u64>> =
        (0..4).map(|part| (0..RECORDS).filter(|n| n % 5_000 % 4 == part).collect()).collect();
    for (part, expected) in four.iter().enumerate() {
        let lines: Vec<String> = expected.iter().map(u64::to_string).collect();
        assert_rows(&ran.lines(&format!("four/part-0000{part}.")), &lines);
    }
    let lines: Vec<String> = four.concat().iter().map(u64::to_string).collect();
    assert_rows(&ran.lines("one/"), &lines);
    assert_eq!(ran.file_names().len(), 5);
}

#[test]
fn partition_by() {
    let parts = 7;
    let ran = everywhere(|flow, output| {
        let texts: Dataset<String> = many(flow, RECORDS, text);
        texts.partition_by(parts, |t| t.len() as u32).write_text(output.join("parts"))
    });
    let mut all = Vec::new();
    let mut owners = std::collections::BTreeMap::new();
    for part in 0..parts {
        let lines = ran.lines(&format!("parts/part-0000{part}."));
        for line in &lines {
            assert_eq!(*owners.entry(line.len()).or_insert(part), part);
        }
        let owned = |t: &String| owners.get(&t.len()) == Some(&part);
        assert_rows(&lines, &(0..RECORDS).map(text).filter(owned).collect::<Vec<_>>());
        all.extend(lines);
    }
    assert_eq!(all.len() as u64, RECORDS);
    assert_eq!(ran.file_names().len() as u32, parts);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_rows(input in prop::collection::vec(("[ab\u{0}é]{0,30}", any::<i8>()), 0..3000)) {
        let ran = in_this_process(|flow: &Flow, _| {
            let rows = flow.from_iter(input.clone());
            rows.sort_by_key().collect("out")?;
            rows.sort().collect("all")
        });
        let mut expected = input.clone();
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        prop_assert_eq!(ran.rows::<(String, i8)>(), expected.clone());
        expected.sort();
        prop_assert_eq!(ran.named::<(String, i8)>("all"), expected);
    }
}
