//! What has to run before a task can: the stages whose rows it reads, and theirs.

use crate::executor_process::Wanted;
use std::collections::BTreeSet;
use windrow_protocol::ids::{ShuffleId, StageId};
use windrow_protocol::shape::JobShape;
use windrow_protocol::task::{TaskInput, TaskOrder, Work};

/// What a task needs of the stages before its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needed {
    /// The stages of which all tasks have to run; each comes after those whose rows it reads.
    pub stages: Vec<StageId>,
    /// By shuffle: the buckets that are read, where that is not all.
    pub buckets: Wanted,
}

impl Needed {
    /// What a task needs that is to run alone.
    pub fn of(shape: &JobShape, order: &TaskOrder) -> Needed {
        let mut needed = Needed::default();
        let Work::Compute { input, .. } = &order.work else { return needed };
        let Some(own) = shape.stages.get(order.attempt.task.stage.0 as usize) else {
            return needed;
        };
        if let TaskInput::Buckets { buckets, .. } = input {
            for &shuffle in own.root.shuffles() {
                needed.buckets.insert(shuffle, buckets.iter().copied().collect());
            }
        }
        // A table has all rows.
        order.tables().for_each(|table| drop(needed.buckets.remove(&table)));
        let mut seen = BTreeSet::new();
        own.reads().for_each(|shuffle| needed.add_makers(shape, shuffle, &mut seen));
        needed
    }

    /// Adds the stages that write a shuffle, behind those that they need themselves.
    fn add_makers(&mut self, shape: &JobShape, shuffle: ShuffleId, seen: &mut BTreeSet<StageId>) {
        let makers = shape.shuffles.get(shuffle.0 as usize).map(|of| &of.producers);
        for &maker in makers.into_iter().flatten() {
            let Some(of) = shape.stages.get(maker.0 as usize) else { continue };
            if seen.insert(maker) {
                for read in of.reads() {
                    // All of its tasks run, and so all buckets are read.
                    self.buckets.remove(&read);
                    self.add_makers(shape, read, seen);
                }
                self.stages.push(maker);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use windrow_protocol::ids::{AttemptId, JobId, LaneRange, Round, TaskId, TaskKind};
    use windrow_protocol::shape::{
        Cut, CutShape, LookUp, OutputShape, RootShape, ShuffleShape, StageShape,
    };

    fn stage(number: u32, reads: &[u32], writes: &[u32]) -> StageShape {
        let root = match reads {
            [] => RootShape::Source { listed_by: StageId(number) },
            reads => RootShape::Shuffles(reads.iter().map(|&n| ShuffleId(n)).collect()),
        };
        let outputs = writes.iter().map(|&n| OutputShape::Shuffle(ShuffleId(n))).collect();
        StageShape::new("", root, outputs)
    }

    /// Two sources into shuffles 0 and 1; stage 2 reads 0 and writes 2; stage 3 reads 1 and 2; stage 4 is a source that
    /// nobody here reads.
    fn shape() -> JobShape {
        let of =
            |producer| ShuffleShape { producers: vec![StageId(producer)], cut: CutShape::ByBytes };
        JobShape {
            stages: vec![
                stage(0, &[], &[0]),
                stage(1, &[], &[1]),
                stage(2, &[0], &[2]),
                stage(3, &[1, 2], &[]),
                stage(4, &[], &[3]),
            ],
            shuffles: vec![of(0), of(1), of(2), of(4)],
            ..JobShape::default()
        }
    }

    fn order(stage: u32, buckets: Vec<u32>) -> TaskOrder {
        let (job, stage, round) = (JobId(1), StageId(stage), Round(0));
        let task = TaskId { job, stage, round, kind: TaskKind::Compute, partition: 0 };
        let cut = Cut { buckets: 8, partitions: 8 };
        let input = match buckets.is_empty() {
            true => TaskInput::Splits(Vec::new()),
            false => TaskInput::Buckets { cut, buckets, piece: None },
        };
        let (cuts, whole_inputs, lookups) = Default::default();
        TaskOrder {
            attempt: AttemptId { task, number: 0 },
            lanes: LaneRange::ALL,
            work: Work::Compute { input, cuts, whole_inputs, lookups },
        }
    }

    #[test]
    fn a_task_of_a_source_needs_nothing() {
        assert_eq!(Needed::of(&shape(), &order(0, Vec::new())), Needed::default());
    }

    #[test]
    fn all_that_leads_to_a_task_runs_and_the_buckets_that_it_reads_itself_are_kept() {
        let needed = Needed::of(&shape(), &order(3, vec![5, 6]));
        assert_eq!(needed.stages, [1, 0, 2].map(StageId));
        let own = BTreeSet::from([5, 6]);
        let buckets = [(ShuffleId(1), own.clone()), (ShuffleId(2), own)];
        assert_eq!(needed.buckets, BTreeMap::from(buckets));
    }

    #[test]
    fn of_what_another_needed_stage_reads_too_all_is_kept() {
        let mut shape = shape();
        shape.stages[3].root = RootShape::Shuffles(vec![ShuffleId(0), ShuffleId(2)]);
        let needed = Needed::of(&shape, &order(3, vec![5]));
        assert_eq!(needed.stages, [0, 2].map(StageId));
        assert_eq!(needed.buckets.keys().copied().collect::<Vec<_>>(), [ShuffleId(2)]);
    }

    #[test]
    fn what_rows_are_looked_up_in_comes_before_those_who_do() {
        let mut shape = shape();
        // The rows of shuffle 0 are looked up in shuffle 1, so that stage 0 writes what stage 2 would.
        let (stage, shuffle, table) = (StageId(2), ShuffleId(0), ShuffleId(1));
        shape.stages[2].root = RootShape::Shuffles(vec![shuffle, table]);
        shape.look_up(LookUp { stage, shuffle, table });
        shape.stages[3].root = RootShape::Shuffles(vec![ShuffleId(2)]);
        let needed = Needed::of(&shape, &order(3, vec![5]));
        assert_eq!(needed.stages, [1, 0].map(StageId));
        assert_eq!(needed.buckets.keys().copied().collect::<Vec<_>>(), [ShuffleId(2)]);
    }
}
