//! Which row an operator is at: what a panic in its closure is blamed on.

use windrow_datasets::place;

/// Keeps the index of the row at hand; when a panic or an error leaves the operator, notes it as the failed one. The
/// operator that is next to the source unwinds last, so that its row, which the source can name, is what stays.
pub(crate) struct AtRow(usize);

impl AtRow {
    #[inline(always)]
    pub(crate) fn new() -> AtRow {
        AtRow(0)
    }

    #[inline(always)]
    pub(crate) fn set(&mut self, row: usize) {
        self.0 = row;
    }

    /// All rows were done.
    #[inline(always)]
    pub(crate) fn done(self) {
        std::mem::forget(self);
    }
}

impl Drop for AtRow {
    #[cold]
    fn drop(&mut self) {
        place::note_failed_row(Some(self.0));
    }
}
