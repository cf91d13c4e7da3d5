//! `filter`: narrows the selection; nothing is copied.

use crate::dataset::Dataset;
use crate::exec::row::AtRow;
use std::marker::PhantomData;
use std::panic::Location as CodePlace;
use std::sync::Arc;
use windrow_datasets::push::{AnyPush, Demand, Push, PushError, Selection};
use windrow_datasets::{Batch, Record, for_selected};

struct FilterPush<T: Record, F> {
    f: Arc<F>,
    out: Box<dyn Push<T>>,
    /// The indexes that are selected; memory that is used again.
    rows: Vec<u32>,
    input: PhantomData<fn(T)>,
}

impl<T: Record, F> Push<T> for FilterPush<T, F>
where
    F: for<'a> Fn(T::View<'a>) -> bool + Send + Sync,
{
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<Demand, PushError> {
        let most = selection.count(batch.len());
        self.rows.resize(most, 0);
        let mut count = 0;
        let mut at = AtRow::new();
        for_selected!(selection, batch.len(), |index| {
            at.set(index);
            // Written always and counted if it passes: no branch for the processor to guess.
            self.rows[count] = index as u32;
            // SAFETY: the indexes of a selection are below the batch's length.
            count += usize::from((self.f)(unsafe { batch.get_unchecked(index) }));
        });
        at.done();
        if count == 0 {
            return Ok(Demand::More);
        }
        if count == batch.len() {
            return self.out.batch(batch, Selection::All);
        }
        self.out.batch(batch, Selection::Rows(&self.rows[..count]))
    }

    #[inline]
    fn row(&mut self, view: T::View<'_>) -> Result<Demand, PushError> {
        if (self.f)(view) { self.out.row(view) } else { Ok(Demand::More) }
    }

    fn wants_rows(&self) -> bool {
        self.out.wants_rows()
    }

    fn finish(&mut self) -> Result<(), PushError> {
        self.out.finish()
    }
}

impl<T: Record> Dataset<T> {
    /// The records for which `f` is true.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let long = flow.read_lines("/tmp/a.txt").filter(|line| line.len() > 80);
    /// ```
    #[track_caller]
    pub fn filter(
        &self,
        f: impl for<'a> Fn(T::View<'a>) -> bool + Send + Sync + 'static,
    ) -> Dataset<T> {
        let f = Arc::new(f);
        self.narrow("filter", CodePlace::caller(), Vec::new(), move |_, out| {
            let out = out.into::<T>();
            AnyPush::new::<T>(Box::new(FilterPush {
                f: f.clone(),
                out,
                rows: Vec::new(),
                input: PhantomData,
            }))
        })
    }
}
