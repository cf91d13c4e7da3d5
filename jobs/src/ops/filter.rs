//! `filter` and `filter_by`: narrow the selection; nothing is copied.

use crate::dataset::Dataset;
use std::marker::PhantomData;
use std::panic::Location as CodePlace;
use std::sync::Arc;
use windrow_datasets::columns::Predicate;
use windrow_datasets::place::AtRow;
use windrow_datasets::push::{AnyPush, Demand, Push, PushError, Selection};
use windrow_datasets::{Batch, Cols, Columns, Record, for_selected};

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
        pass::<T>(&mut *self.out, batch, &self.rows[..count])
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

/// Passes on the rows of a batch that were kept.
fn pass<T: Record>(
    out: &mut dyn Push<T>,
    batch: &T::Batch,
    rows: &[u32],
) -> Result<Demand, PushError> {
    if rows.is_empty() {
        return Ok(Demand::More);
    }
    if rows.len() == batch.len() {
        return out.batch(batch, Selection::All);
    }
    out.batch(batch, Selection::Rows(rows))
}

struct PredicatePush<T: Record> {
    predicate: Arc<Predicate<T>>,
    out: Box<dyn Push<T>>,
    /// The indexes that are selected; memory that is used again.
    rows: Vec<u32>,
}

impl<T: Record> Push<T> for PredicatePush<T> {
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<Demand, PushError> {
        self.predicate.select(batch, selection, &mut self.rows);
        pass::<T>(&mut *self.out, batch, &self.rows)
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
        let kept = self.narrow("filter", CodePlace::caller(), Vec::new(), move |_, out| {
            let out = out.into::<T>();
            AnyPush::new::<T>(Box::new(FilterPush {
                f: f.clone(),
                out,
                rows: Vec::new(),
                input: PhantomData,
            }))
        });
        kept.flow.graph().nodes[kept.node].passes = 0.5;
        kept
    }

    /// The records for which a predicate over columns is true, which the plan sees; `f` runs when the plan is made. What is
    /// compared with null is neither true nor false, as in SQL.
    ///
    /// A column can be compared by `eq`, `ne`, `lt`, `le`, `gt`, `ge`, `between`, `is_in` and `is_null`; predicates are joined
    /// by `and`, `or` and `not`.
    ///
    /// ```
    /// use windrow_datasets::Record;
    ///
    /// #[derive(Record)]
    /// # #[record(crate = "windrow_datasets")]
    /// struct Trip { fare: f64, payment_type: String }
    ///
    /// # let flow = windrow_jobs::Flow::new();
    /// let dear = flow
    ///     .read_parquet::<Trip>("s3://trips/2026")
    ///     .filter_by(|c| c.fare.gt(10.0).and(c.payment_type.eq("card")));
    /// ```
    #[track_caller]
    pub fn filter_by(&self, f: impl FnOnce(Cols<T>) -> Predicate<T>) -> Dataset<T>
    where
        T: Columns,
    {
        let predicate = Arc::new(f(T::COLS));
        let detail = format!("filter_by {predicate}");
        let seen = predicate.clone();
        let kept = self.narrow("filter_by", CodePlace::caller(), Vec::new(), move |_, out| {
            let (predicate, out) = (predicate.clone(), out.into());
            AnyPush::new::<T>(Box::new(PredicatePush { predicate, out, rows: Vec::new() }))
        });
        let mut graph = kept.flow.graph();
        let node = &mut graph.nodes[kept.node];
        node.passes = seen.estimated_share();
        node.predicate = Some(seen);
        drop(graph);
        kept.detailed(detail)
    }
}
