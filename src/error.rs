//! Why a job could not be run.

use windrow_protocol::client::ClientError;
use windrow_protocol::failure::Failure;

/// Why a job did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Its plan could not be made.
    #[error("{0}")]
    Plan(#[from] windrow_jobs::Error),
    /// It failed, or was cancelled.
    #[error("{0}")]
    Failed(#[from] Failure),
    /// The coordinator was not reached, or refused.
    #[error(transparent)]
    Cluster(ClientError),
    /// The key with which a job is to be run once was used for another one.
    #[error(
        "job {job} (`{name}`) was submitted with this key (--submit-once): a job of another name needs another key"
    )]
    OtherJob {
        /// That job.
        job: windrow_protocol::ids::JobId,
        /// Its name.
        name: String,
    },
    /// What secures a connection cannot be used.
    #[error("security: {0}")]
    Security(windrow_protocol::security::SecurityError),
    /// What workers are to run cannot be sent to them.
    #[error(transparent)]
    Binary(#[from] crate::binary::BinaryError),
    /// Local processes could not be started.
    #[error("{0}")]
    Launch(String),
    /// Threads could not be started.
    #[error(
        "no threads could be started to wait for the network ({0}); raise the limit (ulimit -u)"
    )]
    Threads(std::io::Error),
    /// Its arguments cannot be sent to other processes.
    #[error("the arguments of job `{job}` cannot be sent: {source}")]
    Arguments {
        /// The job.
        job: &'static str,
        /// What serde said.
        source: serde_json::Error,
    },
}
