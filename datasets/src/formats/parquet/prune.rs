//! Leaves out row groups, and rows of them, of which what a file says of itself tells that a predicate does not hold:
//! statistics of row groups, Bloom filters, and statistics of pages.

use super::bloom::Blooms;
use super::file::ParquetFile;
use super::rows::Rows;
use crate::columns::{Absent, ColumnStatistics, Predicate};
use crate::record::Record;
use crate::source::SourceError;
use arrow::array::{Array, ArrayRef, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::Schema;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::metadata::page_index::PageIndexProvider;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What is known of the columns of a file that is opened.
pub(super) struct Known<'f> {
    pub(super) file: &'f ParquetFile,
    pub(super) metadata: &'f ParquetMetaData,
    /// The file's schema, in the types that are decoded.
    pub(super) schema: &'f Schema,
    /// Columns whose values are not the file's, by name, with what is known of them in a part of one row.
    pub(super) given: &'f BTreeMap<String, ColumnStatistics>,
}

/// For each row group of a file, the rows for which all predicates may hold.
///
/// # Errors
/// If what the footer says of Bloom filters and of pages cannot be read.
pub(super) fn rows<T: Record>(
    predicates: &[Arc<Predicate<T>>],
    known: &Known<'_>,
) -> Result<Vec<Rows>, SourceError> {
    let groups = known.metadata.row_groups();
    let rows = |group: usize| Rows::run(0..groups[group].num_rows().max(0) as u64);
    let mut all: Vec<Rows> = (0..groups.len()).map(rows).collect();
    if predicates.is_empty() {
        return Ok(all);
    }
    let mut columns = Columns { known, groups: BTreeMap::new(), blooms: Blooms::default() };
    let mut kept = columns.groups(predicates);
    if columns.fetch_blooms(predicates, &kept)? {
        kept = columns.groups(predicates);
    }
    let left: Vec<usize> = (0..kept.len()).filter(|&group| kept[group]).collect();
    all.iter_mut()
        .zip(&kept)
        .filter(|(_, kept)| !**kept)
        .for_each(|(rows, _)| *rows = Rows::default());
    let leaves: BTreeSet<usize> = predicates
        .iter()
        .flat_map(|predicate| predicate.columns())
        .filter_map(|name| known.leaf(name))
        .collect();
    let Some(index) = known.file.column_index(known.metadata, &left, &leaves)? else {
        return Ok(all);
    };
    for group in left {
        all[group] = columns.pages(predicates, group, index.as_ref());
    }
    Ok(all)
}

/// Whether all predicates may hold of a row, as far as the columns tell that have one value in the whole file.
pub(super) fn may_hold<T: Record>(
    predicates: &[Arc<Predicate<T>>],
    given: &BTreeMap<String, ColumnStatistics>,
) -> bool {
    let may = |predicate: &Arc<Predicate<T>>| {
        predicate.may_hold(1, &mut |name| given.get(name).cloned()) == [true]
    };
    given.is_empty() || predicates.iter().all(may)
}

impl<'f> Known<'f> {
    fn converter<'s>(&'s self, column: &str) -> Option<(StatisticsConverter<'s>, usize)> {
        if self.given.contains_key(column) {
            return None;
        }
        let of_file = self.metadata.file_metadata();
        let converter =
            StatisticsConverter::try_new(column, self.schema, of_file.schema_descr()).ok()?;
        let converter = converter
            .with_missing_null_counts_as_zero(false)
            .with_column_orders(of_file.column_orders().map(Vec::as_slice));
        let leaf = converter.parquet_column_index()?;
        Some((converter, leaf))
    }

    /// The leaf that a column is.
    fn leaf(&self, column: &str) -> Option<usize> {
        self.converter(column).map(|(_, leaf)| leaf)
    }

    /// What the footer says of a column, by row groups; `None` if that is nothing that can be relied on.
    fn of_groups(&self, column: &str) -> Option<ColumnStatistics> {
        let groups = self.metadata.row_groups();
        if let Some(given) = self.given.get(column) {
            return repeat(given, &vec![0; groups.len()]);
        }
        let (converter, leaf) = self.converter(column)?;
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
            nulls: counts(&nulls),
            rows: groups.iter().map(|group| group.num_rows() as u64).collect(),
            absent: None,
        })
    }

    /// What the page index says of a column in a row group, by pages, and the row at which each page begins.
    fn of_pages(
        &self,
        column: &str,
        group: usize,
        index: &dyn PageIndexProvider,
    ) -> Option<(Vec<u64>, ColumnStatistics)> {
        let (converter, leaf) = self.converter(column)?;
        let total = self.metadata.row_group(group).num_rows() as u64;
        index.column_index(group, leaf)?;
        let pages = self.metadata.page_index()?.page_locations(group, leaf)?;
        let starts: Vec<u64> = pages.iter().map(|page| page.first_row_index as u64).collect();
        // A file that lies of its pages is read whole.
        let ascend = starts.windows(2).all(|pair| pair[0] < pair[1]);
        if starts.first() != Some(&0) || !ascend || starts.last()? >= &total {
            return None;
        }
        let group = [group];
        let least = converter.data_page_mins(index, &group).ok()?;
        let greatest = converter.data_page_maxes(index, &group).ok()?;
        let nulls = counts(&converter.data_page_null_counts(index, &group).ok()?);
        if [least.len(), greatest.len(), nulls.len()] != [starts.len(); 3] {
            return None;
        }
        let ends = starts[1..].iter().copied().chain([total]);
        let rows = starts.iter().zip(ends).map(|(start, end)| end - start).collect();
        Some((starts, ColumnStatistics { least, greatest, nulls, rows, absent: None }))
    }
}

fn counts(nulls: &UInt64Array) -> Vec<Option<u64>> {
    nulls.iter().collect()
}

/// The statistics of the parts at these places.
fn repeat(known: &ColumnStatistics, parts: &[usize]) -> Option<ColumnStatistics> {
    let places: UInt64Array = parts.iter().map(|&part| Some(part as u64)).collect();
    let at = |array: &ArrayRef| take(array, &places, None).ok();
    Some(ColumnStatistics {
        least: at(&known.least)?,
        greatest: at(&known.greatest)?,
        nulls: parts.iter().map(|&part| known.nulls[part]).collect(),
        rows: parts.iter().map(|&part| known.rows[part]).collect(),
        absent: known.absent.as_ref().map(|absent| absent.of_parts(parts)),
    })
}

/// The columns of predicates, in a file.
struct Columns<'f> {
    known: &'f Known<'f>,
    /// What is known of each by row groups.
    groups: BTreeMap<&'static str, Option<ColumnStatistics>>,
    blooms: Blooms,
}

impl Columns<'_> {
    fn of_groups(&mut self, column: &str) -> Option<ColumnStatistics> {
        match self.groups.get(column) {
            Some(known) => known.clone(),
            None => self.known.of_groups(column),
        }
    }

    /// For each row group, whether all predicates may hold of a row of it.
    fn groups<T: Record>(&mut self, predicates: &[Arc<Predicate<T>>]) -> Vec<bool> {
        let mut kept = vec![true; self.known.metadata.num_row_groups()];
        for predicate in predicates {
            for name in predicate.columns() {
                let known = self.of_groups(name);
                self.groups.insert(name, known);
            }
            let may = predicate.may_hold(kept.len(), &mut |column| self.of_groups(column));
            kept.iter_mut().zip(may).for_each(|(kept, may)| *kept &= may);
        }
        kept
    }

    /// Reads the Bloom filters that may leave out some of the row groups that are left, in one go; gives whether there
    /// are any.
    fn fetch_blooms<T: Record>(
        &mut self,
        predicates: &[Arc<Predicate<T>>],
        kept: &[bool],
    ) -> Result<bool, SourceError> {
        let groups: Vec<usize> = (0..kept.len()).filter(|&group| kept[group]).collect();
        let names: BTreeSet<&'static str> =
            predicates.iter().flat_map(|predicate| predicate.columns_sought()).collect();
        let leaves: BTreeMap<&'static str, usize> =
            names.into_iter().filter_map(|name| Some((name, self.known.leaf(name)?))).collect();
        let wanted: BTreeSet<usize> = leaves.values().copied().collect();
        self.blooms = Blooms::fetch(self.known.file, self.known.metadata, &groups, &wanted)?;
        if self.blooms.is_empty() {
            return Ok(false);
        }
        for (name, leaf) in leaves {
            let absent = self.blooms.of(leaf, kept.len());
            // Without statistics the filter is all that is known.
            let known = match self.of_groups(name) {
                Some(known) => Some(ColumnStatistics { absent, ..known }),
                None => absent.map(|absent| self.unknown(absent)),
            };
            self.groups.insert(name, known);
        }
        Ok(true)
    }

    fn unknown(&self, absent: Absent) -> ColumnStatistics {
        let groups = self.known.metadata.row_groups();
        let nothing: ArrayRef = Arc::new(arrow::array::NullArray::new(groups.len()));
        ColumnStatistics {
            least: nothing.clone(),
            greatest: nothing,
            nulls: vec![None; groups.len()],
            rows: groups.iter().map(|group| group.num_rows() as u64).collect(),
            absent: Some(absent),
        }
    }

    /// The rows of a row group for which all predicates may hold, as far as its pages tell.
    ///
    /// Each column has pages of its own. Where any of them begins, a part begins, so that a part is within one page of
    /// each.
    fn pages<T: Record>(
        &mut self,
        predicates: &[Arc<Predicate<T>>],
        group: usize,
        index: &dyn PageIndexProvider,
    ) -> Rows {
        let total = self.known.metadata.row_group(group).num_rows() as u64;
        let names: BTreeSet<&'static str> =
            predicates.iter().flat_map(|predicate| predicate.columns()).collect();
        let pages: BTreeMap<&'static str, (Vec<u64>, ColumnStatistics)> = names
            .into_iter()
            .filter_map(|name| Some((name, self.known.of_pages(name, group, index)?)))
            .collect();
        let starts: BTreeSet<u64> =
            pages.values().flat_map(|(starts, _)| starts.iter().copied()).collect();
        let starts: Vec<u64> = starts.into_iter().collect();
        if starts.is_empty() {
            return Rows::run(0..total);
        }
        let mut kept = vec![true; starts.len()];
        for predicate in predicates {
            let mut statistics = |column: &str| match pages.get(column) {
                Some((firsts, known)) => {
                    let page = |start| firsts.partition_point(|first| first <= start) - 1;
                    repeat(known, &starts.iter().map(page).collect::<Vec<_>>())
                }
                None => repeat(&self.of_groups(column)?, &vec![group; starts.len()]),
            };
            let may = predicate.may_hold(starts.len(), &mut statistics);
            kept.iter_mut().zip(may).for_each(|(kept, may)| *kept &= may);
        }
        let ends = starts[1..].iter().copied().chain([total]);
        let parts = starts.iter().zip(ends).zip(kept);
        let runs = parts.filter(|(_, kept)| *kept).map(|((start, end), _)| *start..end);
        Rows::of_runs(runs).coarse(total)
    }
}
