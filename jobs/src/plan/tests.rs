//! Plans as text: `snapshots/NAME.txt`. After a change that is meant, `WINDROW_BLESS=1 cargo test -p windrow-jobs plan`
//! writes them anew.

use super::*;
use crate::Dataset;
use std::fmt::Write;
use std::path::Path;

/// Compares a plan with its snapshot.
fn check(name: &str, plan: impl Fn(&Flow) -> Result<()>) {
    let plan = Plan::from_fn(name, plan).unwrap();
    let mut text = plan.explain(Vec::new()).to_string();
    text.push_str("\nstages\n");
    for (number, stage) in plan.stages().iter().enumerate() {
        let Stage { root, outputs, whole_inputs, paths, .. } = stage;
        let _ = writeln!(
            text,
            "{number} {root:?} -> {outputs:?}, paths {paths:?}, whole {whole_inputs:?}"
        );
    }
    for number in 0..plan.shuffles() as u32 {
        let shuffle = plan.shuffle(number);
        let (producers, sample) = (shuffle.producers, shuffle.sample);
        let _ = writeln!(text, "shuffle {number} of {producers:?}, sample {sample:?}");
    }
    for number in 0..plan.sinks() as u32 {
        let _ = writeln!(text, "sink {number} of {:?}", plan.sink(number).producers);
    }
    for number in 0..plan.collects() as u32 {
        let _ = writeln!(text, "collected {number} of {:?}", plan.collect(number).producers);
    }
    text.push_str("\noutline\n");
    for line in plan.outline().lines() {
        // Without the line, which changes with whatever is above it in this file.
        let line = line.rsplit_once(':').map_or(line, |(line, _)| line);
        let _ = writeln!(text, "{line}");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/plan/snapshots/{name}.txt"));
    if std::env::var_os("WINDROW_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == expected, "{name} is now\n{text}\nand was\n{expected}");
}

fn numbers(flow: &Flow) -> Dataset<(u64, u64)> {
    flow.generate(1_000_000, |n| (n % 1000, n))
}

#[test]
fn narrow_operators() {
    check("narrow", |flow| {
        let lines = flow.read_lines("/data/a.txt").filter(|line| !line.is_empty());
        lines.map(|line| line.len() as u64).write_text("/out/lengths")
    });
}

#[test]
fn a_shuffle() {
    check("shuffle", |flow| {
        let counts = flow.read_words("/data/**/*.txt").count_by_value();
        counts.filter(|(_, count)| count > 1).write_text("/out/counts")
    });
}

#[test]
fn a_stage_needs_what_its_datasets_need() {
    let plan = Plan::from_fn("needs", |flow| {
        let numbers = numbers(flow).needs_memory(5);
        let halves = numbers.map(|(key, n)| (key, n / 2)).needs_label("gpu").needs_slots(2);
        halves.needs_label("big").sum_by_key().write_text("/out/sums")
    });
    let plan = plan.unwrap();
    let [first, second] = plan.stages() else { panic!("{} stages", plan.stages().len()) };
    let labels = ["big", "gpu"].map(str::to_owned).into();
    assert_eq!(first.needs, StageNeeds { slots: 2, memory: 5, labels });
    assert!(second.needs.is_ordinary());
}

#[test]
fn a_sort() {
    check("sort", |flow| {
        flow.read_fixed::<100>("/data/tera").sort_by_prefix::<10>().write_fixed("/out/sorted")
    });
}

#[test]
fn a_sort_of_counts() {
    check("sort-of-counts", |flow| numbers(flow).count_by_key().sort_by_key().collect("counts"));
}

#[test]
fn a_join_and_a_sum_in_order() {
    check("join", |flow| {
        let fares = numbers(flow).map(|(k, v)| (k, v as f64)).sum_by_key();
        fares.left_join(&numbers(flow)).repartition(3).write_text("/out/joined")
    });
}

#[test]
fn a_broadcast_of_the_same_source() {
    check("broadcast", |flow| {
        let numbers = numbers(flow);
        let few = numbers.filter(|(k, _)| k == 0).broadcast();
        numbers.collect("all")?;
        numbers.map_with(&few, |(k, v), few| few.get(k).unwrap_or(v)).count().collect("with")
    });
}

#[test]
fn a_union_of_a_dataset_with_itself() {
    check("union", |flow| {
        let numbers = numbers(flow);
        let other = flow.from_iter([(1u64, 2u64)]);
        other.union(&numbers.union(&numbers.map(|row| row))).sort_by_key().collect("all")
    });
}

#[test]
fn columns() {
    check("columns", |flow| {
        let even = numbers(flow).filter_by(|c| c.1.is_in([2, 4]).or(c.0.lt(9).not()));
        even.aggregate_by(|c| c.0, |c| (c.1.sum(), c.count())).collect("exact")?;
        let floats = even.map(|(k, v)| (k, Some(v as f64), "x".to_string()));
        floats.aggregate_by(|c| (c.2, c.0), |c| c.1.mean()).collect("ordered")
    });
}

#[test]
fn several_outputs() {
    check("several", |flow| {
        let evens = numbers(flow).filter(|(_, v)| v % 2 == 0);
        evens.write_text("/out/evens")?;
        let thirds = evens.filter(|(_, v)| v % 3 == 0);
        thirds.max_by_key().collect("max")?;
        thirds.count().collect("count")
    });
}

#[test]
fn branches_that_nobody_wants() {
    check("dead", |flow| {
        let numbers = numbers(flow);
        let _ = numbers.sort_by_key().map(|(k, _)| k);
        let _ = numbers.join(&numbers).count();
        let unused = numbers.broadcast();
        let _ = numbers.map_with(&unused, |(k, _), _| k);
        let _ = flow.read_lines("/data/not-read.txt").distinct();
        numbers.map(|(_, v)| v).collect("values")
    });
}

#[test]
fn a_loop() {
    check("loop", |flow| {
        let links = numbers(flow).map(|(a, b)| (a, b / 2));
        let start = flow.from_iter([(0u64, 0u64)]);
        let all = start.iterate_until(3, |here| {
            let near = links.join(here).map(|(_, (to, steps))| (to, steps + 1));
            let next = here.union(&near).min_by_key();
            let changes = next.anti_join(here);
            (next, changes)
        });
        all.collect("out")
    });
}
