//! What the tasks of a supervisor have in common.

use super::ahead::FetchAhead;
use super::config::SupervisorConfig;
use super::locations::Locations;
use super::replicate::Replicas;
use super::state::State;
use crate::binaries::Binaries;
use crate::blocks::Blocks;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What those have in common that keep executors, fetch ahead, copy and end jobs.
pub(super) struct Keeping<C> {
    pub(super) config: SupervisorConfig,
    pub(super) control: Arc<C>,
    pub(super) locations: Locations<C>,
    pub(super) state: State,
    pub(super) blocks: Arc<Blocks>,
    /// The binaries of jobs, where it takes jobs of any.
    pub(super) binaries: Option<Arc<Binaries>>,
    /// One of them is fetched at a time.
    pub(super) fetching: Semaphore,
    /// The worker's own folders.
    pub(super) scratch: Vec<PathBuf>,
    pub(super) ahead: FetchAhead,
    pub(super) replicas: Replicas,
}

impl<C> Keeping<C> {
    /// The scratch folders of an executor of this name.
    pub(super) fn scratch_of(&self, executor: &str) -> Vec<PathBuf> {
        self.scratch.iter().map(|folder| folder.join("executors").join(executor)).collect()
    }
}
