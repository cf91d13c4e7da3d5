//! What people are told of queues, and of the workers that their jobs share.

use super::core::Core;
use super::worker::Worker;
use crate::scheduler::{QueueView, Scheduler, State};
use std::collections::BTreeMap;
use windrow_protocol::claim::QueueStatus;
use windrow_protocol::control::WorkerStatus;
use windrow_protocol::ids::WorkerId;

impl Core {
    /// All workers that are known, and those that were lost last.
    pub(crate) fn worker_list(&self) -> Vec<WorkerStatus> {
        let status = |(&id, worker): (&WorkerId, &Worker)| {
            let pool = self.pools.get(&worker.hello.binary.build);
            let used = pool.and_then(|pool| pool.scheduler.state().slots_used(id));
            WorkerStatus { running: used.unwrap_or_default(), ..worker.status(id) }
        };
        self.workers.iter().map(status).collect()
    }

    /// The queues of all pools.
    pub(crate) fn queue_list(&self) -> Vec<QueueStatus> {
        let mut all: BTreeMap<String, QueueStatus> = BTreeMap::new();
        let none = Scheduler::new(self.config.scheduler.clone());
        let pools = self.pools.values().map(|pool| pool.scheduler.state());
        for queue in pools.chain([none.state()]).flat_map(State::queues) {
            let QueueView { name, policy, running, jobs, waiting } = queue;
            let entry = all.entry(name.clone()).or_insert_with(|| QueueStatus {
                name,
                weight: policy.weight.max(1),
                guaranteed_percent: policy.guaranteed_percent,
                slots: 0,
                running: 0,
                waiting: 0,
            });
            entry.slots += running;
            entry.running += jobs - waiting;
            entry.waiting += waiting;
        }
        all.into_values().collect()
    }
}
