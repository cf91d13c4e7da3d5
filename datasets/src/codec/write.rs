//! Arrow arrays into the body of a frame.

use super::few::{Few, few};
use super::{ALIGNMENT, BY_CODES, CodecError};
use arrow::array::{Array, ArrayRef, AsArray, GenericByteViewArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{BinaryViewType, ByteViewType, DataType, StringViewType};

/// A body in the making, at the end of `out`.
pub(super) struct Body<'a> {
    out: &'a mut Vec<u8>,
    /// Where the body starts.
    start: usize,
}

impl<'a> Body<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Body<'a> {
        let start = out.len();
        Body { out, start }
    }

    /// Writes a column of this type, which may have nulls where `nullable`.
    pub(super) fn column(
        &mut self,
        array: &ArrayRef,
        data_type: &DataType,
        nullable: bool,
    ) -> Result<(), CodecError> {
        debug_assert_eq!(array.data_type(), data_type);
        if *data_type == DataType::Null {
            return Ok(());
        }
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        if nullable {
            self.length(nulls.map_or(0, NullBuffer::null_count) as u64);
            if let Some(nulls) = nulls {
                self.bits(nulls.inner());
            }
        }
        match data_type {
            DataType::Boolean => self.bits(array.as_boolean().values()),
            DataType::Utf8View => self.text(array.as_byte_view::<StringViewType>())?,
            DataType::BinaryView => self.text(array.as_byte_view::<BinaryViewType>())?,
            DataType::FixedSizeBinary(_) => {
                let array = array.as_fixed_size_binary();
                let len = array.len() * array.value_length() as usize;
                self.part(&array.values()[..len]);
            }
            DataType::List(element) => {
                let lists = array.as_list::<i32>();
                let offsets = lists.offsets();
                let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
                for offset in offsets.iter() {
                    self.out.extend_from_slice(&(offset - first).to_le_bytes());
                }
                self.fill_up();
                let values = lists.values().slice(first as usize, (last - first) as usize);
                self.column(&values, element.data_type(), element.is_nullable())?;
            }
            DataType::Struct(fields) => {
                for (field, column) in fields.iter().zip(array.as_struct().columns()) {
                    self.column(column, field.data_type(), field.is_nullable())?;
                }
            }
            other => {
                let Some(width) = other.primitive_width() else {
                    unreachable!("no record has the type {other}")
                };
                let data = array.to_data();
                let values = data.buffers()[0].as_slice();
                self.part(&values[data.offset() * width..][..data.len() * width]);
            }
        }
        Ok(())
    }

    fn part(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.fill_up();
    }

    fn length(&mut self, length: u64) {
        self.part(&length.to_le_bytes());
    }

    fn fill_up(&mut self) {
        let len = (self.out.len() - self.start).next_multiple_of(ALIGNMENT);
        self.out.resize(self.start + len, 0);
    }

    fn bits(&mut self, bits: &BooleanBuffer) {
        let start = self.out.len();
        self.out.extend_from_slice(&bits.sliced().as_slice()[..bits.len().div_ceil(8)]);
        let beyond = (8 - bits.len() % 8) % 8;
        if let [.., last] = &mut self.out[start..] {
            // What lies beyond the last bit is anything.
            *last &= 0xff >> beyond;
        }
        self.fill_up();
    }

    /// Writes text: by codes where there are few values.
    fn text<B: ByteViewType>(&mut self, array: &GenericByteViewArray<B>) -> Result<(), CodecError> {
        let view = |(row, &view): (usize, &u128)| if array.is_null(row) { 0 } else { view };
        let Some(Few { codes, rows }) = few(array.views().iter().enumerate().map(view)) else {
            return self.views(array);
        };
        self.length(rows.len() as u64 | BY_CODES);
        if rows.len() <= 256 {
            self.out.extend(codes.iter().map(|&code| code as u8));
        } else {
            self.out.extend(codes.iter().flat_map(|code| code.to_le_bytes()));
        }
        self.fill_up();
        let value = |&row: &usize| if array.is_null(row) { 0 } else { array.views()[row] };
        let values: Vec<u128> = rows.iter().map(value).collect();
        let buffers = array.data_buffers().clone();
        // SAFETY: each view is one of the array's, over the same buffers, or that of an empty text.
        self.views(&unsafe {
            GenericByteViewArray::<B>::new_unchecked(values.into(), buffers, None)
        })
    }

    /// Writes the views and, of the data, what they use.
    fn views<B: ByteViewType>(
        &mut self,
        array: &GenericByteViewArray<B>,
    ) -> Result<(), CodecError> {
        let views = array.views();
        if array.data_buffers().is_empty() && array.null_count() == 0 {
            self.length(0);
            self.part(views.inner().as_slice());
            return Ok(());
        }
        let length_at = self.out.len();
        self.length(0);
        let views_at = self.out.len();
        self.out.resize(views_at + size_of_val(&views[..]), 0);
        let data_at = self.out.len();
        for (row, &view) in views.iter().enumerate() {
            let written = if array.is_null(row) {
                0
            } else if view as u32 <= 12 {
                view
            } else {
                let offset = u32::try_from(self.out.len() - data_at).map_err(|_| {
                    CodecError::TooLarge("a column has more than 4 GiB of text".into())
                })?;
                // SAFETY: `row` is in bounds.
                let value: &[u8] = unsafe { array.value_unchecked(row) }.as_ref();
                self.out.extend_from_slice(value);
                // Length and prefix stay; buffer 0, at `offset`.
                u128::from(view as u64) | (u128::from(offset) << 96)
            };
            self.out[views_at + 16 * row..][..16].copy_from_slice(&written.to_le_bytes());
        }
        let data_len = (self.out.len() - data_at) as u64;
        self.out[length_at..length_at + 8].copy_from_slice(&data_len.to_le_bytes());
        self.fill_up();
        Ok(())
    }
}
