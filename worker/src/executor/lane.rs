//! Runs one lane: builds the stage's chain in front of the lane's receivers, and pushes the lane's records through it.
//!
//! A lane that fails in the job's code is run once more for the place of the record to blame, with batches of one record
//! and receivers that forget all: operators that gather records into batches hide which one was at hand.

use super::failure::{in_stage, of_push, of_source};
use std::panic::{AssertUnwindSafe, UnwindSafe, catch_unwind};
use windrow_datasets::place;
use windrow_datasets::push::{AnyPush, BATCH_RECORDS};
use windrow_datasets::source::Split;
use windrow_datasets::storage::Storage;
use windrow_jobs::checked::{BadRecord, expecting_panics};
use windrow_jobs::exec::{LaneContext, Whole, panic_message, take_counters};
use windrow_jobs::plan::Plan;
use windrow_jobs::shuffle::Bucket;
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::task::LeftOut;

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
    /// The records that were left out.
    pub left_out: Vec<LeftOut>,
}

/// The longest message that is kept of a record that was left out, in bytes.
const MESSAGE_MAX: usize = 300;

/// Runs a lane of a stage into receivers for its outputs. Of a source's lane so many records may be left out at which the
/// job's code fails; if some may, a lane is read twice, since nothing of a record that fails must come to its receivers.
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
    bad_records_max: u32,
) -> Result<LaneCounts, Failure> {
    if bad_records_max > 0
        && let LaneInput::Split(split, lane) = input
        && let Some(bad) = expecting_panics(|| {
            bad_records(plan, stage, storage, (split, lane), whole, bad_records_max)
        })?
    {
        return without(plan, stage, storage, (split, lane), whole, outputs, &bad);
    }
    let split = match &input {
        LaneInput::Split(split, lane) => Some((*split, *lane)),
        LaneInput::Buckets(_) => None,
    };
    take_counters();
    match attempt(plan, stage, storage, input, whole, outputs, BATCH_RECORDS) {
        Ok(records) => Ok(LaneCounts { records, counters: take_counters(), left_out: Vec::new() }),
        Err(mut failure) => {
            take_counters();
            if failure.class == FailureClass::UserCode {
                let place = split.and_then(|(split, lane)| {
                    let input = LaneInput::Split(split, lane);
                    let discards = plan.discards(stage);
                    let first = place::describe_failure();
                    // The panic was told by then.
                    match expecting_panics(|| {
                        attempt(plan, stage, storage, input, whole, discards, 1)
                    }) {
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
    caught(run)
}

/// Runs something of a lane. A panic is a failure of the job's code.
fn caught(run: impl FnOnce() -> Result<u64, Failure> + UnwindSafe) -> Result<u64, Failure> {
    catch_unwind(run).unwrap_or_else(|payload| {
        let message = format!("panic: {}", panic_message(&*payload));
        Err(Failure::new(FailureClass::UserCode, message))
    })
}

/// A lane of a split.
type OfSplit<'s> = (&'s Split, u32);

/// The records of a lane at which the job's code fails; `None` if there is none.
fn bad_records(
    plan: &Plan,
    stage: usize,
    storage: &Storage,
    (split, lane): OfSplit<'_>,
    whole: &Whole,
    most: u32,
) -> Result<Option<Vec<BadRecord>>, Failure> {
    take_counters();
    let input = LaneInput::Split(split, lane);
    let tried = attempt(plan, stage, storage, input, whole, plan.discards(stage), BATCH_RECORDS);
    take_counters();
    match tried {
        Err(failure) if failure.class == FailureClass::UserCode => {}
        // Any other failure comes again.
        _ => return Ok(None),
    }
    let Some(source) = plan.source(stage) else { return Ok(None) };
    let context = LaneContext { batch_records: 1, whole: whole.clone() };
    let mut chain = || plan.chain(stage, &context, plan.discards(stage));
    let bad = source.check(storage, split, lane, &mut chain, most as usize);
    take_counters();
    let bad = bad.map_err(|error| in_stage(of_source(error), plan, stage))?;
    if bad.len() > most as usize {
        let named: Vec<LeftOut> = left_out(plan, stage, &bad);
        return Err(Failure::too_many_left_out(most, &named));
    }
    // A batch fails of which each record passes alone: the failure is told as it is.
    Ok(if bad.is_empty() { None } else { Some(bad) })
}

/// Runs a lane without some records.
fn without(
    plan: &Plan,
    stage: usize,
    storage: &Storage,
    (split, lane): OfSplit<'_>,
    whole: &Whole,
    outputs: Vec<AnyPush>,
    bad: &[BadRecord],
) -> Result<LaneCounts, Failure> {
    let source = plan.source(stage);
    let source = source.ok_or_else(|| {
        Failure::new(FailureClass::Internal, "a split for a stage without a source")
    })?;
    let run = AssertUnwindSafe(|| {
        let context = LaneContext { batch_records: BATCH_RECORDS, whole: whole.clone() };
        let out = plan.chain(stage, &context, outputs);
        source.read_without(storage, split, lane, out, bad).map_err(of_source)
    });
    let ran = caught(run);
    let counters = take_counters();
    let records = ran.map_err(|failure| in_stage(failure, plan, stage))?;
    Ok(LaneCounts { records, counters, left_out: left_out(plan, stage, bad) })
}

/// The records as they are kept.
fn left_out(plan: &Plan, stage: usize, bad: &[BadRecord]) -> Vec<LeftOut> {
    let kept = |bad: &BadRecord| {
        let mut message = bad.message.clone();
        message.truncate(message.floor_char_boundary(MESSAGE_MAX));
        let place = bad.place.clone();
        let place = place.unwrap_or_else(|| format!("record {} of its lane", bad.number));
        LeftOut { place, stage: plan.stages()[stage].name.clone(), message }
    };
    bad.iter().map(kept).collect()
}
