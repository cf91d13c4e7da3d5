//! Why a journal cannot be used.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a journal cannot be opened, or written to.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// Another coordinator has the folder.
    #[error("the state folder {} is in use by another coordinator: end that one first, or choose another folder with --state", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The system says no.
    #[error("the journal {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// Somebody else writes the journal in a store.
    #[error(
        "the state at {place} has another coordinator by now: this one decides nothing any more"
    )]
    TakenOver {
        /// Where it is.
        place: String,
    },
    /// Somebody leads that has the state in a store.
    #[error(
        "the state at {place} has a coordinator, which listens at {address}: end that one first, or start this one with --standby, so that it takes its place when it is gone"
    )]
    Led {
        /// Where it is.
        place: String,
        /// Where the other one listens.
        address: SocketAddr,
    },
    /// Something is missing or damaged that was there.
    #[error("the journal {} is damaged at byte {at} ({what}): jobs that it knows of cannot go on; move the state folder away to begin anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it.
        at: u64,
        /// What is wrong.
        what: String,
    },
    /// It has ended.
    #[error("the journal has ended: nothing is written any more")]
    Stopped,
    /// A record is whole, and nobody knows what it means.
    #[error("the journal {} has a record at byte {at} that this release does not understand ({what}): use the release that wrote it, or move the state folder away to begin anew", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Where in it.
        at: u64,
        /// What is not understood.
        what: String,
    },
}

impl JournalError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> JournalError + '_ {
        |source| JournalError::Io { path: path.to_path_buf(), source: Arc::new(source) }
    }
}
