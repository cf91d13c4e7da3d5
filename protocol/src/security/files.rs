//! The files of a security folder.

use super::SecurityError;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The certificates of the authorities that are believed: one, or for a while two where one takes the place of another.
pub const CA: &str = "ca.pem";

/// The authority's key: a coordinator certifies with it.
pub const CA_KEY: &str = "ca-key.pem";

/// The process' own certificate, where it was brought along, with those between it and the authority.
pub const CERTIFICATE: &str = "cert.pem";

/// The key of that.
pub const KEY: &str = "key.pem";

/// The token that is shown to a coordinator.
pub const TOKEN: &str = "token";

/// The tokens that a coordinator knows, by their hashes.
pub const TOKENS: &str = "tokens.json";

const ALL: [&str; 6] = [CA, CA_KEY, CERTIFICATE, KEY, TOKEN, TOKENS];

/// No file of the folder is longer than so many bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// How the files of a folder were when they were looked at: by another stamp they are read again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp(Vec<Option<(SystemTime, u64)>>);

impl Stamp {
    pub(super) fn of(folder: &Path) -> Stamp {
        let look = |name| {
            let file = std::fs::metadata(folder.join(name)).ok()?;
            Some((file.modified().ok()?, file.len()))
        };
        Stamp(ALL.into_iter().map(look).collect())
    }
}

/// The text of a file; none if it is not there.
pub(super) fn read(folder: &Path, name: &str) -> Result<Option<String>, SecurityError> {
    let path = folder.join(name);
    let read = || {
        let too_long = || io::Error::other(format!("more than {FILE_BYTES_MAX} bytes"));
        match std::fs::metadata(&path)?.len() {
            len if len > FILE_BYTES_MAX => Err(too_long()),
            _ => std::fs::read_to_string(&path),
        }
    };
    match read() {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SecurityError::File { path, source }),
    }
}

/// The text of a file that only those may read who may use it.
pub(super) fn read_private(folder: &Path, name: &str) -> Result<Option<String>, SecurityError> {
    use std::os::unix::fs::PermissionsExt;
    let text = read(folder, name)?;
    let path = folder.join(name);
    let open = |meta: std::fs::Metadata| meta.permissions().mode() & 0o007 != 0;
    if text.is_some() && std::fs::metadata(&path).is_ok_and(open) {
        let why = format!("everybody may read it: `chmod o= {}`", path.display());
        return Err(SecurityError::Content { path, why });
    }
    Ok(text)
}

/// Writes a file that its owner alone may read: all of it, or nothing. Returns where.
///
/// # Errors
/// If it cannot be written.
pub fn write_private(folder: &Path, name: &str, text: &str) -> Result<PathBuf, SecurityError> {
    use std::os::unix::fs::OpenOptionsExt;
    let path = folder.join(name);
    let failed = |source| SecurityError::File { path: path.clone(), source };
    let whole = folder.join(format!(".{name}.{}", std::process::id()));
    let write = || {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&whole)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&whole, &path)
    };
    write().map_err(|error| {
        // What is half written is of no use; the first error says more.
        let _ = std::fs::remove_file(&whole);
        failed(error)
    })?;
    Ok(path)
}
