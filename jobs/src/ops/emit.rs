//! `emit`: any number of views for a record, without owning any.

use super::map::each;
use crate::dataset::Dataset;
use crate::exec::Emitter;
use std::panic::Location as CodePlace;
use std::sync::Arc;
use windrow_datasets::Record;
use windrow_datasets::push::PushError;

/// What a closure of [`Dataset::emit`] pushes records into.
pub struct Out<'p, U: Record> {
    emitter: &'p mut Emitter<U>,
    failed: Option<PushError>,
}

impl<U: Record> Out<'_, U> {
    /// Passes a record on. After a receiver failed, nothing more is passed on, and the lane ends with the closure.
    #[inline(always)]
    pub fn push(&mut self, view: U::View<'_>) {
        if self.failed.is_none()
            && let Err(error) = self.emitter.push(view)
        {
            self.failed = Some(error);
        }
    }
}

impl<T: Record> Dataset<T> {
    /// Calls `f` with each record and an [`Out`], into which it pushes views: words of a line, say, without a `String`
    /// for each. `U` has to be named.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let words = flow.read_lines("/tmp/a.txt").emit::<(String, u64)>(|line, out| {
    ///     for word in line.split_ascii_whitespace() {
    ///         out.push((word, 1));
    ///     }
    /// });
    /// ```
    #[track_caller]
    pub fn emit<U: Record>(
        &self,
        f: impl for<'a, 'o, 'p> Fn(T::View<'a>, &'o mut Out<'p, U>) + Send + Sync + 'static,
    ) -> Dataset<U> {
        let f = Arc::new(f);
        self.narrow("emit", CodePlace::caller(), Vec::new(), move |context, out| {
            let f = f.clone();
            each::<T, U, _>(context, out, move |view, emitter| {
                let mut out = Out { emitter, failed: None };
                f(view, &mut out);
                match out.failed {
                    Some(error) => Err(error),
                    None => Ok(emitter.demand()),
                }
            })
        })
    }
}
