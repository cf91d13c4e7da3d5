//! Records that are left out: which records of a lane of a source the chain behind it fails at, and reading the lane without
//! them.

use crate::exec::{OperatorError, panic_message};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use windrow_datasets::place;
use windrow_datasets::push::{AnyPush, Demand, Push, PushError, Selection};
use windrow_datasets::unparsed;
use windrow_datasets::{Batch, Record, for_selected};

/// A record at which the job's code fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRecord {
    /// Which record of the lane it is, from 0 on.
    pub number: u64,
    /// Where it lies, if the source says so.
    pub place: Option<String>,
    /// How the code failed.
    pub message: String,
}

thread_local! {
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs something in which a panic is no news: it is looked for records at which the job's code fails.
pub fn expecting_panics<T>(run: impl FnOnce() -> T) -> T {
    let before = EXPECTED.replace(true);
    let done = run();
    EXPECTED.set(before);
    done
}

/// Whether a panic on this thread is no news; for a hook that tells of panics. A panic that gets out of
/// [`expecting_panics`] leaves it so.
pub fn panic_is_expected() -> bool {
    // On a thread that ends there is nothing to look for.
    EXPECTED.try_with(Cell::get).unwrap_or(false)
}

/// What is done about records at which the process dies, while a lane is looked at record by record.
pub trait Careful: Sync {
    /// This record of the lane is at hand, or none: whoever finds the process dead learns of it.
    fn at(&self, number: Option<u64>);

    /// Whether the process is known to die at a record. It is left out then, and not tried.
    fn is_fatal(&self, number: u64) -> bool;
}

/// What is told of a record at which the process died.
const DIED: &str = "the process died at it, more than once: an abort, or a stack overflow";

/// Passes records on one by one, to a new receiver behind each at which the last one failed, and takes note of those.
pub(crate) struct Checking<'c, T: Record> {
    chain: &'c mut (dyn FnMut() -> AnyPush + Send),
    out: Box<dyn Push<T>>,
    careful: Option<&'c dyn Careful>,
    next: u64,
    most: usize,
    bad: Vec<BadRecord>,
}

impl<'c, T: Record> Checking<'c, T> {
    /// Nothing has come yet. When more records fail than `most`, no others are looked at.
    pub(crate) fn new(
        chain: &'c mut (dyn FnMut() -> AnyPush + Send),
        careful: Option<&'c dyn Careful>,
        most: usize,
    ) -> Checking<'c, T> {
        let out = chain().into::<T>();
        place::take_left_out();
        Checking { chain, out, careful, next: 0, most, bad: Vec::new() }
    }

    /// The records that failed.
    pub(crate) fn end(mut self) -> Result<Vec<BadRecord>, PushError> {
        if let Some(careful) = self.careful {
            careful.at(None);
        }
        if self.bad.len() <= self.most {
            self.out.finish()?;
        }
        for (bad, place) in self.bad.iter_mut().zip(place::take_left_out()) {
            bad.place = Some(place);
        }
        Ok(self.bad)
    }

    fn one(&mut self, batch: &T::Batch, at: usize) -> Result<Demand, PushError> {
        let row = [at as u32];
        let is_fatal = self.careful.is_some_and(|careful| careful.is_fatal(self.next));
        let message = if is_fatal {
            DIED.to_owned()
        } else {
            if let Some(careful) = self.careful {
                careful.at(Some(self.next));
            }
            let pushed =
                catch_unwind(AssertUnwindSafe(|| self.out.batch(batch, Selection::Rows(&row))));
            match pushed {
                Ok(Err(error)) if error.is::<OperatorError>() => error.to_string(),
                Ok(other) => return other,
                Err(panic) => format!("panic: {}", panic_message(&*panic)),
            }
        };
        place::leave_out(at);
        self.bad.push(BadRecord { number: self.next, place: None, message });
        if self.bad.len() > self.most {
            return Ok(Demand::Enough);
        }
        self.out = (self.chain)().into::<T>();
        Ok(Demand::More)
    }
}

impl<T: Record> Push<T> for Checking<'_, T> {
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<Demand, PushError> {
        for_selected!(selection, batch.len(), |at| {
            if self.one(batch, at)? == Demand::Enough {
                return Ok(Demand::Enough);
            }
            self.next += 1;
        });
        unparsed::received(self.next);
        Ok(Demand::More)
    }

    fn finish(&mut self) -> Result<(), PushError> {
        Ok(())
    }
}

/// Passes on all records but some.
pub(crate) struct Without<'w, T: Record> {
    out: Box<dyn Push<T>>,
    next: u64,
    /// Their numbers that are still to come, ascending.
    bad: &'w [BadRecord],
    left: Vec<u32>,
    /// The records that were passed on.
    pub(crate) records: u64,
}

impl<'w, T: Record> Without<'w, T> {
    pub(crate) fn new(out: AnyPush, bad: &'w [BadRecord]) -> Without<'w, T> {
        Without { out: out.into::<T>(), next: 0, bad, left: Vec::new(), records: 0 }
    }
}

impl<T: Record> Push<T> for Without<'_, T> {
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<Demand, PushError> {
        let count = selection.count(batch.len()) as u64;
        let first = self.next;
        self.next += count;
        if self.bad.first().is_none_or(|bad| bad.number >= self.next) {
            self.records += count;
            return self.out.batch(batch, selection);
        }
        self.left.clear();
        let mut number = first;
        for_selected!(selection, batch.len(), |at| {
            if self.bad.first().is_some_and(|bad| bad.number == number) {
                self.bad = &self.bad[1..];
            } else {
                self.left.push(at as u32);
            }
            number += 1;
        });
        self.records += self.left.len() as u64;
        self.out.batch(batch, Selection::Rows(&self.left))
    }

    fn finish(&mut self) -> Result<(), PushError> {
        self.out.finish()
    }
}
