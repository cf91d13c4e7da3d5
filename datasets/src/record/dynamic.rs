//! Rows whose columns are known only when they are read: what jobs work on that take any file.
//!
//! All rows of a dataset have one schema, that of its batches. In memory a batch is Arrow's own [`RecordBatch`]. When it
//! travels, the schema travels with it: the column that [`Batch::to_array`] gives has all of the batch, as an Arrow IPC
//! stream, in its first value, and must not be cut.

use super::{Batch, BindError, Builder, ByteSlot, Heap, Record};
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, RecordBatch, RecordBatchOptions, StructArray,
    UInt32Array,
};
use arrow::buffer::Buffer;
use arrow::compute::cast;
use arrow::compute::{interleave_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use std::collections::HashMap;
use std::sync::Arc;

/// A row of a dataset whose columns no type names.
#[derive(Clone, Debug)]
pub struct Row(RowBatch);

impl Row {
    /// The row as a batch of one.
    pub fn columns(&self) -> &RecordBatch {
        self.0.columns()
    }
}

/// Many rows.
#[derive(Clone, Debug)]
pub struct RowBatch {
    columns: RecordBatch,
    /// Roughly, for each row.
    row_bytes: usize,
}

impl RowBatch {
    /// These rows.
    pub fn new(columns: RecordBatch) -> RowBatch {
        let size = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or(0);
        let bytes: usize = columns.columns().iter().map(size).sum();
        let row_bytes = bytes / columns.num_rows().max(1);
        RowBatch { columns, row_bytes }
    }

    /// The rows as Arrow has them.
    pub fn columns(&self) -> &RecordBatch {
        &self.columns
    }
}

/// A row, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct RowView<'a>(Place<'a>);

#[derive(Clone, Copy, Debug)]
enum Place<'a> {
    /// In a batch.
    At(&'a RowBatch, usize),
    /// By itself, as an Arrow IPC stream.
    Alone(&'a [u8]),
}

impl RowView<'_> {
    /// The row as a batch of one, which shares no memory with where it lies.
    fn alone(self) -> RecordBatch {
        match self.0 {
            Place::At(batch, index) => {
                let rows = UInt32Array::from(vec![index as u32]);
                take_record_batch(&batch.columns, &rows).expect("an index in bounds")
            }
            Place::Alone(bytes) => decode(bytes).expect("a row that was kept in memory"),
        }
    }
}

/// A batch as an Arrow IPC stream.
fn encode(batch: &RecordBatch) -> Vec<u8> {
    let write = || -> Result<Vec<u8>, ArrowError> {
        let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
        writer.write(batch)?;
        writer.finish()?;
        writer.into_inner()
    };
    write().expect("a batch in memory can be written to memory")
}

fn decode(bytes: &[u8]) -> Result<RecordBatch, ArrowError> {
    let mut decoder = StreamDecoder::new();
    let mut buffer = Buffer::from_slice_ref(bytes);
    match decoder.decode(&mut buffer)? {
        Some(batch) => Ok(batch),
        None => Err(ArrowError::IpcError("there is no batch".to_string())),
    }
}

impl Record for Row {
    type View<'a> = RowView<'a>;
    type Batch = RowBatch;
    type Builder = RowBuilder;
    type Slot = ByteSlot;

    fn view(&self) -> RowView<'_> {
        RowView(Place::At(&self.0, 0))
    }
    fn own(view: RowView<'_>) -> Row {
        Row(RowBatch::new(view.alone()))
    }
    #[inline(always)]
    fn shorten<'short, 'long: 'short>(view: RowView<'long>) -> RowView<'short> {
        view
    }
    fn keep(view: RowView<'_>, heap: &mut Heap) -> ByteSlot {
        let bytes = encode(&view.alone());
        // SAFETY: the slot borrows from `bytes`, which are alive here.
        unsafe { ByteSlot::borrowed(&bytes).keep(heap) }
    }
    unsafe fn slot_view<'a>(slot: &'a ByteSlot) -> RowView<'a> {
        // SAFETY: the caller's promise.
        RowView(Place::Alone(unsafe { slot.bytes() }))
    }
    fn data_type() -> DataType {
        DataType::BinaryView
    }
    fn approximate_bytes(view: RowView<'_>) -> usize {
        match view.0 {
            Place::At(batch, _) => batch.row_bytes,
            Place::Alone(bytes) => bytes.len(),
        }
    }
}

impl Batch<Row> for RowBatch {
    fn len(&self) -> usize {
        self.columns.num_rows()
    }
    #[inline]
    unsafe fn get_unchecked(&self, index: usize) -> RowView<'_> {
        RowView(Place::At(self, index))
    }
    fn to_array(&self) -> ArrayRef {
        let rows = self.columns.num_rows();
        if rows == 0 {
            return Arc::new(BinaryViewArray::from_iter_values(std::iter::empty::<&[u8]>()));
        }
        let bytes = encode(&self.columns);
        let values = std::iter::once(&bytes[..]).chain(std::iter::repeat_n(&[][..], rows - 1));
        Arc::new(BinaryViewArray::from_iter_values(values))
    }
    fn from_array(array: &ArrayRef) -> Result<Self, BindError> {
        if let Some(columns) = array.as_struct_opt() {
            return Ok(RowBatch::new(of_struct(columns)));
        }
        let wrong_type = || BindError::wrong_type::<Row>(array.data_type());
        // All but the first are empty: frames have codes for such.
        let values = match array.data_type() {
            DataType::Dictionary(..) => {
                cast(array, &DataType::BinaryView).map_err(|_| wrong_type())?
            }
            _ => array.clone(),
        };
        let values = values.as_binary_view_opt().ok_or_else(wrong_type)?;
        if values.is_empty() {
            return Ok(RowBatch::new(RecordBatch::new_empty(Arc::new(Schema::empty()))));
        }
        let wrong = |reason: String| BindError::Value { column: String::new(), row: 0, reason };
        let columns = decode(values.value(0)).map_err(|e| wrong(e.to_string()))?;
        if columns.num_rows() != values.len() {
            let (found, wanted) = (columns.num_rows(), values.len());
            return Err(wrong(format!("{found} rows lie where {wanted} should: they were cut")));
        }
        Ok(RowBatch::new(columns))
    }
}

fn of_struct(columns: &StructArray) -> RecordBatch {
    let schema = Arc::new(Schema::new(columns.fields().clone()));
    with_rows(schema, columns.columns().to_vec(), columns.len())
}

fn with_rows(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> RecordBatch {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options)
        .expect("columns of one length, of their own types")
}

/// Builds a batch of rows.
#[derive(Default)]
pub struct RowBuilder {
    /// The batches that rows were taken from.
    batches: Vec<RecordBatch>,
    /// Which of them has its first column at this address; the batch is kept, so that no other can be there.
    known: HashMap<usize, usize>,
    /// The last one of them.
    last: Option<(usize, usize)>,
    places: Vec<(usize, usize)>,
}

impl RowBuilder {
    fn number(&mut self, columns: &RecordBatch) -> usize {
        let address = match columns.columns().first() {
            Some(first) => Arc::as_ptr(first).cast::<()>() as usize,
            None => 0,
        };
        match self.last {
            Some((known, number)) if known == address => number,
            _ => {
                let batches = &mut self.batches;
                let number = *self.known.entry(address).or_insert_with(|| {
                    batches.push(columns.clone());
                    batches.len() - 1
                });
                self.last = Some((address, number));
                number
            }
        }
    }
}

impl Builder<Row> for RowBuilder {
    #[inline]
    fn push(&mut self, view: RowView<'_>) {
        match view.0 {
            Place::At(batch, index) => {
                let number = self.number(&batch.columns);
                self.places.push((number, index));
            }
            Place::Alone(_) => {
                let alone = view.alone();
                let number = self.number(&alone);
                self.places.push((number, 0));
            }
        }
    }
    /// The first row once more: nobody looks at it.
    fn push_blank(&mut self) {
        self.places.push((0, 0));
    }
    fn len(&self) -> usize {
        self.places.len()
    }
    fn reserve(&mut self, records: usize) {
        self.places.reserve(records);
    }
    /// # Panics
    /// If rows of two schemas were pushed.
    fn finish(&mut self) -> RowBatch {
        let places = std::mem::take(&mut self.places);
        let batches = std::mem::take(&mut self.batches);
        (self.known, self.last) = (HashMap::new(), None);
        let rows = places.len();
        let columns = match batches.first() {
            None => with_rows(Arc::new(Schema::empty()), Vec::new(), rows),
            Some(first) if first.num_columns() == 0 => with_rows(first.schema(), Vec::new(), rows),
            Some(_) => {
                let batches: Vec<&RecordBatch> = batches.iter().collect();
                interleave_record_batch(&batches, &places)
                    .expect("rows of one dataset, which have one schema")
            }
        };
        RowBatch::new(columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{self, Compression};
    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::Field;

    fn rows(numbers: std::ops::Range<i64>) -> RowBatch {
        let schema = Schema::new(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("t", DataType::Utf8, true),
        ]);
        let texts: StringArray =
            numbers.clone().map(|n| (n % 3 > 0).then(|| n.to_string())).collect();
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from_iter_values(numbers)), Arc::new(texts)];
        RowBatch::new(RecordBatch::try_new(Arc::new(schema), columns).unwrap())
    }

    #[test]
    fn rows_travel_with_their_schema() {
        let (a, b) = (rows(0..10), rows(10..14));
        let mut builder = <(u32, Row) as Record>::Builder::default();
        for (n, (batch, index)) in [(&a, 3), (&b, 0), (&a, 9), (&a, 3)].into_iter().enumerate() {
            builder.push((n as u32, batch.get(index)));
        }
        let batch = builder.finish();
        let mut frame = Vec::new();
        codec::encode::<(u32, Row)>(&batch, Compression::Lz4, &mut frame).unwrap();
        let back = codec::decode::<(u32, Row)>(&Buffer::from_slice_ref(&frame)).unwrap();
        assert_eq!(back.1.columns(), batch.1.columns());
        let numbers = back.1.columns().column(0).as_primitive::<arrow::datatypes::Int64Type>();
        assert_eq!(numbers.values()[..], [3, 10, 9, 3]);
        // So many that all but the first, which are empty, have codes.
        let many = rows(0..100);
        (0..100).for_each(|n| builder.push((n as u32, many.get(n))));
        let mut frame = Vec::new();
        codec::encode::<(u32, Row)>(&builder.finish(), Compression::None, &mut frame).unwrap();
        let back = codec::decode::<(u32, Row)>(&Buffer::from_slice_ref(&frame)).unwrap();
        assert_eq!(back.1.columns(), many.columns());
        // What is cut is refused.
        let cut = batch.1.to_array().slice(0, 2);
        assert!(matches!(RowBatch::from_array(&cut), Err(BindError::Value { .. })));
    }

    #[test]
    fn rows_can_be_kept_and_owned() {
        let batch = rows(0..5);
        let mut heap = Heap::new();
        let slots: Vec<ByteSlot> = (0..5).map(|i| Row::keep(batch.get(i), &mut heap)).collect();
        let mut builder = RowBuilder::default();
        // SAFETY: the heap is alive.
        slots.iter().for_each(|slot| builder.push(unsafe { Row::slot_view(slot) }));
        assert_eq!(builder.finish().columns(), batch.columns());
        let owned = Row::own(batch.get(4));
        assert_eq!(owned.columns(), &batch.columns().slice(4, 1));
    }
}
