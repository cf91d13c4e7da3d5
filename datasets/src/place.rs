//! Where the lane on this thread is: what an error or a panic is blamed on.
//!
//! A source hands each batch over by [`push`], with a [`Rows`] that knows where its records lie. Nothing is noted
//! while all goes well. When the receiver fails or panics, what is needed to name any record of that batch is kept
//! for the thread, and [`describe`] names it.

use crate::push::{Demand, Push, PushError, Selection};
use crate::record::Record;
use std::cell::{Cell, RefCell};

/// Names a record of a batch by its index, as in `/data/a.txt, byte 1033`.
pub type DescribeRow = Box<dyn Fn(usize) -> String>;

/// Knows where the records of a batch lie.
pub trait Rows {
    /// Takes along what is needed to name any of the records later. Only called when something failed.
    fn capture(&self) -> DescribeRow;
}

impl<F: Fn() -> DescribeRow> Rows for F {
    fn capture(&self) -> DescribeRow {
        self()
    }
}

thread_local! {
    static FAILED: RefCell<Option<DescribeRow>> = const { RefCell::new(None) };
    static FAILED_ROW: Cell<Option<usize>> = const { Cell::new(None) };
    /// Rows of the batch at hand that are left out, and whether there are any.
    static LEFT_OUT_ROWS: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    static ANY_LEFT_OUT: Cell<bool> = const { Cell::new(false) };
    /// Where those lie that were left out before.
    static LEFT_OUT: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Captures when it is dropped, which happens on failure alone.
struct Guard<'a>(&'a dyn Rows);

impl Drop for Guard<'_> {
    #[cold]
    fn drop(&mut self) {
        let described = self.0.capture();
        FAILED.with(|failed| *failed.borrow_mut() = Some(described));
    }
}

/// Passes all records of a batch on to `out`; if that fails or panics, keeps where the records lie.
///
/// # Errors
/// What `out` says.
#[inline]
pub fn push<T: Record>(
    out: &mut dyn Push<T>,
    batch: &T::Batch,
    rows: &dyn Rows,
) -> Result<Demand, PushError> {
    push_selected(out, batch, Selection::All, rows)
}

/// As [`push`], some records of a batch.
///
/// # Errors
/// What `out` says.
#[inline]
pub fn push_selected<T: Record>(
    out: &mut dyn Push<T>,
    batch: &T::Batch,
    selection: Selection<'_>,
    rows: &dyn Rows,
) -> Result<Demand, PushError> {
    let guard = Guard(rows);
    let demand = out.batch(batch, selection)?;
    std::mem::forget(guard);
    if ANY_LEFT_OUT.get() {
        name_left_out(rows);
    }
    Ok(demand)
}

/// Names the rows of a batch that were left out.
#[cold]
fn name_left_out(rows: &dyn Rows) {
    let describe = rows.capture();
    ANY_LEFT_OUT.set(false);
    let of_batch = LEFT_OUT_ROWS.take();
    LEFT_OUT.with_borrow_mut(|all| all.extend(of_batch.into_iter().map(describe)));
}

/// The receiver leaves out the row at this index of the batch that is pushed to it.
pub fn leave_out(row: usize) {
    LEFT_OUT_ROWS.with_borrow_mut(|rows| rows.push(row));
    ANY_LEFT_OUT.set(true);
}

/// Where the records lie that were left out since this was called last, on this thread; of sources that hand their batches
/// over by [`push`].
pub fn take_left_out() -> Vec<String> {
    ANY_LEFT_OUT.set(false);
    LEFT_OUT_ROWS.take();
    LEFT_OUT.take()
}

/// Forgets what was kept for this thread. To be called before each lane.
pub fn clear() {
    FAILED.with(|failed| *failed.borrow_mut() = None);
    FAILED_ROW.set(None);
}

/// The place of the record at `row` of the batch at which this thread's lane failed last; `None` if no batch of a
/// source failed since [`clear`].
pub fn describe(row: usize) -> Option<String> {
    FAILED.with(|failed| failed.borrow().as_ref().map(|describe| describe(row)))
}

/// Notes which row of the source's batch was at hand when an operator failed; `None` if it is not known.
pub fn note_failed_row(row: Option<usize>) {
    FAILED_ROW.set(row);
}

/// The place of the record that was noted by [`note_failed_row`]; without one, the beginning of the batch.
pub fn describe_failure() -> Option<String> {
    match FAILED_ROW.get() {
        Some(row) => describe(row),
        None => describe(0).map(|first| format!("at or after {first}")),
    }
}

/// Keeps the index of the row at hand; when a panic or an error leaves an operator, notes it as the failed one. The
/// operator that is next to the source unwinds last, so that its row, which the source can name, is what stays.
#[derive(Debug, Default)]
pub struct AtRow(usize);

impl AtRow {
    /// At the first row.
    #[inline(always)]
    pub fn new() -> AtRow {
        AtRow(0)
    }

    /// This row is at hand.
    #[inline(always)]
    pub fn set(&mut self, row: usize) {
        self.0 = row;
    }

    /// All rows were done.
    #[inline(always)]
    pub fn done(self) {
        std::mem::forget(self);
    }
}

impl Drop for AtRow {
    #[cold]
    fn drop(&mut self) {
        note_failed_row(Some(self.0));
    }
}
