//! `count`: how many records there are.

use crate::dataset::Dataset;
use crate::exec::Emitter;
use std::marker::PhantomData;
use std::panic::Location as CodePlace;
use windrow_datasets::push::{AnyPush, Demand, Push, PushError, Selection};
use windrow_datasets::{Batch, Record};

/// Gives the number of records of a lane, at its end.
struct CountPush<T> {
    count: u64,
    out: Emitter<u64>,
    input: PhantomData<fn(T)>,
}

impl<T: Record> Push<T> for CountPush<T> {
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<Demand, PushError> {
        self.count += selection.count(batch.len()) as u64;
        Ok(Demand::More)
    }

    fn row(&mut self, _view: T::View<'_>) -> Result<Demand, PushError> {
        self.count += 1;
        Ok(Demand::More)
    }

    fn wants_rows(&self) -> bool {
        true
    }

    fn finish(&mut self) -> Result<(), PushError> {
        self.out.push(self.count)?;
        self.out.finish().map(|_| ())
    }
}

impl<T: Record> Dataset<T> {
    /// The number of records, as a dataset of that one number.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let lines = flow.read_lines("/tmp/a.txt").count();
    /// ```
    #[track_caller]
    pub fn count(&self) -> Dataset<u64> {
        let place = CodePlace::caller();
        let lanes: Dataset<u64> = self.narrow("count", place, Vec::new(), |context, out| {
            let out = Emitter::with_batches(out, context.batch_records);
            AnyPush::new::<T>(Box::new(CountPush::<T> { count: 0, out, input: PhantomData }))
        });
        let all = lanes.scatter(
            "count",
            place,
            Some(1),
            |_: u64, _, _| 0,
            |rows, out| {
                let mut out = Emitter::<u64>::new(out);
                out.push((0..rows.len()).map(|at| rows.get(at)).sum())?;
                out.finish()
            },
        );
        all.in_any_order()
    }
}
