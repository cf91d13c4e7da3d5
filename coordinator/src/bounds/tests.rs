//! Where the time of made-up jobs went.

use super::*;
use crate::history::Amounts;
use windrow_protocol::ids::{AttemptId, JobId, Round, ShuffleId, SinkId, StageId, TaskId};
use windrow_protocol::shape::{CutShape, ShuffleShape};

/// A source into a shuffle into a sink.
fn shape() -> JobShape {
    let root = RootShape::Source { listed_by: StageId(0) };
    let shuffle = ShuffleId(0);
    let read = RootShape::Shuffles(vec![shuffle]);
    JobShape {
        stages: vec![
            StageShape::new("read", root, vec![OutputShape::Shuffle(shuffle)]),
            StageShape::new("count", read, vec![OutputShape::Sink(SinkId(0))]),
        ],
        shuffles: vec![ShuffleShape { producers: vec![StageId(0)], cut: CutShape::ByBytes }],
        ..JobShape::default()
    }
}

fn attempt(kind: TaskKind, stage: u32, partition: u32, number: u32) -> AttemptId {
    let (job, stage, round) = (JobId(1), StageId(stage), Round(0));
    AttemptId { task: TaskId { job, stage, round, kind, partition }, number }
}

/// One attempt at a time: what it is, its worker, from when to when it ran, how it ended, what it spent.
fn history(attempts: &[(AttemptId, u64, [u64; 2], How, Spent)]) -> History {
    let mut history = History::default();
    for &(attempt, worker, [from, to], how, spent) in attempts {
        history.begun(attempt, WorkerId(worker), false, from);
        history.told(attempt, spent, String::new());
        history.ended(attempt, how, Amounts::default(), to);
    }
    history
}

/// What each has of the slots' time, in thousandths.
fn permille(bounds: &Bounds<'_>) -> BTreeMap<What, u64> {
    let all = bounds.slots * bounds.elapsed_ms * PER_MS;
    bounds.ranked().into_iter().map(|(what, units, _)| (what, units * 1000 / all)).collect()
}

fn spent(lanes_ms: u32) -> Spent {
    let unit = PER_MS as u32;
    Spent {
        queued: 10 * unit,
        fetching: 40 * unit,
        lanes: lanes_ms * unit,
        reading: 100 * unit,
        chain: 400 * unit,
        finishing: 50 * unit,
        sampled_chain: 100 * unit,
        sampled_outputs: 25 * unit,
    }
}

#[test]
fn the_time_of_an_attempt_is_all_told() {
    let done = attempt(TaskKind::Compute, 0, 0, 0);
    let (shape, of) = (shape(), [(done, 1, [0, 1000], How::Done, spent(800))]);
    let (one, none) = (history(&of), BTreeMap::new());
    let of_source = permille(&bounds(&one, &shape, 1000, &none));
    let wanted = [
        (What::Reading, 100),
        (What::Decoding, 300),
        (What::Operators, 300),
        (What::IntoShuffles, 150),
        (What::OutOfShuffles, 40),
        (What::Queued, 10),
        (What::Around, 100),
    ];
    assert_eq!(of_source, wanted.into());
    let done = attempt(TaskKind::Compute, 1, 0, 0);
    let of = [(done, 1, [0, 1000], How::Done, Spent { reading: 0, ..spent(800) })];
    let of_shuffle = permille(&bounds(&history(&of), &shape, 1000, &none));
    assert_eq!((of_shuffle[&What::OutOfShuffles], of_shuffle[&What::Writing]), (440, 150));
    assert_eq!(of_shuffle.get(&What::Decoding), None);
}

#[test]
fn free_slots_have_a_reason() {
    let (compute, none) =
        (|stage, partition| attempt(TaskKind::Compute, stage, partition, 0), Spent::default());
    let of = [
        (attempt(TaskKind::Split, 0, 0, 0), 1, [100, 200], How::Done, none),
        // The second task of s0 gets a slot late, then the third one does, and is the tail.
        (compute(0, 0), 1, [200, 400], How::Done, none),
        (compute(0, 1), 2, [300, 400], How::Done, none),
        (compute(0, 2), 1, [400, 600], How::Done, none),
        (compute(1, 0), 1, [650, 750], How::Done, none),
        (compute(1, 1), 2, [650, 750], How::Failed, none),
        (attempt(TaskKind::Commit, 1, 0, 0), 2, [750, 1000], How::Done, none),
    ];
    let (shape, slots) = (shape(), [(WorkerId(1), 1), (WorkerId(2), 1)].into());
    let history = history(&of);
    let bounds = bounds(&history, &shape, 1000, &slots);
    let wanted = [
        (What::Begin, 100),
        // One slot lists, and the other one is free for it.
        (What::Listing, 100),
        (What::Denied, 50),
        (What::Tail, 100),
        (What::Between, 50),
        (What::Lost, 50),
        (What::Commit, 250),
    ];
    let permille = permille(&bounds);
    for (what, expected) in wanted {
        assert_eq!(permille[&what], expected, "{what:?} of {permille:?}");
    }
    assert_eq!(permille.values().sum::<u64>(), 1000, "{permille:?}");
}

#[test]
fn slots_are_those_that_are_there_or_were_used() {
    let done = |partition, worker, times| {
        (attempt(TaskKind::Compute, 0, partition, 0), worker, times, How::Done, Spent::default())
    };
    let of = [done(0, 1, [0, 10]), done(1, 1, [5, 10]), done(2, 1, [10, 20]), done(3, 2, [0, 20])];
    let (shape, slots) = (shape(), [(WorkerId(1), 1), (WorkerId(3), 4)].into());
    assert_eq!(bounds(&history(&of), &shape, 20, &slots).slots, 2 + 1 + 4);
}

#[test]
fn what_takes_the_most_is_told_first_and_no_more_than_fits() {
    let compute = |partition, worker, to| {
        (attempt(TaskKind::Compute, 0, partition, 0), worker, [0, to], How::Done, spent(to as u32))
    };
    let (shape, slots) = (shape(), BTreeMap::new());
    let history = history(&[compute(0, 1, 1000), compute(1, 2, 1000), compute(2, 3, 9000)]);
    let lines = bounds(&history, &shape, 9000, &slots).lines("j1 count");
    assert_eq!(lines.len(), 1 + LINES);
    assert_eq!(lines[0], "j1 count: 9.00 s on 3 slots, whose time went to");
    assert!(
        lines[1].starts_with("  59 %  free slots while the last tasks of a stage ran"),
        "{lines:?}"
    );
    assert!(lines[1].contains("s0/2 took 9.00 s where others take 1.00 s"), "{lines:?}");
    assert!(
        lines[2].starts_with("  35 %  making records of the input, most in s0 (read)"),
        "{lines:?}"
    );
}

#[test]
fn what_helps_with_a_shuffle_depends_on_who_shuffles() {
    let lines = |name: &str| {
        let done = attempt(TaskKind::Compute, 0, 0, 0);
        let history = history(&[(
            done,
            1,
            [0, 100],
            How::Done,
            Spent { finishing: 9_000, ..Spent::default() },
        )]);
        let mut shape = shape();
        shape.stages[0].name = name.to_owned();
        bounds(&history, &shape, 100, &BTreeMap::new()).lines("j1 job").remove(1)
    };
    for (name, helps) in [
        ("read > group_by_key", "an aggregate"),
        ("read > sort_by_key", "all rows are shuffled"),
        ("read > group_by_key > count_by_value", "fewer distinct keys"),
    ] {
        assert!(
            lines(name).contains("  90 %  rows on their way") && lines(name).contains(helps),
            "{}",
            lines(name)
        );
    }
}
