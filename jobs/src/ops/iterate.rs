//! `iterate` and `iterate_until`: the same steps again and again.
//!
//! A loop is planned round by round: its plan has all rounds that there may be. What a round makes of datasets from outside
//! of the loop alone is there once for all rounds where it goes through the shuffle of a join or a group. A loop that
//! may end early has a *gate* before each round but the first: a collected dataset, which has records if the round before
//! left changes. Without any, the stages of the round do nothing and pass nothing on, so that no round behind it does.

use crate::dataset::Dataset;
use crate::exec::Emitter;
use crate::flow::Flow;
use crate::graph::{Kind, Loop};
use std::marker::PhantomData;
use std::panic::Location as CodePlace;
use windrow_datasets::push::{AnyPush, Demand, Push, PushError, Selection};
use windrow_datasets::{Batch, Record};

impl<T: Record> Dataset<T> {
    /// What `step` makes of these records, then of what it made, and so on: so many rounds. `step` runs when the plan is
    /// made.
    ///
    /// A dataset from outside of the loop that `step` joins or groups is shuffled once, and read in each round from where it
    /// is. What else it makes of such a dataset it makes in each round: [`persist`](Dataset::persist) the dataset outside
    /// where making it again takes longer than keeping it.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let links = flow.from_iter([(1u32, 2u32), (2, 3), (3, 4)]);
    /// // From 1, where one comes in two steps: to 3.
    /// let reached = flow.from_iter([(1u32, ())]).iterate(2, |here| {
    ///     here.join(&links).map(|(_, ((), to))| (to, ()))
    /// });
    /// ```
    pub fn iterate(
        &self,
        rounds: u32,
        mut step: impl FnMut(&Dataset<T>) -> Dataset<T>,
    ) -> Dataset<T> {
        let within = InLoop::begin(&self.flow);
        let last = (0..rounds).fold(self.clone(), |made, _| step(&made));
        drop(within);
        last
    }

    /// As [`iterate`](Dataset::iterate), until a round leaves no changes, and no more than `most` rounds. `step` also gives
    /// the changes: a dataset of whatever type, of which only counts whether it has any record.
    ///
    /// What the rounds behind the last one might have done is planned, and costs next to nothing when the job runs: say
    /// for `most` what should never be needed, not thousands.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let links = flow.from_iter([(1u32, 2u32), (2, 3), (3, 4), (7, 8)]);
    /// // All that can be reached from 1.
    /// let start = flow.from_iter([(1u32, true)]);
    /// let reached = start.iterate_until(100, |reached| {
    ///     let next = reached.filter(|(_, is_new)| is_new).join(&links).map(|(_, (_, to))| (to, true));
    ///     // What was there before is not new.
    ///     let all = reached.map(|(node, _)| (node, false)).union(&next).min_by_key();
    ///     let changes = all.filter(|(_, is_new)| is_new);
    ///     (all, changes)
    /// });
    /// ```
    #[track_caller]
    pub fn iterate_until<C: Record>(
        &self,
        most: u32,
        mut step: impl FnMut(&Dataset<T>) -> (Dataset<T>, Dataset<C>),
    ) -> Dataset<T> {
        let place = CodePlace::caller();
        let mut within = InLoop::begin(&self.flow);
        let mut made = self.clone();
        let mut results = Vec::new();
        for round in 1..=most {
            let (next, changes) = step(&made);
            let is_last = round == most;
            let gate = (!is_last).then(|| changes.gate(place));
            let result: Dataset<T> = next.narrow("iterate_until", place, Vec::new(), |_, out| out);
            // Of those rounds that run, only the last one leaves no changes.
            self.flow.graph().nodes[result.node].until_empty = gate;
            results.push(result.node);
            made = next;
            within.round(gate);
        }
        drop(within);
        match &results[..] {
            [] => self.clone(),
            [result] => Dataset::new(self.flow.clone(), *result),
            _ => {
                let all: Dataset<T> = self.flow.add("union", place, results, Kind::Union);
                all.evenly("iterate_until", place, None)
            }
        }
    }

    /// A collected dataset that has records if this one has.
    fn gate(&self, place: &'static CodePlace<'static>) -> u32 {
        let any: Dataset<()> = self.narrow("changes", place, Vec::new(), |context, out| {
            let out = Emitter::with_batches(out, context.batch_records);
            AnyPush::new::<T>(Box::new(AnyRecord::<T> { out, found: false, input: PhantomData }))
        });
        any.collected_whole("gate", place)
    }
}

/// While it lives, what a plan function makes is in a loop.
struct InLoop(Flow);

impl InLoop {
    fn begin(flow: &Flow) -> InLoop {
        let mut graph = flow.graph();
        let first = graph.nodes.len();
        graph.loops.push(Loop { first, gate: None });
        drop(graph);
        InLoop(flow.clone())
    }

    /// The next round begins, which this gate lets through.
    fn round(&mut self, gate: Option<u32>) {
        if let Some(inside) = self.0.graph().loops.last_mut() {
            inside.gate = gate;
        }
    }
}

impl Drop for InLoop {
    fn drop(&mut self) {
        self.0.graph().loops.pop();
    }
}

/// Gives one record for a lane that has any.
struct AnyRecord<T> {
    out: Emitter<()>,
    found: bool,
    input: PhantomData<fn(T)>,
}

impl<T> AnyRecord<T> {
    fn found(&mut self) -> Result<Demand, PushError> {
        if !std::mem::replace(&mut self.found, true) {
            self.out.push(())?;
        }
        Ok(Demand::Enough)
    }
}

impl<T: Record> Push<T> for AnyRecord<T> {
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<Demand, PushError> {
        if selection.count(batch.len()) == 0 { Ok(Demand::More) } else { self.found() }
    }

    fn row(&mut self, _: T::View<'_>) -> Result<Demand, PushError> {
        self.found()
    }

    fn wants_rows(&self) -> bool {
        true
    }

    fn finish(&mut self) -> Result<(), PushError> {
        self.out.finish().map(|_| ())
    }
}
