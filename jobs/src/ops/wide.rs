//! What wide operators have in common: a node into a shuffle, and one that reads it.

use crate::dataset::Dataset;
use crate::graph::{Kind, ShuffleNode};
use crate::shuffle::{Bucket, ReadCode, ShuffleCode};
use std::panic::Location as CodePlace;
use std::sync::Arc;
use windrow_datasets::Record;
use windrow_datasets::push::{AnyPush, PushError};

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
        });
        drop(graph);
        let _: Dataset<T> = self.flow.add(operator, place, vec![self.node], Kind::Shuffle(shuffle));
        shuffle
    }

    /// The dataset of what `code` makes of shuffles.
    pub(crate) fn read_shuffles<U: Record>(
        &self,
        operator: &'static str,
        place: &'static CodePlace<'static>,
        shuffles: Vec<u32>,
        code: impl ReadCode + 'static,
    ) -> Dataset<U> {
        let kind = Kind::Read { code: Arc::new(code), shuffles, by_key: false };
        self.flow.add(operator, place, Vec::new(), kind)
    }

    /// As [`read_shuffles`](Dataset::read_shuffles) for one shuffle, where at most one row comes of each key, behind that
    /// key, of the rows that have it.
    pub(crate) fn read_by_key<K: Record, V: Record>(
        &self,
        operator: &'static str,
        place: &'static CodePlace<'static>,
        shuffle: u32,
        code: impl ReadCode + 'static,
    ) -> Dataset<(K, V)> {
        let kind = Kind::Read { code: Arc::new(code), shuffles: vec![shuffle], by_key: true };
        self.flow.add(operator, place, Vec::new(), kind)
    }
}
