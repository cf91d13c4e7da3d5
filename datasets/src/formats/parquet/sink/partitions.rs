//! Rows by partition: the columns of the key become the name of a folder, as Hive and Spark name them.

use super::ParquetChunk;
use super::columns::{value_bytes, without_waste};
use crate::columns::KeyColumns;
use crate::push::{PushError, Selection};
use crate::record::{Batch, Record};
use crate::sink::EncodeLane;
use arrow::array::{Array, ArrayRef, AsArray, StructArray, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// The rows of a lane that are grouped at a time.
const PIECE_ROWS: usize = 65_536;

/// About how many bytes are kept of a group beside its rows: its key, its folder's name, and where the rows are.
const GROUP_BYTES: usize = 192;

/// The longest name of a folder, in bytes.
const FOLDER_MAX: usize = 240;

/// What stands for null, and for a text without letters, in the name of a folder.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The rows of a part of a lane, those of one partition one after the other.
#[derive(Debug)]
pub(super) struct Piece {
    /// The columns that are in the files.
    pub(super) columns: Arc<[ArrayRef]>,
    pub(super) groups: Vec<Group>,
    /// The bytes of the values, and of what is kept of groups.
    pub(super) bytes: usize,
    /// The group of the row that came last.
    pub(super) last: usize,
}

/// The rows of one partition in a piece, in the order in which they came.
#[derive(Debug)]
pub(super) struct Group {
    /// The key, in a form whose order is that of the keys.
    pub(super) key: Arc<[u8]>,
    pub(super) folder: Arc<str>,
    pub(super) rows: Range<usize>,
}

/// Which columns rows are partitioned by.
pub(super) trait PartitionBy<T: Record>: Send + Sync {
    /// The keys of a batch: an array for each column.
    fn keys(&self, batch: &T::Batch) -> Vec<ArrayRef>;
}

impl<T: Record, K: KeyColumns<T>> PartitionBy<T> for K {
    fn keys(&self, batch: &T::Batch) -> Vec<ArrayRef> {
        columns_of::<K::Key>(self.keys(batch).to_array())
    }
}

/// The columns of a struct or a tuple; of anything else the array.
fn columns_of<T: Record>(array: ArrayRef) -> Vec<ArrayRef> {
    match (T::data_type(), array.as_any().downcast_ref::<StructArray>()) {
        (DataType::Struct(_), Some(columns)) => columns.columns().to_vec(),
        _ => vec![array],
    }
}

/// A lane whose rows are grouped.
pub(super) struct PartitionedLane<T: Record> {
    by: Arc<dyn PartitionBy<T>>,
    names: Arc<[String]>,
    /// The columns that are in the files, by number.
    kept: Arc<[usize]>,
    converter: Option<RowConverter>,
    /// The kept columns of rows that are not in a piece yet.
    batches: Vec<Vec<ArrayRef>>,
    /// The group of each of these rows.
    ids: Vec<u32>,
    groups: Vec<(Arc<[u8]>, Arc<str>)>,
    by_key: HashMap<Arc<[u8]>, u32>,
    pieces: Vec<Piece>,
}

impl<T: Record> PartitionedLane<T> {
    pub(super) fn new(
        by: Arc<dyn PartitionBy<T>>,
        names: Arc<[String]>,
        kept: Arc<[usize]>,
    ) -> PartitionedLane<T> {
        PartitionedLane {
            by,
            names,
            kept,
            converter: None,
            batches: Vec::new(),
            ids: Vec::new(),
            groups: Vec::new(),
            by_key: HashMap::new(),
            pieces: Vec::new(),
        }
    }

    /// Adds rows: their keys, and the columns that are kept.
    fn add(&mut self, keys: &[ArrayRef], kept: Vec<ArrayRef>) -> Result<(), PushError> {
        let converter = match &mut self.converter {
            Some(converter) => converter,
            none => {
                let fields = keys.iter().map(|key| SortField::new(key.data_type().clone()));
                none.insert(RowConverter::new(fields.collect())?)
            }
        };
        let rows = converter.convert_columns(keys)?;
        let mut before: Option<(&[u8], u32)> = None;
        for at in 0..rows.num_rows() {
            let row = rows.row(at);
            let key = row.data();
            let id = match before {
                // Often the same as that of the row before.
                Some((same, id)) if same == key => id,
                _ => match self.by_key.get(key) {
                    Some(id) => *id,
                    None => {
                        let folder = folder(&self.names, keys, at)?;
                        let (id, key) = (self.groups.len() as u32, Arc::<[u8]>::from(key));
                        self.groups.push((key.clone(), folder.into()));
                        self.by_key.insert(key, id);
                        id
                    }
                },
            };
            self.ids.push(id);
            before = Some((rows.row(at).data(), id));
        }
        self.batches.push(kept);
        Ok(())
    }

    /// Groups the rows that were added.
    fn end_piece(&mut self) -> Result<(), PushError> {
        let (batches, ids) = (std::mem::take(&mut self.batches), std::mem::take(&mut self.ids));
        let groups = std::mem::take(&mut self.groups);
        self.by_key.clear();
        let Some(&last) = ids.last() else { return Ok(()) };
        let column = |at: usize| -> Result<ArrayRef, PushError> {
            let arrays: Vec<&dyn Array> = batches.iter().map(|batch| batch[at].as_ref()).collect();
            Ok(if let [one] = arrays.as_slice() {
                one.slice(0, one.len())
            } else {
                concat(&arrays)?
            })
        };
        let mut columns: Vec<ArrayRef> =
            (0..self.kept.len()).map(column).collect::<Result<_, _>>()?;
        // Where the rows of each group begin.
        let mut starts = vec![0_usize; groups.len() + 1];
        for &id in &ids {
            starts[id as usize + 1] += 1;
        }
        for at in 0..groups.len() {
            starts[at + 1] += starts[at];
        }
        if groups.len() > 1 {
            let (mut next, mut order) = (starts.clone(), vec![0_u32; ids.len()]);
            for (row, &id) in (0_u32..).zip(&ids) {
                order[next[id as usize]] = row;
                next[id as usize] += 1;
            }
            let order = UInt32Array::from(order);
            columns = columns.iter().map(|c| take(c, &order, None)).collect::<Result<_, _>>()?;
        }
        let columns: Arc<[ArrayRef]> = columns.iter().map(without_waste).collect();
        let bytes = columns.iter().map(value_bytes).sum::<usize>() + groups.len() * GROUP_BYTES;
        let group = |(at, (key, folder))| Group { key, folder, rows: starts[at]..starts[at + 1] };
        let groups = groups.into_iter().enumerate().map(group).collect();
        self.pieces.push(Piece { columns, groups, bytes, last: last as usize });
        Ok(())
    }
}

impl<T: Record> EncodeLane<T, ParquetChunk> for PartitionedLane<T> {
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<(), PushError> {
        let mut keys = self.by.keys(batch);
        let all = columns_of::<T>(batch.to_array());
        let mut kept: Vec<ArrayRef> = self.kept.iter().map(|&at| all[at].clone()).collect();
        if let Selection::Rows(rows) = selection {
            let rows = UInt32Array::from(rows.to_vec());
            for column in keys.iter_mut().chain(&mut kept) {
                *column = take(column, &rows, None)?;
            }
        }
        // Where a piece ends is a matter of rows, not of batches.
        let rows = keys.first().map_or(0, |key| key.len());
        let mut from = 0;
        while from < rows {
            let count = (rows - from).min(PIECE_ROWS - self.ids.len());
            let slice = |column: &ArrayRef| column.slice(from, count);
            let keys: Vec<ArrayRef> = keys.iter().map(slice).collect();
            self.add(&keys, kept.iter().map(slice).collect())?;
            from += count;
            if self.ids.len() == PIECE_ROWS {
                self.end_piece()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<ParquetChunk, PushError> {
        self.end_piece()?;
        Ok(ParquetChunk { batches: Vec::new(), pieces: self.pieces })
    }
}

/// The folder of a row: `year=2024/month=7`.
fn folder(names: &[String], keys: &[ArrayRef], row: usize) -> Result<String, PushError> {
    let mut folders = Vec::new();
    for (name, key) in names.iter().zip(keys) {
        let folder = format!("{}={}", escaped(name.as_bytes()), value(key, row)?);
        if folder.len() > FOLDER_MAX {
            let shown: String = folder.chars().take(60).collect();
            return Err(format!(
                "`{shown}…` is {} bytes long, and the name of a partition's folder may have {FOLDER_MAX}; write by a column with shorter values",
                folder.len()
            )
            .into());
        }
        folders.push(folder);
    }
    Ok(folders.join("/"))
}

/// A value in the name of a folder.
fn value(key: &ArrayRef, row: usize) -> Result<String, PushError> {
    if key.is_null(row) {
        return Ok(NULL.to_string());
    }
    let bytes = match key.data_type() {
        DataType::Utf8View => key.as_string_view().value(row).as_bytes().to_vec(),
        DataType::BinaryView => key.as_binary_view().value(row).to_vec(),
        DataType::FixedSizeBinary(_) => key.as_fixed_size_binary().value(row).to_vec(),
        _ => {
            let options = FormatOptions::default();
            ArrayFormatter::try_new(key, &options)?.value(row).try_to_string()?.into_bytes()
        }
    };
    Ok(if bytes.is_empty() { NULL.to_string() } else { escaped(&bytes) })
}

/// Text with `%XX` for the bytes that Hive escapes, and for what is no text.
pub(super) fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if letter.is_ascii_control() || "\"#%'*/:=?\\{[]^".contains(letter) {
                text += &format!("%{:02X}", letter as u32);
            } else if letter.is_control() {
                // No name of a file has such, though Hive would leave them.
                let mut bytes = [0; 4];
                letter.encode_utf8(&mut bytes).bytes().for_each(|b| text += &format!("%{b:02X}"));
            } else {
                text.push(letter);
            }
        }
        chunk.invalid().iter().for_each(|byte| text += &format!("%{byte:02X}"));
    }
    text
}
