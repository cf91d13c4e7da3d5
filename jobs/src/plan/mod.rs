//! The plan of a job: its stages, and how the chains of a stage are built.
//!
//! A stage begins at a root (a source, or what reads shuffles) and goes along narrow operators to its outputs. A root has
//! one stage, unless an output of it waits for something that another output of the same root leads to (a sort's sample,
//! a broadcast), or several branches of a union lead from it to one output: those have stages of their own, which read
//! the root again.

mod any_order;
mod explain;
mod prune;
mod stages;

pub use any_order::Probe;
pub use explain::{Explained, Splits};

use crate::error::{Error, Result};
use crate::exec::sink::SinkCode;
use crate::exec::{LaneContext, Whole};
use crate::flow::Flow;
use crate::graph::{Graph, Kind, NodeId, SourceCode};
use crate::job::Job;
use crate::ops::StageNeeds;
use crate::shuffle::collect::CollectCode;
use crate::shuffle::{ReadCode, ShuffleCode};
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc;
use windrow_datasets::location::Location;
use windrow_datasets::push::{AnyPush, PushError};

/// See the module.
pub struct Plan {
    name: String,
    graph: Graph,
    /// For each node those that read its rows.
    consumers: Vec<Vec<stages::Step>>,
    stages: Vec<Stage>,
    /// For each shuffle, sink and collected dataset the stages that write it, in the order in which their rows count.
    shuffle_producers: Vec<Vec<usize>>,
    sink_producers: Vec<Vec<usize>>,
    collect_producers: Vec<Vec<usize>>,
    /// For each node whether the order of its rows makes no difference.
    any_order: Vec<bool>,
}

/// A stage of a plan.
pub struct Stage {
    /// The operators, joined by ` > `.
    pub name: String,
    /// What operators do with which columns, where the plan sees that.
    pub details: Vec<String>,
    /// What it reads.
    pub root: Root,
    /// Where its rows go, in the order in which [`Plan::chain`] wants their receivers.
    pub outputs: Vec<Output>,
    /// The collected datasets that it reads whole, ascending.
    pub whole_inputs: Vec<u32>,
    /// Whether it only looks at a sample.
    pub sample: bool,
    /// What its tasks need of a worker.
    pub needs: StageNeeds,
    /// About which share of what it reads comes to an output, by the form of its filters alone.
    pub passes: f64,
    root_node: NodeId,
    /// For each output the nodes on the way to it, its own the last.
    steps: Vec<Vec<NodeId>>,
    /// Which of the root's paths, counted as they are walked, are this stage's.
    paths: Vec<usize>,
}

/// What a stage reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// A source, listed by the stage of this number: this one, or an earlier one with the same source.
    Source {
        /// The stage.
        listed_by: usize,
    },
    /// These shuffles.
    Shuffles(Vec<u32>),
}

/// Where rows of a stage go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Output {
    /// Into a shuffle.
    Shuffle(u32),
    /// Into a sink.
    Sink(u32),
    /// Collected.
    Collect(u32),
}

/// A shuffle of a plan, for those who run it.
pub struct ShuffleView<'p> {
    /// Makes stores and buckets.
    pub code: &'p Arc<dyn ShuffleCode>,
    /// The number of partitions that the job asks for.
    pub partitions: Option<u32>,
    /// The stages that write it, in the order in which their rows count.
    pub producers: &'p [usize],
    /// The collected sample that its store needs.
    pub sample: Option<u32>,
    /// The shuffle whose [keys](crate::shuffle::Store::keys) tell which rows of this one are of use, if those are at
    /// hand: the other side of a join.
    pub filtered_by: Option<u32>,
}

/// A sink of a plan, for those who run it.
pub struct SinkView<'p> {
    /// Makes part files.
    pub code: &'p Arc<dyn SinkCode>,
    /// Where it writes.
    pub location: &'p Location,
    /// The stages that write it, in the order in which their rows count.
    pub producers: &'p [usize],
}

/// A collected dataset of a plan, for those who run it.
pub struct CollectView<'p> {
    /// Makes receivers.
    pub code: &'p Arc<dyn CollectCode>,
    /// The name by which whoever ran the job asks for it; empty where it is for other stages alone.
    pub name: &'p str,
    /// The stages that write it, in the order in which their rows count.
    pub producers: &'p [usize],
}

impl Plan {
    /// The plan of a job.
    ///
    /// # Errors
    /// What the plan function says, and if there is nothing to do in it.
    pub fn of<J: Job>(job: &J) -> Result<Plan> {
        Plan::from_fn(J::NAME, |flow| job.plan(flow))
    }

    /// The plan that a function makes.
    ///
    /// # Errors
    /// As for [`Plan::of`].
    pub fn from_fn(name: &str, plan: impl FnOnce(&Flow) -> Result<()>) -> Result<Plan> {
        let flow = Flow::new();
        plan(&flow)?;
        let graph = flow.take();
        let plan = stages::cut(name.to_string(), graph);
        if plan.stages.is_empty() {
            return Err(Error::Other(format!(
                "job `{name}` has nothing to do: let its plan write or collect a dataset"
            )));
        }
        Ok(plan)
    }

    /// The job's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The stages; each comes after all that it reads.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The source of a stage, if its root is one.
    pub fn source(&self, stage: usize) -> Option<&Arc<dyn SourceCode>> {
        match &self.graph.nodes[self.stages[stage].root_node].kind {
            Kind::Source(code) => Some(code),
            _ => None,
        }
    }

    /// What reads the shuffles of a stage, if its root does.
    pub fn reader(&self, stage: usize) -> Option<&Arc<dyn ReadCode>> {
        match &self.graph.nodes[self.stages[stage].root_node].kind {
            Kind::Read { code, .. } => Some(code),
            _ => None,
        }
    }

    /// The number of shuffles.
    pub fn shuffles(&self) -> usize {
        self.graph.shuffles.len()
    }

    /// A shuffle.
    pub fn shuffle(&self, number: u32) -> ShuffleView<'_> {
        let shuffle = &self.graph.shuffles[number as usize];
        ShuffleView {
            code: &shuffle.code,
            partitions: shuffle.partitions,
            producers: &self.shuffle_producers[number as usize],
            sample: shuffle.sample,
            filtered_by: shuffle.filtered_by,
        }
    }

    /// The number of sinks.
    pub fn sinks(&self) -> usize {
        self.graph.sinks.len()
    }

    /// A sink.
    pub fn sink(&self, number: u32) -> SinkView<'_> {
        let sink = &self.graph.sinks[number as usize];
        let producers = &self.sink_producers[number as usize];
        SinkView { code: &sink.code, location: &sink.location, producers }
    }

    /// The number of collected datasets, those for other stages included.
    pub fn collects(&self) -> usize {
        self.graph.collects.len()
    }

    /// A collected dataset.
    pub fn collect(&self, number: u32) -> CollectView<'_> {
        let collect = &self.graph.collects[number as usize];
        let producers = &self.collect_producers[number as usize];
        CollectView { code: &collect.code, name: &collect.name, producers }
    }

    /// The names of the counters.
    pub fn counters(&self) -> &[String] {
        &self.graph.counters
    }

    /// The counters by name, of their totals in the order of [`Plan::counters`]; what has no total counted nothing.
    pub fn named_counters(&self, totals: &[u64]) -> BTreeMap<String, u64> {
        let total = |at: usize| totals.get(at).copied().unwrap_or_default();
        self.counters().iter().enumerate().map(|(at, name)| (name.clone(), total(at))).collect()
    }

    /// The receiver of the records of a stage's root, in front of receivers of its [outputs](Stage::outputs).
    ///
    /// # Panics
    /// If there are fewer receivers than outputs.
    pub fn chain(&self, stage: usize, context: &LaneContext, outputs: Vec<AnyPush>) -> AnyPush {
        let stage = &self.stages[stage];
        let mut walk = Walk {
            plan: self,
            context,
            path: 0,
            paths: stage.paths.iter().copied().collect(),
            outputs: outputs.into(),
        };
        let Some(push) = walk.receiver(stage.root_node) else {
            unreachable!("a stage has an output")
        };
        push
    }

    /// Whether a stage has nothing to do, as what was collected before it says: all of it is in rounds of loops that have
    /// ended.
    pub fn is_over(&self, stage: usize, whole: &Whole) -> bool {
        let Stage { root_node, steps, .. } = &self.stages[stage];
        self.graph.nodes[*root_node].is_over(whole)
            || steps.iter().all(|way| way.iter().any(|&node| self.graph.nodes[node].is_over(whole)))
    }

    /// Ends a lane of a stage that [is over](Plan::is_over), at the receiver that [`Plan::chain`] gave.
    ///
    /// # Errors
    /// What the receivers say.
    pub fn end(&self, stage: usize, out: AnyPush) -> Result<(), PushError> {
        (self.graph.nodes[self.stages[stage].root_node].end)(out)
    }

    /// Receivers for the outputs of a stage that forget all: to run a lane for its errors alone.
    pub fn discards(&self, stage: usize) -> Vec<AnyPush> {
        let nodes = self.stages[stage].steps.iter().filter_map(|way| way.last());
        nodes.map(|&node| (self.graph.nodes[node].discard)()).collect()
    }

    /// What the plan is, as far as that can be told of closures: operators, types, and where they stand in the job's
    /// code. Two processes that plan the same job with the same binary have the same.
    pub fn outline(&self) -> String {
        use std::fmt::Write;
        let mut text = format!("job {}\n", self.name);
        for (id, node) in self.graph.nodes.iter().enumerate() {
            let detail = match &*node.detail {
                "" => String::new(),
                detail => format!(" ({detail})"),
            };
            let _ = writeln!(
                text,
                "{id} {}{detail} {:?} -> {} at {}:{}",
                node.operator,
                node.inputs,
                node.row,
                node.place.file(),
                node.place.line()
            );
        }
        text
    }
}

/// Builds the receivers of a stage from its outputs back to its root.
struct Walk<'p> {
    plan: &'p Plan,
    context: &'p LaneContext,
    /// The path that comes next.
    path: usize,
    /// The paths that are wanted, and the receivers at their ends, in order.
    paths: VecDeque<usize>,
    outputs: VecDeque<AnyPush>,
}

impl Walk<'_> {
    /// The receiver of a node's rows; `None` if no wanted path goes through it.
    fn receiver(&mut self, node: NodeId) -> Option<AnyPush> {
        let graph = &self.plan.graph;
        let mut receivers = Vec::new();
        for &(consumer, _) in &self.plan.consumers[node] {
            let next = &graph.nodes[consumer];
            let receiver = match &next.kind {
                kind if kind.is_output() => self.output(),
                Kind::Union => self.receiver(consumer),
                Kind::Narrow { code, .. } => {
                    let code = code.clone();
                    self.receiver(consumer).map(|out| code.chain(self.context, out))
                }
                _ => unreachable!("a root has no inputs"),
            };
            let over = next.is_over(&self.context.whole);
            let close = graph.nodes[node].close;
            receivers.extend(receiver.map(|out| if over { close(out) } else { out }));
        }
        match receivers.len() {
            0 | 1 => receivers.pop(),
            _ => Some((graph.nodes[node].tee)(receivers)),
        }
    }

    fn output(&mut self) -> Option<AnyPush> {
        let path = self.path;
        self.path += 1;
        if self.paths.front() != Some(&path) {
            return None;
        }
        self.paths.pop_front();
        Some(self.outputs.pop_front().expect("a receiver for each output"))
    }
}

#[cfg(test)]
mod tests;
