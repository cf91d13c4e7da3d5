//! What an output holds, in a few numbers that do not depend on how it is cut into files.

use std::{
    fmt, fs,
    hash::{DefaultHasher, Hasher},
    io,
    path::{Path, PathBuf},
};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use memmap2::Mmap;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::limits::{input, terasort::RECORD};

/// Number of lines or records and sum of their hashes: equal for the same ones in any order. Numbers that depend a little on
/// the order in which they were added up count apart, each in proportion to the hash of what else its line has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Digest {
    count: u64,
    sum: u128,
    rough: f64,
    /// The sum without signs, which says how far apart two others may be.
    rough_size: f64,
}

/// How far apart rough sums may be, in shares of their size.
const TOLERANCE: f64 = 1e-7;

fn hash(salt: u8, item: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u8(salt);
    hasher.write(item);
    hasher.finish()
}

impl Digest {
    fn add(&mut self, item: &[u8]) {
        self.count += 1;
        self.sum =
            self.sum.wrapping_add(u128::from(hash(0, item)) << 64 | u128::from(hash(1, item)));
    }

    /// A row of texts that are the same everywhere, and numbers that are nearly.
    fn add_row(&mut self, exact: &[u8], rough: &[f64]) {
        self.add(exact);
        for (at, number) in (2..).zip(rough) {
            let weight = (hash(at, exact) >> 11) as f64 / (1u64 << 53) as f64 + 0.5;
            self.rough += number * weight;
            self.rough_size += number.abs() * weight;
        }
    }

    /// Whether both are of the same rows.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let size = self.rough_size.max(other.rough_size);
        (self.count, self.sum) == (other.count, other.sum)
            && (self.rough - other.rough).abs() <= TOLERANCE * size
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows, checksum {:032x}", self.count, self.sum)?;
        if self.rough_size > 0.0 { write!(f, ", rough sum {:.9e}", self.rough) } else { Ok(()) }
    }
}

/// The lines of all files in a folder. The last one need not end.
pub(super) fn lines(folder: &Path) -> io::Result<Digest> {
    each_line(folder, |digest, line| digest.add(line))
}

/// The lines of all files in a folder, in which numbers with a point are rough.
pub(super) fn rough_lines(folder: &Path) -> io::Result<Digest> {
    let (mut exact, mut rough) = (Vec::new(), Vec::new());
    each_line(folder, |digest, line| {
        exact.clear();
        rough.clear();
        for cell in line.split(|byte| matches!(byte, b'\t' | b',')) {
            let is_rough = cell.iter().any(|byte| matches!(byte, b'.' | b'e'));
            let number = std::str::from_utf8(cell).ok().and_then(|cell| cell.parse().ok());
            match number.filter(|_| is_rough) {
                Some(number) => rough.push(number),
                None => {
                    exact.extend_from_slice(cell);
                    exact.push(b'\t');
                }
            }
        }
        digest.add_row(&exact, &rough);
    })
}

fn each_line(folder: &Path, mut add: impl FnMut(&mut Digest, &[u8])) -> io::Result<Digest> {
    let mut digest = Digest::default();
    for (_, map) in files(folder)? {
        let text = map.strip_suffix(b"\n").unwrap_or(&map);
        let end = memchr::memchr_iter(b'\n', text).fold(0, |start, end| {
            add(&mut digest, &text[start..end]);
            end + 1
        });
        add(&mut digest, &text[end..]);
    }
    Ok(digest)
}

/// The rows of all Parquet files in a folder. Decimals are compared without the zeros at their end, since engines differ in
/// how many of them they give.
pub(super) fn rows(folder: &Path) -> io::Result<Digest> {
    let mut digest = Digest::default();
    each_batch(folder, |batch| {
        let cast = |column: &ArrayRef| match column.data_type() {
            DataType::Date64 | DataType::Timestamp(..) => cast(column, &DataType::Date32),
            _ => Ok(column.clone()),
        };
        let columns = batch
            .columns()
            .iter()
            .map(cast)
            .collect::<Result<Vec<_>, _>>()
            .map_err(io::Error::other)?;
        let options = FormatOptions::new();
        let texts = columns.iter().map(|column| ArrayFormatter::try_new(column, &options));
        let texts = texts.collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
        let (mut exact, mut rough) = (String::new(), Vec::new());
        for row in 0..batch.num_rows() {
            exact.clear();
            rough.clear();
            for (column, text) in columns.iter().zip(&texts) {
                let cell = text.value(row).to_string();
                match column.data_type() {
                    DataType::Float32 | DataType::Float64 => {
                        rough.push(cell.parse().map_err(io::Error::other)?);
                    }
                    DataType::Decimal32(..)
                    | DataType::Decimal64(..)
                    | DataType::Decimal128(..)
                        if cell.contains('.') =>
                    {
                        exact.push_str(cell.trim_end_matches('0').trim_end_matches('.'));
                    }
                    _ => exact.push_str(&cell),
                }
                exact.push('\t');
            }
            digest.add_row(exact.as_bytes(), &rough);
        }
        Ok(())
    })?;
    Ok(digest)
}

/// The records of Parquet files with a key and a rest, in the order of their names; checks that they are in order.
pub(super) fn record_rows(folder: &Path) -> io::Result<Digest> {
    let (mut digest, mut last, mut record) = (Digest::default(), Vec::new(), Vec::new());
    each_batch(folder, |batch| {
        let binary =
            |at: usize| cast(batch.column(at), &DataType::Binary).map_err(io::Error::other);
        let (keys, rests) = (binary(0)?, binary(1)?);
        for (key, rest) in keys.as_binary::<i32>().iter().zip(rests.as_binary::<i32>()) {
            let (key, rest) = (key.unwrap_or_default(), rest.unwrap_or_default());
            if *key < *last {
                return Err(io::Error::other("records are out of order"));
            }
            last.clear();
            record.clear();
            last.extend_from_slice(key);
            record.extend_from_slice(key);
            record.extend_from_slice(rest);
            digest.add(&record);
        }
        Ok(())
    })?;
    Ok(digest)
}

/// Whether the output is Parquet.
pub(super) fn is_parquet(folder: &Path) -> io::Result<bool> {
    Ok(!parquet_files(folder)?.is_empty())
}

fn parquet_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    input::list(folder, &mut files)?;
    let paths = files.into_iter().map(|(path, _)| path);
    Ok(paths.filter(|path| path.extension().is_some_and(|e| e == "parquet")).collect())
}

fn each_batch(
    folder: &Path,
    mut each: impl FnMut(&RecordBatch) -> io::Result<()>,
) -> io::Result<()> {
    for path in parquet_files(folder)? {
        let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path)?)
            .and_then(|builder| builder.build())
            .map_err(io::Error::other)?;
        for batch in reader {
            each(&batch.map_err(io::Error::other)?)?;
        }
    }
    Ok(())
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
    use arrow::array::{Decimal128Array, Float64Array};
    use parquet::arrow::ArrowWriter;
    use std::sync::Arc;

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
        let first = lines(folder(&[b"a\t1\nb\t2\n", b"", b"c\t3"]).path()).unwrap();
        let second = lines(folder(&[b"c\t3\nb\t2\na\t1\n"]).path()).unwrap();
        let third = lines(folder(&[b"c\t3\nb\t1\na\t2\n"]).path()).unwrap();
        assert!(first.agrees(&second) && !first.agrees(&third));
        assert_eq!(first.count, 3);
    }

    #[test]
    fn rough_numbers_may_differ_a_little_where_they_are() {
        let digest = |text: &[u8]| rough_lines(folder(&[text]).path()).unwrap();
        let first = digest(b"1\t0.25\n2\t0.75\n");
        assert!(first.agrees(&digest(b"2\t7.5000000001e-1\n1\t0.25\n")));
        assert!(!first.agrees(&digest(b"1\t0.75\n2\t0.25\n")));
        assert!(!first.agrees(&digest(b"1\t0.25\n2\t0.7501\n")));
        assert!(!first.agrees(&digest(b"1\t0.25\n3\t0.75\n")));
    }

    #[test]
    fn rows_agree_whatever_the_scale_of_decimals() {
        let digest = |scale: i8, unit: i128| {
            let decimals = Decimal128Array::from(vec![15 * unit, 100 * unit]);
            let decimals = decimals.with_precision_and_scale(20, scale).unwrap();
            let columns: [(_, ArrayRef); 2] = [
                ("a", Arc::new(decimals)),
                ("b", Arc::new(Float64Array::from(vec![0.5, 1.0 / unit as f64 * unit as f64]))),
            ];
            let batch = RecordBatch::try_from_iter(columns).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let file = fs::File::create(folder.path().join("part.parquet")).unwrap();
            let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
            writer.write(&batch).unwrap();
            writer.close().unwrap();
            rows(folder.path()).unwrap()
        };
        assert!(digest(1, 1).agrees(&digest(3, 100)));
        assert!(!digest(1, 1).agrees(&digest(1, 10)));
    }

    #[test]
    fn records_in_one_order() {
        let (low, high) = ([1; RECORD], [2; RECORD]);
        let right = folder(&[&low, &high]);
        let wrong = folder(&[&high, &low]);
        let ordered = records(right.path(), true).unwrap();
        assert!(ordered.agrees(&records(wrong.path(), false).unwrap()));
        let error = records(wrong.path(), true).unwrap_err();
        assert!(error.to_string().contains("out of order"), "{error}");
        assert!(records(folder(&[&low[1..]]).path(), false).is_err());
    }
}
