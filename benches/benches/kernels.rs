//! The kernels, each by itself on one thread: what `scripts/compare-commits` runs for two commits by turns.
//!
//! Operators run as small jobs over records that are made, in memory: a million of them, with keys of which there are a
//! quarter as many.

use arrow::buffer::Buffer;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use windrow::record::mix;
use windrow::{Builder, Dataset, Flow, Local, Record};
use windrow_datasets::codec::{self, Compression, Encoder};
use windrow_datasets::generate::{Generator, Words};
use windrow_datasets::text::split::{Splitter, cut};

const RECORDS: u64 = 1 << 20;
const KEYS: u64 = RECORDS / 4;

fn key(number: u64) -> u64 {
    mix(number, 1) % KEYS
}

fn name(number: u64) -> String {
    format!("customer#{:09}", key(number))
}

fn text(bytes: u64) -> Vec<u8> {
    let mut text = Vec::new();
    Words { bytes, seed: 1 }.fill(0..u64::MAX, &mut text);
    text
}

/// Runs a plan over numbers, and ends with one record, so that nothing is written.
fn job(plan: impl Fn(&Flow) -> Dataset<u64> + Copy) {
    let outcome =
        Local::new().threads(1).run_plan("kernel", |flow| plan(flow).collect("count")).unwrap();
    black_box(outcome.rows::<u64>("count").unwrap());
}

fn operators(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("operators");
    group.throughput(Throughput::Elements(RECORDS)).sample_size(20);
    let mut one = |name: &str, plan: fn(&Flow) -> Dataset<u64>| {
        group.bench_function(name, |bencher| bencher.iter(|| job(plan)));
    };
    one("sum_by_key", |flow| flow.generate(RECORDS, |n| (key(n), n)).sum_by_key().count());
    one("sum_by_key_text", |flow| flow.generate(RECORDS, |n| (name(n), n)).sum_by_key().count());
    one("sum_by_key_floats", |flow| {
        flow.generate(RECORDS, |n| (key(n), n as f64)).sum_by_key().count()
    });
    one("sum_by_few_keys", |flow| flow.generate(RECORDS, |n| (key(n) % 7, n)).sum_by_key().count());
    one("distinct", |flow| flow.generate(RECORDS, key).distinct().count());
    one("group_by_key", |flow| {
        let groups = flow.generate(RECORDS, |n| (key(n), n)).group_by_key();
        groups.map(|_, values| values.fold(0u64, u64::wrapping_add)).count()
    });
    one("sort_by_key", |flow| {
        flow.generate(RECORDS, |n| (mix(n, 2), n)).sort_by_key().map(|(_, n)| n).count()
    });
    one("sort_by_key_text", |flow| {
        flow.generate(RECORDS, |n| (name(n), n)).sort_by_key().map(|(_, n)| n).count()
    });
    one("join_looked_up", |flow| {
        let other = flow.generate(KEYS, |n| (n, n));
        flow.generate(RECORDS, |n| (key(n), n)).join(&other).count()
    });
    one("join_in_order", |flow| {
        let other = flow.generate(KEYS, |n| (n, n));
        let joined = flow.generate(RECORDS, |n| (key(n), n)).join(&other);
        // A sum of floats sees the order.
        joined.map(|(_, (a, b))| ((), (a ^ b) as f64)).sum_by_key().map(|_| 1u64)
    });
    group.finish();
}

fn words(criterion: &mut Criterion) {
    let text = text(4 << 20);
    let mut group = criterion.benchmark_group("text");
    group.throughput(Throughput::Bytes(text.len() as u64)).sample_size(20);
    group.bench_function("split_words", |bencher| {
        let mut splitter = Splitter::new();
        bencher.iter(|| {
            let (mut rest, mut words) = (&text[..], 0);
            while !rest.is_empty() {
                let end = cut(&rest[..rest.len().min(64 << 10)]);
                let (block, behind) = rest.split_at(if end == 0 { rest.len() } else { end });
                words += splitter.split(block).len();
                rest = behind;
            }
            words
        });
    });
    group.finish();
}

fn codecs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    type Row = (u64, String);
    let mut rows = <Row as Record>::Builder::default();
    (0..1 << 14).for_each(|n| rows.push((n, &name(n))));
    group.throughput(Throughput::Elements(rows.len() as u64)).sample_size(30);
    let batch = rows.finish();
    for (name, compression) in [("none", Compression::None), ("lz4", Compression::Lz4)] {
        let (mut encoder, mut bytes) = (Encoder::new(compression), Vec::new());
        encoder.encode::<Row>(&batch, &mut bytes).unwrap();
        let mut out = Vec::with_capacity(bytes.len());
        group.bench_function(format!("encode_{name}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                encoder.encode::<Row>(&batch, &mut out).unwrap();
            });
        });
        let bytes = Buffer::from_vec(bytes);
        group.bench_function(format!("decode_{name}"), |bencher| {
            bencher.iter(|| codec::decode::<Row>(&bytes).unwrap());
        });
    }
    group.finish();
}

criterion_group!(kernels, operators, words, codecs);
criterion_main!(kernels);
