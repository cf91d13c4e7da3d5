//! The end of a job on a worker: what it has left is removed.

use super::control::Control;
use super::executor::{Running, remove};
use super::keeping::Keeping;
use std::sync::Arc;
use std::time::Duration;
use windrow_protocol::control::JobOver;
use windrow_protocol::executor::{FromExecutor, ToExecutor};
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::{JobId, WorkerId};

/// An abort that takes longer is given up.
const ABORT_WITHIN: Duration = Duration::from_secs(120);

/// Does what is to be done when no executor of a job runs any more, and none will: removes what it has left in its
/// outputs, if that is wanted, and its blocks.
pub(super) async fn end<C: Control>(keeping: Arc<Keeping<C>>, worker: WorkerId, over: JobOver) {
    let job = over.job;
    if over.abort {
        let aborted = tokio::time::timeout(ABORT_WITHIN, abort(&keeping, job, worker)).await;
        let why = match aborted {
            Ok(Ok(())) => None,
            Ok(Err(failure)) => Some(failure.to_string()),
            Err(_) => Some(format!("it took more than {} s", ABORT_WITHIN.as_secs())),
        };
        if let Some(why) = why {
            tracing::warn!(%job, why, "what the job has left in its outputs could not be removed");
        }
    }
    let blocks = keeping.blocks.clone();
    let _ = tokio::task::spawn_blocking(move || blocks.drop_job(job)).await;
}

/// Removes what a job has left in its outputs, by an executor that is there for nothing else.
async fn abort<C: Control>(
    keeping: &Keeping<C>,
    job: JobId,
    worker: WorkerId,
) -> Result<(), Failure> {
    let scratch = keeping.scratch_of(&format!("{job}-abort"));
    // Executors that run attempts have higher numbers.
    let mut running = Running::of_job(keeping, (job, 0), worker, &scratch).await?;
    running.say(ToExecutor::Abort);
    let aborted = match running.reader.next().await {
        Ok(Some(FromExecutor::Aborted(aborted))) => aborted,
        Ok(Some(other)) => {
            let text = format!("the executor said {other:?} in place of what became of the abort");
            Err(Failure::new(FailureClass::Internal, text))
        }
        Ok(None) | Err(_) => {
            let text = format!("the executor died: {}", running.bury().await);
            Err(Failure::new(FailureClass::LostExecutor, text))
        }
    };
    running.kill().await;
    remove(scratch).await;
    aborted
}
