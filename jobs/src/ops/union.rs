//! `union`: the records of two datasets.

use crate::dataset::Dataset;
use crate::graph::Kind;
use std::panic::Location as CodePlace;
use windrow_datasets::Record;

impl<T: Record> Dataset<T> {
    /// The records of this dataset and of `other`, those of this one first. Nothing is shuffled.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let both = flow.read_lines("/tmp/a.txt").union(&flow.read_lines("/tmp/b.txt"));
    /// ```
    #[track_caller]
    pub fn union(&self, other: &Dataset<T>) -> Dataset<T> {
        self.flow.add("union", CodePlace::caller(), vec![self.node, other.node], Kind::Union)
    }
}
