//! Folders: made for a new cluster, and for whoever gets a token.

use super::files::{self, CA, CA_KEY, TOKEN, write_private};
use super::{Authority, Role, SecurityError, Tokens};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The folders of a new cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFolders {
    /// For coordinators: the authority's key, and the tokens.
    pub coordinator: PathBuf,
    /// For workers.
    pub worker: PathBuf,
    /// For who looks after the cluster.
    pub admin: PathBuf,
}

impl ClusterFolders {
    /// Those in a folder.
    pub fn of(folder: &Path) -> ClusterFolders {
        ClusterFolders {
            coordinator: folder.join("coordinator"),
            worker: folder.join("worker"),
            admin: folder.join("admin"),
        }
    }

    /// Makes them, in a folder that was not there: an authority, a token for workers, and one for who looks after them.
    ///
    /// # Errors
    /// If the folder is there, or cannot be written.
    pub fn make(folder: &Path) -> Result<ClusterFolders, SecurityError> {
        let folders = ClusterFolders::of(folder);
        make_folder(folder)?;
        make_folder(&folders.coordinator)?;
        let (certificate, key) = Authority::make()?;
        write_private(&folders.coordinator, CA, &certificate)?;
        write_private(&folders.coordinator, CA_KEY, key.reveal())?;
        for (whose, name, role) in
            [(&folders.worker, "workers", Role::Join), (&folders.admin, "admin", Role::Admin)]
        {
            hand_out(&folders.coordinator, name, role, None, whose)?;
        }
        Ok(folders)
    }
}

/// Makes a token that a coordinator with this folder knows, and the folder `output` for who is to have it. Returns its id.
///
/// # Errors
/// If that is there already, or one of the two cannot be written.
pub fn hand_out(
    coordinator: &Path,
    name: &str,
    role: Role,
    lifetime: Option<Duration>,
    output: &Path,
) -> Result<String, SecurityError> {
    let missing = "`ca.pem`: this is not a coordinator's folder";
    let missing = SecurityError::Missing { folder: coordinator.to_owned(), missing };
    let certificate = files::read(coordinator, CA)?.ok_or(missing)?;
    Tokens::change(coordinator, |tokens| {
        let (id, text) = tokens.add(name, role, lifetime)?;
        make_folder(output)?;
        write_private(output, CA, &certificate)?;
        write_private(output, TOKEN, &format!("{}\n", text.reveal()))?;
        Ok(id)
    })
}

/// Makes a folder that was not there, for its owner alone.
fn make_folder(folder: &Path) -> Result<(), SecurityError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().mode(0o700).create(folder);
    made.map_err(|source| SecurityError::File { path: folder.to_owned(), source })
}
