//! Binaries of jobs, as a worker keeps them: each in a file that is named by its SHA-256, in a folder that several workers of
//! one user may share.
//!
//! A binary is compared with its name each time before it is started. Nobody else may write to the folder, or it is refused.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use windrow_protocol::binary::BinaryContent;
use windrow_protocol::link::draw_token;

/// Binaries that were not used for longest are removed once all have more bytes than so many.
const KEPT_BYTES: u64 = 4 << 30;

/// What the names of files end with that are being written.
const PART: &str = ".part";

/// A part that was not written to for so long is nobody's any more, in seconds.
const PART_LIFETIME_S: u64 = 3600;

/// See the module. Its methods block on the disk.
#[derive(Debug)]
pub struct Binaries {
    folder: PathBuf,
    /// Whether others may start what is in it.
    is_for_others: bool,
    kept_bytes: u64,
}

impl Binaries {
    /// Uses a folder. If it is not there, it is made when there is something to keep: for this user alone, unless executors are
    /// started as others.
    ///
    /// # Errors
    /// Others may write to it: the error names it.
    pub fn open(folder: &Path, is_for_others: bool) -> io::Result<Binaries> {
        let folder_path = folder.to_path_buf();
        let binaries = Binaries { folder: folder_path, is_for_others, kept_bytes: KEPT_BYTES };
        match fs::symlink_metadata(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => binaries.check(found)?,
        }
        Ok(binaries)
    }

    fn named(&self, error: io::Error) -> io::Error {
        let text = format!("cannot keep binaries in {}: {error}", self.folder.display());
        io::Error::new(error.kind(), text)
    }

    /// What is kept is started: nobody else may write to the folder.
    fn check(&self, found: io::Result<fs::Metadata>) -> io::Result<()> {
        let found = found.map_err(|error| self.named(error))?;
        let own = rustix::process::geteuid().as_raw();
        if found.is_dir() && found.uid() == own && found.mode() & 0o022 == 0 {
            return Ok(());
        }
        let text = format!(
            "others than user {own} may write to it (owner {}, mode {:o}), and what is in it is started",
            found.uid(),
            found.mode() & 0o7777
        );
        Err(self.named(io::Error::new(io::ErrorKind::PermissionDenied, text)))
    }

    fn make(&self) -> io::Result<()> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        made.map_err(|error| self.named(error))?;
        self.check(fs::symlink_metadata(&self.folder))?;
        if self.is_for_others {
            // They find what they are told the name of.
            let rights = Permissions::from_mode(0o711);
            fs::set_permissions(&self.folder, rights).map_err(|error| self.named(error))?;
        }
        Ok(())
    }

    fn path(&self, content: BinaryContent) -> PathBuf {
        self.folder.join(content.to_string())
    }

    /// A binary, ready to be started; none if it is not here. One that is not what its name says is removed.
    ///
    /// # Errors
    /// It cannot be read or removed.
    pub fn find(&self, content: BinaryContent) -> io::Result<Option<PathBuf>> {
        let path = self.path(content);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        if BinaryContent::of(&file)? != content {
            tracing::warn!(path = %path.display(), "a binary is damaged, and is fetched again");
            return match fs::remove_file(&path) {
                // By another worker that keeps its binaries here.
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(None),
            };
        }
        // Who may not is not the owner, which was looked at.
        let _ = file.set_modified(SystemTime::now());
        Ok(Some(path))
    }

    /// A binary, to be read by somebody who compares it; none if it is not here.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, content: BinaryContent) -> io::Result<Option<File>> {
        match File::open(self.path(content)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Begins to write a binary.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(&self, content: BinaryContent) -> io::Result<Part> {
        self.make()?;
        self.make_room(content.bytes);
        let path = self.folder.join(format!("{content}-{:032x}{PART}", draw_token()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let (whole, mode) = (self.path(content), if self.is_for_others { 0o555 } else { 0o500 });
        Ok(Part { path, whole, mode, content, bytes: 0, file: Some(file) })
    }

    /// Removes the binaries that were not used for longest, until there is room, and parts that nobody writes.
    fn make_room(&self, bytes: u64) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let mut found: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in entries.filter_map(Result::ok) {
            let Ok(of) = entry.metadata() else { continue };
            let used = of.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let age = used.elapsed().unwrap_or_default().as_secs();
            if entry.file_name().to_string_lossy().ends_with(PART) {
                if age > PART_LIFETIME_S {
                    let _ = fs::remove_file(entry.path());
                }
            } else {
                found.push((used, of.len(), entry.path()));
            }
        }
        found.sort();
        let mut all: u64 = found.iter().map(|(_, len, _)| len).sum::<u64>() + bytes;
        for (_, len, path) in found {
            if all <= self.kept_bytes {
                return;
            }
            // Who runs it, or sends it, has it open.
            if fs::remove_file(path).is_ok() {
                all -= len;
            }
        }
    }
}

/// A binary that is being written. Dropped, it is gone.
#[derive(Debug)]
pub struct Part {
    path: PathBuf,
    whole: PathBuf,
    mode: u32,
    content: BinaryContent,
    bytes: u64,
    file: Option<File>,
}

impl Part {
    /// The bytes that were written.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes the next bytes.
    ///
    /// # Errors
    /// They cannot be written, or are more than there should be.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let more = self.bytes + bytes.len() as u64;
        let Some(file) = self.file.as_mut().filter(|_| more <= self.content.bytes) else {
            return Err(io::Error::other("more bytes have come than the binary has"));
        };
        file.write_all(bytes)?;
        self.bytes = more;
        Ok(())
    }

    /// Compares what was written with what it should be, and has it in the folder then, ready to be started; none if it is not
    /// that.
    ///
    /// # Errors
    /// It cannot be read, or not be given its name.
    pub fn finish(mut self) -> io::Result<Option<PathBuf>> {
        // What a crash may tear is noticed before it is started.
        self.file = None;
        if BinaryContent::of(File::open(&self.path)?)? != self.content {
            return Ok(None);
        }
        fs::set_permissions(&self.path, Permissions::from_mode(self.mode))?;
        fs::rename(&self.path, &self.whole)?;
        Ok(Some(self.whole.clone()))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Nothing is there if it has its name.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn content(bytes: &[u8]) -> BinaryContent {
        BinaryContent::of(bytes).unwrap()
    }

    fn files(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    fn opened() -> (tempfile::TempDir, Binaries) {
        let folder = tempfile::tempdir().unwrap();
        let binaries = Binaries::open(&folder.path().join("of/jobs"), false).unwrap();
        (folder, binaries)
    }

    fn keep(binaries: &Binaries, bytes: &[u8]) -> PathBuf {
        let mut part = binaries.begin(content(bytes)).unwrap();
        part.write(bytes).unwrap();
        let finished = part.finish().unwrap();
        assert!(finished.is_some());
        assert_eq!(binaries.find(content(bytes)).unwrap(), finished);
        finished.unwrap()
    }

    #[test]
    fn what_is_kept_can_be_started() {
        let (_folder, binaries) = opened();
        let script = b"#!/bin/sh\nexit 7\n";
        assert_eq!(binaries.find(content(script)).unwrap(), None);
        assert!(binaries.read(content(script)).unwrap().is_none());
        let path = keep(&binaries, script);
        let ended = std::process::Command::new(&path).status().unwrap();
        assert_eq!(ended.code(), Some(7));
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o7777, 0o500);
        assert!(binaries.read(content(script)).unwrap().is_some());

        let folder = tempfile::tempdir().unwrap();
        let others = Binaries::open(&folder.path().join("others"), true).unwrap();
        let path = keep(&others, script);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o555);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o7777, 0o711);
    }

    #[test]
    fn what_is_damaged_is_never_given() {
        let (folder, binaries) = opened();
        let path = keep(&binaries, b"right");
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        fs::write(&path, b"wrong").unwrap();
        assert_eq!(binaries.find(content(b"right")).unwrap(), None);
        assert!(!path.exists());

        let mut part = binaries.begin(content(b"right")).unwrap();
        part.write(b"wr").unwrap();
        part.write(b"ongly").unwrap_err();
        part.write(b"ong").unwrap();
        assert_eq!(part.bytes(), 5);
        assert!(part.finish().unwrap().is_none());
        assert_eq!(binaries.find(content(b"right")).unwrap(), None);
        assert_eq!(files(&folder.path().join("of/jobs")), 0);
    }

    #[test]
    fn others_must_not_write_to_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        for path in [&open, &link] {
            let refused = Binaries::open(path, false).unwrap_err().to_string();
            assert!(refused.contains(path.to_str().unwrap()), "{refused}");
        }
        fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        Binaries::open(&open, false).unwrap();
        // Nor may they once it is used.
        let late = folder.path().join("late");
        let binaries = Binaries::open(&late, false).unwrap();
        assert!(!late.exists());
        std::os::unix::fs::symlink(&open, &late).unwrap();
        binaries.begin(content(b"any")).unwrap_err();
    }

    #[test]
    fn those_that_were_not_used_for_longest_make_room() {
        let (_folder, mut binaries) = opened();
        binaries.kept_bytes = 20;
        let old = SystemTime::now() - Duration::from_secs(2 * PART_LIFETIME_S);
        let part = binaries.begin(content(b"abandoned")).unwrap();
        let abandoned = part.path.clone();
        part.file.as_ref().unwrap().set_modified(old).unwrap();
        std::mem::forget(part);
        for (name, age) in [(b"first....", 10), (b"second...", 20)] {
            let path = keep(&binaries, name);
            File::open(path).unwrap().set_modified(old + Duration::from_secs(age)).unwrap();
        }
        // It is used now.
        assert!(binaries.find(content(b"first....")).unwrap().is_some());
        keep(&binaries, b"third....");
        assert!(binaries.find(content(b"first....")).unwrap().is_some());
        assert!(binaries.find(content(b"second...")).unwrap().is_none());
        assert!(!abandoned.exists());
    }
}
