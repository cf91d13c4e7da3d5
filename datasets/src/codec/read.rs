//! The body of a frame back into Arrow arrays, which share its memory.

use super::{ALIGNMENT, BY_CODES, CodecError};
use crate::record::Record;
use crate::record::codes::VALUES_MAX;
use arrow::array::{
    ArrayData, ArrayRef, BooleanArray, DictionaryArray, FixedSizeBinaryArray, GenericByteViewArray,
    Int32Array, ListArray, NullArray, StructArray, make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    BinaryViewType, ByteViewType, DataType, FieldRef, Fields, Int32Type, StringViewType,
};
use arrow::error::ArrowError;
use std::sync::Arc;

/// Who answers for the text in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nobody: each view and each text is looked at.
    None,
    /// The caller: it is as the encoder wrote it.
    Written,
}

/// A body that is being read. Its memory is aligned to [`ALIGNMENT`].
pub(super) struct Body {
    bytes: Buffer,
    /// How much has been read; a multiple of [`ALIGNMENT`].
    at: usize,
    trust: Trust,
}

fn corrupt(error: &ArrowError) -> CodecError {
    CodecError::Corrupt(error.to_string())
}

fn length_of(number: u64) -> Result<usize, CodecError> {
    usize::try_from(number).map_err(|_| CodecError::Corrupt(format!("a length of {number}")))
}

/// A field for what was read of it: text may have codes.
fn field_of(field: &FieldRef, read: &ArrayRef) -> FieldRef {
    if field.data_type() == read.data_type() {
        return field.clone();
    }
    Arc::new(field.as_ref().clone().with_data_type(read.data_type().clone()))
}

fn too_many(records: usize) -> CodecError {
    CodecError::Corrupt(format!("{records} records cannot be in it"))
}

impl Body {
    pub(super) fn new(bytes: Buffer, trust: Trust) -> Body {
        Body { bytes, at: 0, trust }
    }

    /// The column that is the whole body.
    pub(super) fn whole<T: Record>(mut self, records: usize) -> Result<ArrayRef, CodecError> {
        let array = self.column(&T::data_type(), T::nullable(), records)?;
        let over = self.bytes.len() - self.at;
        if over > 0 {
            return Err(CodecError::Corrupt(format!("{over} bytes are left over")));
        }
        Ok(array)
    }

    fn column(
        &mut self,
        data_type: &DataType,
        nullable: bool,
        rows: usize,
    ) -> Result<ArrayRef, CodecError> {
        if *data_type == DataType::Null {
            return Ok(Arc::new(NullArray::new(rows)));
        }
        let nulls = if nullable { self.nulls(rows)? } else { None };
        Ok(match data_type {
            DataType::Boolean => Arc::new(BooleanArray::new(self.bits(rows)?, nulls)),
            DataType::Utf8View => self.text::<StringViewType>(rows, nulls)?,
            DataType::BinaryView => self.text::<BinaryViewType>(rows, nulls)?,
            DataType::FixedSizeBinary(size) => {
                let values = self.values(rows, *size as usize)?;
                let array = FixedSizeBinaryArray::try_new_with_len(*size, values, nulls, rows);
                Arc::new(array.map_err(|e| corrupt(&e))?)
            }
            DataType::List(element) => {
                let offsets = self.offsets(rows)?;
                let elements = offsets[rows] as usize;
                let values = self.column(element.data_type(), element.is_nullable(), elements)?;
                let array = ListArray::try_new(field_of(element, &values), offsets, values, nulls);
                Arc::new(array.map_err(|e| corrupt(&e))?)
            }
            DataType::Struct(fields) => {
                let columns = fields
                    .iter()
                    .map(|field| self.column(field.data_type(), field.is_nullable(), rows))
                    .collect::<Result<Vec<_>, _>>()?;
                let fields = fields.iter().zip(&columns).map(|(field, of)| field_of(field, of));
                let fields = Fields::from_iter(fields);
                let array = StructArray::try_new_with_length(fields, columns, nulls, rows);
                Arc::new(array.map_err(|e| corrupt(&e))?)
            }
            other => {
                let Some(width) = other.primitive_width() else {
                    unreachable!("no record has the type {other}")
                };
                let values = self.values(rows, width)?;
                let data = ArrayData::builder(other.clone()).len(rows).nulls(nulls);
                // SAFETY: any bits are a value of a primitive type; there are `rows` of them in the buffer, which
                // is aligned for every such type, and as many bits in the nulls.
                make_array(unsafe { data.add_buffer(values).build_unchecked() })
            }
        })
    }

    /// The next part of `len` bytes.
    fn part(&mut self, len: usize) -> Result<Buffer, CodecError> {
        let found = self.bytes.len() - self.at;
        let needed = len
            .checked_next_multiple_of(ALIGNMENT)
            .filter(|&needed| needed <= found)
            .ok_or(CodecError::Short { needed: len, found })?;
        let part = self.bytes.slice_with_length(self.at, len);
        self.at += needed;
        Ok(part)
    }

    fn values(&mut self, rows: usize, width: usize) -> Result<Buffer, CodecError> {
        self.part(rows.checked_mul(width).ok_or_else(|| too_many(rows))?)
    }

    fn number(&mut self) -> Result<u64, CodecError> {
        let part = self.part(8)?;
        Ok(u64::from_le_bytes(part.as_slice().try_into().expect("8 bytes")))
    }

    fn length(&mut self) -> Result<usize, CodecError> {
        length_of(self.number()?)
    }

    fn bits(&mut self, rows: usize) -> Result<BooleanBuffer, CodecError> {
        Ok(BooleanBuffer::new(self.part(rows.div_ceil(8))?, 0, rows))
    }

    fn nulls(&mut self, rows: usize) -> Result<Option<NullBuffer>, CodecError> {
        let said = self.length()?;
        if said == 0 {
            return Ok(None);
        }
        let nulls = NullBuffer::new(self.bits(rows)?);
        if nulls.null_count() != said {
            return Err(CodecError::Corrupt(format!("{said} nulls, but {}", nulls.null_count())));
        }
        Ok(Some(nulls))
    }

    fn offsets(&mut self, rows: usize) -> Result<OffsetBuffer<i32>, CodecError> {
        let count = rows.checked_add(1).ok_or_else(|| too_many(rows))?;
        let values = self.values(count, 4)?;
        let offsets = ScalarBuffer::<i32>::new(values, 0, count);
        if offsets[0] != 0 || !offsets.is_sorted() {
            return Err(CodecError::Corrupt("the offsets of lists do not ascend from 0".into()));
        }
        // SAFETY: they do ascend, and start with 0.
        Ok(unsafe { OffsetBuffer::new_unchecked(offsets) })
    }

    fn text<B: ByteViewType>(
        &mut self,
        rows: usize,
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef, CodecError> {
        let length = self.number()?;
        if length & BY_CODES == 0 {
            return self.views::<B>(length_of(length)?, rows, nulls);
        }
        let values = length_of(length & !BY_CODES)?;
        if values > VALUES_MAX {
            return Err(CodecError::Corrupt(format!("{values} values of text with codes")));
        }
        let codes: Vec<i32> = if values <= 256 {
            self.values(rows, 1)?.iter().map(|&code| i32::from(code)).collect()
        } else {
            let codes = self.values(rows, 2)?;
            codes.typed_data::<u16>().iter().map(|&code| i32::from(code)).collect()
        };
        let length = self.length()?;
        let values = self.views::<B>(length, values, None)?;
        let codes = Int32Array::new(codes.into(), nulls);
        let array = DictionaryArray::<Int32Type>::try_new(codes, values);
        Ok(Arc::new(array.map_err(|e| corrupt(&e))?))
    }

    fn views<B: ByteViewType>(
        &mut self,
        data_len: usize,
        rows: usize,
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef, CodecError> {
        let views = ScalarBuffer::<u128>::new(self.values(rows, 16)?, 0, rows);
        let data = self.part(data_len)?;
        let buffers = if data.is_empty() { Vec::new() } else { vec![data] };
        if self.trust == Trust::None {
            let text = B::DATA_TYPE == DataType::Utf8View;
            check_views(&views, buffers.first().map_or(&[], |data| data), text)?;
        }
        // SAFETY: each view is over bytes of its own kind, within the data: checked just above, or written so by the
        // encoder.
        let array =
            unsafe { GenericByteViewArray::<B>::new_unchecked(views, buffers.into(), nulls) };
        Ok(Arc::new(array))
    }
}

/// Looks at each view: inline ones end with zeros, the others lie within `data`, and start with their prefix; all
/// are UTF-8 if they have to be `text`.
fn check_views(views: &[u128], data: &[u8], text: bool) -> Result<(), CodecError> {
    /// The top bits of the 12 inline bytes.
    const INLINE_NOT_ASCII: u128 = 0x8080_8080_8080_8080_8080_8080 << 32;
    let wrong =
        |row: usize, what: &str| CodecError::Corrupt(format!("the text in row {row} {what}"));
    // A part of ASCII is ASCII; of UTF-8 in general it need not be UTF-8.
    let data_is_checked = !text || data.is_ascii();
    for (row, &view) in views.iter().enumerate() {
        let len = view as u32;
        if len <= 12 {
            let beyond = view.checked_shr(32 + 8 * len).unwrap_or(0);
            if beyond != 0 {
                return Err(wrong(row, "is longer than it says"));
            }
            if text
                && view & INLINE_NOT_ASCII != 0
                && std::str::from_utf8(&view.to_le_bytes()[4..][..len as usize]).is_err()
            {
                return Err(wrong(row, "is not UTF-8"));
            }
            continue;
        }
        let (buffer, offset) = ((view >> 64) as u32, (view >> 96) as usize);
        let value = data.get(offset..).and_then(|rest| rest.get(..len as usize));
        let Some(value) = value.filter(|_| buffer == 0) else {
            return Err(wrong(row, "is not in the frame"));
        };
        if value[..4] != ((view >> 32) as u32).to_le_bytes() {
            return Err(wrong(row, "does not start as its view says"));
        }
        if !data_is_checked && std::str::from_utf8(value).is_err() {
            return Err(wrong(row, "is not UTF-8"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{BinaryViewArray, StringViewArray};
    use proptest::prelude::*;

    proptest! {
        /// What passes here passes where Arrow looks, and the other way round.
        #[test]
        fn views_are_checked_as_arrow_does(
            views in prop::collection::vec(
                (prop_oneof![0..20u32, any::<u32>()], prop::array::uniform12(any::<u8>()), 0..16usize), 0..4),
            mut data in prop::collection::vec(any::<u8>(), 0..40),
            word in "[a-zé]{13,20}",
        ) {
            data.extend_from_slice(word.as_bytes());
            let views: Vec<u128> = views
                .into_iter()
                .map(|(len, rest, kept)| {
                    let mut bytes = [0; 16];
                    bytes[..4].copy_from_slice(&len.to_le_bytes());
                    bytes[4..16].copy_from_slice(&rest);
                    // Most are made to be nearly right.
                    if kept < 12 {
                        bytes[4 + kept.min(len as usize)..].fill(0);
                    }
                    if len > 12 && kept < 14 {
                        let offset = data.len().saturating_sub(len as usize);
                        bytes[8..12].fill(0);
                        bytes[12..].copy_from_slice(&(offset as u32).to_le_bytes());
                        if let Some(start) = data.get(offset..offset + 4) {
                            bytes[4..8].copy_from_slice(start);
                        }
                    }
                    u128::from_le_bytes(bytes)
                })
                .collect();
            let (column, buffers) = (ScalarBuffer::from(views.clone()), vec![Buffer::from(&data[..])]);
            prop_assert_eq!(
                check_views(&views, &data, false).is_ok(),
                BinaryViewArray::try_new(column.clone(), buffers.clone(), None).is_ok()
            );
            prop_assert_eq!(
                check_views(&views, &data, true).is_ok(),
                StringViewArray::try_new(column, buffers, None).is_ok()
            );
        }
    }
}
