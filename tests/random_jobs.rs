//! Jobs made of operators by chance give what a plain program says, to the byte, with any number of threads and workers,
//! with much memory and with none.

mod common;
mod model;

use common::{Ran, SPLIT_BYTES, assert_rows, everywhere, in_many_ways, many, random};
use model::{Row, Rows, bucket_of, buckets, co_group, float_sums, group};
use std::collections::BTreeMap;
use windrow::location::Location;
use windrow::{Dataset, Flow, Result};

/// What is done to datasets; numbers are those of earlier steps.
#[derive(Clone, Copy, Debug)]
enum Step {
    Input { count: u64, keys: u64, seed: u64 },
    Map(usize),
    Filter(usize),
    FlatMap(usize),
    Union(usize, usize),
    Sum(usize),
    FloatSum(usize),
    FloatFold(usize),
    Count(usize),
    Least(usize),
    Greatest(usize),
    Aggregate(usize),
    Distinct(usize),
    CountByValue(usize),
    Last(usize),
    Xor(usize),
    Group(usize),
    GroupByText(usize),
    Join(usize, usize),
    LeftJoin(usize, usize),
    RightJoin(usize, usize),
    FullJoin(usize, usize),
    SemiJoin(usize, usize),
    AntiJoin(usize, usize),
    CoGroup(usize, usize),
    Sort(usize),
    SortByKey(usize),
    Top(usize, usize),
    Repartition(usize, u32),
    Persist(usize),
    PartitionBy(usize, u32),
    CountAll(usize),
    Broadcast(usize, usize),
    Iterate(usize, usize),
    Until(usize, usize),
}

/// Keeps values small, so that sums fit and rows stay alike.
fn small(value: i64) -> i64 {
    value.rem_euclid(10_007)
}

fn input_row(number: u64, keys: u64, seed: u64) -> Row {
    let chance = random(number ^ seed << 40);
    (chance % keys, small((chance >> 20) as i64))
}

fn mapped((key, value): Row) -> Row {
    (key * 7 % 5_000, small(value * 3 + key as i64))
}

fn passes((key, value): Row) -> bool {
    (key as i64 + value) % 3 != 0
}

/// None, one or two.
fn several((key, value): Row) -> Vec<Row> {
    (0..value % 3).map(|more| (key + more as u64, value + more)).collect()
}

/// All bits of a float, as a value.
fn of_float(float: f64) -> i64 {
    small((float.to_bits() ^ float.to_bits() >> 29) as i64)
}

fn to_float(value: i64) -> f64 {
    value as f64 * 0.1 + 0.05
}

/// A value that depends on the order of those that it is made of.
fn in_order(values: impl Iterator<Item = i64>) -> i64 {
    values.fold(7, |all, value| small(all * 31 + value))
}

fn pair(left: Option<i64>, right: Option<i64>) -> i64 {
    small(left.map_or(-1, |left| left * 5) * 11 + right.unwrap_or(-3))
}

fn text(key: u64) -> String {
    format!("{}{key}", ["", "key ", "a rather long key "][key as usize % 3])
}

/// The rows of a step as the model has them.
fn modelled(step: Step, number: usize, made: &[Rows<Row>]) -> Rows<Row> {
    let of = |step: usize| &made[step];
    /// The values of the keys that count, each with each.
    fn joined(left: &Rows<Row>, right: &Rows<Row>, keep_left: bool, keep_right: bool) -> Rows<Row> {
        co_group(left, right, |key, (a, b)| {
            let some = |values: &[i64]| values.iter().map(|v| Some(*v)).collect::<Vec<_>>();
            let (mut left, mut right) = (some(&a), some(&b));
            if b.is_empty() && keep_left {
                right.push(None);
            }
            if a.is_empty() && keep_right {
                left.push(None);
            }
            let pairs = left.iter().flat_map(|a| right.iter().map(|b| (*key, pair(*a, *b))));
            pairs.collect()
        })
    }
    let one = |key: &u64, value: i64| vec![(*key, small(value))];
    match step {
        Step::Input { count, keys, seed } => {
            let rows: Vec<Row> = (0..count).map(|n| input_row(n, keys, seed)).collect();
            let lanes: Vec<Vec<Row>> =
                rows.chunks(common::LANE as usize).map(<[Row]>::to_vec).collect();
            let splits = lanes.len().div_ceil(common::LANES as usize) as u64;
            let sources = BTreeMap::from([(number, splits * SPLIT_BYTES)]);
            Rows { lanes, sources, has_lanes: true }
        }
        Step::Map(a) => of(a).flat_map(|row| [mapped(row)]),
        Step::Filter(a) => of(a).flat_map(|row| passes(row).then_some(row)),
        Step::FlatMap(a) => of(a).flat_map(several),
        Step::Union(a, b) => of(a).union(of(b)),
        Step::Sum(a) => group(of(a), |key, values| one(key, values.iter().sum())),
        Step::FloatSum(a) | Step::FloatFold(a) => {
            let floats = of(a).flat_map(|(key, value)| [(key, to_float(value))]);
            float_sums(&floats).flat_map(|(key, sum)| [(key, of_float(sum))])
        }
        Step::Count(a) => group(of(a), |key, values| one(key, values.len() as i64)),
        Step::Least(a) => group(of(a), |key, values| one(key, *values.iter().min().unwrap())),
        Step::Greatest(a) => group(of(a), |key, values| one(key, *values.iter().max().unwrap())),
        Step::Aggregate(a) => group(of(a), |key, values| {
            let (sum, most) = (values.iter().sum::<i64>(), values.iter().max().unwrap());
            one(key, sum * 3 + most * 5 + values.len() as i64)
        }),
        Step::Distinct(a) => group(&of(a).flat_map(|row| [(row, ())]), |row, _| vec![*row]),
        Step::CountByValue(a) => group(&of(a).flat_map(|row| [(row, ())]), |(key, value), all| {
            one(key, value + all.len() as i64)
        }),
        Step::Last(a) => group(of(a), |key, values| one(key, *values.last().unwrap())),
        Step::Xor(a) => {
            group(of(a), |key, values| one(key, values.into_iter().reduce(|a, b| a ^ b).unwrap()))
        }
        Step::Group(a) => group(of(a), |key, mut values| {
            let as_they_came = in_order(values.iter().copied());
            values.sort_by_key(|value| value % 10);
            let sorted = in_order(values.into_iter());
            vec![(*key, as_they_came), (*key, sorted)]
        }),
        Step::GroupByText(a) => {
            let texts = of(a).flat_map(|(key, value)| [(text(key), value)]);
            group(&texts, |key, values| vec![(key.len() as u64, in_order(values.into_iter()))])
        }
        Step::Join(a, b) => joined(of(a), of(b), false, false),
        Step::LeftJoin(a, b) => joined(of(a), of(b), true, false),
        Step::RightJoin(a, b) => joined(of(a), of(b), false, true),
        Step::FullJoin(a, b) => joined(of(a), of(b), true, true),
        Step::SemiJoin(a, b) | Step::AntiJoin(a, b) => {
            co_group(of(a), of(b), |key, (left, right)| {
                let counts = right.is_empty() == matches!(step, Step::AntiJoin(..));
                if counts { left.iter().map(|value| (*key, *value)).collect() } else { Vec::new() }
            })
        }
        Step::CoGroup(a, b) => co_group(of(a), of(b), |key, (left, right)| {
            let (left, right) = (in_order(left.into_iter()), in_order(right.into_iter()));
            one(key, left * 2 + right)
        }),
        Step::Sort(a) => of(a).sorted_by(Ord::cmp),
        Step::SortByKey(a) => of(a).sorted_by(|a, b| a.0.cmp(&b.0)),
        Step::Top(a, n) => {
            let mut rows = of(a).sorted_by(|a, b| (b.1 % 50).cmp(&(a.1 % 50))).one_lane();
            rows.lanes[0].truncate(n);
            rows
        }
        Step::Repartition(a, n) => of(a).scattered(n, |_, number| (number % n as usize) as u32),
        Step::Persist(a) => {
            let n = buckets(&of(a).sources);
            of(a).scattered(n, |_, number| (number % n as usize) as u32)
        }
        Step::PartitionBy(a, n) => of(a).scattered(n, |row, _| bucket_of(&row.0, n)),
        Step::CountAll(a) => {
            let count = of(a).len() as i64;
            Rows { lanes: vec![vec![(0, small(count))]], ..of(a).one_lane() }
        }
        Step::Broadcast(a, b) => {
            let lookup = of(b).all();
            let first = |key| lookup.iter().find(|row| row.0 == key).map(|row| row.1);
            of(a).flat_map(|(key, value)| [(key, pair(Some(value), first(key)))])
        }
        Step::Iterate(a, b) => {
            let mut rows = of(a).clone();
            for _ in 0..2 {
                // All rounds read one shuffle of `b`, which is cut as what is joined with it in any of them.
                rows.sources = model::both(&rows.sources, &of(b).sources);
                let joined = joined(&rows, of(b), true, false);
                rows = group(&joined, |key, values| one(key, values.iter().sum()));
            }
            rows
        }
        Step::Until(a, b) => {
            let mut rows = group(of(a), |key, values| one(key, *values.iter().min().unwrap()));
            for round in 0.. {
                rows.sources = model::both(&rows.sources, &of(b).sources);
                let lesser = joined_least(&rows, of(b));
                let changed = lesser.all() != rows.all();
                rows = lesser;
                if !changed || round + 1 == UNTIL_ROUNDS {
                    break;
                }
            }
            let n = buckets(&rows.sources);
            rows.scattered(n, |_, number| (number % n as usize) as u32)
        }
    }
}

const UNTIL_ROUNDS: u32 = 6;

/// A round of [`Step::Until`]: each key's value, or half of it if the other dataset has the key and that is less than any
/// value there.
fn joined_least(rows: &Rows<Row>, other: &Rows<Row>) -> Rows<Row> {
    let halves = co_group(rows, other, |key, (left, right)| {
        let least = right.iter().min();
        let pairs = left.iter().filter_map(|value| least.map(|least| (*value).min(*least) / 2));
        pairs.map(|value| (*key, value)).collect()
    });
    group(&rows.union(&halves), |key, values| vec![(*key, *values.iter().min().unwrap())])
}

/// The same as a dataset.
fn planned(step: Step, flow: &Flow, made: &[Dataset<Row>]) -> Dataset<Row> {
    let of = |step: usize| &made[step];
    let squashed = |rows: Dataset<Row>| rows.map(|(key, value)| (key, small(value)));
    match step {
        Step::Input { count, keys, seed } => many(flow, count, move |n| input_row(n, keys, seed)),
        Step::Map(a) => of(a).map(mapped),
        Step::Filter(a) => of(a).filter(passes),
        Step::FlatMap(a) => of(a).flat_map(several),
        Step::Union(a, b) => of(a).union(of(b)),
        Step::Sum(a) => squashed(of(a).sum_by_key()),
        Step::FloatSum(a) => {
            let sums = of(a).map(|(key, value)| (key, to_float(value))).sum_by_key();
            sums.map(|(key, sum)| (key, of_float(sum)))
        }
        Step::FloatFold(a) => of(a)
            .fold_by_key(|| -0.0, |sum, value| *sum += to_float(value), |sum, part| *sum += part)
            .map(|(key, sum)| (key, of_float(sum))),
        Step::Count(a) => of(a).count_by_key().map(|(key, count)| (key, small(count as i64))),
        Step::Least(a) => of(a).min_by_key(),
        Step::Greatest(a) => of(a).max_by_key(),
        Step::Aggregate(a) => {
            let all = of(a).aggregate_by(|c| c.0, |c| (c.1.sum(), c.1.max(), c.count()));
            all.map(|(key, (sum, most, count))| (key, small(sum * 3 + most * 5 + count as i64)))
        }
        Step::Distinct(a) => of(a).distinct(),
        Step::CountByValue(a) => {
            of(a).count_by_value().map(|((key, value), count)| (key, small(value + count as i64)))
        }
        Step::Last(a) => of(a).reduce_by_key(|_, b| b).map(|row| row),
        Step::Xor(a) => squashed(of(a).reduce_by_key(|a, b| a ^ b).commutative()),
        Step::Group(a) => {
            let groups = of(a).group_by_key();
            let as_they_came = groups.map(|key, values| (key, in_order(values)));
            let sorted = of(a).group_by_key().sorted_by(|a, b| (a % 10).cmp(&(b % 10)));
            let sorted = sorted.map(|key, values| (key, in_order(values)));
            as_they_came
                .co_group(&sorted)
                .flat_map(|key, a, b| a.chain(b).map(|value| (key, value)).collect::<Vec<_>>())
        }
        Step::GroupByText(a) => of(a)
            .map(|(key, value)| (text(key), value))
            .group_by_key()
            .map(|key, values| (key.len() as u64, in_order(values))),
        Step::Join(a, b) => of(a).join(of(b)).map(|(key, (a, b))| (key, pair(Some(a), Some(b)))),
        Step::LeftJoin(a, b) => of(a).left_join(of(b)).map(|(key, (a, b))| (key, pair(Some(a), b))),
        Step::RightJoin(a, b) => {
            of(a).right_join(of(b)).map(|(key, (a, b))| (key, pair(a, Some(b))))
        }
        Step::FullJoin(a, b) => of(a).full_join(of(b)).map(|(key, (a, b))| (key, pair(a, b))),
        Step::SemiJoin(a, b) => of(a).semi_join(of(b)),
        Step::AntiJoin(a, b) => of(a).anti_join(of(b)),
        Step::CoGroup(a, b) => {
            of(a).co_group(of(b)).map(|key, a, b| (key, small(in_order(a) * 2 + in_order(b))))
        }
        Step::Sort(a) => of(a).sort(),
        Step::SortByKey(a) => of(a).sort_by_key(),
        Step::Top(a, n) => of(a).top(n, |a, b| (b.1 % 50).cmp(&(a.1 % 50))),
        Step::Repartition(a, n) => of(a).repartition(n),
        Step::Persist(a) => of(a).persist(),
        Step::PartitionBy(a, n) => of(a).partition_by(n, |(key, _)| key),
        Step::CountAll(a) => of(a).count().map(|count| (0, small(count as i64))),
        Step::Broadcast(a, b) => of(a).map_with(&of(b).broadcast(), |(key, value), lookup| {
            (key, pair(Some(value), lookup.get(key)))
        }),
        Step::Iterate(a, b) => of(a).iterate(2, |rows| {
            let joined = rows.left_join(of(b)).map(|(key, (a, b))| (key, pair(Some(a), b)));
            squashed(joined.sum_by_key())
        }),
        Step::Until(a, b) => of(a).min_by_key().iterate_until(UNTIL_ROUNDS, |rows| {
            let halves = rows.co_group(of(b)).flat_map(|key, a, b| {
                let least = b.min();
                a.filter_map(|a| least.map(|least| (key, a.min(least) / 2))).collect::<Vec<_>>()
            });
            let next = rows.union(&halves).min_by_key();
            let changes = rows.join(&next).filter(|(_, (before, after))| before != after);
            (next, changes)
        }),
    }
}

/// A job by chance: its steps, and what the model has for each.
fn job(seed: u64, kinds: &[u64]) -> (Vec<Step>, Vec<Rows<Row>>) {
    let mut chance = (0..).map(|at| random(seed << 32 | at));
    let mut below = |end: u64| chance.next().map_or(0, |number| number % end);
    let (mut steps, mut made) = (Vec::new(), Vec::new());
    let mut take = |step: Step, made: &mut Vec<Rows<Row>>| {
        let rows = modelled(step, made.len(), made);
        steps.push(step);
        made.push(rows);
    };
    let keys = [1, 40, 3_000, 1_000_000];
    let count = [0, 3, 900, 7_000, 17_000][below(5) as usize];
    take(Step::Input { count, keys: keys[below(4) as usize], seed: below(1_000) }, &mut made);
    let (count, keys) = (15_000 + below(8_000), keys[1 + below(3) as usize]);
    take(Step::Input { count, keys, seed: below(1_000) }, &mut made);
    let all = 3 + below(5) as usize;
    let mut tried = 0;
    while made.len() < 2 + all && tried < 200 {
        tried += 1;
        // Mostly what was made last, so that jobs have many stages.
        let a = made.len() - 1 - [0, 0, 0, 1][below(4) as usize];
        let b = below(made.len() as u64) as usize;
        let step = match kinds[below(kinds.len() as u64) as usize] {
            0 => Step::Map(a),
            1 => Step::Filter(a),
            2 => Step::FlatMap(a),
            3 => Step::Union(a, b),
            4 => Step::Sum(a),
            5 | 6 => Step::FloatSum(a),
            7 => Step::FloatFold(a),
            8 => Step::Count(a),
            9 => Step::Least(a),
            10 => Step::Greatest(a),
            11 => Step::Aggregate(a),
            12 => Step::Distinct(a),
            13 => Step::CountByValue(a),
            14 => Step::Last(a),
            15 => Step::Xor(a),
            16 => Step::Group(a),
            17 => Step::GroupByText(a),
            18 => Step::Join(a, b),
            19 => Step::LeftJoin(a, b),
            20 => Step::RightJoin(a, b),
            21 => Step::FullJoin(a, b),
            22 => Step::SemiJoin(a, b),
            23 => Step::AntiJoin(a, b),
            24 => Step::CoGroup(a, b),
            25 => Step::Sort(a),
            26 => Step::SortByKey(a),
            27 => Step::Top(a, 1 + below(3_000) as usize),
            28 => Step::Repartition(a, 1 + below(9) as u32),
            29 => Step::Persist(a),
            30 => Step::PartitionBy(a, 1 + below(9) as u32),
            31 => Step::CountAll(a),
            32 => Step::Broadcast(a, b),
            33 => Step::Iterate(a, b),
            _ => Step::Until(a, b),
        };
        let needs_lanes = matches!(
            step,
            Step::FloatSum(_) | Step::FloatFold(_) | Step::Repartition(..) | Step::Persist(_)
        );
        if needs_lanes && !made[a].has_lanes || pairs(step, &made) > 60_000 {
            continue;
        }
        take(step, &mut made);
    }
    (steps, made)
}

/// About how many rows a step gives, or looks at.
fn pairs(step: Step, made: &[Rows<Row>]) -> usize {
    let (a, b) = match step {
        Step::Join(a, b)
        | Step::LeftJoin(a, b)
        | Step::RightJoin(a, b)
        | Step::FullJoin(a, b)
        | Step::Iterate(a, b) => (a, b),
        Step::Union(a, b) => return made[a].len() + made[b].len(),
        // Every row is looked up in a list.
        Step::Broadcast(a, b) => return made[b].len().min(made[a].len()) * 100,
        _ => return 0,
    };
    let count = |rows: &Rows<Row>| {
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        rows.all().iter().for_each(|row| *counts.entry(row.0).or_default() += 1);
        counts
    };
    let (a, b) = (count(&made[a]), count(&made[b]));
    a.iter().map(|(key, count)| count * b.get(key).copied().unwrap_or(1)).sum()
}

fn planned_all(steps: &[Step], flow: &Flow) -> Vec<Dataset<Row>> {
    let mut made = Vec::new();
    for step in steps {
        let rows = planned(*step, flow, &made);
        made.push(rows);
    }
    made
}

/// Collects the rows of the last steps, and writes those of the last one.
fn plan(steps: &[Step], flow: &Flow, output: &Location) -> Result<()> {
    let made = planned_all(steps, flow);
    for (name, rows) in ["last", "before", "first"].into_iter().zip(made.iter().rev()) {
        rows.collect(name)?;
    }
    made[made.len() - 1].write_text(output)
}

fn check(seed: u64, run: impl Fn(&dyn Fn(&Flow, &Location) -> Result<()>) -> Ran) {
    let all: Vec<u64> = (0..35).collect();
    let (steps, expected) = job(seed, &all);
    println!("job {seed}: {steps:?}");
    let ran = run(&|flow, output| plan(&steps, flow, output));
    for (name, rows) in ["last", "before", "first"].into_iter().zip(expected.iter().rev()) {
        println!("  {name}: {} rows", rows.len());
        assert_rows(&ran.named::<Row>(name), &rows.all());
    }
    let lines = expected[expected.len() - 1].all().into_iter();
    let lines: Vec<String> = lines.map(|(key, value)| format!("{key}\t{value}")).collect();
    assert_rows(&ran.lines("part"), &lines);
}

/// How many jobs; `WINDROW_RANDOM_JOBS` says another number.
fn jobs(usual: u64) -> u64 {
    std::env::var("WINDROW_RANDOM_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(usual)
}

#[test]
fn in_this_process() {
    for seed in 0..jobs(40) {
        check(seed, |plan| in_many_ways(plan));
    }
}

#[test]
fn over_workers() {
    for seed in 0..jobs(40) / 4 {
        check(1_000_000 + seed, |plan| everywhere(plan));
    }
}

/// What joins give is seen by nothing but sums: rows are looked up as they come then.
fn check_sums_of_joins(seed: u64, run: impl Fn(&dyn Fn(&Flow, &Location) -> Result<()>) -> Ran) {
    let kinds = [0, 1, 2, 3, 4, 11, 12, 18, 18, 19, 20, 21, 22, 22, 23];
    let (mut steps, mut expected) = job(seed, &kinds);
    let sum = Step::Sum(steps.len() - 1);
    expected.push(modelled(sum, steps.len(), &expected));
    steps.push(sum);
    println!("job {seed}: {steps:?}");
    let ran = run(&|flow, _| planned_all(&steps, flow)[steps.len() - 1].collect("sums"));
    assert_rows(&ran.named::<Row>("sums"), &expected[steps.len() - 1].all());
}

#[test]
fn sums_of_joins_in_this_process() {
    for seed in 0..jobs(40) {
        check_sums_of_joins(seed, |plan| in_many_ways(plan));
    }
}

#[test]
fn sums_of_joins_over_workers() {
    for seed in 0..jobs(40) / 8 {
        check_sums_of_joins(1_000_000 + seed, |plan| everywhere(plan));
    }
}
