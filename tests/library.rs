//! The ready jobs, each against a plain sequential program.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use windrow::generate::{Generator, Tera, Words};
use windrow::location::Location;
use windrow::{Job, Key, Local, Outcome, Record, RunError};
use windrow_jobs::library::{
    Components, Distinct, Grep, Index, Kmeans, Measurements, Pagerank, Terasort, TerasortValidate,
    WordFormat, Wordcount,
};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn at(&self, name: &str) -> Location {
        Location::of_path(self.path(name)).unwrap()
    }

    /// Some files of text, of which several share words, and their contents by location.
    fn texts(&self) -> BTreeMap<String, Vec<u8>> {
        std::fs::create_dir(self.path("texts")).unwrap();
        let made = (0..6).map(|seed| {
            let mut text = Vec::new();
            Words { bytes: 30_000 * (seed % 3) + 500, seed: seed / 2 }.fill(0..u64::MAX, &mut text);
            (format!("{seed}.txt"), text)
        });
        // Small ones are packed into one lane; the longest is several lanes.
        let mut long = Vec::new();
        Words { bytes: 5 << 20, seed: 9 }.fill(0..u64::MAX, &mut long);
        let odd =
            b"\n\n  caf\xc3\xa9 \xff\xfe bytes\r\nthe end without an end of line the".to_vec();
        let made = made.chain([("long.txt".to_string(), long), ("odd.txt".to_string(), odd)]);
        made.map(|(name, text)| {
            let location = self.at("texts").join(&name);
            std::fs::write(self.path("texts").join(name), &text).unwrap();
            (location.to_string(), text)
        })
        .collect()
    }

    /// The text that an output has, file after file.
    fn output(&self, name: &str) -> Vec<u8> {
        let parts = parts(&self.path(name));
        parts.into_iter().flat_map(|path| std::fs::read(path).unwrap()).collect()
    }
}

fn parts(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut parts: Vec<PathBuf> =
        entries.filter(|path| path.file_name().unwrap() != "_SUCCESS").collect();
    parts.sort();
    parts
}

/// Runs a job with one thread and with three, the outputs of which are to be the same.
fn run<J: Job>(folder: &Folder, job: impl Fn(Location) -> J) -> Outcome {
    Local::new().threads(1).run(&job(folder.at("out"))).unwrap();
    let outcome = Local::new().threads(3).run(&job(folder.at("out-3"))).unwrap();
    assert!(folder.output("out") == folder.output("out-3"));
    outcome
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    lines.iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect()
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// Text of these lines, in the order of the hashes of `key`.
fn by_hash<'a>(rows: impl IntoIterator<Item = (&'a [u8], Vec<u8>)>) -> Vec<u8> {
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by_key(|(key, _)| (<bytes::Bytes as Key>::hash(key), key.to_vec()));
    rows.into_iter().flat_map(|(_, line)| [line, b"\n".to_vec()].concat()).collect()
}

fn counts(texts: &BTreeMap<String, Vec<u8>>) -> BTreeMap<&[u8], u64> {
    let mut counts = BTreeMap::new();
    for word in texts.values().flat_map(|text| words(text)) {
        *counts.entry(word).or_default() += 1;
    }
    counts
}

/// What a word count writes.
fn counted_lines(texts: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let counts = counts(texts).into_iter();
    by_hash(counts.map(|(word, n)| (word, [word, format!("\t{n}").as_bytes()].concat())))
}

#[test]
fn wordcount_as_text() {
    let folder = Folder::new();
    let texts = folder.texts();
    run(&folder, |output| Wordcount {
        input: vec![folder.at("texts")],
        output,
        format: WordFormat::Text,
    });
    assert!(folder.output("out") == counted_lines(&texts));
}

#[derive(Record)]
struct WordCount {
    count: u64,
    word: bytes::Bytes,
}

#[test]
fn wordcount_as_parquet() {
    let folder = Folder::new();
    let texts = folder.texts();
    run(&folder, |output| Wordcount {
        input: vec![folder.at("texts")],
        output,
        format: WordFormat::Parquet,
    });
    let read = Local::new().threads(2).run_plan("read", |flow| {
        let rows = flow.read_parquet::<WordCount>(folder.at("out"));
        rows.map_to::<(bytes::Bytes, u64)>(|row| (row.word, row.count))
            .write_text(folder.at("text"))
    });
    assert_eq!(read.unwrap().summary.records_read, counts(&texts).len() as u64);
    assert!(folder.output("text") == counted_lines(&texts));
}

#[test]
fn grep() {
    let folder = Folder::new();
    let texts = folder.texts();
    let pattern = r"(?-u)\bte|\xff".to_string();
    let job = |output| Grep { pattern: pattern.clone(), input: vec![folder.at("texts")], output };
    run(&folder, job);
    let matching = |line: &&[u8]| {
        let starts = |at: usize| at == 0 || !line[at - 1].is_ascii_alphanumeric();
        line.contains(&0xff)
            || (0..line.len()).any(|at| line[at..].starts_with(b"te") && starts(at))
    };
    let all = texts.values().flat_map(|text| lines(text));
    let expected: Vec<u8> = all.filter(matching).flat_map(|line| [line, b"\n"].concat()).collect();
    assert!(expected.len() > 1000);
    assert!(folder.output("out") == expected);
    let wrong = Grep { pattern: "(".to_string(), input: vec![], output: folder.at("wrong") };
    let said = Local::new().run(&wrong).unwrap_err().to_string();
    assert!(said.contains("unclosed group"), "{said}");
}

#[test]
fn distinct() {
    let folder = Folder::new();
    let texts = folder.texts();
    run(&folder, |output| Distinct { input: vec![folder.at("texts")], output });
    let all: BTreeSet<&[u8]> = texts.values().flat_map(|text| lines(text)).collect();
    assert!(folder.output("out") == by_hash(all.into_iter().map(|line| (line, line.to_vec()))));
}

#[test]
fn index() {
    let folder = Folder::new();
    let texts = folder.texts();
    run(&folder, |output| Index { input: vec![folder.at("texts")], output });
    let mut files: BTreeMap<&[u8], Vec<&str>> = BTreeMap::new();
    for (file, text) in &texts {
        let once: BTreeSet<&[u8]> = words(text).collect();
        once.into_iter().for_each(|word| files.entry(word).or_default().push(file));
    }
    let line = |(word, files): (&[u8], Vec<&str>)| {
        [word, b"\t", files.join(",").as_bytes(), b"\n"].concat()
    };
    let expected: Vec<u8> = files.into_iter().flat_map(line).collect();
    assert!(folder.output("out") == expected);
}

#[test]
fn measurements() {
    let folder = Folder::new();
    let mut text = Vec::new();
    windrow::generate::Measurements { records: 50_000, seed: 3 }.fill(0..50_000, &mut text);
    text.extend(b"Half;0.1\nHalf;0.2\nLess;-0.1\nLess;-0.2\nOne;100.0\n");
    std::fs::write(folder.path("lines"), &text).unwrap();
    run(&folder, |output| Measurements { input: vec![folder.at("lines")], output });
    let mut stations: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for line in std::str::from_utf8(&text).unwrap().lines() {
        let (station, temperature) = line.split_once(';').unwrap();
        let tenths = temperature.replace('.', "").parse().unwrap();
        stations.entry(station).or_default().push(tenths);
    }
    let degrees = |tenths: f64| format!("{:.1}", tenths / 10.0).replace("-0.0", "0.0");
    let line = |(station, tenths): (&str, Vec<i64>)| {
        let (least, greatest) = (tenths.iter().min().unwrap(), tenths.iter().max().unwrap());
        let mean = (tenths.iter().sum::<i64>() as f64 / tenths.len() as f64 + 0.5).floor();
        let [least, greatest] = [least, greatest].map(|tenths| degrees(*tenths as f64));
        format!("{station};{least};{};{greatest}\n", degrees(mean))
    };
    let expected: String = stations.into_iter().map(line).collect();
    assert!(expected.contains("\nHalf;0.1;0.2;0.2\n"));
    assert!(expected.contains("\nLess;-0.2;-0.1;-0.1\n"));
    assert_eq!(String::from_utf8(folder.output("out")).unwrap(), expected);

    std::fs::write(folder.path("wrong"), "A;1.0\nB;cold\n").unwrap();
    let wrong = Measurements { input: vec![folder.at("wrong")], output: folder.at("none") };
    let said = Local::new().run(&wrong).unwrap_err().to_string();
    assert!(said.contains("\"B;cold\" is no measurement") && said.contains("wrong"), "{said}");
}

/// A graph of some chains and some random edges, as text, and its edges.
fn graph(folder: &Folder) -> Vec<(u64, u64)> {
    let mut edges: Vec<(u64, u64)> = (0..40).map(|n| (n * 3, n * 3 + 3)).collect();
    edges.extend((0..300).map(|n| {
        let at = windrow::record::mix(n, 5);
        (1000 + at % 200, 1000 + (at >> 32) % 400)
    }));
    let lines: String = edges.iter().map(|(a, b)| format!("{a}\t{b}\n")).collect();
    std::fs::write(folder.path("graph"), format!("# from and to\n\n{lines}")).unwrap();
    edges
}

fn pairs<T: std::str::FromStr<Err: std::fmt::Debug>>(text: Vec<u8>) -> BTreeMap<u64, T> {
    let text = String::from_utf8(text).unwrap();
    let pair = |line: &str| {
        let (a, b) = line.split_once('\t').unwrap();
        (a.parse().unwrap(), b.parse().unwrap())
    };
    text.lines().map(pair).collect()
}

#[test]
fn pagerank() {
    let folder = Folder::new();
    let edges = graph(&folder);
    let input = vec![folder.at("graph")];
    run(&folder, |output| Pagerank { input: input.clone(), output, rounds: 7, damping: 0.85 });
    let found = pairs::<f64>(folder.output("out"));
    let nodes: BTreeSet<u64> = edges.iter().flat_map(|(a, b)| [*a, *b]).collect();
    let count = nodes.len() as f64;
    let mut links: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    edges.iter().for_each(|(from, to)| links.entry(*from).or_default().push(*to));
    let mut ranks: BTreeMap<u64, f64> = nodes.iter().map(|node| (*node, 1.0 / count)).collect();
    for _ in 0..7 {
        let without = ranks.iter().filter(|(node, _)| !links.contains_key(node));
        let lost: f64 = without.map(|(_, rank)| rank).sum();
        let to_all = (0.15 + 0.85 * lost) / count;
        let mut next: BTreeMap<u64, f64> = nodes.iter().map(|node| (*node, to_all)).collect();
        for (from, to) in &links {
            for node in to {
                *next.get_mut(node).unwrap() += 0.85 * ranks[from] / to.len() as f64;
            }
        }
        ranks = next;
    }
    assert!(found.keys().eq(ranks.keys()));
    assert!(ranks.iter().all(|(node, rank)| (found[node] - rank).abs() < 1e-9));
    assert!((found.values().sum::<f64>() - 1.0).abs() < 1e-9);
}

#[test]
fn components() {
    let folder = Folder::new();
    let edges = graph(&folder);
    run(&folder, |output| Components { input: vec![folder.at("graph")], output });
    let mut expected: BTreeMap<u64, u64> =
        edges.iter().flat_map(|(a, b)| [(*a, *a), (*b, *b)]).collect();
    let mut changed = true;
    while std::mem::take(&mut changed) {
        for (a, b) in &edges {
            let least = expected[a].min(expected[b]);
            for node in [a, b] {
                changed |= expected.insert(*node, least) != Some(least);
            }
        }
    }
    assert_eq!(pairs::<u64>(folder.output("out")), expected);
}

#[test]
fn kmeans() {
    let folder = Folder::new();
    let mut lines = String::new();
    for n in 0..9_000u64 {
        let (x, y) = [(0.0, 0.0), (100.0, 0.0), (0.0, -100.0)][n as usize % 3];
        let part = |at: u32| f64::from((windrow::record::mix(n, 8) >> at) as u16) / 65_536.0 - 0.5;
        lines += &format!("{}, {}\n", x + part(0), y + part(16));
    }
    std::fs::write(folder.path("points"), lines).unwrap();
    let input = vec![folder.at("points")];
    let job =
        |output| Kmeans { input: input.clone(), output, clusters: 12, rounds: 100, tolerance: 0.0 };
    run(&folder, job);
    let text = String::from_utf8(folder.output("out")).unwrap();
    let mut sums: BTreeMap<(bool, bool), (u64, f64, f64)> = BTreeMap::new();
    for line in text.lines() {
        let (count, center) = line.split_once('\t').unwrap();
        let (x, y) = center.split_once(',').unwrap();
        let (count, x, y): (u64, f64, f64) =
            (count.parse().unwrap(), x.parse().unwrap(), y.parse().unwrap());
        let sum = sums.entry((x > 50.0, y < -50.0)).or_default();
        *sum = (sum.0 + count, sum.1 + count as f64 * x, sum.2 + count as f64 * y);
    }
    // Twelve centers share three heaps of points; together, each heap's centers are its mean.
    assert_eq!(text.lines().count(), 12);
    let heaps = [
        ((false, false), (0.0, 0.0)),
        ((true, false), (100.0, 0.0)),
        ((false, true), (0.0, -100.0)),
    ];
    for (heap, (x, y)) in heaps {
        let (count, sum_x, sum_y) = sums[&heap];
        assert_eq!(count, 3_000);
        assert!((sum_x / 3_000.0 - x).abs() < 0.05 && (sum_y / 3_000.0 - y).abs() < 0.05);
    }
}

fn validate(input: Location) -> TerasortValidate {
    TerasortValidate { input: vec![input], records: None, checksum: None, unsorted: false }
}

fn said(job: &TerasortValidate) -> String {
    let failure: Result<Outcome, RunError> = Local::new().threads(2).run(job);
    failure.expect_err("it fails").to_string()
}

#[test]
fn terasort_and_its_validation() {
    let folder = Folder::new();
    Tera { records: 120_000, seed: 5 }.write_file(&folder.path("tera")).unwrap();
    run(&folder, |output| Terasort { input: vec![folder.at("tera")], output });
    let mut records = std::fs::read(folder.path("tera")).unwrap();
    records.as_chunks_mut::<100>().0.sort_by_key(|record| record[..10].to_vec());
    assert!(folder.output("out") == records);
    // The checksum is that of the input, in whatever order.
    let unsorted = TerasortValidate { unsorted: true, ..validate(folder.at("tera")) };
    let counters = Local::new().run(&unsorted).unwrap().counters;
    let (count, checksum) = (counters["records"], counters["checksum"]);
    let crcs = records.as_chunks::<100>().0.iter().map(|record| u64::from(crc32fast::hash(record)));
    assert_eq!((count, checksum), (120_000, crcs.sum::<u64>()));
    let exact = TerasortValidate {
        records: Some(count),
        checksum: Some(checksum),
        ..validate(folder.at("out"))
    };
    assert_eq!(Local::new().threads(2).run(&exact).unwrap().counters, counters);
    let fewer = said(&TerasortValidate { records: Some(7), ..validate(folder.at("out")) });
    assert!(fewer.contains("120000 records, not 7"), "{fewer}");
    let other = said(&TerasortValidate { checksum: Some(7), ..validate(folder.at("out")) });
    assert!(other.contains(&format!("the checksum is {checksum}, not 7")), "{other}");
}

#[test]
fn validation_finds_what_is_not_sorted() {
    let folder = Folder::new();
    let record = |key: u32| {
        let mut record = [b'.'; 100];
        record[..10].copy_from_slice(format!("{key:010}").as_bytes());
        record
    };
    let write = |name: &str, keys: &mut dyn Iterator<Item = u32>| {
        let path = folder.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, keys.flat_map(record).collect::<Vec<u8>>()).unwrap();
    };
    // Within a file, and named.
    write("inside/a", &mut (0..100_000).map(|n| if n == 77_777 { 5 } else { n }));
    let inside = said(&validate(folder.at("inside")));
    assert!(inside.contains("not sorted: key 0000000005 comes behind 0000077776"), "{inside}");
    assert!(inside.contains("inside/a, record 77777 (byte 7777700)"), "{inside}");
    // From one file to the next, and in between an empty one.
    write("across/a", &mut (0..10));
    write("across/b", &mut (0..0));
    write("across/c", &mut (8..60_000));
    let across = said(&validate(folder.at("across")));
    assert!(across.contains("key 0000000008 comes behind 0000000009"), "{across}");
    // Equal keys may follow one another.
    write("equal/a", &mut (0..10));
    write("equal/b", &mut (9..60_000));
    assert!(Local::new().run(&validate(folder.at("equal"))).is_ok());
    write("none/a", &mut (0..0));
    let none =
        TerasortValidate { records: Some(0), checksum: Some(0), ..validate(folder.at("none")) };
    assert!(Local::new().run(&none).is_ok());
}

#[test]
fn all_jobs_have_names_of_their_own() {
    assert_eq!(windrow::library().len(), 14);
}
