//! Columns as a key.

use super::{Col, for_tuples};
use crate::record::{self, Key, Record};

/// One column, or a tuple of two to eight, by which records are brought together. No key is owned, nor copied: a batch
/// of keys is the columns themselves.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no column to use as a key",
    label = "not a column, nor a tuple of columns",
    note = "return a column of the closure's argument, or a tuple of them: `|c| c.zone`, `|c| (c.zone, c.day)`"
)]
pub trait KeyColumns<T: Record>: Send + Sync + 'static {
    /// What the keys are.
    type Key: Key;

    /// The keys of a batch, which share its buffers.
    fn keys(&self, batch: &T::Batch) -> <Self::Key as Record>::Batch;

    /// The names, with commas between.
    fn describe(&self) -> String;
}

impl<T: Record, K: Key> KeyColumns<T> for Col<T, K> {
    type Key = K;

    fn keys(&self, batch: &T::Batch) -> K::Batch {
        self.of(batch).clone()
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

macro_rules! tuple_key {
    ($batch:ident: $($letter:ident $index:tt),+) => {
        impl<Z: Record, $($letter: Key),+> KeyColumns<Z> for ($(Col<Z, $letter>,)+) {
            type Key = ($($letter,)+);

            fn keys(&self, batch: &Z::Batch) -> <Self::Key as Record>::Batch {
                record::$batch($(self.$index.of(batch).clone()),+)
            }

            fn describe(&self) -> String {
                [$(self.$index.name()),+].join(", ")
            }
        }
    };
}

for_tuples!(tuple_key);
