//! The graph that a plan function makes: nodes in the order in which they were made, each after all that it reads.

use crate::checked::{BadRecord, Careful, Checking, Without};
use crate::exec::sink::SinkCode;
use crate::exec::{LaneContext, Whole};
use crate::ops::StageNeeds;
use crate::shuffle::collect::CollectCode;
use crate::shuffle::{ProbeCode, ReadCode, ShuffleCode};
use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::panic::Location as CodePlace;
use std::sync::Arc;
use windrow_datasets::columns::Predicate;
use windrow_datasets::location::Location;
use windrow_datasets::push::{AnyPush, PushError};
use windrow_datasets::source::{Pruned, Source, SourceDescription, SourceError, Split};
use windrow_datasets::storage::Storage;

/// A `Predicate<T>` without its type.
pub(crate) type AnyPredicate = Arc<dyn Any + Send + Sync>;

/// A node's number.
pub(crate) type NodeId = usize;

/// All that a plan function has made.
#[derive(Default)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) shuffles: Vec<ShuffleNode>,
    pub(crate) sinks: Vec<SinkNode>,
    pub(crate) collects: Vec<CollectNode>,
    pub(crate) counters: Vec<String>,
    /// What tasks need that make the rows of a node.
    pub(crate) needs: BTreeMap<NodeId, StageNeeds>,
    /// The loops that the plan function is in, the innermost last.
    pub(crate) loops: Vec<Loop>,
}

/// A loop while its rounds are planned.
pub(crate) struct Loop {
    /// Nodes before this one were made outside.
    pub(crate) first: NodeId,
    /// The collected dataset that has records only if the round at hand is to run; none for rounds that always do.
    pub(crate) gate: Option<u32>,
}

/// An operator, or where rows go.
pub(crate) struct Node {
    /// As in the method's name.
    pub(crate) operator: &'static str,
    /// What it does with which columns, for readers of the plan; empty where the plan does not see that.
    pub(crate) detail: String,
    /// The `Predicate` of the node's rows that holds of all that it passes on, of a node that only leaves out rows.
    pub(crate) predicate: Option<AnyPredicate>,
    /// Whether it gives at most one row for each key of its one shuffle, behind that key, of the rows that have it.
    pub(crate) by_key: bool,
    /// For a join of two shuffles: for each side, how its rows are looked up in a table of the other one, if they can be.
    pub(crate) probes: Option<[Option<Arc<dyn ProbeCode>>; 2]>,
    /// About which share of the rows that it gets it passes on.
    pub(crate) passes: f64,
    /// The type of the rows that it gives.
    pub(crate) row: &'static str,
    /// File and line in the job's code.
    pub(crate) place: &'static CodePlace<'static>,
    pub(crate) inputs: Vec<NodeId>,
    pub(crate) kind: Kind,
    /// The collected datasets without records in one of which the node has nothing to do: it is in a loop, which has
    /// ended.
    pub(crate) gates: Vec<u32>,
    /// The collected dataset with records in which the node has nothing to do either.
    pub(crate) until_empty: Option<u32>,
    /// A receiver in front of one of the node's rows, that forgets them and ends that one's lane.
    pub(crate) close: fn(AnyPush) -> AnyPush,
    /// Ends the lane of a receiver of the node's rows.
    pub(crate) end: fn(AnyPush) -> Result<(), PushError>,
    /// Makes one receiver of the node's rows of several.
    pub(crate) tee: fn(Vec<AnyPush>) -> AnyPush,
    /// A receiver of the node's rows that forgets them.
    pub(crate) discard: fn() -> AnyPush,
}

impl Node {
    /// Whether the node has nothing to do, as what was collected says.
    pub(crate) fn is_over(&self, whole: &Whole) -> bool {
        self.gates.iter().any(|&gate| !whole.has_records(gate))
            || self.until_empty.is_some_and(|changes| whole.has_records(changes))
    }

    /// What was collected that says so.
    pub(crate) fn waits_for(&self) -> impl Iterator<Item = u32> {
        self.gates.iter().copied().chain(self.until_empty)
    }
}

/// What a node does.
pub(crate) enum Kind {
    /// Gives records; the root of a stage.
    Source(Arc<dyn SourceCode>),
    /// Gives the rows that come of shuffles; the root of a stage.
    Read { code: Arc<dyn ReadCode>, shuffles: Vec<u32> },
    /// Turns rows into rows, within a lane.
    Narrow { code: Arc<dyn NarrowCode>, whole: Vec<u32> },
    /// Gives the rows of several.
    Union,
    /// Takes rows into a shuffle.
    Shuffle(u32),
    /// Takes rows into a sink.
    Sink(u32),
    /// Takes rows for whoever ran the job, or for stages that read them whole.
    Collect(u32),
}

impl Kind {
    /// Whether rows end here, as far as the stage goes.
    pub(crate) fn is_output(&self) -> bool {
        matches!(self, Kind::Shuffle(_) | Kind::Sink(_) | Kind::Collect(_))
    }

    /// Whether a stage begins here.
    pub(crate) fn is_root(&self) -> bool {
        matches!(self, Kind::Source(_) | Kind::Read { .. })
    }
}

pub(crate) struct ShuffleNode {
    pub(crate) code: Arc<dyn ShuffleCode>,
    /// The number of partitions that the job asks for.
    pub(crate) partitions: Option<u32>,
    /// The collected sample that must be there before rows come.
    pub(crate) sample: Option<u32>,
    /// The shuffle of the other side of a join, if rows whose key has no row there are of no use.
    pub(crate) filtered_by: Option<u32>,
    /// Whether the order of its rows makes no difference to who reads it.
    pub(crate) any_order: bool,
    /// The type of the code, if that has nothing but its type.
    pub(crate) shared_as: Option<TypeId>,
}

pub(crate) struct SinkNode {
    pub(crate) code: Arc<dyn SinkCode>,
    pub(crate) location: Location,
}

pub(crate) struct CollectNode {
    pub(crate) code: Arc<dyn CollectCode>,
    /// The name by which whoever ran the job asks for the rows; empty for broadcasts and samples.
    pub(crate) name: String,
    pub(crate) sample: bool,
}

/// An operator that needs no shuffle.
pub(crate) trait NarrowCode: Send + Sync {
    /// The receiver in front of `out`.
    fn chain(&self, context: &LaneContext, out: AnyPush) -> AnyPush;
}

impl<F: Fn(&LaneContext, AnyPush) -> AnyPush + Send + Sync> NarrowCode for F {
    fn chain(&self, context: &LaneContext, out: AnyPush) -> AnyPush {
        self(context, out)
    }
}

/// A [`Source`] without its type.
pub trait SourceCode: Send + Sync {
    /// For people.
    fn describe(&self) -> SourceDescription;
    /// See [`Source::pruned`].
    fn pruned(&self, predicate: &AnyPredicate) -> Option<Pruned<Arc<dyn SourceCode>>>;
    /// See [`Source::split`].
    ///
    /// # Errors
    /// As there.
    fn split(
        &self,
        storage: &Storage,
        out: &mut dyn FnMut(Split) -> Result<(), SourceError>,
    ) -> Result<(), SourceError>;
    /// See [`Source::read`]; ends the receiver's lane.
    ///
    /// # Errors
    /// As there.
    fn read(
        &self,
        storage: &Storage,
        split: &Split,
        lane: u32,
        out: AnyPush,
    ) -> Result<u64, SourceError>;
    /// The records of a lane at which the receivers fail that `chain` gives, one after the other; one more at most than
    /// `most`.
    ///
    /// # Errors
    /// As for [`Source::read`], but for the failures of the job's code.
    fn check(
        &self,
        storage: &Storage,
        split: &Split,
        lane: u32,
        chain: &mut (dyn FnMut() -> AnyPush + Send),
        careful: Option<&dyn Careful>,
        most: usize,
    ) -> Result<Vec<BadRecord>, SourceError>;
    /// As [`read`](SourceCode::read), without some records.
    ///
    /// # Errors
    /// As there.
    fn read_without(
        &self,
        storage: &Storage,
        split: &Split,
        lane: u32,
        out: AnyPush,
        bad: &[BadRecord],
    ) -> Result<u64, SourceError>;
}

/// Counts the records that a source gives.
struct Counted<T: windrow_datasets::Record> {
    out: Box<dyn windrow_datasets::push::Push<T>>,
    records: u64,
}

impl<T: windrow_datasets::Record> windrow_datasets::push::Push<T> for Counted<T> {
    fn batch(
        &mut self,
        batch: &T::Batch,
        selection: windrow_datasets::push::Selection<'_>,
    ) -> Result<windrow_datasets::push::Demand, windrow_datasets::push::PushError> {
        use windrow_datasets::Batch;
        self.records += selection.count(batch.len()) as u64;
        self.out.batch(batch, selection)
    }

    fn row(
        &mut self,
        view: T::View<'_>,
    ) -> Result<windrow_datasets::push::Demand, windrow_datasets::push::PushError> {
        self.records += 1;
        self.out.row(view)
    }

    fn wants_rows(&self) -> bool {
        self.out.wants_rows()
    }

    fn finish(&mut self) -> Result<(), windrow_datasets::push::PushError> {
        self.out.finish()
    }
}

impl<S: Source> SourceCode for S {
    fn describe(&self) -> SourceDescription {
        Source::describe(self)
    }

    fn pruned(&self, predicate: &AnyPredicate) -> Option<Pruned<Arc<dyn SourceCode>>> {
        let predicate = predicate.clone().downcast::<Predicate<S::Item>>().ok()?;
        let Pruned { source, exact } = Source::pruned(self, predicate)?;
        Some(Pruned { source: Arc::new(source), exact })
    }

    fn split(
        &self,
        storage: &Storage,
        out: &mut dyn FnMut(Split) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        Source::split(self, storage, out)
    }

    fn read(
        &self,
        storage: &Storage,
        split: &Split,
        lane: u32,
        out: AnyPush,
    ) -> Result<u64, SourceError> {
        use windrow_datasets::push::Push;
        let mut out = Counted { out: out.into::<S::Item>(), records: 0 };
        Source::read(self, storage, split, lane, &mut out)?;
        out.finish()?;
        Ok(out.records)
    }

    fn check(
        &self,
        storage: &Storage,
        split: &Split,
        lane: u32,
        chain: &mut (dyn FnMut() -> AnyPush + Send),
        careful: Option<&dyn Careful>,
        most: usize,
    ) -> Result<Vec<BadRecord>, SourceError> {
        let mut checking = Checking::<S::Item>::new(chain, careful, most);
        Source::read(self, storage, split, lane, &mut checking)?;
        Ok(checking.end()?)
    }

    fn read_without(
        &self,
        storage: &Storage,
        split: &Split,
        lane: u32,
        out: AnyPush,
        bad: &[BadRecord],
    ) -> Result<u64, SourceError> {
        use windrow_datasets::push::Push;
        let mut out = Without::<S::Item>::new(out, bad);
        Source::read(self, storage, split, lane, &mut out)?;
        out.finish()?;
        Ok(out.records)
    }
}
