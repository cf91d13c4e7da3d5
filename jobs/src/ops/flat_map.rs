//! `flat_map`: any number of records for a record.

use super::map::each;
use crate::dataset::Dataset;
use std::panic::Location as CodePlace;
use std::sync::Arc;
use windrow_datasets::Record;

impl<T: Record> Dataset<T> {
    /// For each record those that the iterator has which `f` returns: a `Vec`, an `Option`, or an iterator that does not
    /// borrow the view. Where that would have to, use [`emit`](Dataset::emit).
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let numbers = flow.read_lines("/tmp/a.txt").flat_map(|line| line.parse::<i64>().ok());
    /// ```
    #[track_caller]
    pub fn flat_map<U: Record, I: IntoIterator<Item = U>>(
        &self,
        f: impl for<'a> Fn(T::View<'a>) -> I + Send + Sync + 'static,
    ) -> Dataset<U> {
        let f = Arc::new(f);
        self.narrow("flat_map", CodePlace::caller(), Vec::new(), move |context, out| {
            let f = f.clone();
            each::<T, U, _>(context, out, move |view, out| {
                for record in f(view) {
                    out.push(record.view())?;
                }
                Ok(out.demand())
            })
        })
    }
}
