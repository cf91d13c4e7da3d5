//! Records: typed views on Arrow columns.
//!
//! A [`Record`] is what a dataset is made of. It has five faces:
//!
//! | face | what it is | who sees it |
//! |---|---|---|
//! | the type itself | owned, e.g. `String` | closures that return it, collected results |
//! | [`Record::View`] | borrowed and `Copy`, e.g. `&str` | closures that are given records |
//! | [`Record::Batch`] | a column (or a struct of columns) of 1,024 to 4,096 records | operators, files |
//! | [`Record::Builder`] | a batch in the making | operators, files |
//! | [`Record::Slot`] | a fixed number of bytes: what is inline, addresses of what is not | hash tables, sorts, shuffles |
//!
//! Records are integers, floats, `bool` and `()`; `String`, [`Bytes`](::bytes::Bytes) and `[u8; N]`; [`Date`],
//! [`Timestamp`], [`LocalTimestamp`] and [`Decimal`]; `Option` and `Vec` of records; tuples of two to eight; structs
//! that derive it; and whatever has serde's traits, as [`Encoded`].
//!
//! ```
//! use windrow_datasets::{Batch, Builder, Record};
//!
//! #[derive(Record)]
//! # #[record(crate = "windrow_datasets")]
//! struct Trip {
//!     zone_id: u32,
//!     #[record(rename = "payment")]
//!     payment_type: String,
//!     tip: Option<f64>,
//! }
//!
//! let mut builder = <Trip as Record>::Builder::default();
//! builder.push(TripView { zone_id: 7, payment_type: "card", tip: None });
//! let batch = builder.finish();
//! let trip: TripView<'_> = batch.get(0);
//! assert_eq!((trip.zone_id, trip.payment_type), (7, "card"));
//! let owned: Trip = trip.own();
//! assert_eq!(owned.tip, None);
//! ```
//!
//! A slot may hold addresses: either into the batch or value that it was made from (a *borrowed* slot, see
//! [`Key::probe`]), or into a [`Heap`] (a *kept* slot, see [`Record::keep`]). Whoever makes a view of a slot
//! answers for what it points to; that is why [`Record::slot_view`] is `unsafe`.

mod byte_slot;
mod bytes;
mod bytes_builder;
pub(crate) mod codes;
mod decimal;
#[doc(hidden)]
pub mod derived;
mod dynamic;
mod encoded;
mod fixed;
mod heap;
mod key;
mod list;
mod logical;
mod nulls;
mod option;
mod scalar;
pub mod text;
mod time;
mod tuple;

pub use self::bytes::BytesColumn;
pub use self::bytes_builder::BytesBuilder;
pub use byte_slot::ByteSlot;
pub use decimal::{Decimal, DecimalBuilder, DecimalColumn, DecimalError, DecimalSlot};
pub use dynamic::{Row, RowBatch, RowBuilder, RowView};
pub use encoded::{DecodeError, Encodable, Encoded, EncodedBuilder, EncodedColumn, EncodedView};
pub use fixed::{FixedBuilder, FixedColumn};
pub use heap::Heap;
pub use key::{Key, mix};
pub use list::{ListBuilder, ListColumn, ListIter, ListSlot, ListView};
pub use logical::{Logical, LogicalBuilder, LogicalColumn};
pub use option::{OptBuilder, OptColumn};
pub(crate) use scalar::widens;
pub use scalar::{ScalarBuilder, ScalarColumn, UnitBuilder, UnitColumn};
pub use text::TextRecord;
pub use time::{Date, LocalTimestamp, ParseTimeError, Timestamp};
pub use tuple::*;
pub use windrow_derive::Record;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, Fields, Schema};
use std::sync::Arc;

/// A type that datasets can hold. Derive it for structs: `#[derive(Record)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a record",
    label = "not a record",
    note = "add `#[derive(Record)]` to `{Self}`, or wrap it in `Encoded<{Self}>` if it has serde's traits",
    note = "a borrowed view such as `&str` is no record: own it (`.to_string()`), or return views from `map_to::<String>(..)`"
)]
pub trait Record: Sized + Send + Sync + 'static {
    /// The borrowed face, small and `Copy`.
    type View<'a>: Copy;
    /// Many records as Arrow columns.
    type Batch: Batch<Self>;
    /// A batch in the making.
    type Builder: Builder<Self>;
    /// A record in a fixed number of bytes. May hold addresses (see the module).
    type Slot: Copy + Send + Sync + 'static;

    /// The view of an owned record.
    fn view(&self) -> Self::View<'_>;
    /// The owned record of a view.
    fn own(view: Self::View<'_>) -> Self;
    /// The view for a shorter time: what Rust does by itself for `&str`, but not for views of a type that it does not
    /// know.
    fn shorten<'short, 'long: 'short>(view: Self::View<'long>) -> Self::View<'short>;
    /// Puts a record into a slot; what does not fit inline is copied to `heap`, and lives as long as it.
    fn keep(view: Self::View<'_>, heap: &mut Heap) -> Self::Slot;
    /// The view of a slot.
    ///
    /// # Safety
    /// What the slot points to (a heap, a batch) is alive and unchanged for `'a`.
    unsafe fn slot_view<'a>(slot: &'a Self::Slot) -> Self::View<'a>;
    /// The Arrow type of the record.
    fn data_type() -> DataType;
    /// Whether the Arrow column may hold nulls.
    fn nullable() -> bool {
        false
    }
    /// Whether this is the view of a null: `None`.
    #[inline(always)]
    fn is_null(_view: Self::View<'_>) -> bool {
        false
    }
    /// Roughly how many bytes a record of this view takes in a batch; used for sizes in summaries, and for when to spill.
    fn approximate_bytes(_view: Self::View<'_>) -> usize {
        size_of::<Self::Slot>()
    }
}

/// Many records of one type, as Arrow columns. Cloning is cheap: buffers are shared.
pub trait Batch<T: Record>: Clone + Send + Sync + 'static {
    /// The number of records.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The record at `index`.
    ///
    /// # Safety
    /// `index < self.len()`.
    unsafe fn get_unchecked(&self, index: usize) -> T::View<'_>;
    /// The record at `index`.
    ///
    /// # Panics
    /// If `index` is out of bounds.
    fn get(&self, index: usize) -> T::View<'_> {
        assert!(index < self.len(), "record {index} of a batch of {}", self.len());
        // SAFETY: checked just above.
        unsafe { self.get_unchecked(index) }
    }
    /// Where records are codes of a dictionary: for each its code, and what the codes stand for.
    fn dictionary(&self) -> Option<(&[i32], Self)> {
        None
    }
    /// Asks the processor for the record at `index`, which will be looked at soon.
    #[inline(always)]
    fn prefetch(&self, _index: usize) {}
    /// The batch as one Arrow array; a struct array for structs and tuples. Copies no values.
    fn to_array(&self) -> ArrayRef;
    /// A batch over an Arrow array of [`Record::data_type`]. Copies nothing where the layouts agree;
    /// integers and floats are widened where nothing is lost.
    ///
    /// # Errors
    /// [`BindError`] if the types do not fit, or nulls are where none may be.
    fn from_array(array: &ArrayRef) -> Result<Self, BindError>;
}

/// A batch in the making.
pub trait Builder<T: Record>: Default + Send {
    /// Appends a record.
    fn push(&mut self, view: T::View<'_>);
    /// Appends a record that nobody will see: what lies under a null.
    fn push_blank(&mut self);
    /// The number of records so far.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Makes room for so many more records, as far as their size is known, and for no others.
    fn reserve(&mut self, _records: usize) {}
    /// The batch of all records so far; the builder is empty again.
    fn finish(&mut self) -> T::Batch;
}

/// An Arrow array that does not fit a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// A column of a type that cannot be read as the field's.
    #[error("column `{column}` is {found}, but the record has {expected} there")]
    Type {
        /// The dotted path of the column; empty for the whole record.
        column: String,
        /// What the record has.
        expected: String,
        /// What the data has.
        found: String,
    },
    /// A column that the data does not have.
    #[error("column `{column}` is missing; the data has: {present}")]
    Missing {
        /// The dotted path of the column.
        column: String,
        /// The columns that are there, joined by commas.
        present: String,
    },
    /// A null where the field is no `Option`.
    #[error("column `{column}` has a null at row {row}; make the field an `Option` to allow nulls")]
    Null {
        /// The dotted path of the column.
        column: String,
        /// The first row with a null, within the batch.
        row: usize,
    },
    /// A value that the field's type cannot hold.
    #[error("column `{column}`, row {row}: {reason}")]
    Value {
        /// The dotted path of the column.
        column: String,
        /// The row, within the batch.
        row: usize,
        /// What is wrong with the value.
        reason: String,
    },
}

impl BindError {
    /// The error, said of a column inside the struct column `outer`.
    #[must_use]
    pub fn within(mut self, outer: &str) -> BindError {
        let (Self::Type { column, .. }
        | Self::Missing { column, .. }
        | Self::Null { column, .. }
        | Self::Value { column, .. }) = &mut self;
        *column = if column.is_empty() { outer.to_string() } else { format!("{outer}.{column}") };
        self
    }

    /// The error, with the row that `row_of` gives for its row.
    #[must_use]
    pub(crate) fn at_row(mut self, row_of: impl Fn(usize) -> usize) -> BindError {
        if let Self::Null { row, .. } | Self::Value { row, .. } = &mut self {
            *row = row_of(*row);
        }
        self
    }

    /// The error for an array of a type that does not fit `T`.
    pub fn wrong_type<T: Record>(found: &DataType) -> BindError {
        BindError::Type {
            column: String::new(),
            expected: T::data_type().to_string(),
            found: found.to_string(),
        }
    }
}

/// The columns that a record has at the top level of a file: a struct's fields, or one column `value`.
pub fn fields_of<T: Record>() -> Fields {
    match T::data_type() {
        DataType::Struct(fields) => fields,
        other => Fields::from(vec![Field::new("value", other, T::nullable())]),
    }
}

/// The Arrow schema of a file of these records.
pub fn schema_of<T: Record>() -> Arc<Schema> {
    Arc::new(Schema::new(fields_of::<T>()))
}
