//! Loops and what is kept for them, each against a plain sequential program.

mod common;

use common::{RECORDS, assert_rows, by_hash, everywhere, many, random, rows};
use std::collections::{BTreeMap, BTreeSet};
use windrow::{Dataset, Flow};

const NODES: u64 = 4_000;

/// Some edges: a chain of some length, and what chance gives.
fn edge(number: u64, chain: u64) -> (u64, u64) {
    if number < chain {
        return (number, number + 1);
    }
    (random(number) % NODES, random(number + 1_000_000) % NODES)
}

fn edges(flow: &Flow, count: u64, chain: u64) -> Dataset<(u64, u64)> {
    many(flow, count, move |number| edge(number, chain))
}

#[test]
fn rounds_that_are_counted() {
    for rounds in [0, 1, 4] {
        let found = rows(|flow| {
            let edges = edges(flow, 3_000, 10);
            let start = flow.from_iter([(0u64, 1u64), (7, 100)]);
            start.iterate(rounds, |here| {
                // How many ways lead to a node in so many steps.
                here.join(&edges).map(|(_, (ways, to))| (to, ways)).sum_by_key()
            })
        });
        let mut expected = BTreeMap::from([(0u64, 1u64), (7, 100)]);
        for _ in 0..rounds {
            let mut next: BTreeMap<u64, u64> = BTreeMap::new();
            for (from, to) in (0..3_000).map(|number| edge(number, 10)) {
                if let Some(ways) = expected.get(&from) {
                    *next.entry(to).or_default() += ways;
                }
            }
            expected = next;
        }
        if rounds == 0 {
            assert_eq!(found, [(0, 1), (7, 100)]);
        } else {
            assert_rows(&found, &by_hash(expected));
        }
    }
}

/// All that can be reached from 0, and how often `step` found something new.
fn reached(count: u64, chain: u64) -> (BTreeSet<u64>, u64) {
    let (mut all, mut new, mut rounds) = (BTreeSet::from([0]), BTreeSet::from([0]), 0);
    while !new.is_empty() {
        let to =
            (0..count).map(|number| edge(number, chain)).filter(|(from, _)| new.contains(from));
        new = to.map(|(_, to)| to).filter(|to| !all.contains(to)).collect();
        all.extend(&new);
        rounds += u64::from(!new.is_empty());
    }
    (all, rounds)
}

/// The same by a loop of at most so many rounds.
fn reach(flow: &Flow, count: u64, chain: u64, most: u32) -> Dataset<u64> {
    let (tried, made) = (flow.counter("tried"), flow.counter("made"));
    let edges = edges(flow, count, chain).map(move |edge| {
        made.add(1);
        edge
    });
    let start = flow.from_iter([(0u64, true)]);
    let all = start.iterate_until(most, |reached| {
        let last = reached.filter(|(_, is_new)| is_new);
        let next = last.join(&edges).map(|(_, (_, to))| (to, true));
        let all = reached.map(|(node, _)| (node, false)).union(&next).min_by_key();
        // One record comes of nothing, too: were the round not left out, it would go on for ever.
        let new = all.filter(|(_, is_new)| is_new).count();
        let changes = new.filter(move |new| {
            tried.add(1);
            new > 0
        });
        (all, changes)
    });
    all.map(|(node, _)| node)
}

#[test]
fn until_there_are_no_changes() {
    for (count, chain, most) in [(30, 12, 20), (20_000, 3, 20), (0, 0, 3)] {
        let ran = everywhere(|flow, _| reach(flow, count, chain, most).collect("out"));
        let (expected, rounds) = reached(count, chain);
        assert!(rounds < u64::from(most));
        let found: BTreeSet<u64> = ran.rows::<u64>().into_iter().collect();
        assert_eq!(found, expected);
        // The last round found nothing, and those behind it were not tried.
        assert_eq!(ran.counter("tried"), rounds + 1);
        assert_eq!(ran.counter("made"), count, "edges are made once");
    }
}

#[test]
fn no_more_rounds_than_are_asked_for() {
    for most in [0, 1, 3] {
        let mut found = rows(|flow| reach(flow, 12, 12, most));
        found.sort_unstable();
        assert_eq!(found, (0..=u64::from(most)).collect::<Vec<_>>());
    }
}

#[test]
fn a_loop_in_a_loop_and_its_output_in_files() {
    let ran = everywhere(|flow, output| {
        let edges = edges(flow, 12, 12);
        let start = flow.from_iter([(0u64, 0u64)]);
        let all = start.iterate_until(10, |reached| {
            // Two steps at a time.
            let next = reached.iterate(2, |here| {
                here.join(&edges).map(|(_, (steps, to))| (to, steps + 1)).union(here).min_by_key()
            });
            let changes = next.anti_join(reached);
            (next, changes)
        });
        all.sort_by_key().write_text(output)
    });
    let expected: Vec<String> = (0..=12).map(|node| format!("{node}\t{node}")).collect();
    assert_eq!(ran.lines("part"), expected);
}

#[test]
fn what_is_kept_is_all_there() {
    let ran = everywhere(|flow, _| {
        let kept = many(flow, RECORDS, |n| (random(n) % 1_000, n)).persist();
        let most = kept.map(|(_, n)| ((), n)).max_by_key().broadcast();
        let shares =
            kept.map_with(&most, |(key, n), most| (key, most.get(()).unwrap_or_default() - n));
        shares.sum_by_key().collect("sums")?;
        kept.join(&kept.count_by_key()).count().collect("out")
    });
    let mut sums: BTreeMap<u64, u64> = BTreeMap::new();
    (0..RECORDS).for_each(|n| *sums.entry(random(n) % 1_000).or_default() += RECORDS - 1 - n);
    assert_rows(&ran.named::<(u64, u64)>("sums"), &by_hash(sums));
    assert_eq!(ran.rows::<u64>(), [RECORDS]);
}
