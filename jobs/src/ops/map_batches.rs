//! `map_batches`: the way to all of Arrow.

use crate::dataset::Dataset;
use crate::exec::{Emitter, OperatorError, UserError};
use arrow::array::{Array, ArrayRef, RecordBatch, StructArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::DataType;
use std::error::Error;
use std::marker::PhantomData;
use std::panic::Location as CodePlace;
use std::sync::Arc;
use windrow_datasets::push::{AnyPush, Demand, Push, PushError, Selection};
use windrow_datasets::record::schema_of;
use windrow_datasets::{Batch, Builder, Record};

struct BatchPush<T: Record, U: Record, F> {
    f: Arc<F>,
    place: &'static CodePlace<'static>,
    builder: T::Builder,
    out: Emitter<U>,
    input: PhantomData<fn(T)>,
}

/// The records of an array as a batch of their own: a struct's fields are its columns, another type is one column
/// `value`.
fn to_record_batch<T: Record>(array: ArrayRef) -> Result<RecordBatch, PushError> {
    let columns = match array.as_any().downcast_ref::<StructArray>() {
        Some(columns) => columns.columns().to_vec(),
        None => vec![array],
    };
    Ok(RecordBatch::try_new(schema_of::<T>(), columns)?)
}

fn of_record_batch<U: Record>(batch: RecordBatch) -> Result<U::Batch, PushError> {
    let array: ArrayRef = match U::data_type() {
        DataType::Struct(_) => Arc::new(StructArray::from(batch)),
        _ if batch.num_columns() == 1 => batch.column(0).clone(),
        other => {
            let found = batch.num_columns();
            return Err(format!("a batch of {found} columns is no batch of {other}").into());
        }
    };
    Ok(U::Batch::from_array(&array)?)
}

impl<T, U, F, E> BatchPush<T, U, F>
where
    T: Record,
    U: Record,
    E: Into<Box<dyn Error + Send + Sync>>,
    F: Fn(RecordBatch) -> Result<RecordBatch, E>,
{
    fn call(&mut self, array: ArrayRef) -> Result<Demand, PushError> {
        let made = (self.f)(to_record_batch::<T>(array)?)
            .map_err(Into::into)
            .and_then(of_record_batch::<U>)
            .map_err(|error| {
                OperatorError::User(UserError {
                    operator: "map_batches",
                    place: self.place.to_string(),
                    message: error.to_string(),
                })
            })?;
        self.out.batch(&made, Selection::All)
    }
}

impl<T, U, F, E> Push<T> for BatchPush<T, U, F>
where
    T: Record,
    U: Record,
    E: Into<Box<dyn Error + Send + Sync>>,
    F: Fn(RecordBatch) -> Result<RecordBatch, E> + Send + Sync,
{
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<Demand, PushError> {
        let array = batch.to_array();
        let array = match selection {
            Selection::All => array,
            Selection::Rows(rows) => take(&array, &UInt32Array::from(rows.to_vec()), None)?,
        };
        self.call(array)
    }

    fn row(&mut self, view: T::View<'_>) -> Result<Demand, PushError> {
        self.builder.push(view);
        let batch = self.builder.finish();
        self.call(batch.to_array())
    }

    fn finish(&mut self) -> Result<(), PushError> {
        self.out.finish().map(|_| ())
    }
}

impl<T: Record> Dataset<T> {
    /// Calls `f` with batches of records as Arrow has them, and goes on with those that it returns: all of Arrow's
    /// kernels, without a view or a builder between. How records are cut into batches must not matter to the result.
    ///
    /// ```
    /// use arrow::array::RecordBatch;
    ///
    /// # let flow = windrow_jobs::Flow::new();
    /// let evens = flow.from_iter([1i64, 2, 3]).map_batches::<i64, _>(|batch: RecordBatch| {
    ///     let even = arrow::array::BooleanArray::from(vec![true; batch.num_rows()]);
    ///     arrow::compute::filter_record_batch(&batch, &even)
    /// });
    /// ```
    #[track_caller]
    pub fn map_batches<U: Record, E: Into<Box<dyn Error + Send + Sync>> + 'static>(
        &self,
        f: impl Fn(RecordBatch) -> Result<RecordBatch, E> + Send + Sync + 'static,
    ) -> Dataset<U> {
        let (place, f) = (CodePlace::caller(), Arc::new(f));
        self.narrow("map_batches", place, Vec::new(), move |context, out| {
            AnyPush::new::<T>(Box::new(BatchPush::<T, U, _> {
                f: f.clone(),
                place,
                builder: T::Builder::default(),
                out: Emitter::with_batches(out, context.batch_records),
                input: PhantomData,
            }))
        })
    }
}
