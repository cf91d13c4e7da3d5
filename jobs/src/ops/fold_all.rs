//! `fold`: all records into one.

use crate::dataset::Dataset;
use crate::exec::Emitter;
use std::marker::PhantomData;
use std::panic::Location as CodePlace;
use std::sync::Arc;
use windrow_datasets::place::AtRow;
use windrow_datasets::push::{AnyPush, Demand, Push, PushError, Selection};
use windrow_datasets::{Batch, Record, for_selected};

/// Folds the records of a lane, and gives the accumulator at its end.
struct FoldPush<T, A: Record, P> {
    acc: A,
    push: Arc<P>,
    out: Emitter<A>,
    input: PhantomData<fn(T)>,
}

impl<T, A, P> Push<T> for FoldPush<T, A, P>
where
    T: Record,
    A: Record,
    P: for<'a> Fn(&mut A, T::View<'a>) + Send + Sync,
{
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<Demand, PushError> {
        let mut at = AtRow::new();
        for_selected!(selection, batch.len(), |index| {
            at.set(index);
            // SAFETY: the indexes of a selection are below the batch's length.
            (self.push)(&mut self.acc, unsafe { batch.get_unchecked(index) });
        });
        at.done();
        Ok(Demand::More)
    }

    fn row(&mut self, view: T::View<'_>) -> Result<Demand, PushError> {
        (self.push)(&mut self.acc, view);
        Ok(Demand::More)
    }

    fn wants_rows(&self) -> bool {
        true
    }

    fn finish(&mut self) -> Result<(), PushError> {
        self.out.push(self.acc.view())?;
        self.out.finish().map(|_| ())
    }
}

impl<T: Record> Dataset<T> {
    /// One accumulator of all records, as a dataset of that one: it begins as `init` says, takes each record by `push`,
    /// and parts of it are put together by `merge`, in the order of the records. Without records it is what `init` says.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let longest = flow.read_lines("/tmp/a.txt").fold(
    ///     String::new,
    ///     |longest, line| if line.len() > longest.len() { *longest = line.to_string() },
    ///     |longest, other| if other.len() > longest.len() { *longest = other },
    /// );
    /// ```
    #[track_caller]
    pub fn fold<A: Record>(
        &self,
        init: impl Fn() -> A + Send + Sync + 'static,
        push: impl for<'a> Fn(&mut A, T::View<'a>) + Send + Sync + 'static,
        merge: impl Fn(&mut A, A) + Send + Sync + 'static,
    ) -> Dataset<A> {
        let (place, push, init) = (CodePlace::caller(), Arc::new(push), Arc::new(init));
        let of_lane = init.clone();
        let lanes: Dataset<A> = self.narrow("fold", place, Vec::new(), move |context, out| {
            let out = Emitter::with_batches(out, context.batch_records);
            let (acc, push) = (of_lane(), push.clone());
            AnyPush::new::<T>(Box::new(FoldPush::<T, A, _> { acc, push, out, input: PhantomData }))
        });
        let read = move |rows: crate::shuffle::rows::Sorted<_>, out| {
            let mut out = Emitter::<A>::new(out);
            let mut all = (0..rows.len()).map(|at| A::own(rows.get(at)));
            let mut acc = all.next().unwrap_or_else(|| init());
            all.for_each(|other| merge(&mut acc, other));
            out.push(acc.view())?;
            out.finish()
        };
        lanes.scatter("fold", place, Some(1), |_: A::View<'_>, _, _| 0, read)
    }
}
