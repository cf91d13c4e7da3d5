//! How records move: batches with a selection, pushed from a source through operators to an output.
//!
//! Every receiver is a [`Push`]. A chain of operators is built from its end: each is given the next one. Within a
//! chain there is one virtual call a batch, or, for receivers that [want rows](Push::wants_rows) (a combiner right
//! behind an `emit`), one a record, and no batch is built between them.

use crate::record::{Builder, Record};
use crate::spent::{Part, Timed};
use std::any::Any;

/// The number of records that builders put into a batch.
pub const BATCH_RECORDS: usize = 2048;

/// Which records of a batch count. A filter narrows it and copies nothing.
#[derive(Clone, Copy, Debug)]
pub enum Selection<'a> {
    /// All of them.
    All,
    /// Those at these indexes, which ascend.
    Rows(&'a [u32]),
}

impl Selection<'_> {
    /// How many records of a batch of `len` count.
    #[inline]
    pub fn count(self, len: usize) -> usize {
        match self {
            Selection::All => len,
            Selection::Rows(rows) => rows.len(),
        }
    }
}

/// Whether a receiver wants more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Go on.
    More,
    /// Nothing further of this lane is needed; what comes all the same is ignored.
    Enough,
}

/// A receiver of records: an operator, a shuffle, a sink.
///
/// The calls of one lane come one after the other, in the order of the lane's records, and end with
/// [`Push::finish`]; a receiver that is dropped without it drops what it has of the lane.
pub trait Push<T: Record>: Send {
    /// Takes the selected records of a batch.
    ///
    /// # Errors
    /// [`PushError`] ends the lane.
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<Demand, PushError>;

    /// Takes one record: as a batch of one, unless the receiver has a better way. Only called where
    /// [`Push::wants_rows`] says so.
    ///
    /// # Errors
    /// [`PushError`] ends the lane.
    fn row(&mut self, view: T::View<'_>) -> Result<Demand, PushError> {
        let mut builder = T::Builder::default();
        builder.push(view);
        self.batch(&builder.finish(), Selection::All)
    }

    /// Whether single records are as good as batches.
    fn wants_rows(&self) -> bool {
        false
    }

    /// The lane is at its end.
    ///
    /// # Errors
    /// [`PushError`] if what is left cannot be passed on.
    fn finish(&mut self) -> Result<(), PushError>;
}

/// Why a lane ended early.
pub type PushError = Box<dyn std::error::Error + Send + Sync>;

/// A `Box<dyn Push<T>>` whose `T` is known to the two that meet there.
pub struct AnyPush {
    push: Box<dyn Any + Send>,
    /// Knows `T`.
    timed: fn(AnyPush, Part) -> AnyPush,
}

impl AnyPush {
    /// Forgets the record type.
    pub fn new<T: Record>(push: Box<dyn Push<T>>) -> AnyPush {
        AnyPush { push: Box::new(push), timed: timed::<T> }
    }

    /// The same receiver, whose time is [counted](crate::spent).
    #[must_use]
    pub fn timed(self, part: Part) -> AnyPush {
        (self.timed)(self, part)
    }

    /// Remembers the record type.
    ///
    /// # Panics
    /// If it was made of another; a plan is typed, so that is a defect of the engine.
    pub fn into<T: Record>(self) -> Box<dyn Push<T>> {
        *self.push.downcast::<Box<dyn Push<T>>>().unwrap_or_else(|_| {
            panic!("a receiver of other records than {}", std::any::type_name::<T>())
        })
    }
}

fn timed<T: Record>(push: AnyPush, part: Part) -> AnyPush {
    AnyPush::new(Box::new(Timed::new(push.into::<T>(), part)))
}

/// Runs `$body` for each selected index of a batch of `$len` records.
#[macro_export]
macro_rules! for_selected {
    ($selection:expr, $len:expr, |$index:ident| $body:expr) => {
        match $selection {
            $crate::push::Selection::All => {
                for $index in 0..$len {
                    $body
                }
            }
            $crate::push::Selection::Rows(rows) => {
                for &row in rows {
                    let $index = row as usize;
                    $body
                }
            }
        }
    };
}
