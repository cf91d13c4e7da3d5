//! The end of an executor process, and how its attempts end with it:
//!
//! | what happened | the attempt | class |
//! |---|---|---|
//! | an attempt was cancelled and went on beyond the grace, longer if others run beside it: the executor is killed | that one | `Cancelled` |
//! | an attempt ran for longer than the job allows: the executor is killed | that one | `UserCode` |
//! | | in both cases, the others in it | `Collateral`: run again, uncharged |
//! | the executor died by itself | the one in it | `LostExecutor` |
//! | | all in it, since nobody knows whose fault it was | `LostExecutorOfSeveral`: counts apart |
//! | the same, where records may be left out | those in it | none: they run again in another process, see `suspects` |
//! | it had more memory than it may: it is killed | the one in it | `Memory` |
//! | | all in it, if several | `LostExecutorOfSeveral` |
//! | it could not be started, or the coordinator would not say what the job is | all | `LostWorker` or `Collateral` |
//! | it refused the job | all | what it said |

use super::control::Control;
use super::executor::Running;
use super::keeping::Keeping;
use super::state::{ExecutorName, cancelled};
use super::suspects::Suspects;
use crate::process::Group;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Notify;
use windrow_protocol::executor::ToExecutor;
use windrow_protocol::failure::{Failure, FailureClass};

/// What comes after a process.
pub(super) enum Next {
    /// Nothing; whether its job goes on.
    Over(bool),
    /// Another one, which knows of these.
    Again(Suspects),
}

/// Why an executor is no longer kept.
pub(super) enum Over {
    /// It is not needed.
    Unwanted,
    /// It said so, or its socket is closed: the cause, if it is not the process's end.
    Died(Option<String>),
    /// An attempt has gone on for longer than it may.
    Killed,
    /// It has more memory than it may: so many bytes.
    Oversized(u64),
}

impl Running {
    /// Keeps it until it is dead.
    pub(super) async fn run<C: Control>(
        mut self,
        keeping: &Arc<Keeping<C>>,
        name: ExecutorName,
        wake: &Notify,
    ) -> Next {
        let (state, grace) = (&keeping.state, keeping.config.limits.grace);
        let pid = self.child.id().unwrap_or(0);
        let goes_on = match self.serve(keeping, name, wake).await {
            Over::Unwanted => {
                let _ = self.out.try_send(ToExecutor::Stop);
                if tokio::time::timeout(grace, self.child.wait()).await.is_err() {
                    self.kill().await;
                }
                false
            }
            Over::Killed => {
                self.kill().await;
                tracing::warn!(job = %name.0, pid, "an executor was killed: an attempt did not stop");
                let now = Instant::now();
                let overdue = state.overdue(name, now);
                let limit = self.limit.unwrap_or_default();
                state.executor_gone(name, |attempt, deadline| match deadline {
                    Some(deadline) if deadline <= now => Failure::new(
                        FailureClass::Cancelled,
                        format!("the attempt was told to stop and did not within {} ms: its executor was killed", grace.as_millis()),
                    ),
                    Some(_) => cancelled(),
                    None if overdue.contains(&attempt) => Failure::new(
                        FailureClass::UserCode,
                        format!(
                            "the attempt ran for more than {} s, and was ended: does a closure loop for ever? If it is only slow, let it run for longer with --task-timeout",
                            limit.as_secs_f32()
                        ),
                    ),
                    None => Failure::new(
                        FailureClass::Collateral,
                        "the executor was killed because another attempt in it did not stop",
                    ),
                })
            }
            Over::Oversized(bytes) => {
                self.kill().await;
                let limit = keeping.config.memory_limit.unwrap_or_default();
                let (has, may) = (bytes >> 20, limit >> 20);
                let why = format!("it had {has} MiB of memory, and --memory-limit is {may} MiB");
                self.ran_out_of_memory(keeping, name, &why)
            }
            Over::Died(cause) => {
                if cause.is_some() {
                    let _ = self.child.start_kill();
                }
                let status = self.bury().await;
                if self.group.as_ref().is_some_and(Group::ran_out_of_memory) {
                    let limit = keeping.config.memory_limit.unwrap_or_default() >> 20;
                    let why = format!(
                        "its control group may have {limit} MiB of memory (--memory-limit), and had that"
                    );
                    return Next::Over(self.ran_out_of_memory(keeping, name, &why));
                }
                for cancelled in state.end_cancelled(name) {
                    self.suspects.ended(cancelled);
                }
                if self.suspects.died() {
                    return Next::Again(self.suspects);
                }
                let text = match cause {
                    Some(cause) => format!("the executor (process {pid}) was killed: {cause}"),
                    None => format!(
                        "the executor (process {pid}) died: {status}; its last words are in the worker's log; if it was killed, look for the kernel's out-of-memory killer"
                    ),
                };
                tracing::warn!(job = %name.0, "{text}");
                let attempts = state.attempts(name);
                state.executor_gone(name, |_, deadline| match deadline {
                    Some(_) => cancelled(),
                    None if attempts <= 1 => Failure::new(FailureClass::LostExecutor, text.clone()),
                    None => Failure::new(
                        FailureClass::LostExecutorOfSeveral,
                        format!("with {attempts} attempts in it, {text}"),
                    ),
                })
            }
        };
        Next::Over(goes_on)
    }

    /// It is dead, since it had too much memory. Whether its job goes on.
    fn ran_out_of_memory<C: Control>(
        &self,
        keeping: &Arc<Keeping<C>>,
        name: ExecutorName,
        why: &str,
    ) -> bool {
        let attempts = keeping.state.attempts(name);
        let text = format!("the executor was killed with {attempts} attempts in it: {why}");
        tracing::warn!(job = %name.0, "{text}");
        let class = match attempts {
            0 | 1 => FailureClass::Memory,
            _ => FailureClass::LostExecutorOfSeveral,
        };
        keeping.state.executor_gone(name, |_, deadline| match deadline {
            Some(_) => cancelled(),
            None => Failure::new(class, text.clone()),
        })
    }
}
