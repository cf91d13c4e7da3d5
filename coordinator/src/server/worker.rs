//! What the coordinator keeps of a worker beside the scheduler's state.

use super::outbox::Outbox;
use crate::scheduler::LossReason;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::watch;
use windrow_protocol::control::{WorkerHello, WorkerStatus};
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::{AttemptId, WorkerId};
use windrow_protocol::task::{Split, TaskOutput};

/// How a worker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Standing {
    Ready,
    /// It gets no work for a while, since tasks have failed on it one after the other.
    Aside,
    Draining,
    Drained,
    Lost(LossReason),
}

/// A worker, from its registration until it is forgotten.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Worker {
    pub(crate) hello: WorkerHello,
    pub(crate) standing: Standing,
    pub(crate) outbox: Outbox,
    /// Attempts that it has, told or not.
    pub(crate) running: BTreeSet<AttemptId>,
    /// What is special about it. They are written beside the worker.
    #[serde(skip)]
    pub(crate) labels: Vec<String>,
    /// The pages of splits that came of attempts which have not told all, and how many.
    #[serde(skip)]
    pub(crate) listed: BTreeMap<AttemptId, (u32, Vec<Split>)>,
    /// Polls that began; only the last is answered with something.
    #[serde(skip)]
    pub(crate) polls: u64,
    /// Whether an answer said that it may end.
    #[serde(skip)]
    pub(crate) told_end: bool,
    /// A number that changes when there is something to tell.
    #[serde(skip)]
    pub(crate) changed: watch::Sender<u64>,
}

impl Worker {
    /// An attempt runs no more. Whether it did.
    pub(crate) fn no_longer(&mut self, attempt: AttemptId) -> bool {
        self.listed.remove(&attempt);
        self.running.remove(&attempt)
    }

    /// Takes what an attempt has told of its end. Whether that is all, so that `result` is whole.
    pub(crate) fn all_listed(
        &mut self,
        attempt: AttemptId,
        result: &mut Result<TaskOutput, Failure>,
    ) -> bool {
        let Ok(output) = result else { return true };
        let (pages, splits) = self.listed.entry(attempt).or_default();
        if output.more {
            // A page that is told again, since an answer was lost, is here already.
            if output.page == *pages {
                *pages += 1;
                splits.append(&mut output.splits);
            }
            return false;
        }
        if output.page != *pages {
            let text = "the coordinator was restarted while the attempt told what it had listed";
            *result = Err(Failure::new(FailureClass::Cancelled, text));
            return true;
        }
        splits.append(&mut output.splits);
        output.splits = std::mem::take(splits);
        true
    }

    pub(crate) fn new(hello: WorkerHello, outbox: Outbox) -> Worker {
        Worker {
            hello,
            standing: Standing::Ready,
            outbox,
            running: BTreeSet::new(),
            labels: Vec::new(),
            listed: BTreeMap::new(),
            polls: 0,
            told_end: false,
            changed: watch::Sender::new(0),
        }
    }

    /// Whether it may go on under its id.
    pub(crate) fn is_known(&self) -> bool {
        !matches!(self.standing, Standing::Lost(_))
    }

    /// Whether it has work, or may get some.
    pub(crate) fn is_alive(&self) -> bool {
        matches!(self.standing, Standing::Ready | Standing::Aside | Standing::Draining)
    }

    /// Wakes its long poll.
    pub(crate) fn wake(&self) {
        if self.changed.receiver_count() > 0 {
            self.changed.send_modify(|number| *number += 1);
        }
    }

    pub(crate) fn status(&self, worker: WorkerId) -> WorkerStatus {
        let state = match self.standing {
            Standing::Ready => "ready".to_owned(),
            Standing::Aside => "set aside: one task after the other failed there".to_owned(),
            Standing::Draining => "draining".to_owned(),
            Standing::Drained => "drained".to_owned(),
            Standing::Lost(why) => format!("lost: {}", why.text()),
        };
        WorkerStatus {
            worker,
            host: self.hello.host.clone(),
            slots: self.hello.slots,
            running: self.running.len() as u32,
            state,
            binary: self.hello.binary.clone(),
            labels: self.labels.clone(),
        }
    }
}
