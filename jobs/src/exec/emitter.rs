//! How an operator passes on records that it makes: one by one where the receiver takes them so, else in batches.

use windrow_datasets::push::{AnyPush, BATCH_RECORDS, Demand, Push, PushError, Selection};
use windrow_datasets::{Batch, Builder, Record};

/// Gathers records into batches for a receiver, unless that wants single rows.
pub struct Emitter<U: Record> {
    out: Box<dyn Push<U>>,
    builder: U::Builder,
    rows: bool,
    batch_records: usize,
    demand: Demand,
    pushed: u64,
}

impl<U: Record> Emitter<U> {
    /// An emitter into a receiver of `U`.
    pub fn new(out: AnyPush) -> Emitter<U> {
        Emitter::with_batches(out, BATCH_RECORDS)
    }

    /// An emitter that gathers so many records at most.
    pub fn with_batches(out: AnyPush, batch_records: usize) -> Emitter<U> {
        let out = out.into::<U>();
        let rows = out.wants_rows();
        let builder = U::Builder::default();
        Emitter { out, builder, rows, batch_records, demand: Demand::More, pushed: 0 }
    }

    /// Passes a record on.
    ///
    /// # Errors
    /// What the receiver says.
    #[inline(always)]
    pub fn push(&mut self, view: U::View<'_>) -> Result<Demand, PushError> {
        self.pushed += 1;
        if self.rows {
            self.demand = self.out.row(view)?;
        } else {
            self.builder.push(view);
            if self.builder.len() >= self.batch_records {
                self.flush()?;
            }
        }
        Ok(self.demand)
    }

    /// Passes a whole batch on, after what was gathered.
    ///
    /// # Errors
    /// What the receiver says.
    pub fn batch(
        &mut self,
        batch: &U::Batch,
        selection: Selection<'_>,
    ) -> Result<Demand, PushError> {
        self.flush()?;
        self.pushed += selection.count(batch.len()) as u64;
        self.demand = self.out.batch(batch, selection)?;
        Ok(self.demand)
    }

    /// What the receiver said last.
    #[inline]
    pub fn demand(&self) -> Demand {
        self.demand
    }

    /// Passes on what was gathered.
    ///
    /// # Errors
    /// What the receiver says.
    pub fn flush(&mut self) -> Result<(), PushError> {
        if !self.builder.is_empty() {
            let batch = self.builder.finish();
            self.demand = self.out.batch(&batch, Selection::All)?;
        }
        Ok(())
    }

    /// Passes on what was gathered, and ends the receiver's lane. Returns how many records were passed on.
    ///
    /// # Errors
    /// What the receiver says.
    pub fn finish(&mut self) -> Result<u64, PushError> {
        self.flush()?;
        self.out.finish()?;
        Ok(self.pushed)
    }
}
