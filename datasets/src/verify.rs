//! An output against its manifest: is each file what was written, and is nothing else there?

use crate::commit::{Manifest, ManifestFile};
use crate::formats::parquet::file::ParquetFile;
use crate::location::{Location, glob};
use crate::source::SourceError;
use crate::storage::{Object, Storage, StorageError, StorageErrorKind};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::fmt;

/// What is read of a file at a time, in bytes.
const BLOCK: usize = 1 << 20;

/// What was found.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What the output should be.
    pub manifest: Manifest,
    /// How it differs from that: by file in the order of the manifest, then what the manifest does not list.
    pub differences: Vec<Difference>,
    /// Files whose rows were not counted, since it is not known how their format counts them.
    pub uncounted: u64,
    /// Files of text that have more lines than rows, with their lines: some of their records have line feeds in them.
    /// They are as they were written, but who reads them by lines sees other records.
    pub more_lines: Vec<(ManifestFile, u64)>,
}

/// A difference between an output and its manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// A listed file is not there.
    Missing {
        /// Its name.
        name: String,
    },
    /// A listed file could not be read.
    Unreadable {
        /// Its name.
        name: String,
        /// What the storage or the format says.
        reason: String,
    },
    /// A file has another size.
    Bytes {
        /// Its name.
        name: String,
        /// As the manifest says.
        listed: u64,
        /// As it is.
        found: u64,
    },
    /// A file of the right size has other bytes.
    Checksum {
        /// Its name.
        name: String,
        /// As the manifest says.
        listed: u32,
        /// As it is.
        found: u32,
    },
    /// A file has another number of rows.
    Rows {
        /// Its name.
        name: String,
        /// As the manifest says.
        listed: u64,
        /// As it is.
        found: u64,
    },
    /// A file is listed more than once.
    Repeated {
        /// Its name.
        name: String,
    },
    /// The manifest's sums are not those of its files.
    Sums {
        /// Rows and bytes, as the manifest says.
        listed: (u64, u64),
        /// Rows and bytes of the files that it lists.
        found: (u64, u64),
    },
    /// A visible file that is not listed.
    Unlisted {
        /// Its name.
        name: String,
    },
    /// The folder could not be listed.
    NoListing {
        /// What the storage says.
        reason: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Missing { name } => write!(f, "{name}: is missing"),
            Difference::Unreadable { name, reason } => {
                write!(f, "{name}: cannot be read: {reason}")
            }
            Difference::Bytes { name, listed, found } => {
                write!(f, "{name}: has {found} bytes, and should have {listed}")
            }
            Difference::Checksum { name, listed, found } => {
                write!(f, "{name}: has checksum {found:08x}, and should have {listed:08x}")
            }
            Difference::Rows { name, listed, found } => {
                write!(f, "{name}: has {found} rows, and should have {listed}")
            }
            Difference::Repeated { name } => write!(f, "{name}: is listed more than once"),
            Difference::Sums { listed, found } => write!(
                f,
                "the manifest says {} rows and {} bytes in all, but its files have {} and {}",
                listed.0, listed.1, found.0, found.1
            ),
            Difference::Unlisted { name } => {
                write!(f, "{name}: is not listed: who reads the whole folder reads it too")
            }
            Difference::NoListing { reason } => write!(f, "the folder cannot be listed: {reason}"),
        }
    }
}

/// Compares the output at `location` with its manifest, on the threads of the rayon pool. Each file is read once, a
/// block at a time.
///
/// # Errors
/// As for [`Manifest::read`]; whatever else fails is a difference.
pub fn verify(storage: &Storage, location: &Location) -> Result<Verified, StorageError> {
    let manifest = Manifest::read(storage, location)?;
    let files: Vec<Checked> =
        manifest.files.par_iter().map(|file| check(storage, location, file)).collect();
    let (mut differences, mut uncounted, mut more_lines) = (Vec::new(), 0, Vec::new());
    let mut names = BTreeSet::new();
    for (file, checked) in manifest.files.iter().zip(files) {
        differences.extend(checked.differences);
        if !names.insert(file.name.as_str()) {
            differences.push(Difference::Repeated { name: file.name.clone() });
        }
        match checked.rows {
            Rows::Uncounted => uncounted += 1,
            Rows::MoreLines(lines) => more_lines.push((file.clone(), lines)),
            Rows::Counted => {}
        }
    }
    let sum = |of: fn(&ManifestFile) -> u64| manifest.files.iter().map(of).sum::<u64>();
    let found = (sum(|file| file.rows), sum(|file| file.bytes));
    let listed = (manifest.rows, manifest.bytes);
    if listed != found {
        differences.push(Difference::Sums { listed, found });
    }
    match visible(storage, location) {
        Ok(there) => {
            let others = there.into_iter().filter(|name| !names.contains(name.as_str()));
            differences.extend(others.map(|name| Difference::Unlisted { name }));
        }
        Err(error) => differences.push(Difference::NoListing { reason: error.to_string() }),
    }
    Ok(Verified { manifest, differences, uncounted, more_lines })
}

/// What is found of a file.
struct Checked {
    differences: Vec<Difference>,
    rows: Rows,
}

/// How the rows of a file were counted.
enum Rows {
    Counted,
    Uncounted,
    /// So many lines.
    MoreLines(u64),
}

fn check(storage: &Storage, folder: &Location, listed: &ManifestFile) -> Checked {
    let location = folder.join(&listed.name);
    let name = || listed.name.clone();
    let read = match read(storage, &location) {
        Ok(read) => read,
        Err(StorageError { kind: StorageErrorKind::NotFound, .. }) => {
            return Checked {
                differences: vec![Difference::Missing { name: name() }],
                rows: Rows::Counted,
            };
        }
        Err(StorageError { reason, .. }) => {
            let differences = vec![Difference::Unreadable { name: name(), reason }];
            return Checked { differences, rows: Rows::Counted };
        }
    };
    let mut differences = Vec::new();
    if read.bytes != listed.bytes {
        let (listed, found) = (listed.bytes, read.bytes);
        differences.push(Difference::Bytes { name: name(), listed, found });
    } else if read.crc32 != listed.crc32 {
        let (listed, found) = (listed.crc32, read.crc32);
        differences.push(Difference::Checksum { name: name(), listed, found });
    }
    let rows = match location.extension().as_deref() {
        Some("txt") if read.lines > listed.rows && differences.is_empty() => {
            return Checked { differences, rows: Rows::MoreLines(read.lines) };
        }
        // A value of JSON has no line feed.
        Some("txt" | "json") => Some(read.lines),
        Some("parquet") => match parquet_rows(storage, &location, read.bytes) {
            Ok(rows) => Some(rows),
            // What is wrong with it was said already.
            Err(_) if !differences.is_empty() => None,
            Err(error) => {
                let (SourceError::Input { reason, .. } | SourceError::Storage { reason, .. }) =
                    error
                else {
                    unreachable!("nothing is pushed where a footer is read")
                };
                differences.push(Difference::Unreadable { name: name(), reason });
                None
            }
        },
        _ => return Checked { differences, rows: Rows::Uncounted },
    };
    if let Some(found) = rows.filter(|found| *found != listed.rows) {
        differences.push(Difference::Rows { name: name(), listed: listed.rows, found });
    }
    Checked { differences, rows: Rows::Counted }
}

/// What a file is, from its first byte to its last.
struct Read {
    bytes: u64,
    crc32: u32,
    lines: u64,
}

fn read(storage: &Storage, location: &Location) -> Result<Read, StorageError> {
    let file = storage.open(location)?;
    let mut block = vec![0; BLOCK];
    let (mut bytes, mut lines, mut last) = (0, 0, b'\n');
    let mut crc32 = crc32fast::Hasher::new();
    loop {
        let count = file.read_at(bytes, &mut block)?;
        let read = &block[..count];
        crc32.update(read);
        lines += memchr::memchr_iter(b'\n', read).count() as u64;
        bytes += count as u64;
        last = read.last().copied().unwrap_or(last);
        if count < BLOCK {
            lines += u64::from(last != b'\n');
            return Ok(Read { bytes, crc32: crc32.finalize(), lines });
        }
    }
}

fn parquet_rows(storage: &Storage, location: &Location, size: u64) -> Result<u64, SourceError> {
    let footer = ParquetFile::open(storage, &Object::named(location.clone(), size))?.footer()?;
    Ok(footer.row_groups().iter().map(|group| group.num_rows() as u64).sum())
}

/// The names of what who reads the whole folder reads: files, with the folders in which they are.
fn visible(storage: &Storage, location: &Location) -> Result<Vec<String>, SourceError> {
    if !location.is_local() {
        // A store that has nothing visible there says that there is no such folder.
        let found = storage.look(location)?;
        if found.objects.iter().chain(&found.folders).all(|name| glob::is_hidden(name.as_bytes())) {
            return Ok(Vec::new());
        }
    }
    let above = location.path_bytes().len();
    let listed = storage.list_all(location)?;
    let name = |path: &[u8]| String::from_utf8_lossy(path).trim_start_matches('/').to_string();
    Ok(listed.iter().map(|file| name(&file.location.path_bytes()[above..])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::{AttemptFiles, JobInfo, MANIFEST_NAME, Output, commit, part_name};
    use crate::formats::parquet::ParquetSink;
    use crate::formats::testing::encode;
    use object_store::memory::InMemory;
    use std::io::Write;
    use std::sync::Arc;

    /// The same output, of two text files, in a local folder and in a store in memory.
    fn each() -> Vec<(Option<tempfile::TempDir>, Storage, Location)> {
        let folder = tempfile::tempdir().unwrap();
        let root = Location::of_path(folder.path()).unwrap();
        let remote = Storage::new();
        remote.set_multipart_client("s3://bucket", Arc::new(InMemory::new()));
        let in_store = "s3://bucket/folder".parse().unwrap();
        let worlds = [(Some(folder), Storage::new(), root), (None, remote, in_store)];
        let written = worlds.map(|(folder, storage, root)| {
            let out = root.join("out");
            write(&storage, &out, "txt", &[(b"a\nb\n", 2), (b"c\n", 1)]);
            (folder, storage, out)
        });
        written.into()
    }

    fn write(storage: &Storage, out: &Location, extension: &str, files: &[(&[u8], u64)]) {
        let output = Output::new(out.clone(), "j1", extension);
        let staged = files.iter().enumerate().map(|(number, (bytes, rows))| {
            let name = part_name(number as u64, files.len() as u64);
            let mut task = AttemptFiles::new(storage, &output, name, 0);
            let mut part = task.only().unwrap();
            part.write_all(bytes).unwrap();
            task.end(part, *rows).unwrap();
            task.finish().unwrap()
        });
        commit(storage, &output, &JobInfo::default(), &staged.collect::<Vec<_>>()).unwrap();
    }

    fn put(storage: &Storage, location: &Location, bytes: &[u8]) {
        match location.as_path() {
            Some(path) => {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
            None => storage.put_object(location, bytes.to_vec()).unwrap(),
        }
    }

    fn delete(storage: &Storage, location: &Location) {
        match location.as_path() {
            Some(path) => std::fs::remove_file(path).unwrap(),
            None => storage.delete_object(location).unwrap(),
        }
    }

    fn told(storage: &Storage, out: &Location) -> Vec<String> {
        verify(storage, out).unwrap().differences.iter().map(Difference::to_string).collect()
    }

    const FIRST: &str = "part-00000-j1.txt";
    const SECOND: &str = "part-00001-j1.txt";

    #[test]
    fn what_a_job_wrote_is_whole_and_each_difference_is_named() {
        for (_folder, storage, out) in each() {
            let verified = verify(&storage, &out).unwrap();
            assert_eq!(verified.differences, []);
            assert_eq!((verified.uncounted, verified.more_lines.len()), (0, 0));
            assert_eq!((verified.manifest.rows, verified.manifest.bytes), (3, 6));

            // One byte, at no other size: then the sum alone tells.
            put(&storage, &out.join(FIRST), b"a\nB\n");
            let found = crc32fast::hash(b"a\nB\n");
            let listed = crc32fast::hash(b"a\nb\n");
            let differs = Difference::Checksum { name: FIRST.to_string(), listed, found };
            assert_eq!(verify(&storage, &out).unwrap().differences, [differs]);
            // Cut short, and gone.
            put(&storage, &out.join(FIRST), b"a\n");
            delete(&storage, &out.join(SECOND));
            let expected = [
                format!("{FIRST}: has 2 bytes, and should have 4"),
                format!("{FIRST}: has 1 rows, and should have 2"),
                format!("{SECOND}: is missing"),
            ];
            assert_eq!(told(&storage, &out), expected);
        }
    }

    #[test]
    fn what_is_not_listed_is_named_unless_it_is_hidden() {
        for (_folder, storage, out) in each() {
            for name in ["part-00000-j0.txt", "deep/er", ".hidden", "_other", ".windrow-j2/x"] {
                put(&storage, &out.join(name), b"x");
            }
            let names: Vec<String> = told(&storage, &out)
                .iter()
                .map(|told| told.split_once(": is not listed").unwrap().0.to_string())
                .collect();
            assert_eq!(names, ["deep/er", "part-00000-j0.txt"]);
        }
    }

    #[test]
    fn a_manifest_that_does_not_add_up_is_a_difference() {
        for (_folder, storage, out) in each() {
            let mut manifest = Manifest::read(&storage, &out).unwrap();
            manifest.rows += 1;
            manifest.files.push(manifest.files[0].clone());
            let json = serde_json::to_vec(&manifest).unwrap();
            put(&storage, &out.join(MANIFEST_NAME), &json);
            let expected = [
                format!("{FIRST}: is listed more than once"),
                "the manifest says 4 rows and 6 bytes in all, but its files have 5 and 10".into(),
            ];
            assert_eq!(told(&storage, &out), expected);
            // A wrong number of rows, with all bytes right.
            manifest.files.pop();
            manifest.files[1].rows += 1;
            let json = serde_json::to_vec(&manifest).unwrap();
            put(&storage, &out.join(MANIFEST_NAME), &json);
            assert_eq!(told(&storage, &out), [format!("{SECOND}: has 1 rows, and should have 2")]);

            delete(&storage, &out.join(MANIFEST_NAME));
            let error = verify(&storage, &out).unwrap_err();
            assert_eq!(error.kind, StorageErrorKind::NotFound);
        }
    }

    #[test]
    fn line_feeds_within_records_are_no_difference() {
        let folder = tempfile::tempdir().unwrap();
        let out = Location::of_path(folder.path().join("out")).unwrap();
        let storage = Storage::new();
        // Longer than a block, with no line feed at its end.
        let long = "x\n".repeat(BLOCK) + "y";
        write(&storage, &out, "txt", &[(b"a\nb\n", 1), (long.as_bytes(), BLOCK as u64 + 1)]);
        let verified = verify(&storage, &out).unwrap();
        assert_eq!(verified.differences, []);
        let more: Vec<_> = verified.more_lines.iter().map(|(f, n)| (f.name.as_str(), *n)).collect();
        assert_eq!(more, [(FIRST, 2)]);
    }

    #[test]
    fn rows_of_parquet_are_those_of_its_footer_and_others_are_not_counted() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::new();
        let out = |name: &str| Location::of_path(folder.path().join(name)).unwrap();
        let records: Vec<u64> = (0..1000).collect();
        let bytes = encode(&ParquetSink::<u64>::new(), &[vec![records]], &|_| true);
        write(&storage, &out("good"), "parquet", &[(&bytes, 1000)]);
        assert_eq!(told(&storage, &out("good")), Vec::<String>::new());
        write(&storage, &out("rows"), "parquet", &[(&bytes, 999)]);
        let expected = "part-00000-j1.parquet: has 1000 rows, and should have 999";
        assert_eq!(told(&storage, &out("rows")), [expected]);
        write(&storage, &out("bad"), "parquet", &[(b"PAR1 and no more", 1)]);
        let bad = told(&storage, &out("bad"));
        assert!(bad.len() == 1 && bad[0].contains("cannot be read: is no Parquet file"), "{bad:?}");
        write(&storage, &out("bin"), "bin", &[(b"xyz", 7)]);
        let verified = verify(&storage, &out("bin")).unwrap();
        assert_eq!((verified.differences.len(), verified.uncounted), (0, 1));
    }
}
