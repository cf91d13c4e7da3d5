//! Typed columns: a record's fields by name, for operators that the plan is to see into.
//!
//! `#[derive(Record)]` gives a struct [`Columns`]: `Trip::COLS` has a [`Col`] a field, under the field's name; tuples
//! have theirs as `.0`, `.1`, ... Operators give them to a closure, which says what is to be done with which column:
//! a [key](KeyColumns), [aggregates](Aggregate), a [`Predicate`]. The closure runs once, when the plan is made; records
//! then go by whole columns, and `--explain` shows what was said.
//!
//! ```
//! use windrow_datasets::{Columns, Record};
//!
//! #[derive(Record)]
//! # #[record(crate = "windrow_datasets")]
//! struct Trip { zone: u32, fare: f64, #[record(rename = "payment")] payment_type: String }
//!
//! let c = Trip::COLS;
//! assert_eq!(c.payment_type.name(), "payment");
//! let costly = c.fare.gt(10.0).and(c.payment_type.eq("card"));
//! assert_eq!(costly.to_string(), r#"fare > 10.0 and payment = "card""#);
//! ```

mod aggregate;
mod computed;
mod key;
mod names;
mod predicate;
mod statistics;
mod tally;
mod values;
mod wide_sum;

pub use aggregate::{Aggregate, Count, CountRows, Greatest, Least, Mean, Sum, SumOverflow};
pub use computed::Computed;
pub use key::KeyColumns;
pub use names::NamedColumns;
pub use predicate::Predicate;
pub use statistics::{Absent, ColumnStatistics};
pub use tally::Tally;
pub use values::{Averaged, Coded, Comparable, Extreme, MaybeNull, Summable};
pub use wide_sum::WideSum;

use crate::record::{Batch, Record};
use std::fmt::{self, Debug, Display, Formatter};
use std::ops::Deref;

/// A record with columns that have names: a struct with `#[derive(Record)]`, or a tuple.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no columns with names",
    label = "no columns to choose from",
    note = "structs with `#[derive(Record)]` and tuples of two to eight records have columns: make one of them by `map`"
)]
pub trait Columns: Record {
    /// A [`Col`] a field, under its name.
    type Fields: Copy + Send + Sync + 'static;
    /// The columns.
    const COLS: Cols<Self>;
}

/// What a record's type says of one column: its name, and where it is in a batch. `V` is what its values are.
pub struct Col<T: Record, V: Record> {
    name: &'static str,
    pick: fn(&T::Batch) -> &V::Batch,
}

impl<T: Record, V: Record> Col<T, V> {
    /// For the code of `#[derive(Record)]`.
    #[doc(hidden)]
    pub const fn new(name: &'static str, pick: fn(&T::Batch) -> &V::Batch) -> Col<T, V> {
        Col { name, pick }
    }

    /// The column's name, as in the schema.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// The column in a batch.
    ///
    /// ```
    /// use windrow_datasets::{Batch, Builder, Columns, Record};
    ///
    /// let mut builder = <(u32, String) as Record>::Builder::default();
    /// builder.push((7, "seven"));
    /// let batch = builder.finish();
    /// assert_eq!(<(u32, String)>::COLS.1.of(&batch).get(0), "seven");
    /// ```
    ///
    /// # Panics
    /// If the column is shorter than the batch, which is a defect of the record's implementation.
    pub fn of(self, batch: &T::Batch) -> &V::Batch {
        let column = (self.pick)(batch);
        assert!(column.len() >= batch.len(), "column `{}` is shorter than its batch", self.name);
        column
    }
}

impl<T: Record, V: Record> Clone for Col<T, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Record, V: Record> Copy for Col<T, V> {}

impl<T: Record, V: Record> Debug for Col<T, V> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Col({})", self.name)
    }
}

impl<T: Record, V: Record> Display for Col<T, V> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The columns of a record: a [`Col`] a field, under the field's name, and what concerns all of them.
pub struct Cols<T: Columns> {
    // A field of the user's may have any name: this one is not to be seen instead.
    __fields: T::Fields,
}

impl<T: Columns> Cols<T> {
    /// For the code of `#[derive(Record)]`.
    #[doc(hidden)]
    pub const fn new(fields: T::Fields) -> Cols<T> {
        Cols { __fields: fields }
    }

    /// How many records there are.
    ///
    /// ```
    /// use windrow_datasets::Columns;
    /// use windrow_datasets::columns::Aggregate;
    ///
    /// assert_eq!(<(u32, String)>::COLS.count().describe(), "count()");
    /// ```
    pub fn count(self) -> CountRows<T> {
        CountRows::new()
    }
}

impl<T: Columns> Clone for Cols<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Columns> Copy for Cols<T> {}

impl<T: Columns> Deref for Cols<T> {
    type Target = T::Fields;

    fn deref(&self) -> &T::Fields {
        &self.__fields
    }
}

macro_rules! tuple_columns {
    ($batch:ident: $($letter:ident $index:tt),+) => {
        impl<$($letter: Record),+> Columns for ($($letter,)+) {
            type Fields = ($(Col<Self, $letter>,)+);
            const COLS: Cols<Self> = Cols::new(($(
                Col::<Self, $letter>::new(concat!("_", $index), |batch| &batch.$index),
            )+));
        }
    };
}

/// Calls a macro for tuples of two to eight: with the type of their batches, and a letter and an index an element.
macro_rules! for_tuples {
    ($macro:ident) => {
        $macro!(Batch2: A 0, B 1);
        $macro!(Batch3: A 0, B 1, C 2);
        $macro!(Batch4: A 0, B 1, C 2, D 3);
        $macro!(Batch5: A 0, B 1, C 2, D 3, E 4);
        $macro!(Batch6: A 0, B 1, C 2, D 3, E 4, F 5);
        $macro!(Batch7: A 0, B 1, C 2, D 3, E 4, F 5, G 6);
        $macro!(Batch8: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
    };
}
use for_tuples;

for_tuples!(tuple_columns);

#[cfg(test)]
mod tests;
