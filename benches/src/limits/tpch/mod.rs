//! Aggregations over TPC-H's `lineitem` in Parquet at the limit of the machine, by the `parquet` crate alone, and a join
//! with `orders`.
//!
//! A thread takes a row group at a time, reads the chunks of the columns that it needs, each in one piece, and decodes
//! them a few thousand rows at a time, so that they stay in cache: decimals as 64-bit numbers, text as codes of a
//! dictionary. What is made of them is a loop over columns.

pub mod chunks;
mod few;
mod group;
mod join;
mod q1;
pub mod q6;
pub mod remote;
mod small;

use self::chunks::{Chunks, Column, File};
use arrow::array::{ArrayRef, AsArray, DictionaryArray, RecordBatch};
use arrow::datatypes::Int32Type;
use parquet::arrow::ArrowWriter;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What is made of `lineitem`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Sums and means by flag and status: query 1.
    Q1,
    /// A sum of a few lines: query 6.
    Q6,
    /// Pieces and lines of each order: as many groups as a quarter of the rows, which come one behind the other.
    ByOrder,
    /// Pieces and lines by part and supplier: many groups, in no order.
    ByPart,
    /// Pieces and lines by the way of shipping: few groups.
    ByMode,
    /// Prices and lines by the priority of their orders: a join.
    ByPriority,
}

impl Work {
    /// All of them.
    pub const ALL: [Work; 6] =
        [Work::Q1, Work::Q6, Work::ByOrder, Work::ByPart, Work::ByMode, Work::ByPriority];

    /// Its name, which is also that of the job in `examples/tpch`.
    pub fn name(self) -> &'static str {
        match self {
            Work::Q1 => "q1",
            Work::Q6 => "q6",
            Work::ByOrder => "by-order",
            Work::ByPart => "by-part",
            Work::ByMode => "by-mode",
            Work::ByPriority => "by-priority",
        }
    }
}

/// Does a work on the Parquet files below `input`, on so many threads, and writes the answer, a Parquet file, into the
/// folder `output`.
///
/// # Errors
/// What the file system says, and files that are not the tables.
pub fn run(work: Work, input: &Path, output: &Path, threads: usize) -> io::Result<()> {
    let folder = input.join("lineitem");
    let answer = match work {
        Work::Q1 => q1::run(&Files::open(&folder, q1::COLUMNS)?, threads)?,
        Work::Q6 => q6::answer(q6::run(&Files::open(&folder, q6::COLUMNS)?, threads)?),
        Work::ByOrder => group::by_order(&Files::open(&folder, group::ORDER_COLUMNS)?, threads)?,
        Work::ByPart => group::by_part(&Files::open(&folder, group::PART_COLUMNS)?, threads)?,
        Work::ByMode => few::run(&Files::open(&folder, few::COLUMNS)?, threads)?,
        Work::ByPriority => {
            let orders = Files::open(&input.join("orders"), join::ORDER_COLUMNS)?;
            join::run(&orders, &Files::open(&folder, join::LINE_COLUMNS)?, threads)?
        }
    };
    let batch = RecordBatch::try_from_iter(answer).map_err(io::Error::other)?;
    fs::create_dir_all(output)?;
    let file = fs::File::create_new(output.join("part-00000.parquet"))?;
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).map_err(io::Error::other)?;
    writer.write(&batch).and_then(|()| writer.close()).map_err(io::Error::other)?;
    Ok(())
}

/// The columns of an answer.
type Answer = Vec<(&'static str, ArrayRef)>;

/// For each code of a dictionary, the place of its text among these; the first one for other texts.
fn places(column: &DictionaryArray<Int32Type>, texts: &[&str]) -> Vec<u8> {
    let place =
        |found: Option<&str>| texts.iter().position(|text| Some(*text) == found).unwrap_or(0) as u8;
    column.values().as_string::<i32>().iter().map(place).collect()
}

/// The files of a table, and the row groups in them.
struct Files {
    files: Vec<Arc<File>>,
    /// File and row group.
    groups: Vec<(usize, usize)>,
}

impl Files {
    fn open(folder: &Path, columns: &[Column]) -> io::Result<Files> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "parquet") {
                paths.push(path);
            }
        }
        paths.sort();
        let files = paths
            .iter()
            .map(|path| File::open(path, columns).map(Arc::new))
            .collect::<io::Result<Vec<_>>>()?;
        let groups = (0..)
            .zip(&files)
            .flat_map(|(number, file)| (0..file.groups()).map(move |group| (number, group)))
            .collect();
        Ok(Files { files, groups })
    }

    fn rows(&self) -> usize {
        self.files.iter().map(|file| file.rows()).sum()
    }

    /// Calls `one` with each batch of each row group, on so many threads, each with a state of its own.
    fn scan<S: Default + Send>(
        &self,
        threads: usize,
        one: impl Fn(&mut S, &RecordBatch) + Sync,
    ) -> io::Result<Vec<S>> {
        let next = AtomicUsize::new(0);
        let work = || -> io::Result<S> {
            let mut state = S::default();
            while let Some(&(file, group)) = self.groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                let file = &self.files[file];
                let chunks = Chunks::read(file, group)?;
                for batch in file.decode(group, chunks)? {
                    one(&mut state, &batch.map_err(io::Error::other)?);
                }
            }
            Ok(state)
        };
        thread::scope(|scope| {
            let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            all.into_iter().map(|one| one.join().expect("a thread that does not panic")).collect()
        })
    }
}

#[cfg(test)]
mod tests;
