//! What the tasks that make a dataset need of the workers that they run on.

use crate::dataset::Dataset;
use std::collections::BTreeSet;
use windrow_datasets::Record;

/// What tasks of a stage need of a worker, on a cluster with workers of several kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageNeeds {
    /// So many of its slots; 0 counts as 1.
    pub slots: u32,
    /// So much of its memory for records, in bytes.
    pub memory: u64,
    /// A worker that has all these labels.
    pub labels: BTreeSet<String>,
}

impl StageNeeds {
    /// Whether any worker will do, with one slot.
    pub fn is_ordinary(&self) -> bool {
        self.slots <= 1 && self.memory == 0 && self.labels.is_empty()
    }

    /// Needs this as well.
    pub(crate) fn add(&mut self, other: &StageNeeds) {
        self.slots = self.slots.max(other.slots);
        self.memory = self.memory.max(other.memory);
        self.labels.extend(other.labels.iter().cloned());
    }
}

impl<T: Record> Dataset<T> {
    /// On a cluster, the tasks in which this dataset is made run on workers that have a label, such as those with a GPU:
    /// `windrow worker --label gpu`. A stage has all labels that its datasets need; where a job has workers of its own, or
    /// runs in one process, labels make no difference.
    ///
    /// ```
    /// # use windrow_jobs::{Flow, Result};
    /// # fn plan(flow: &Flow) -> Result<()> {
    /// flow.read_lines("images.txt")
    ///     .map(|path| path.len() as u64)
    ///     .needs_label("gpu")
    ///     .count_by_value()
    ///     .write_parquet("labels")
    /// # }
    /// ```
    #[must_use]
    pub fn needs_label(self, label: &str) -> Dataset<T> {
        self.needing(StageNeeds { labels: [label.to_owned()].into(), ..StageNeeds::default() })
    }

    /// On a cluster, each task in which this dataset is made takes so many slots of its worker, since its closures start
    /// threads of their own. A stage takes as many as the dataset in it that needs the most.
    #[must_use]
    pub fn needs_slots(self, slots: u32) -> Dataset<T> {
        self.needing(StageNeeds { slots, ..StageNeeds::default() })
    }

    /// On a cluster, each task in which this dataset is made takes so many bytes of its worker's memory for records, and so
    /// the slots that stand for them: its closures hold something large. A stage takes as much as the dataset in it that
    /// needs the most.
    #[must_use]
    pub fn needs_memory(self, bytes: u64) -> Dataset<T> {
        self.needing(StageNeeds { memory: bytes, ..StageNeeds::default() })
    }

    fn needing(self, needs: StageNeeds) -> Dataset<T> {
        self.flow.graph().needs.entry(self.node).or_default().add(&needs);
        self
    }
}
