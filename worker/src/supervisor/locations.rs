//! Where the blocks of shuffles are: asked of the coordinator, in pages, and kept as long as they are the newest.

use super::control::{Control, ControlError};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use windrow_protocol::executor::{BlockPlaces, BlockWorker};
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::{JobId, ShuffleId};

/// A list of blocks, and its version.
pub(super) type Located = (u64, Arc<BlockPlaces>);

/// A list of blocks that need not be all.
pub(super) struct List {
    pub(super) version: u64,
    /// Whether all producers are complete.
    pub(super) complete: bool,
    pub(super) places: BlockPlaces,
}

/// The lists that are known.
pub(super) struct Locations<C> {
    control: Arc<C>,
    /// How long an answer of the coordinator may take.
    answer: Duration,
    fresh: Duration,
    incomplete: Duration,
    known: Mutex<HashMap<(JobId, ShuffleId), (Located, Instant)>>,
}

impl<C: Control> Locations<C> {
    /// None is known yet; see [`SupervisorLimits`](super::SupervisorLimits) for the times.
    pub(super) fn new(control: Arc<C>, limits: &super::SupervisorLimits) -> Locations<C> {
        Locations {
            control,
            answer: limits.answer,
            fresh: limits.fresh,
            incomplete: limits.incomplete,
            known: Mutex::default(),
        }
    }

    /// Forgets the lists of a job.
    pub(super) fn forget(&self, job: JobId) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(of, _), _| *of != job);
    }

    fn known(&self, key: (JobId, ShuffleId)) -> Option<(Located, Instant)> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    /// Where the blocks of a shuffle are. Waits for its producers to be complete.
    ///
    /// # Errors
    /// [`FailureClass::Collateral`], if they are not for too long, or the coordinator does not answer. Cancel safe.
    pub(super) async fn of(&self, job: JobId, shuffle: ShuffleId) -> Result<Located, Failure> {
        let begun = Instant::now();
        let mut pause = Duration::from_millis(10);
        loop {
            let why = match self.ask(job, shuffle).await {
                Ok(Some(located)) => return Ok(located),
                Ok(None) => "its producers are not complete".to_string(),
                Err(ControlError::Refused(refusal)) => {
                    return Err(Failure::new(FailureClass::Collateral, refusal.to_string()));
                }
                Err(error) => error.to_string(),
            };
            if begun.elapsed() > self.incomplete {
                let text = format!(
                    "waited {} s for the blocks of shuffle {}: {why}",
                    self.incomplete.as_secs(),
                    shuffle.0
                );
                return Err(Failure::new(FailureClass::Collateral, text));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
        }
    }

    /// Asks once; `None` if the producers are not complete, or the list changed while it was read.
    async fn ask(&self, job: JobId, shuffle: ShuffleId) -> Result<Option<Located>, ControlError> {
        let key = (job, shuffle);
        if let Some((located, since)) = self.known(key) {
            if since.elapsed() < self.fresh {
                return Ok(Some(located));
            }
            let page = self.page(key, u32::MAX).await?;
            if page.complete && page.version == located.0 {
                self.keep(key, &located);
                return Ok(Some(located));
            }
        }
        let Some(list) = self.list(job, shuffle).await?.filter(|list| list.complete) else {
            return Ok(None);
        };
        let located = (list.version, Arc::new(list.places));
        self.keep(key, &located);
        Ok(Some(located))
    }

    /// The version of the list of a shuffle's blocks, as it is now.
    pub(super) async fn version(
        &self,
        job: JobId,
        shuffle: ShuffleId,
    ) -> Result<u64, ControlError> {
        Ok(self.page((job, shuffle), u32::MAX).await?.version)
    }

    /// The blocks of a shuffle that are there now; `None` if the list changed while it was read.
    pub(super) async fn list(
        &self,
        job: JobId,
        shuffle: ShuffleId,
    ) -> Result<Option<List>, ControlError> {
        let key = (job, shuffle);
        let mut outputs = Vec::new();
        let mut workers: Vec<BlockWorker> = Vec::new();
        let mut numbers = HashMap::new();
        let mut version = None;
        let mut complete;
        loop {
            let page = self.page(key, outputs.len() as u32).await?;
            if *version.get_or_insert(page.version) != page.version {
                return Ok(None);
            }
            complete = page.complete;
            let none_more = !page.more || page.outputs.is_empty();
            // The numbers of workers count within a page.
            let of_page: Vec<u32> = page
                .workers
                .into_iter()
                .map(|(worker, host, address)| {
                    *numbers.entry(worker).or_insert_with(|| {
                        workers.push(BlockWorker { worker, host, address });
                        workers.len() as u32 - 1
                    })
                })
                .collect();
            for (attempt, worker) in page.outputs {
                let Some(&worker) = of_page.get(worker as usize) else {
                    let text =
                        format!("a list of blocks names worker {worker} of {}", of_page.len());
                    return Err(ControlError::Unreachable(text));
                };
                outputs.push((attempt, worker));
            }
            if none_more {
                break;
            }
        }
        let places = BlockPlaces { shuffle, outputs, workers, copies: Vec::new() };
        Ok(Some(List { version: version.unwrap_or(0), complete, places }))
    }

    async fn page(
        &self,
        (job, shuffle): (JobId, ShuffleId),
        from: u32,
    ) -> Result<windrow_protocol::control::BlockPage, ControlError> {
        super::within(self.answer, self.control.blocks(job, shuffle, from)).await
    }

    fn keep(&self, key: (JobId, ShuffleId), located: &Located) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(key, (located.clone(), Instant::now()));
    }
}
