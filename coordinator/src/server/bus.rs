//! The event bus: what happens to jobs, stages, tasks and workers, numbered, to whoever listens.
//!
//! It is bounded and never holds the engine back: a subscriber that is too slow loses events, and is told how many.

use tokio::sync::broadcast;
use windrow_protocol::failure::Failure;
use windrow_protocol::ids::{AttemptId, JobId, StageId, TaskId, WorkerId};

/// Events that a subscriber may be behind.
const BEHIND_MAX: usize = 4096;

/// Something that happened.
#[derive(Clone, Debug)]
pub struct BusEvent {
    /// From 1 on, without gaps.
    pub number: u64,
    /// Milliseconds since the coordinator's start.
    pub at_ms: u64,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// A job was taken on.
    JobStarted(JobId),
    /// A job has ended.
    JobEnded(JobId),
    /// A stage knows its tasks.
    StageOpened(JobId, StageId, u32),
    /// An attempt was given to a worker.
    Assigned(AttemptId, WorkerId),
    /// A task is done.
    TaskDone(AttemptId, WorkerId),
    /// A task that was done must run again.
    TaskReopened(TaskId),
    /// An attempt has ended without result.
    AttemptFailed(AttemptId, WorkerId, Box<Failure>),
    /// A worker has come.
    WorkerJoined(WorkerId),
    /// A worker gets no more work.
    WorkerDraining(WorkerId),
    /// A worker gets no work for a while.
    WorkerSetAside(WorkerId),
    /// A worker that was set aside gets work again.
    WorkerBack(WorkerId),
    /// A worker has drained.
    WorkerDrained(WorkerId),
    /// A worker is lost; why.
    WorkerLost(WorkerId, &'static str),
}

/// The bus.
#[derive(Debug)]
pub struct Bus {
    sender: broadcast::Sender<BusEvent>,
    number: u64,
}

impl Default for Bus {
    fn default() -> Bus {
        Bus { sender: broadcast::Sender::new(BEHIND_MAX), number: 0 }
    }
}

impl Bus {
    /// Tells all subscribers.
    pub(crate) fn publish(&mut self, at_ms: u64, what: What) {
        self.number += 1;
        if self.sender.receiver_count() > 0 {
            let _ = self.sender.send(BusEvent { number: self.number, at_ms, what });
        }
    }

    /// All events from now on.
    pub fn subscribe(&self) -> Subscriber {
        Subscriber { receiver: self.sender.subscribe(), lost: 0 }
    }
}

/// One listener.
#[derive(Debug)]
pub struct Subscriber {
    receiver: broadcast::Receiver<BusEvent>,
    lost: u64,
}

impl Subscriber {
    /// The next event, or `None` when the coordinator has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<BusEvent> {
        loop {
            match self.receiver.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(count)) => self.lost += count,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// How many events this one was too slow for.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_subscriber_loses_events_with_a_count() {
        let mut bus = Bus::default();
        let mut slow = bus.subscribe();
        let more = 10;
        for at_ms in 0..(BEHIND_MAX + more) as u64 {
            bus.publish(at_ms, What::JobStarted(JobId(1)));
        }
        assert_eq!(slow.next().await.unwrap().number, more as u64 + 1);
        assert_eq!(slow.lost(), more as u64);
    }
}
