//! `top`: the first few records in an order.

use crate::dataset::Dataset;
use crate::exec::Emitter;
use std::cmp::Ordering;
use std::marker::PhantomData;
use std::panic::Location as CodePlace;
use std::sync::Arc;
use windrow_datasets::push::{AnyPush, Demand, Push, PushError, Selection};
use windrow_datasets::{Batch, Record, for_selected};

/// Keeps the first records of a lane. Of equal ones those stay that came first.
struct TopPush<T: Record, F> {
    most: usize,
    compare: Arc<F>,
    /// At most twice as many as are kept: the first `sorted` are in order, and none of them can go.
    kept: Vec<T>,
    sorted: usize,
    out: Emitter<T>,
    input: PhantomData<fn(T)>,
}

impl<T, F> TopPush<T, F>
where
    T: Record,
    F: for<'a, 'b> Fn(T::View<'a>, T::View<'b>) -> Ordering + Send + Sync,
{
    fn one(&mut self, view: T::View<'_>) {
        if self.sorted == self.most
            && self.kept[..self.sorted]
                .last()
                .is_none_or(|last| (self.compare)(view, last.view()).is_ge())
        {
            return;
        }
        self.kept.push(T::own(view));
        if self.kept.len() >= 2 * self.most.max(512) {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        self.kept.sort_by(|a, b| (self.compare)(a.view(), b.view()));
        self.kept.truncate(self.most);
        self.sorted = self.kept.len();
    }
}

impl<T, F> Push<T> for TopPush<T, F>
where
    T: Record,
    F: for<'a, 'b> Fn(T::View<'a>, T::View<'b>) -> Ordering + Send + Sync,
{
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<Demand, PushError> {
        for_selected!(selection, batch.len(), |index| {
            // SAFETY: the indexes of a selection are below the batch's length.
            self.one(unsafe { batch.get_unchecked(index) });
        });
        Ok(Demand::More)
    }

    fn row(&mut self, view: T::View<'_>) -> Result<Demand, PushError> {
        self.one(view);
        Ok(Demand::More)
    }

    fn wants_rows(&self) -> bool {
        true
    }

    fn finish(&mut self) -> Result<(), PushError> {
        self.shrink();
        for record in &self.kept {
            self.out.push(record.view())?;
        }
        self.out.finish().map(|_| ())
    }
}

impl<T: Record> Dataset<T> {
    /// The first `n` records in the order that `compare` gives; of equal ones those that came first.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let longest = flow.read_lines("/tmp/a.txt").top(10, |a, b| b.len().cmp(&a.len()));
    /// ```
    #[track_caller]
    pub fn top(
        &self,
        n: usize,
        compare: impl for<'a, 'b> Fn(T::View<'a>, T::View<'b>) -> Ordering + Send + Sync + 'static,
    ) -> Dataset<T> {
        let (place, compare) = (CodePlace::caller(), Arc::new(compare));
        let of_lane = compare.clone();
        let lanes: Dataset<T> = self.narrow("top", place, Vec::new(), move |context, out| {
            AnyPush::new::<T>(Box::new(TopPush::<T, _> {
                most: n,
                compare: of_lane.clone(),
                kept: Vec::new(),
                sorted: 0,
                out: Emitter::with_batches(out, context.batch_records),
                input: PhantomData,
            }))
        });
        lanes.scatter(
            "top",
            place,
            Some(1),
            |_: T::View<'_>, _, _| 0,
            move |mut rows, out| {
                rows.sort_range(0..rows.len(), |a, b| compare(a, b));
                let mut out = Emitter::<T>::new(out);
                for at in 0..rows.len().min(n) {
                    out.push(rows.get(at))?;
                }
                out.finish()
            },
        )
    }
}
