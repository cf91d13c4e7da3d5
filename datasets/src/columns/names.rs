//! Columns that are only named.

use super::{Col, for_tuples};
use crate::record::Record;

/// One column, or a tuple of two to eight, where only their names matter: `|c| c.zone`, `|c| (c.zone, c.day)`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no column",
    label = "not a column, nor a tuple of columns",
    note = "return a column of the closure's argument, or a tuple of them: `|c| c.zone`, `|c| (c.zone, c.day)`"
)]
pub trait NamedColumns<T: Record> {
    /// The names, in order.
    fn names(&self) -> Vec<&'static str>;
}

impl<T: Record, V: Record> NamedColumns<T> for Col<T, V> {
    fn names(&self) -> Vec<&'static str> {
        vec![self.name()]
    }
}

macro_rules! tuple_names {
    ($batch:ident: $($letter:ident $index:tt),+) => {
        impl<Z: Record, $($letter: Record),+> NamedColumns<Z> for ($(Col<Z, $letter>,)+) {
            fn names(&self) -> Vec<&'static str> {
                vec![$(self.$index.name()),+]
            }
        }
    };
}

for_tuples!(tuple_names);
