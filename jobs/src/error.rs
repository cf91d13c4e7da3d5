//! Errors of making a plan.

/// What a plan function returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a plan cannot be made or run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A mistake in the plan.
    #[error("{place}: {reason}")]
    Plan {
        /// File and line in the job's code.
        place: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Text that is no location.
    #[error(transparent)]
    Location(#[from] windrow_datasets::location::LocationError),
    /// Storage failed while the plan was made.
    #[error(transparent)]
    Storage(#[from] windrow_datasets::storage::StorageError),
    /// Whatever the plan function has to say.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// An error of a plan function's own.
    pub fn other(message: impl std::fmt::Display) -> Error {
        Error::Other(message.to_string())
    }
}
