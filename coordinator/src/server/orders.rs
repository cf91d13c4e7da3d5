//! What an attempt is told to do: the scheduler's decision, and the payloads that belong to it.

use super::job::{Job, Reads};
use super::limits::{COMMIT_MAX, WHOLE_INPUTS_MAX};
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::{
    AttemptId, CollectId, LaneRange, ShuffleId, SinkId, StageId, TaskKind,
};
use windrow_protocol::shape::{Cut, OutputShape, RootShape, StageShape};
use windrow_protocol::task::{StagedFiles, TaskInput, TaskOrder, Work};

impl Job {
    /// The order for an attempt.
    ///
    /// # Errors
    /// No worker can be told to run it: why the job must be given up.
    pub(crate) fn order(
        &mut self,
        attempt: AttemptId,
        lanes: LaneRange,
    ) -> Result<TaskOrder, Failure> {
        let work = match attempt.task.kind {
            TaskKind::Split => Work::Split,
            TaskKind::Compute => self.compute(attempt)?,
            TaskKind::Commit => self.commit()?,
        };
        Ok(TaskOrder { attempt, lanes, work })
    }

    fn commit(&self) -> Result<Work, Failure> {
        let sinks = (0..self.submission.shape.sinks).map(SinkId);
        let outputs: Vec<(SinkId, Vec<StagedFiles>)> =
            sinks.map(|sink| (sink, self.staged(sink))).collect();
        let staged = outputs.iter().flat_map(|(_, staged)| staged);
        let bad =
            self.left_out().map(|bad| bad.place.len() + bad.stage.len() + bad.message.len() + 10);
        let bytes = staged.map(StagedFiles::message_bytes).sum::<usize>() + bad.sum::<usize>();
        if bytes > COMMIT_MAX {
            let message = format!(
                "what the tasks have staged, and the records that they have left out, take {bytes} bytes to name, and the order to commit may have {COMMIT_MAX}; write with fewer tasks (repartition)"
            );
            return Err(Failure::new(FailureClass::UserCode, message));
        }
        let left_out = self.left_out().cloned().collect();
        Ok(Work::Commit { outputs, counters: self.counts.counters.clone(), left_out })
    }

    fn compute(&mut self, attempt: AttemptId) -> Result<Work, Failure> {
        let stage = attempt.task.stage;
        let of_job = self.shape.clone();
        let shape = of_job.stages.get(stage.0 as usize);
        let shape = shape.ok_or_else(|| defect(attempt, "has no such stage"))?;
        let input = self.input(attempt, shape)?;
        let mut cut_of = |shuffle: ShuffleId| {
            let cut = self.cut_of(shuffle);
            cut.ok_or_else(|| defect(attempt, "reads or writes a shuffle of unknown size"))
        };
        let mut cuts = Vec::new();
        for output in &shape.outputs {
            if let OutputShape::Shuffle(shuffle) = *output {
                cuts.push((shuffle, cut_of(shuffle)?));
            }
        }
        let mut lookups = Vec::new();
        for &lookup in &shape.lookups {
            lookups.push((lookup, cut_of(lookup.table)?));
        }
        let whole: Vec<(CollectId, Vec<u8>)> =
            shape.whole_inputs.iter().map(|&collect| (collect, self.whole(collect))).collect();
        let bytes: usize = whole.iter().map(|(_, frames)| frames.len()).sum();
        if bytes > WHOLE_INPUTS_MAX {
            return Err(Failure::new(
                FailureClass::BadInput,
                format!(
                    "stage {stage} ({}) reads {bytes} bytes of collected rows whole, and the most is {WHOLE_INPUTS_MAX}: join with a shuffle instead",
                    shape.name
                ),
            ));
        }
        Ok(Work::Compute { input, cuts, whole_inputs: whole, lookups })
    }

    fn input(&self, attempt: AttemptId, shape: &StageShape) -> Result<TaskInput, Failure> {
        let of = self.stage(attempt.task.stage);
        let stage = of.ok_or_else(|| defect(attempt, "has no such stage"))?;
        let partition = stage.rests.first_of(attempt.task.partition);
        match &shape.root {
            RootShape::Source { .. } => {
                let splits = self
                    .splits_of(attempt.task.stage)
                    .ok_or_else(|| defect(attempt, "reads a source that is not listed"))?;
                if shape.sample {
                    return Ok(TaskInput::sample_of_splits(splits));
                }
                let range = stage.ranges.get(partition as usize).cloned();
                let own = range.and_then(|range| splits.get(range));
                let own = own.ok_or_else(|| defect(attempt, "has no splits"))?;
                Ok(TaskInput::Splits(own.to_vec()))
            }
            RootShape::Shuffles(_) => {
                let Reads { cut, parts } = &stage.reads;
                let cut = cut.ok_or_else(|| defect(attempt, "reads an uncut shuffle"))?;
                Ok(match parts.get(partition as usize) {
                    _ if shape.sample => TaskInput::sample_of_partitions(cut),
                    Some(part) => TaskInput::part(cut, *part),
                    None => TaskInput::partition(cut, partition),
                })
            }
        }
    }

    fn whole(&self, collect: CollectId) -> Vec<u8> {
        let mut all = Vec::new();
        for frames in self.collected(collect) {
            all.extend_from_slice(frames);
        }
        all
    }

    /// How a shuffle is cut, once all sources below it are listed. It does not change then.
    pub(crate) fn cut_of(&mut self, shuffle: ShuffleId) -> Option<Cut> {
        let at = shuffle.0 as usize;
        if let Some(cut) = *self.cuts.get(at)? {
            return Some(cut);
        }
        let bytes = |stage: StageId| {
            let splits = self.splits_of(stage)?;
            Some(splits.iter().fold(0, |sum: u64, split| sum.saturating_add(split.bytes)))
        };
        let cut = self.submission.shape.cut(shuffle, bytes)?;
        self.cuts[at] = Some(cut);
        Some(cut)
    }
}

fn defect(attempt: AttemptId, what: &str) -> Failure {
    Failure::new(FailureClass::Internal, format!("task {} {what}", attempt.task))
}
