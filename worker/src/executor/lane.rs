//! Runs one lane: builds the stage's chain in front of the lane's receivers, and pushes the lane's records through it.
//!
//! A lane that fails in the job's code is run once more for the place of the record to blame, with batches of one record
//! and receivers that forget all: operators that gather records into batches hide which one was at hand.

use super::failure::{in_stage, of_push, of_source};
use std::panic::{AssertUnwindSafe, UnwindSafe, catch_unwind};
use windrow_datasets::place;
use windrow_datasets::push::{AnyPush, BATCH_RECORDS};
use windrow_datasets::source::Split;
use windrow_datasets::spent::Part;
use windrow_datasets::storage::Storage;
use windrow_datasets::unparsed::{self, Unparsed};
use windrow_jobs::checked::{BadRecord, Careful, expecting_panics};
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

/// How records of a source are treated that cannot be parsed, or at which the job's code fails.
#[derive(Clone, Copy, Default)]
pub struct Leniency<'l> {
    /// So many may be left out.
    pub most: u32,
    /// The process has died in this lane, or may have: each record is looked at alone.
    pub careful: Option<&'l dyn Careful>,
}

/// Runs a lane of a stage into receivers for its outputs. If some records of a source may be left out, its lanes are read
/// twice, since nothing of a record that fails must come to the receivers. What it spends is counted on the thread's
/// [clock](windrow_datasets::spent).
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
    leniency: Leniency<'_>,
) -> Result<LaneCounts, Failure> {
    if leniency.most > 0
        && let LaneInput::Split(split, lane) = input
        && let Some(bad) =
            expecting_panics(|| bad_records(plan, stage, storage, (split, lane), whole, leniency))?
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
        let out = plan.chain(stage, &context, outputs).timed(Part::Chain);
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

/// The records of a lane that are left out, by what is wrong with them.
struct Bad {
    /// The job's code fails at them.
    records: Vec<BadRecord>,
    unparsed: Vec<Unparsed>,
}

/// The records of a lane that cannot be parsed, or at which the job's code fails; `None` if there is none.
fn bad_records(
    plan: &Plan,
    stage: usize,
    storage: &Storage,
    (split, lane): OfSplit<'_>,
    whole: &Whole,
    Leniency { most, careful }: Leniency<'_>,
) -> Result<Option<Bad>, Failure> {
    take_counters();
    if careful.is_none() {
        let input = LaneInput::Split(split, lane);
        let discards = plan.discards(stage);
        let tried = attempt(plan, stage, storage, input, whole, discards, BATCH_RECORDS);
        take_counters();
        match tried.map_err(|failure| failure.class) {
            Err(FailureClass::UserCode | FailureClass::BadInput) => {}
            // Any other failure comes again.
            _ => return Ok(None),
        }
    }
    let Some(source) = plan.source(stage) else { return Ok(None) };
    let context = LaneContext { batch_records: 1, whole: whole.clone() };
    let mut chain = || plan.chain(stage, &context, plan.discards(stage));
    let (records, unparsed) = unparsed::leaving_out(most as usize, || {
        source.check(storage, split, lane, &mut chain, careful, most as usize)
    });
    take_counters();
    let records = records.map_err(|error| in_stage(of_source(error), plan, stage))?;
    let bad = Bad { records, unparsed };
    match bad.records.len() + bad.unparsed.len() {
        // A batch fails of which each record passes alone: the failure is told as it is.
        0 => Ok(None),
        some if some > most as usize => {
            Err(Failure::too_many_left_out(most, &left_out(plan, stage, &bad)))
        }
        _ => Ok(Some(bad)),
    }
}

/// Runs a lane without some records.
fn without(
    plan: &Plan,
    stage: usize,
    storage: &Storage,
    (split, lane): OfSplit<'_>,
    whole: &Whole,
    outputs: Vec<AnyPush>,
    bad: &Bad,
) -> Result<LaneCounts, Failure> {
    let source = plan.source(stage);
    let source = source.ok_or_else(|| {
        Failure::new(FailureClass::Internal, "a split for a stage without a source")
    })?;
    let run = AssertUnwindSafe(|| {
        let context = LaneContext { batch_records: BATCH_RECORDS, whole: whole.clone() };
        let out = plan.chain(stage, &context, outputs).timed(Part::Chain);
        let read = || source.read_without(storage, split, lane, out, &bad.records);
        unparsed::leaving_out(bad.unparsed.len(), read).0.map_err(of_source)
    });
    let ran = caught(run);
    let counters = take_counters();
    let records = ran.map_err(|failure| in_stage(failure, plan, stage))?;
    Ok(LaneCounts { records, counters, left_out: left_out(plan, stage, bad) })
}

/// The records as they are kept, in the order in which they lie.
fn left_out(plan: &Plan, stage: usize, bad: &Bad) -> Vec<LeftOut> {
    let failed = bad.records.iter().map(|bad| {
        let place = bad.place.clone();
        let place = place.unwrap_or_else(|| format!("record {} of its lane", bad.number));
        (bad.number, place, bad.message.clone())
    });
    let unparsed = bad.unparsed.iter().map(|bad| {
        (bad.before, bad.place.clone(), format!("it cannot be parsed: {}", bad.message))
    });
    // What cannot be parsed comes before the record that is the next.
    let mut all: Vec<(u64, String, String)> = unparsed.chain(failed).collect();
    all.sort_by_key(|(number, ..)| *number);
    let kept = |(_, place, mut message): (u64, String, String)| {
        message.truncate(message.floor_char_boundary(MESSAGE_MAX));
        LeftOut { place, stage: plan.stages()[stage].name.clone(), message }
    };
    all.into_iter().map(kept).collect()
}
