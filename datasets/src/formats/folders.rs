//! Leaves files out by the folders of their paths, for formats whose files say nothing of their rows.

use super::bind::Wanted;
use super::hive;
use crate::columns::{ColumnStatistics, Predicate};
use crate::record::Record;
use crate::scan::Scan;
use crate::source::SourceError;
use crate::storage::{Object, Storage};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is known to be wanted of the rows of a source.
#[derive(Debug)]
pub(crate) struct ByFolder<T: Record> {
    predicates: Vec<Arc<Predicate<T>>>,
}

impl<T: Record> Default for ByFolder<T> {
    fn default() -> Self {
        ByFolder { predicates: Vec::new() }
    }
}

impl<T: Record> ByFolder<T> {
    /// The same, and a predicate more.
    pub(crate) fn and(&self, predicate: Arc<Predicate<T>>) -> ByFolder<T> {
        ByFolder { predicates: self.predicates.iter().cloned().chain([predicate]).collect() }
    }

    /// Whether the predicates may hold of a row of a file, by what folders give to the fields. Counts files of which
    /// folders say something.
    ///
    /// # Errors
    /// If a folder's value is none of the field's type.
    pub(crate) fn may_hold(
        &self,
        storage: &Storage,
        wanted: &Wanted,
        object: &Object,
    ) -> Result<bool, SourceError> {
        let given = wanted.given(&object.location)?;
        if given.is_empty() || self.predicates.is_empty() {
            return Ok(true);
        }
        let known: BTreeMap<&str, ColumnStatistics> =
            given.iter().map(|(name, value)| (name.as_str(), hive::statistics(value))).collect();
        let may = self
            .predicates
            .iter()
            .all(|predicate| predicate.may_hold(1, &mut |name| known.get(name).cloned()) == [true]);
        let files_pruned_by_folder = u64::from(!may);
        storage.scanned(Scan {
            files: 1,
            files_pruned_by_folder,
            bytes: object.size,
            ..Scan::default()
        });
        Ok(may)
    }
}
