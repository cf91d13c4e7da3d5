//! A dataset of a flow. What can be done with it is in [`ops`](crate::ops).

use crate::flow::Flow;
use crate::graph::NodeId;
use std::marker::PhantomData;
use windrow_datasets::Record;

/// Records of type `T`, to be made when the job runs. Methods take `&self`: a dataset may be used several times.
///
/// Closures of methods get views (`&str` for `String`, a derived `TripView` for a struct `Trip`) and run on many threads
/// and machines: they must give the same for the same arguments each time.
pub struct Dataset<T: Record> {
    pub(crate) flow: Flow,
    pub(crate) node: NodeId,
    record: PhantomData<fn() -> T>,
}

impl<T: Record> Clone for Dataset<T> {
    fn clone(&self) -> Self {
        Dataset::new(self.flow.clone(), self.node)
    }
}

impl<T: Record> Dataset<T> {
    pub(crate) fn new(flow: Flow, node: NodeId) -> Dataset<T> {
        Dataset { flow, node, record: PhantomData }
    }

    /// This dataset, with what its node does for readers of the plan.
    pub(crate) fn detailed(self, detail: String) -> Dataset<T> {
        self.flow.graph().nodes[self.node].detail = detail;
        self
    }
}
