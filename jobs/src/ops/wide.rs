//! What operators have in common that end a stage: nodes into a shuffle or a collected dataset, and one that reads shuffles.

use crate::dataset::Dataset;
use crate::graph::{CollectNode, Graph, Kind, ShuffleNode};
use crate::shuffle::collect::Collect;
use crate::shuffle::{Bucket, ReadCode, ShuffleCode};
use std::any::TypeId;
use std::panic::Location as CodePlace;
use std::sync::Arc;
use windrow_datasets::Record;
use windrow_datasets::push::{AnyPush, PushError};

/// A shuffle that several operators may read.
#[derive(Clone, Copy)]
pub(crate) struct SharedShuffle {
    pub(crate) number: u32,
    /// Whether it is of rows from outside of the loop that it is read in: then it is for all rounds.
    pub(crate) invariant: bool,
}

/// A reader that is a function.
pub(crate) struct ReadFn<F>(pub(crate) F);

impl<F> ReadCode for ReadFn<F>
where
    F: Fn(Vec<Bucket>, AnyPush) -> Result<u64, PushError> + Send + Sync,
{
    fn read(&self, buckets: Vec<Bucket>, out: AnyPush) -> Result<u64, PushError> {
        (self.0)(buckets, out)
    }
}

impl<T: Record> Dataset<T> {
    /// A shuffle of these rows; its number.
    pub(crate) fn shuffle(
        &self,
        operator: &'static str,
        place: &'static CodePlace<'static>,
        code: impl ShuffleCode + 'static,
        partitions: Option<u32>,
        sample: Option<u32>,
    ) -> u32 {
        let mut graph = self.flow.graph();
        let shuffle = graph.shuffles.len() as u32;
        graph.shuffles.push(ShuffleNode {
            code: Arc::new(code),
            partitions,
            sample,
            filtered_by: None,
            any_order: false,
            shared_as: None,
        });
        drop(graph);
        let _: Dataset<T> = self.flow.add(operator, place, vec![self.node], Kind::Shuffle(shuffle));
        shuffle
    }

    /// A shuffle of these rows whose code has nothing but its type. In a loop, one of rows from outside is made once, and
    /// read in each round.
    pub(crate) fn shared_shuffle<C: ShuffleCode + 'static>(
        &self,
        operator: &'static str,
        place: &'static CodePlace<'static>,
        code: C,
    ) -> SharedShuffle {
        let shared_as = Some(TypeId::of::<C>());
        let graph = self.flow.graph();
        let invariant = graph.loops.last().is_some_and(|inside| self.node < inside.first);
        let made = graph.nodes.iter().filter(|node| invariant && node.inputs == [self.node]);
        let made = made.filter_map(|node| match node.kind {
            Kind::Shuffle(shuffle) => Some(shuffle),
            _ => None,
        });
        let made = made.filter(|&made| graph.shuffles[made as usize].shared_as == shared_as);
        let made = made.min();
        drop(graph);
        let number = made.unwrap_or_else(|| {
            let number = self.shuffle(operator, place, code, None, None);
            self.flow.graph().shuffles[number as usize].shared_as = shared_as;
            number
        });
        SharedShuffle { number, invariant }
    }

    /// Collects these rows, for whoever asks for them by name, or, without one, for stages that read them whole; the number
    /// of the collected dataset.
    pub(crate) fn collected(
        &self,
        operator: &'static str,
        place: &'static CodePlace<'static>,
        node: CollectNode,
    ) -> u32 {
        let mut graph = self.flow.graph();
        let number = graph.collects.len() as u32;
        graph.collects.push(node);
        drop(graph);
        let _: Dataset<T> = self.flow.add(operator, place, vec![self.node], Kind::Collect(number));
        number
    }

    /// Collects these rows for stages that read them whole.
    pub(crate) fn collected_whole(
        &self,
        operator: &'static str,
        place: &'static CodePlace<'static>,
    ) -> u32 {
        let code = Arc::new(Collect::<T>::new());
        self.collected(operator, place, CollectNode { code, name: String::new(), sample: false })
    }

    /// This dataset, to which the order of the rows makes no difference that are in the shuffles it reads.
    pub(crate) fn in_any_order(self) -> Self {
        let mut graph = self.flow.graph();
        let Graph { nodes, shuffles, .. } = &mut *graph;
        if let Kind::Read { shuffles: read, .. } = &nodes[self.node].kind {
            read.iter().for_each(|&shuffle| shuffles[shuffle as usize].any_order = true);
        }
        drop(graph);
        self
    }

    /// The dataset of what `code` makes of shuffles.
    pub(crate) fn read_shuffles<U: Record>(
        &self,
        operator: &'static str,
        place: &'static CodePlace<'static>,
        shuffles: Vec<u32>,
        code: impl ReadCode + 'static,
    ) -> Dataset<U> {
        let kind = Kind::Read { code: Arc::new(code), shuffles };
        self.flow.add(operator, place, Vec::new(), kind)
    }
}
