//! A client that waits for its job.

use super::AnyError;
use super::jobs::JobKind;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// A job that has not ended after so long hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// See the module.
#[derive(Debug)]
pub(super) struct Client<'j> {
    pub(super) process: Child,
    pub(super) job: &'j JobKind,
    pub(super) output: PathBuf,
    pub(super) begun: Instant,
}

impl Client<'_> {
    /// How it ended, if it has. Fails, and ends it, if it hangs.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>, AnyError> {
        let ended = self.process.try_wait()?;
        if ended.is_none() && self.begun.elapsed() > PATIENCE {
            self.process.kill()?;
            self.process.wait()?;
            return Err(format!("{} does not end", self.job.name).into());
        }
        Ok(ended)
    }
}
