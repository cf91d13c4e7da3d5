//! `map`, `map_to`, `key_by`, `map_init`: a record for a record.

use crate::dataset::Dataset;
use crate::exec::{Emitter, LaneContext};
use crate::graph::Kind;
use std::marker::PhantomData;
use std::panic::Location as CodePlace;
use std::sync::Arc;
use windrow_datasets::place::AtRow;
use windrow_datasets::push::{AnyPush, Demand, Push, PushError, Selection};
use windrow_datasets::{Batch, Key, Record, for_selected};

/// A function from a view to a view: `Fn(T::View<'a>) -> U::View<'a>` for every `'a`. Implemented for all such
/// functions; a bound of its own because Rust cannot say it in place.
pub trait ViewFn<'a, T: Record, U: Record>: Fn(T::View<'a>) -> U::View<'a> {}

impl<'a, T: Record, U: Record, F: Fn(T::View<'a>) -> U::View<'a>> ViewFn<'a, T, U> for F {}

/// Gives one record for each; `F` passes it to the emitter.
struct MapPush<T, U: Record, F> {
    each: F,
    out: Emitter<U>,
    input: PhantomData<fn(T)>,
}

impl<T, U, F> Push<T> for MapPush<T, U, F>
where
    T: Record,
    U: Record,
    F: FnMut(T::View<'_>, &mut Emitter<U>) -> Result<Demand, PushError> + Send,
{
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<Demand, PushError> {
        let mut at = AtRow::new();
        for_selected!(selection, batch.len(), |index| {
            at.set(index);
            // SAFETY: the indexes of a selection are below the batch's length.
            (self.each)(unsafe { batch.get_unchecked(index) }, &mut self.out)?;
        });
        at.done();
        Ok(self.out.demand())
    }

    #[inline]
    fn row(&mut self, view: T::View<'_>) -> Result<Demand, PushError> {
        (self.each)(view, &mut self.out)
    }

    fn wants_rows(&self) -> bool {
        true
    }

    fn finish(&mut self) -> Result<(), PushError> {
        self.out.finish().map(|_| ())
    }
}

/// The receiver that calls `each` for each record.
pub(crate) fn each<T, U, F>(context: &LaneContext, out: AnyPush, each: F) -> AnyPush
where
    T: Record,
    U: Record,
    F: FnMut(T::View<'_>, &mut Emitter<U>) -> Result<Demand, PushError> + Send + 'static,
{
    let out = Emitter::with_batches(out, context.batch_records);
    AnyPush::new::<T>(Box::new(MapPush::<T, U, F> { each, out, input: PhantomData }))
}

impl<T: Record> Dataset<T> {
    /// A node behind this one that needs no shuffle.
    pub(crate) fn narrow<U: Record>(
        &self,
        operator: &'static str,
        place: &'static CodePlace<'static>,
        whole: Vec<u32>,
        code: impl Fn(&LaneContext, AnyPush) -> AnyPush + Send + Sync + 'static,
    ) -> Dataset<U> {
        let kind = Kind::Narrow { code: Arc::new(code), whole };
        self.flow.add(operator, place, vec![self.node], kind)
    }

    /// For each record the one that `f` returns.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let lengths = flow.read_lines("/tmp/a.txt").map(|line| (line.to_string(), line.len() as u64));
    /// ```
    #[track_caller]
    pub fn map<U: Record>(
        &self,
        f: impl for<'a> Fn(T::View<'a>) -> U + Send + Sync + 'static,
    ) -> Dataset<U> {
        let f = Arc::new(f);
        self.narrow("map", CodePlace::caller(), Vec::new(), move |context, out| {
            let f = f.clone();
            each::<T, U, _>(context, out, move |view, out| out.push(f(view).view()))
        })
    }

    /// For each record the one whose view `f` returns; nothing is owned on the way. `U` has to be named.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let names = flow.read_lines("/tmp/a.txt").map_to::<String>(|line| line.trim());
    /// ```
    #[track_caller]
    pub fn map_to<U: Record>(
        &self,
        f: impl for<'a> ViewFn<'a, T, U> + Send + Sync + 'static,
    ) -> Dataset<U> {
        let f = Arc::new(f);
        self.narrow("map_to", CodePlace::caller(), Vec::new(), move |context, out| {
            let f = f.clone();
            each::<T, U, _>(context, out, move |view, out| out.push(f(view)))
        })
    }

    /// Each record behind a key of its own.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let by_length = flow.read_lines("/tmp/a.txt").key_by(|line| line.len() as u32);
    /// ```
    #[track_caller]
    pub fn key_by<K: Key>(
        &self,
        f: impl for<'a> Fn(T::View<'a>) -> K + Send + Sync + 'static,
    ) -> Dataset<(K, T)> {
        let f = Arc::new(f);
        self.narrow("key_by", CodePlace::caller(), Vec::new(), move |context, out| {
            let f = f.clone();
            each::<T, (K, T), _>(context, out, move |view, out| {
                out.push((f(view).view(), T::shorten(view)))
            })
        })
    }

    /// As [`map`](Dataset::map), with a state that is made once a lane: for what is dear to set up. Results must not
    /// depend on which records came before.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let numbers = flow.read_lines("/tmp/a.txt").map_init(String::new, |text, line| {
    ///     text.clear();
    ///     text.push_str(line.trim());
    ///     text.parse::<i64>().ok()
    /// });
    /// ```
    #[track_caller]
    pub fn map_init<S: Send + 'static, U: Record>(
        &self,
        init: impl Fn() -> S + Send + Sync + 'static,
        f: impl for<'a> Fn(&mut S, T::View<'a>) -> U + Send + Sync + 'static,
    ) -> Dataset<U> {
        let f = Arc::new(f);
        self.narrow("map_init", CodePlace::caller(), Vec::new(), move |context, out| {
            let (f, mut state) = (f.clone(), init());
            each::<T, U, _>(context, out, move |view, out| out.push(f(&mut state, view).view()))
        })
    }
}
