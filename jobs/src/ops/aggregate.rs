//! `aggregate_by`: aggregates of columns, by columns, all of which the plan sees.
//!
//! Records are taken apart once a batch: the columns of the key and those of the aggregates, which share the batch's
//! buffers, become a batch of pairs. From there on it is a fold like the others, by the types of the aggregates alone.

use super::fold::take_pair;
use super::reduce::fold_by_key_in_order;
use crate::dataset::Dataset;
use crate::exec::OperatorError;
use crate::shuffle::fold::Folding;
use std::marker::PhantomData;
use std::panic::Location as CodePlace;
use std::sync::Arc;
use windrow_datasets::columns::{Aggregate, KeyColumns};
use windrow_datasets::push::{AnyPush, Demand, Push, PushError, Selection};
use windrow_datasets::record::Batch2;
use windrow_datasets::{Cols, Columns, Key, Record};

/// Names types, and has none of their values.
type Types<T, K, V> = PhantomData<fn() -> (T, K, V)>;

/// The aggregates as a fold over rows (key, values).
struct Fold<T, K, V, A> {
    aggregates: Arc<A>,
    types: Types<T, K, V>,
}

impl<T: Record, K: Key, V: Record, A: Aggregate<T, Value = V>> Folding for Fold<T, K, V, A> {
    take_pair!(K, V);
    type Acc = A::Acc;
    type Tally = A::Tally;
    type Wire = A::Wire;
    type Out = A::Out;

    #[inline(always)]
    fn start(&self, value: V::View<'_>) -> A::Acc {
        A::start(value)
    }
    #[inline(always)]
    fn push(&self, acc: &mut A::Acc, value: V::View<'_>) {
        A::push(acc, value);
    }
    #[inline(always)]
    fn merge(&self, acc: &mut A::Acc, other: A::Acc) {
        A::merge(acc, other);
    }
    fn empty(&self) -> A::Tally {
        A::empty()
    }
    #[inline(always)]
    fn tally(&self, tally: &mut A::Tally, value: V::View<'_>) {
        A::tally(tally, value);
    }
    fn tallied(&self, tally: A::Tally, values: u64) -> Option<A::Acc> {
        A::tallied(tally, values)
    }
    fn to_wire(&self, acc: &A::Acc) -> A::Wire {
        A::to_wire(acc)
    }
    fn from_wire(&self, wire: <A::Wire as Record>::View<'_>) -> A::Acc {
        A::from_wire(wire)
    }
    fn finish(&self, acc: &A::Acc) -> Result<A::Out, PushError> {
        self.aggregates
            .finish(acc)
            .map_err(|error| OperatorError::Overflow(format!("aggregate_by: {error}")).into())
    }
}

/// Passes on the columns of keys and aggregates.
struct ColumnsPush<T, K: KeyColumns<T>, A: Aggregate<T>>
where
    T: Record,
{
    key: Arc<K>,
    aggregates: Arc<A>,
    out: Box<dyn Push<(K::Key, A::Value)>>,
}

impl<T: Record, K: KeyColumns<T>, A: Aggregate<T>> Push<T> for ColumnsPush<T, K, A> {
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<Demand, PushError> {
        let pairs = Batch2(self.key.keys(batch), self.aggregates.values(batch, selection));
        self.out.batch(&pairs, selection)
    }

    fn finish(&mut self) -> Result<(), PushError> {
        self.out.finish()
    }
}

impl<T: Record> Dataset<T> {
    /// Aggregates by key, both in columns that the plan sees: rows `(key, aggregates)`, by the hash of the key.
    ///
    /// The first closure chooses the key: a column, or a tuple of columns. The second one says what is wanted: one aggregate
    /// or a tuple of them, of [`sum`], [`mean`], [`min`], [`max`] and [`count`] of a column, and [`count`](Cols::count) of
    /// all records. Both run when the plan is made. What is null is left out, as in SQL.
    ///
    /// Counts, sums and means of integers and decimals, least and greatest are exact, in any order; a sum that does not
    /// fit is an error. Where a float is added, records are taken in their order.
    ///
    /// ```
    /// use windrow_datasets::Record;
    ///
    /// #[derive(Record)]
    /// # #[record(crate = "windrow_datasets")]
    /// struct Trip { zone: u32, payment_type: String, fare: f64, tip: Option<f64> }
    ///
    /// # let flow = windrow_jobs::Flow::new();
    /// let trips = flow.read_parquet::<Trip>("s3://trips/2026");
    /// let by_zone = trips.aggregate_by(|c| c.zone, |c| (c.fare.sum(), c.count()));
    /// let dear = by_zone.filter(|(zone, (fares, count))| fares / count as f64 > 50.0);
    /// let tips = trips.aggregate_by(|c| (c.zone, c.payment_type), |c| c.tip.mean());
    /// # let _: windrow_jobs::Dataset<((u32, String), Option<f64>)> = tips;
    /// ```
    ///
    /// [`sum`]: windrow_datasets::Col::sum
    /// [`mean`]: windrow_datasets::Col::mean
    /// [`min`]: windrow_datasets::Col::min
    /// [`max`]: windrow_datasets::Col::max
    /// [`count`]: windrow_datasets::Col::count
    #[track_caller]
    pub fn aggregate_by<K: KeyColumns<T>, A: Aggregate<T>>(
        &self,
        key: impl FnOnce(Cols<T>) -> K,
        aggregates: impl FnOnce(Cols<T>) -> A,
    ) -> Dataset<(K::Key, A::Out)>
    where
        T: Columns,
    {
        let (operator, place) = ("aggregate_by", CodePlace::caller());
        let (key, aggregates) = (Arc::new(key(T::COLS)), Arc::new(aggregates(T::COLS)));
        let detail = format!("{operator} {}: {}", key.describe(), aggregates.describe());
        let fold = Fold { aggregates: aggregates.clone(), types: PhantomData };
        let pairs: Dataset<(K::Key, A::Value)> =
            self.narrow("columns", place, Vec::new(), move |_, out| {
                let (key, aggregates, out) = (key.clone(), aggregates.clone(), out.into());
                AnyPush::new::<T>(Box::new(ColumnsPush { key, aggregates, out }))
            });
        let pairs = pairs.detailed(detail);
        if A::EXACT {
            pairs.fold_any_order(operator, place, fold)
        } else {
            fold_by_key_in_order(&pairs, operator, place, fold)
        }
    }
}
