//! `aggregate`: aggregates of columns over all records.

use crate::dataset::Dataset;
use crate::exec::{Emitter, OperatorError};
use std::panic::Location as CodePlace;
use std::sync::Arc;
use windrow_datasets::columns::Aggregate;
use windrow_datasets::push::{AnyPush, Demand, Push, PushError, Selection};
use windrow_datasets::{Batch, Cols, Columns, Record, for_selected};

/// Aggregates the records of a lane, and gives what came of it at its end.
struct AllPush<T: Record, A: Aggregate<T>> {
    aggregates: Arc<A>,
    acc: Option<A::Acc>,
    out: Emitter<A::Wire>,
}

impl<T: Record, A: Aggregate<T>> Push<T> for AllPush<T, A> {
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<Demand, PushError> {
        let values = self.aggregates.values(batch, selection);
        let mut tally = A::empty();
        for_selected!(selection, batch.len(), |index| {
            // SAFETY: the indexes of a selection are below the batch's length, and so many values there are.
            A::tally(&mut tally, unsafe { values.get_unchecked(index) });
        });
        if let Some(more) = A::tallied(tally, selection.count(batch.len()) as u64) {
            match &mut self.acc {
                Some(acc) => A::merge(acc, more),
                none => *none = Some(more),
            }
        }
        Ok(Demand::More)
    }

    fn finish(&mut self) -> Result<(), PushError> {
        if let Some(acc) = self.acc.take() {
            self.out.push(A::to_wire(&acc).view())?;
        }
        self.out.finish().map(|_| ())
    }
}

impl<T: Record> Dataset<T> {
    /// Aggregates of all records, as [`aggregate_by`](Dataset::aggregate_by) has them of a key's: a dataset of one row,
    /// or of none if there is no record.
    ///
    /// ```
    /// use windrow_datasets::Record;
    ///
    /// #[derive(Record)]
    /// # #[record(crate = "windrow_datasets")]
    /// struct Trip { zone: u32, fare: f64 }
    ///
    /// # let flow = windrow_jobs::Flow::new();
    /// let trips = flow.read_parquet::<Trip>("s3://trips/2026");
    /// let all = trips.filter_by(|c| c.zone.lt(10)).aggregate(|c| (c.fare.sum(), c.count()));
    /// # let _: windrow_jobs::Dataset<(f64, u64)> = all;
    /// ```
    #[track_caller]
    pub fn aggregate<A: Aggregate<T>>(
        &self,
        aggregates: impl FnOnce(Cols<T>) -> A,
    ) -> Dataset<A::Out>
    where
        T: Columns,
    {
        let (operator, place) = ("aggregate", CodePlace::caller());
        let aggregates = Arc::new(aggregates(T::COLS));
        let of_lane = aggregates.clone();
        let lanes: Dataset<A::Wire> =
            self.narrow("columns", place, Vec::new(), move |context, out| {
                let out = Emitter::with_batches(out, context.batch_records);
                let aggregates = of_lane.clone();
                AnyPush::new::<T>(Box::new(AllPush { aggregates, acc: None, out }))
            });
        let detail = format!("{operator} {}", aggregates.describe());
        let read = move |rows: crate::shuffle::rows::Sorted<_>, out| {
            let mut out = Emitter::<A::Out>::new(out);
            let all = (0..rows.len()).map(|at| A::from_wire(rows.get(at)));
            let merged = all.reduce(|mut acc, other| {
                A::merge(&mut acc, other);
                acc
            });
            if let Some(acc) = merged {
                let overflow = |error| OperatorError::Overflow(format!("{operator}: {error}"));
                out.push(aggregates.finish(&acc).map_err(overflow)?.view())?;
            }
            out.finish()
        };
        let all = lanes.detailed(detail).scatter(
            operator,
            place,
            Some(1),
            |_: <A::Wire as Record>::View<'_>, _, _| 0,
            read,
        );
        if A::EXACT { all.in_any_order() } else { all }
    }
}
