//! What the lanes of a task write into: for each output of its stage a store, a part file, or places for frames.

use super::failure::of_push;
use crate::shape::part_name;
use std::sync::Arc;
use windrow_datasets::commit::{self, AttemptFiles, StagedFiles};
use windrow_datasets::push::AnyPush;
use windrow_datasets::storage::Storage;
use windrow_jobs::LaneFrames;
use windrow_jobs::exec::sink::SinkPart;
use windrow_jobs::plan::{Output, Plan};
use windrow_jobs::shuffle::Store;
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::task::COLLECT_BYTES_MAX;

/// Which task writes, and where to.
pub(crate) struct Writer<'t> {
    pub(crate) plan: &'t Plan,
    pub(crate) stage: usize,
    pub(crate) partition: u32,
    /// The attempt's number: no other attempt at the task has it.
    pub(crate) attempt: u32,
    pub(crate) storage: &'t Storage,
    /// By sink.
    pub(crate) outputs: &'t [commit::Output],
    /// The number of the task's lanes.
    pub(crate) lanes: u32,
}

/// What lanes write into for one output.
enum Target {
    /// The number of the shuffle.
    Shuffle(u32, Arc<dyn Store>),
    /// The number of the sink.
    Sink(u32, Arc<dyn SinkPart>),
    /// The number of the collected dataset; frames for each lane.
    Collect(u32, Vec<LaneFrames>),
}

/// The targets of a task, in the order of its stage's outputs.
pub(crate) struct Targets {
    all: Vec<Target>,
    lanes: u32,
}

impl Targets {
    /// The targets of a task; `store` gives the store of a shuffle.
    ///
    /// # Errors
    /// What `store` says.
    pub(crate) fn new(
        writer: &Writer<'_>,
        mut store: impl FnMut(u32) -> Result<Arc<dyn Store>, Failure>,
    ) -> Result<Targets, Failure> {
        let Writer { plan, stage, partition, attempt, lanes, .. } = *writer;
        let target = |output: &Output| match *output {
            Output::Shuffle(shuffle) => Ok(Target::Shuffle(shuffle, store(shuffle)?)),
            Output::Sink(sink) => {
                let output = &writer.outputs[sink as usize];
                let name = part_name(plan, sink, stage, partition);
                let files = AttemptFiles::new(writer.storage, output, name, u64::from(attempt));
                let part = plan.sink(sink).code.clone().open_part(files);
                Ok(Target::Sink(sink, part))
            }
            Output::Collect(collect) => {
                let frames = (0..lanes).map(|_| LaneFrames::default()).collect();
                Ok(Target::Collect(collect, frames))
            }
        };
        let all =
            plan.stages()[stage].outputs.iter().map(target).collect::<Result<_, Failure>>()?;
        Ok(Targets { all, lanes })
    }

    /// The receivers for lane `lane` of the task, which is lane `rank` among all that write into its stores, as far as
    /// they are of this stage.
    pub(crate) fn receivers(
        &self,
        plan: &Plan,
        stage: usize,
        lane: u32,
        rank: u64,
    ) -> Vec<AnyPush> {
        let many = self.all.len() as u64;
        let receiver = |(at, target): (u64, &Target)| match target {
            Target::Shuffle(shuffle, store) => {
                let producers = plan.shuffle(*shuffle).producers;
                let number = producers.iter().position(|&p| p == stage).unwrap_or(0) as u64;
                store.clone().lane(number << 48 | (rank * many + at))
            }
            Target::Sink(_, part) => part.clone().lane(lane),
            Target::Collect(collect, frames) => {
                plan.collect(*collect).code.lane(frames[lane as usize].clone())
            }
        };
        (0..).zip(&self.all).map(receiver).collect()
    }

    /// Ends the part files, once all lanes are done; each with the number of its sink.
    ///
    /// # Errors
    /// What a file or its format says.
    pub(crate) fn staged(&self) -> Result<Vec<(u32, StagedFiles)>, Failure> {
        let mut all = Vec::new();
        for target in &self.all {
            if let Target::Sink(sink, part) = target {
                all.push((*sink, part.finish(self.lanes).map_err(|error| of_push(&error))?));
            }
        }
        Ok(all)
    }

    /// The collected frames, those of the task's lanes one after the other; each with the number of its dataset. `name`
    /// is the stage's.
    ///
    /// # Errors
    /// If they are more than travel with control messages.
    pub(crate) fn collected(&self, name: &str) -> Result<Vec<(u32, Vec<u8>)>, Failure> {
        let mut all = Vec::new();
        for target in &self.all {
            let Target::Collect(collect, frames) = target else { continue };
            let frames: Vec<u8> = frames.iter().flat_map(LaneFrames::take).collect();
            if frames.len() > COLLECT_BYTES_MAX {
                let message = format!(
                    "{name}: more than {COLLECT_BYTES_MAX} bytes are collected of one task; collected and broadcast datasets are to be small: write a large one to a sink, or join with it"
                );
                return Err(Failure::new(FailureClass::UserCode, message));
            }
            all.push((*collect, frames));
        }
        Ok(all)
    }
}
