//! Tasks by measured sizes: where nobody sees how many tasks a stage has, they are made of buckets when it opens.

use super::config::Mutation;
use super::decide::Decider;
use super::job::Job;
use super::marks::Mark;
use windrow_protocol::ids::{ShuffleId, StageId};
use windrow_protocol::parts::{Cuttable, Part, parts};
use windrow_protocol::shape::{Cut, CutShape, LookUp, OutputShape};

impl Decider<'_> {
    /// What each task of a stage reads, whose shuffles are written and cut like this; empty where each reads a partition.
    pub(crate) fn parts(&mut self, job: &Job, stage: StageId, cut: Cut) -> Vec<Part> {
        let shape = &job.shape.stages[stage.0 as usize];
        let read = shape.root.shuffles();
        let says_nothing =
            |shuffle: &ShuffleId| job.shape.shuffles[shuffle.0 as usize].cut == CutShape::ByBytes;
        // A sink has a file for each task.
        let is_sink = |output: &OutputShape| matches!(output, OutputShape::Sink(_));
        let is_seen = shape.outputs.iter().any(is_sink);
        if shape.sample || shape.dissolved || is_seen || !read.iter().all(says_nothing) {
            return Vec::new();
        }
        let mut bytes = vec![0u64; cut.buckets as usize];
        for shuffle in read {
            for (sum, bytes) in bytes.iter_mut().zip(job.of_buckets(*shuffle)) {
                *sum = sum.saturating_add(*bytes);
            }
        }
        let larger = job.shape.lookups.iter().filter(|lookup| lookup.stage == stage);
        let larger = larger.max_by_key(|lookup| job.written[lookup.shuffle.0 as usize]);
        let cuttable = larger.map(|&LookUp { shuffle, .. }| Cuttable {
            shuffle,
            bytes: job.of_buckets(shuffle),
            outputs: job.outputs(shuffle),
        });
        let mut parts = parts(&bytes, self.state.slots, cuttable);
        if self.planted(Mutation::LosePart) && parts.len() > 1 {
            parts.pop();
        }
        if self.planted(Mutation::RepeatPart) {
            parts.extend(parts.first().copied());
        }
        self.marks.mark(Mark::PartsBySize);
        if parts.iter().any(|part| part.piece.is_some()) {
            self.marks.mark(Mark::BucketCut);
        }
        parts
    }
}

impl Job {
    /// About how many bytes each bucket of a shuffle has; fewer buckets where the last ones are empty.
    fn of_buckets(&self, shuffle: ShuffleId) -> &[u64] {
        self.by_bucket.get(shuffle.0 as usize).map_or(&[], |of| of)
    }

    /// The number of map outputs of a shuffle.
    fn outputs(&self, shuffle: ShuffleId) -> u32 {
        let makers = self.links.makers.get(shuffle.0 as usize).into_iter().flatten();
        makers.map(|&maker| self.compute(maker).tasks.len() as u32).sum()
    }
}
