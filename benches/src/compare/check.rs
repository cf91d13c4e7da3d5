//! What an output holds, in a few numbers that do not depend on how it is cut into files.

use std::{
    fmt, fs,
    hash::{DefaultHasher, Hasher},
    io,
    path::{Path, PathBuf},
};

use arrow::util::display::{ArrayFormatter, FormatOptions};
use memmap2::Mmap;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::limits::{input, terasort::RECORD};

/// Number, size and sum of the hashes of lines or records: equal for the same ones in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest {
    count: u64,
    bytes: u64,
    sum: u128,
}

impl Digest {
    fn add(&mut self, item: &[u8]) {
        let hash = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u8(salt);
            hasher.write(item);
            u128::from(hasher.finish())
        };
        self.count += 1;
        self.bytes += item.len() as u64;
        self.sum = self.sum.wrapping_add(hash(0) << 64 | hash(1));
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows, {} bytes, checksum {:032x}", self.count, self.bytes, self.sum)
    }
}

/// The lines of all files in a folder.
pub(super) fn lines(folder: &Path) -> io::Result<Digest> {
    let mut digest = Digest::default();
    for (path, map) in files(folder)? {
        if map.last() != Some(&b'\n') {
            return Err(io::Error::other(format!("{} does not end with a line", path.display())));
        }
        memchr::memchr_iter(b'\n', &map).fold(0, |start, end| {
            digest.add(&map[start..end]);
            end + 1
        });
    }
    Ok(digest)
}

/// The rows of all Parquet files in a folder, as text.
pub(super) fn rows(folder: &Path) -> io::Result<Digest> {
    let mut digest = Digest::default();
    let mut files = Vec::new();
    input::list(folder, &mut files)?;
    for (path, _) in
        files.iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "parquet"))
    {
        let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path)?)
            .and_then(|builder| builder.build())
            .map_err(io::Error::other)?;
        for batch in reader {
            let batch = batch.map_err(io::Error::other)?;
            let options = FormatOptions::new();
            let columns = batch
                .columns()
                .iter()
                .map(|column| ArrayFormatter::try_new(column, &options))
                .collect::<Result<Vec<_>, _>>()
                .map_err(io::Error::other)?;
            for row in 0..batch.num_rows() {
                let cells: Vec<_> =
                    columns.iter().map(|column| column.value(row).to_string()).collect();
                digest.add(cells.join("\t").as_bytes());
            }
        }
    }
    Ok(digest)
}

/// The records of all files in a folder; checks that they are in order, if that is asked for.
pub(super) fn records(folder: &Path, in_order: bool) -> io::Result<Digest> {
    let (mut digest, mut last) = (Digest::default(), [0; 10]);
    for (path, map) in files(folder)? {
        let (records, rest) = map.as_chunks::<RECORD>();
        if !rest.is_empty() {
            return Err(io::Error::other(format!("{} ends within a record", path.display())));
        }
        for (number, record) in records.iter().enumerate() {
            if in_order && record[..10] < last[..] {
                return Err(io::Error::other(format!(
                    "{}: record {number} is out of order",
                    path.display()
                )));
            }
            last.copy_from_slice(&record[..10]);
            digest.add(record);
        }
    }
    Ok(digest)
}

/// The files below a folder that are not empty, in the order of their names.
fn files(folder: &Path) -> io::Result<Vec<(PathBuf, Mmap)>> {
    let mut files = Vec::new();
    input::list(folder, &mut files)?;
    let files = files.into_iter().filter(|(_, size)| *size > 0);
    // SAFETY: the programs that wrote the files have ended.
    files
        .map(|(path, _)| Ok((path.clone(), unsafe { Mmap::map(&fs::File::open(path)?)? })))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&[u8]]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (number, bytes) in files.iter().enumerate() {
            fs::write(folder.path().join(format!("part-{number}")), bytes).unwrap();
        }
        fs::write(folder.path().join("_SUCCESS"), "{}").unwrap();
        folder
    }

    #[test]
    fn lines_in_any_order() {
        let first = folder(&[b"a\t1\nb\t2\n", b"", b"c\t3\n"]);
        let second = folder(&[b"c\t3\nb\t2\na\t1\n"]);
        let third = folder(&[b"c\t3\nb\t1\na\t2\n"]);
        assert_eq!(lines(first.path()).unwrap(), lines(second.path()).unwrap());
        assert_ne!(lines(first.path()).unwrap(), lines(third.path()).unwrap());
        assert!(lines(folder(&[b"a\t1"]).path()).is_err());
    }

    #[test]
    fn records_in_one_order() {
        let (low, high) = ([1; RECORD], [2; RECORD]);
        let right = folder(&[&low, &high]);
        let wrong = folder(&[&high, &low]);
        assert_eq!(records(right.path(), true).unwrap(), records(wrong.path(), false).unwrap());
        let error = records(wrong.path(), true).unwrap_err();
        assert!(error.to_string().contains("out of order"), "{error}");
        assert!(records(folder(&[&low[1..]]).path(), false).is_err());
    }
}
