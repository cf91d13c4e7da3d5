//! Narrow operators, outputs and the order of rows, each against a plain sequential program.

mod common;

use common::{RECORDS, assert_rows, everywhere, failure, in_this_process, many, random, rows};
use proptest::prelude::*;
use windrow::record::{Date, Decimal};
use windrow::{Dataset, Flow, Local, Record};

/// Some text, often longer than what is inline in a view.
fn text(number: u64) -> String {
    format!("{}{}", "word ".repeat((number % 5) as usize), random(number) % 1000)
}

fn texts(flow: &Flow) -> Dataset<String> {
    many(flow, RECORDS, text)
}

fn all() -> impl Iterator<Item = String> {
    (0..RECORDS).map(text)
}

#[test]
fn map() {
    let found = rows(|flow| texts(flow).map(|t| (t.len() as u32, t.to_uppercase())));
    assert_rows(&found, &all().map(|t| (t.len() as u32, t.to_uppercase())).collect::<Vec<_>>());
}

#[test]
fn map_to() {
    let found = rows(|flow| texts(flow).map_to::<(String, bool)>(|t| (&t[t.len() / 2..], true)));
    let expected: Vec<_> = all().map(|t| (t[t.len() / 2..].to_string(), true)).collect();
    assert_rows(&found, &expected);
}

#[test]
fn filter() {
    let found = rows(|flow| texts(flow).filter(|t| t.len() > 10).filter(|t| t.ends_with('7')));
    let expected: Vec<_> = all().filter(|t| t.len() > 10 && t.ends_with('7')).collect();
    assert!(!expected.is_empty());
    assert_rows(&found, &expected);
    assert_rows(&rows(|flow| texts(flow).filter(|_| false)), &[]);
}

#[test]
fn flat_map() {
    let found = rows(|flow| texts(flow).flat_map(|t| vec![t.len() as u64; t.len() % 4]));
    let expected: Vec<_> = all().flat_map(|t| vec![t.len() as u64; t.len() % 4]).collect();
    assert_rows(&found, &expected);
    let found = rows(|flow| texts(flow).flat_map(|t| t.parse::<u64>().ok()));
    assert_rows(&found, &all().filter_map(|t| t.parse().ok()).collect::<Vec<u64>>());
}

#[test]
fn emit() {
    let found = rows(|flow| {
        texts(flow).emit::<(String, u64)>(|line, out| {
            for word in line.split(' ') {
                out.push((word, 1));
            }
        })
    });
    let words = all().flat_map(|t| t.split(' ').map(String::from).collect::<Vec<_>>());
    assert_rows(&found, &words.map(|w| (w, 1)).collect::<Vec<_>>());
}

#[test]
fn key_by() {
    let found = rows(|flow| texts(flow).key_by(|t| (t.len() as u8, t.starts_with('w'))));
    let expected: Vec<_> = all().map(|t| ((t.len() as u8, t.starts_with('w')), t)).collect();
    assert_rows(&found, &expected);
}

#[test]
fn map_init() {
    let found = rows(|flow| {
        texts(flow).map_init(String::new, |buffer, t| {
            buffer.clear();
            buffer.extend(t.chars().rev());
            buffer.clone()
        })
    });
    let expected: Vec<String> = all().map(|t| t.chars().rev().collect()).collect();
    assert_rows(&found, &expected);
}

#[test]
fn map_batches() {
    use arrow::array::{AsArray, RecordBatch};
    use arrow::compute::filter_record_batch;
    use arrow::datatypes::UInt64Type;
    // Behind a filter and behind an `emit`, which give selections and rows.
    let found = rows(|flow| {
        let numbers = many(flow, RECORDS, random).filter(|n| n % 3 == 0);
        numbers.emit::<u64>(|n, out| out.push(n)).map_batches::<u64, _>(|batch: RecordBatch| {
            let numbers = batch.column(0).as_primitive::<UInt64Type>();
            let even = numbers.iter().map(|n| n.map(|n| n % 2 == 0)).collect();
            filter_record_batch(&batch, &even)
        })
    });
    let numbers = (0..RECORDS).map(random);
    assert_rows(&found, &numbers.filter(|n| n % 6 == 0).collect::<Vec<_>>());
    let said = failure(|flow| {
        let numbers = many(flow, RECORDS, random);
        let none = numbers.map_batches::<u64, _>(|_| Err::<RecordBatch, _>("no such batch"));
        none.collect("out")
    });
    assert!(said.contains("map_batches at tests/ops_narrow.rs:"), "{said}");
    assert!(said.contains("no such batch"), "{said}");
}

#[test]
fn map_with_a_broadcast() {
    let found = rows(|flow| {
        let names = many(flow, 300, |n| (n % 100, text(n))).broadcast();
        many(flow, RECORDS, |n| n).map_with(&names, |n, names| {
            let all: Vec<&str> = names.get_all(n % 150).collect();
            (n, names.get(n % 150).map(String::from), all.concat(), names.len() as u64)
        })
    });
    let expected: Vec<_> = (0..RECORDS)
        .map(|n| {
            let key = n % 150;
            let of_key = || (0..300).filter(move |m| m % 100 == key).map(text);
            (n, of_key().next(), of_key().collect::<String>(), 300)
        })
        .collect();
    assert_rows(&found, &expected);
}

#[test]
fn flat_map_with_a_broadcast() {
    let found = rows(|flow| {
        let names = many(flow, 50, |n| (n, text(n))).broadcast();
        many(flow, RECORDS, |n| n)
            .flat_map_with(&names, |n, names| Some((n, names.get(n % 150)?.to_string())))
    });
    let kept = (0..RECORDS).filter(|n| n % 150 < 50);
    assert_rows(&found, &kept.map(|n| (n, text(n % 150))).collect::<Vec<_>>());
}

#[test]
fn broadcasts_of_the_same_source_and_of_nothing() {
    let found = rows(|flow| {
        let numbers = many(flow, RECORDS, |n| (n, random(n) % 100));
        let few = numbers.filter(|(n, _)| n < 1000).broadcast();
        let none = numbers.filter(|_| false).broadcast();
        numbers
            .map_with(&few, |(n, value), few| (few.get(value).unwrap_or(7), n))
            .map_with(&none, |(a, b), none| (a, b, none.is_empty()))
    });
    let value = |n| random(n) % 100;
    assert_rows(&found, &(0..RECORDS).map(|n| (value(value(n)), n, true)).collect::<Vec<_>>());
}

/// Of one dataset, things of one type and of another, one made of the other.
#[test]
fn what_is_made_of_a_broadcast() {
    let found = rows(|flow| {
        let few = many(flow, 100, |n| (n, random(n) % 100)).broadcast();
        let sum = few.prepare(|few| few.iter().map(|(_, value)| value).sum::<u64>());
        let most = few.prepare(|few| few.iter().map(|(_, value)| value).max().unwrap_or(0));
        let both = most.prepare(|most| vec![*most, 1]);
        many(flow, RECORDS, |n| n)
            .map_with(&sum, |n, sum| n + sum)
            .map_with(&most, |n, most| (n, *most))
            .map_with(&both, |(n, most), both| (n, most, both[0] + both[1]))
    });
    let values = || (0..100).map(|n| random(n) % 100);
    let (sum, most) = (values().sum::<u64>(), values().max().unwrap());
    assert_rows(&found, &(0..RECORDS).map(|n| (n + sum, most, most + 1)).collect::<Vec<_>>());
}

#[test]
fn count() {
    assert_eq!(rows(|flow| texts(flow).count()), [RECORDS]);
    let odd = (0..RECORDS).filter(|n| random(*n) % 2 == 1).count() as u64;
    assert_eq!(rows(|flow| many(flow, RECORDS, random).filter(|n| n % 2 == 1).count()), [odd]);
    assert_eq!(rows(|flow| flow.from_iter(Vec::<u64>::new()).count()), [0]);
    assert_eq!(rows(|flow| texts(flow).emit::<u64>(|_, out| out.push(1)).count()), [RECORDS]);
}

#[test]
fn union() {
    let a = |n: u64| n;
    let b = |n: u64| 1_000_000 + n;
    let expected: Vec<u64> = (0..RECORDS).map(b).chain((0..RECORDS).map(a)).collect();
    let both = |flow: &Flow| {
        // The one whose records come first is made last.
        let (a, b) = (many(flow, RECORDS, a), many(flow, RECORDS, b));
        b.union(&a)
    };
    assert_rows(&rows(both), &expected);
    // The same through a shuffle that keeps the order.
    assert_rows(&rows(|flow| both(flow).partition_by(1, |_| 0u8)), &expected);
    let ran = everywhere(|flow, output| both(flow).write_text(output.join("both")));
    let lines: Vec<String> = expected.iter().map(u64::to_string).collect();
    assert_rows(&ran.lines("both/"), &lines);
}

#[test]
fn union_of_a_dataset_with_itself() {
    let expected: Vec<u64> = (0..RECORDS).chain((0..RECORDS).map(|n| n * 2)).collect();
    let both = |flow: &Flow| {
        let numbers = many(flow, RECORDS, |n| n);
        numbers.union(&numbers.map(|n| n * 2))
    };
    assert_rows(&rows(both), &expected);
    assert_rows(&rows(|flow| both(flow).partition_by(1, |_| 0u8)), &expected);
    let ran = everywhere(|flow, output| both(flow).write_text(output.join("both")));
    let lines: Vec<String> = expected.iter().map(u64::to_string).collect();
    assert_rows(&ran.lines("both/"), &lines);
    let twice = |flow: &Flow| {
        let numbers = many(flow, RECORDS, |n| n);
        numbers.union(&numbers)
    };
    let expected: Vec<u64> = (0..RECORDS).chain(0..RECORDS).collect();
    assert_rows(&rows(twice), &expected);
    assert_eq!(rows(|flow| twice(flow).count()), [2 * RECORDS]);
}

#[test]
fn unions_of_unions() {
    let found = rows(|flow| {
        let numbers = many(flow, 1000, |n| n);
        let others = flow.from_iter(5000..6000u64);
        let left = others.union(&numbers.map(|n| n + 10_000));
        left.union(&numbers).union(&others)
    });
    let expected: Vec<u64> =
        (5000..6000).chain(10_000..11_000).chain(0..1000).chain(5000..6000).collect();
    assert_rows(&found, &expected);
}

#[test]
fn counters() {
    let ran = everywhere(|flow, _| {
        let (seen, long) = (flow.counter("seen"), flow.counter("long"));
        let texts = texts(flow).filter(move |t| {
            seen.add(1);
            t.len() > 15
        });
        let again = flow.counter("long");
        texts.map(move |t| t.len() as u64).map(move |n| again.add(n)).count().collect("out")?;
        texts.map(move |_| long.add(0)).count().collect("more")
    });
    assert_eq!(ran.counter("seen"), RECORDS);
    let long: u64 = all().filter(|t| t.len() > 15).map(|t| t.len() as u64).sum();
    assert_eq!(ran.counter("long"), long);
    assert_eq!(ran.named::<u64>("more"), ran.rows::<u64>());
}

#[test]
fn several_sinks_and_a_dataset_used_twice() {
    let ran = everywhere(|flow, output| {
        let texts = texts(flow);
        let short = texts.filter(|t| t.len() < 8);
        texts.write_text(output.join("all"))?;
        short.write_text(output.join("short"))?;
        short.map(|t| (t.len() as u64, t.to_string())).write_text(output.join("lengths"))?;
        short.count_by_value().write_text(output.join("counts"))?;
        short.count().collect("out")
    });
    let short: Vec<String> = all().filter(|t| t.len() < 8).collect();
    assert_rows(&ran.lines("all/"), &all().collect::<Vec<_>>());
    assert_rows(&ran.lines("short/"), &short);
    let lengths: Vec<_> = short.iter().map(|t| format!("{}\t{t}", t.len())).collect();
    assert_rows(&ran.lines("lengths/"), &lengths);
    let counted: u64 = ran
        .lines("counts/")
        .iter()
        .map(|line| line.rsplit_once('\t').unwrap().1.parse::<u64>().unwrap())
        .sum();
    assert_eq!((counted, ran.rows()), (short.len() as u64, vec![short.len() as u64]));
    // A part for each task of a stage.
    assert_eq!(ran.lines("all/part-00002").len(), 15_000);
}

#[test]
fn outputs_need_names_of_their_own() {
    let said = |plan: &dyn Fn(&Flow) -> windrow::Result<()>| {
        Local::new().run_plan("test", plan).expect_err("it fails").to_string()
    };
    let twice = said(&|flow| {
        let numbers = flow.from_iter([1u8]);
        numbers.collect("a")?;
        numbers.collect("a")
    });
    assert!(twice.contains("`a`: collected datasets need names, each another"), "{twice}");
    assert!(twice.contains("tests/ops_narrow.rs:"), "{twice}");
    let nothing = said(&|flow| {
        let _ = flow.from_iter([1u8]).map(|n| n);
        Ok(())
    });
    assert!(nothing.contains("has nothing to do"), "{nothing}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out").to_str().unwrap().to_string();
    let same = said(&|flow| {
        flow.from_iter([1u8]).write_text(&path)?;
        flow.from_iter([1u8]).write_text(&path)
    });
    assert!(same.contains("two datasets cannot be written to one folder"), "{same}");
}

#[test]
fn a_panic_names_the_record() {
    let said = failure(|flow| {
        let lines = flow.generate(200_000, |n| n).map(|n| n + 1);
        lines.map(|n| assert_ne!(n, 123_456, "this one")).count().collect("out")
    });
    assert!(said.contains("this one"), "{said}");
    assert!(said.contains("record 123455 of the job's own records"), "{said}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn chains_of_all_kinds(
        numbers in prop::collection::vec(any::<u16>(), 0..3000),
        keep in 1..5u16,
        copies in 0..4usize,
    ) {
        let input = numbers.clone();
        let ran = in_this_process(move |flow, _| {
            let all = flow.from_iter(input.clone());
            let kept = all.filter(move |n| n % keep == 0);
            kept.union(&all.map(|n| n / 2))
                .flat_map(move |n| vec![n; copies])
                .map(|n| (n, n.to_string()))
                .filter(|(_, text)| !text.starts_with('1'))
                .collect("out")
        });
        let kept = numbers.iter().copied().filter(|n| n % keep == 0);
        let expected: Vec<(u16, String)> = kept
            .chain(numbers.iter().map(|n| n / 2))
            .flat_map(|n| vec![n; copies])
            .map(|n| (n, n.to_string()))
            .filter(|(_, text)| !text.starts_with('1'))
            .collect();
        prop_assert_eq!(ran.rows::<(u16, String)>(), expected);
    }
}

#[derive(Record)]
struct Trip {
    id: u64,
    year: i32,
    zone: Option<String>,
}

#[derive(Record, Debug, PartialEq)]
struct Id {
    id: u64,
}

fn trip(id: u64) -> Trip {
    let zone = random(id) % 5;
    Trip { id, year: 2020 + (id % 3) as i32, zone: (zone > 0).then(|| format!("z/{zone}")) }
}

#[test]
fn write_parquet_by() {
    // Brought together first: one file a partition.
    let ran = everywhere(|flow, output| {
        many(flow, RECORDS, trip)
            .partition_by(3, |trip| (trip.year, trip.zone.map(str::to_string)))
            .write_parquet_by(|c| (c.year, c.zone), output.join("out"))
    });
    let folders: Vec<&str> = ran
        .file_names()
        .into_iter()
        .filter_map(|name| Some(name.strip_prefix("out/")?.rsplit_once('/')?.0))
        .collect();
    let zones = ["__HIVE_DEFAULT_PARTITION__", "z%2F1", "z%2F2", "z%2F3", "z%2F4"];
    let expected: Vec<String> = (2020..2023)
        .flat_map(|year| zones.map(|zone| format!("year={year}/zone={zone}")))
        .collect();
    assert_eq!(folders, expected);
    // As they come: rows of a partition are in the order of the whole.
    let folder = tempfile::tempdir().unwrap();
    let plan = |flow: &Flow| {
        many(flow, RECORDS, trip).write_parquet_by(|c| c.year, &folder.path().join("out"))
    };
    let outcome = Local::new().threads(2).run_plan("write", plan).unwrap();
    assert_eq!(outcome.outputs[0].1.partitioned_by, ["year"]);
    let read =
        |flow: &Flow| flow.read_parquet::<Id>(&folder.path().join("out/year=2021")).collect("ids");
    let ids = Local::new().run_plan("read", read).unwrap().rows::<Id>("ids").unwrap();
    let expected: Vec<Id> = (0..RECORDS).filter(|id| id % 3 == 1).map(|id| Id { id }).collect();
    assert!(ids == expected);
}

/// With a key of each kind.
#[derive(Record, Clone, Debug, PartialEq)]
struct Keyed {
    day: Option<Date>,
    flag: bool,
    name: String,
    price: Decimal<9, 2>,
    id: u64,
}

fn keyed(id: u64) -> Keyed {
    let names = ["plain", "with space", "a=b", "50%/grün", "__HIVE"];
    Keyed {
        day: (!id.is_multiple_of(4))
            .then(|| Date::from_ymd(2024, 2, 26 + (id % 4) as u32).unwrap()),
        flag: id.is_multiple_of(2),
        name: names[id as usize % names.len()].to_string(),
        price: Decimal::from_raw(i128::from(id % 2) * 150 - 75).unwrap(),
        id,
    }
}

#[test]
fn what_is_written_by_keys_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    let write = |flow: &Flow| {
        flow.generate(1000, keyed)
            .write_parquet_by(|c| (c.day, c.flag, c.name, c.price), output.as_path())
    };
    Local::new().threads(2).run_plan("write", write).unwrap();
    // What no manifest lists is no part of it.
    std::fs::copy(output.join("_SUCCESS"), output.join("stray.parquet")).unwrap();
    let mut all = rows(|flow| flow.read_parquet::<Keyed>(output.as_path()));
    all.sort_by_key(|row| row.id);
    assert_rows(&all, &(0..1000).map(keyed).collect::<Vec<_>>());
    let leap = Date::from_ymd(2024, 2, 29).unwrap();
    let some = |flow: &Flow| {
        flow.read_parquet::<Keyed>(output.as_path())
            .filter_by(|c| c.day.eq(leap).and(c.name.eq("50%/grün")))
            .collect("out")
    };
    let outcome = Local::new().run_plan("read", some).unwrap();
    let expected: Vec<Keyed> = (0..1000)
        .map(keyed)
        .filter(|row| row.day == Some(leap) && row.name == "50%/grün")
        .collect();
    assert_rows(&outcome.rows::<Keyed>("out").unwrap(), &expected);
    let scan = outcome.summary.scan;
    assert_eq!((scan.files, scan.files_pruned_by_folder), (20, 19));
}

#[test]
fn write_parquet_by_what_names_no_folder() {
    let plan = |flow: &Flow| {
        flow.from_iter([(1_u32, 2_u32)]).write_parquet_by(|c| c.0, "/tmp/windrow-nothing")
    };
    let error = Local::new().run_plan("write", plan).unwrap_err().to_string();
    assert!(error.contains("column `_0`"), "{error}");
    assert!(error.contains("ops_narrow.rs"), "{error}");
}
