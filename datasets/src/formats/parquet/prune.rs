//! Leaves out row groups of which statistics say that a predicate holds of no row.

use crate::columns::{ColumnStatistics, Predicate};
use crate::record::Record;
use arrow::array::Array;
use arrow::datatypes::Schema;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::file::metadata::ParquetMetaData;
use std::sync::Arc;

/// For each row group of a file, whether all predicates may hold of a row of it.
pub(super) fn groups<T: Record>(
    predicates: &[Arc<Predicate<T>>],
    metadata: &ParquetMetaData,
    schema: &Schema,
) -> Vec<bool> {
    let mut kept = vec![true; metadata.num_row_groups()];
    for predicate in predicates {
        let may = predicate.may_hold(kept.len(), &mut |column| known(column, metadata, schema));
        kept.iter_mut().zip(may).for_each(|(kept, may)| *kept &= may);
    }
    kept
}

/// What the footer says of a column, by row groups; `None` if that is nothing that can be relied on.
fn known(column: &str, metadata: &ParquetMetaData, schema: &Schema) -> Option<ColumnStatistics> {
    let groups = metadata.row_groups();
    let parquet = metadata.file_metadata().schema_descr();
    let converter = StatisticsConverter::try_new(column, schema, parquet)
        .ok()?
        .with_missing_null_counts_as_zero(false)
        .with_column_orders(metadata.file_metadata().column_orders().map(Vec::as_slice));
    let leaf = converter.parquet_column_index()?;
    // Old writers ordered text and unsigned numbers otherwise.
    let deprecated = |statistics: &parquet::file::statistics::Statistics| {
        statistics.is_min_max_deprecated() && !statistics.is_min_max_backwards_compatible()
    };
    if groups.iter().any(|group| group.column(leaf).statistics().is_some_and(deprecated)) {
        return None;
    }
    let nulls = converter.row_group_null_counts(groups).ok()?;
    Some(ColumnStatistics {
        least: converter.row_group_mins(groups).ok()?,
        greatest: converter.row_group_maxes(groups).ok()?,
        nulls: (0..nulls.len()).map(|at| nulls.is_valid(at).then(|| nulls.value(at))).collect(),
        rows: groups.iter().map(|group| group.num_rows() as u64).collect(),
    })
}
