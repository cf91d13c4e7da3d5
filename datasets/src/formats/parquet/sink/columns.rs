//! Arrow columns on their way into a file: how large they are, and without what they hold in vain.

use arrow::array::{Array, ArrayRef, AsArray, GenericByteViewArray, StructArray};
use arrow::datatypes::{BinaryViewType, ByteViewType, DataType, StringViewType};
use std::sync::Arc;

/// The same array, without buffers that are mostly not its own: a batch of a text source holds all of what was read.
pub(super) fn without_waste(array: &ArrayRef) -> ArrayRef {
    fn views<B: ByteViewType>(array: &GenericByteViewArray<B>) -> ArrayRef {
        let held: usize = array.data_buffers().iter().map(|buffer| buffer.len()).sum();
        let used: usize = array.views().iter().map(|&view| view as u32 as usize).sum();
        Arc::new(if held > 2 * used + 4096 { array.gc() } else { array.clone() })
    }
    match array.data_type() {
        DataType::Utf8View => views::<StringViewType>(array.as_byte_view()),
        DataType::BinaryView => views::<BinaryViewType>(array.as_byte_view()),
        DataType::Struct(fields) => {
            let columns = array.as_struct();
            let inner = columns.columns().iter().map(without_waste).collect();
            let nulls = columns.nulls().cloned();
            let rebuilt =
                StructArray::try_new_with_length(fields.clone(), inner, nulls, columns.len());
            rebuilt.map_or_else(|_| array.clone(), |rebuilt| Arc::new(rebuilt) as ArrayRef)
        }
        _ => array.clone(),
    }
}

/// The bytes of the values of an array, whatever buffers they are in.
pub(super) fn value_bytes(array: &ArrayRef) -> usize {
    fn views<B: ByteViewType>(array: &GenericByteViewArray<B>) -> usize {
        array.views().iter().map(|&view| view as u32 as usize + 4).sum()
    }
    fn text(offsets: &[i32]) -> usize {
        (offsets[offsets.len() - 1] - offsets[0]) as usize + 4 * (offsets.len() - 1)
    }
    match array.data_type() {
        DataType::Utf8View => views::<StringViewType>(array.as_byte_view()),
        DataType::BinaryView => views::<BinaryViewType>(array.as_byte_view()),
        DataType::Utf8 => text(array.as_string::<i32>().value_offsets()),
        DataType::Binary => text(array.as_binary::<i32>().value_offsets()),
        DataType::Struct(_) => array.as_struct().columns().iter().map(value_bytes).sum(),
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            let (first, last) = (lists.offsets()[0], lists.offsets()[lists.len()]);
            let elements = lists.values().slice(first as usize, (last - first) as usize);
            value_bytes(&elements) + 4 * lists.len()
        }
        DataType::FixedSizeBinary(size) => *size as usize * array.len(),
        other => other.primitive_width().unwrap_or(1) * array.len(),
    }
}
