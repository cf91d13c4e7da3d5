//! Runs one lane: builds the stage's chain in front of the lane's receivers, and pushes the lane's records through it.
//!
//! A lane that fails in the job's code is run once more for the place of the record to blame, with batches of one record
//! and receivers that forget all: operators that gather records into batches hide which one was at hand.

use super::failure::{in_stage, of_push, of_source, panic_message};
use std::panic::{AssertUnwindSafe, catch_unwind};
use windrow_datasets::place;
use windrow_datasets::push::{AnyPush, BATCH_RECORDS};
use windrow_datasets::source::Split;
use windrow_datasets::storage::Storage;
use windrow_jobs::exec::{LaneContext, Whole, take_counters};
use windrow_jobs::plan::Plan;
use windrow_jobs::shuffle::Bucket;
use windrow_protocol::failure::{Failure, FailureClass};

/// What the root reads in a lane.
pub enum LaneInput<'s> {
    /// A lane of a split.
    Split(&'s Split, u32),
    /// A bucket of each shuffle.
    Buckets(Vec<Bucket>),
}

/// What a lane counted.
#[derive(Clone, Debug, Default)]
pub struct LaneCounts {
    /// Records that the root gave.
    pub records: u64,
    /// The job's own counters.
    pub counters: Vec<u64>,
}

/// Runs a lane of a stage into receivers for its outputs.
///
/// # Errors
/// [`Failure`], which names stage and record where the job's code failed.
pub fn run_lane(
    plan: &Plan,
    stage: usize,
    storage: &Storage,
    input: LaneInput<'_>,
    whole: &Whole,
    outputs: Vec<AnyPush>,
) -> Result<LaneCounts, Failure> {
    let split = match &input {
        LaneInput::Split(split, lane) => Some((*split, *lane)),
        LaneInput::Buckets(_) => None,
    };
    take_counters();
    match attempt(plan, stage, storage, input, whole, outputs, BATCH_RECORDS) {
        Ok(records) => Ok(LaneCounts { records, counters: take_counters() }),
        Err(mut failure) => {
            take_counters();
            if failure.class == FailureClass::UserCode {
                let place = split.and_then(|(split, lane)| {
                    let input = LaneInput::Split(split, lane);
                    let discards = plan.discards(stage);
                    let first = place::describe_failure();
                    match attempt(plan, stage, storage, input, whole, discards, 1) {
                        Err(again) if again.class == FailureClass::UserCode => {
                            place::describe_failure()
                        }
                        _ => first,
                    }
                });
                let name = &plan.stages()[stage].name;
                failure.message = match place {
                    Some(place) => {
                        format!("{} (at the record of {place}; stage {name})", failure.message)
                    }
                    None => format!("{} (stage {name})", failure.message),
                };
            }
            Err(in_stage(failure, plan, stage))
        }
    }
}

/// Runs a lane once; gives the number of records that the root gave.
fn attempt(
    plan: &Plan,
    stage: usize,
    storage: &Storage,
    input: LaneInput<'_>,
    whole: &Whole,
    outputs: Vec<AnyPush>,
    batch_records: usize,
) -> Result<u64, Failure> {
    place::clear();
    let context = LaneContext { batch_records, whole: whole.clone() };
    let run = AssertUnwindSafe(|| {
        let out = plan.chain(stage, &context, outputs);
        if plan.is_over(stage, whole) {
            return plan.end(stage, out).map(|()| 0).map_err(|error| of_push(&error));
        }
        match input {
            LaneInput::Split(split, lane) => match plan.source(stage) {
                Some(source) => source.read(storage, split, lane, out).map_err(of_source),
                None => Err(Failure::new(
                    FailureClass::Internal,
                    "a split for a stage without a source",
                )),
            },
            LaneInput::Buckets(buckets) => match plan.reader(stage) {
                Some(reader) => reader.read(buckets, out).map_err(|error| of_push(&error)),
                None => {
                    Err(Failure::new(FailureClass::Internal, "buckets for a stage with a source"))
                }
            },
        }
    });
    catch_unwind(run).unwrap_or_else(|payload| {
        let message = format!("panic: {}", panic_message(&*payload));
        Err(Failure::new(FailureClass::UserCode, message))
    })
}
