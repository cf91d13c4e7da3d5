//! Lists in pages: where the blocks of a shuffle are, and the rows of a collected dataset.

use super::core::Core;
use super::limits::{BLOCKS_PAGE, COLLECTED_PAGE};
use std::collections::BTreeMap;
use windrow_protocol::control::{BlockPage, JobState, Refusal};
use windrow_protocol::ids::{
    AttemptId, CollectId, JobId, Round, ShuffleId, TaskId, TaskKind, WorkerId,
};

impl Core {
    /// Where the blocks of a shuffle are, from the output of number `from` on.
    pub(crate) fn blocks(
        &self,
        id: JobId,
        shuffle: ShuffleId,
        from: u32,
    ) -> Result<BlockPage, Refusal> {
        let job = self.job(id)?;
        let version = job.versions.get(shuffle.0 as usize).copied();
        let version = version
            .ok_or_else(|| Refusal::Invalid(format!("job {id} has no shuffle {}", shuffle.0)))?;
        let mut page = BlockPage { version, complete: true, ..BlockPage::default() };
        let mut places: BTreeMap<WorkerId, u32> = BTreeMap::new();
        let mut number = 0;
        for &stage in job.producers(shuffle) {
            let done = job.stage(stage).and_then(|stage| stage.done.as_deref());
            page.complete &= done.is_some_and(|done| done.iter().all(Option::is_some));
            let (done, rests) = (done.unwrap_or_default(), job.stage(stage).map(|of| &of.rests));
            let in_order = rests.map(|rests| rests.in_order(done.len() as u32));
            for partition in in_order.into_iter().flatten() {
                let Some((attempt, worker)) = done[partition as usize] else { continue };
                number += 1;
                if number <= from || page.more {
                    continue;
                }
                if page.outputs.len() == BLOCKS_PAGE {
                    page.more = true;
                    continue;
                }
                let kind = TaskKind::Compute;
                let task = TaskId { job: id, stage, round: Round::default(), kind, partition };
                let at = *places.entry(worker).or_insert_with(|| {
                    let (host, address) = self.workers.get(&worker).map_or_else(
                        || (String::new(), String::new()),
                        |of| (of.hello.host.clone(), of.hello.data_address.clone()),
                    );
                    page.workers.push((worker, host, address));
                    page.workers.len() as u32 - 1
                });
                page.outputs.push((AttemptId { task, number: attempt }, at));
            }
        }
        Ok(page)
    }

    /// A page of a collected dataset, from byte `from` on.
    pub(crate) fn collected(
        &self,
        id: JobId,
        collect: CollectId,
        from: u64,
    ) -> Result<Vec<u8>, Refusal> {
        let job = self.job(id)?;
        if collect.0 as usize >= job.submission.shape.collects.len() {
            let text = format!("job {id} has no collected dataset {}", collect.0);
            return Err(Refusal::Invalid(text));
        }
        if job.state != JobState::Succeeded {
            let text = format!("job {id} has not succeeded: there are no collected rows");
            return Err(Refusal::Invalid(text));
        }
        if job.collected_forgotten {
            let text =
                format!("the collected rows of job {id} are not kept any more: run it again");
            return Err(Refusal::Invalid(text));
        }
        let mut skip = usize::try_from(from).unwrap_or(usize::MAX);
        let mut page = Vec::new();
        for frames in job.collected(collect) {
            let rest = frames.get(skip..).unwrap_or_default();
            skip -= skip.min(frames.len());
            let room = COLLECTED_PAGE - page.len();
            page.extend_from_slice(&rest[..rest.len().min(room)]);
            if page.len() == COLLECTED_PAGE {
                break;
            }
        }
        Ok(page)
    }
}
