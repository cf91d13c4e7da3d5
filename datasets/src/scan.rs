//! What sources that prune have looked at, and what they have left out.

use serde::{Deserialize, Serialize};

/// Counts of files, row groups, rows and bytes. What is read again counts again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan {
    /// Files that were listed.
    pub files: u64,
    /// Those of them that were not opened, since folders (`NAME=VALUE`) told that nothing is wanted of them.
    pub files_pruned_by_folder: u64,
    /// Those of them of which nothing was read but what they say of themselves.
    pub files_pruned_by_footer: u64,
    /// Row groups of the files that were opened.
    pub groups: u64,
    /// Those of them that were left out.
    pub groups_pruned: u64,
    /// Rows of the files that were opened.
    pub rows: u64,
    /// Those of them that were left out without a look at them, with their row groups or pages.
    pub rows_pruned: u64,
    /// Those of them that were looked at, and left out by a filter.
    pub rows_filtered: u64,
    /// Bytes of the files that were listed.
    pub bytes: u64,
    /// Bytes, as stored, of the columns that the records need, in the files that were opened.
    pub bytes_of_columns: u64,
    /// Bytes that were asked for: of columns, and of what files say of themselves.
    pub bytes_read: u64,
}

impl Scan {
    fn both(self, other: Scan, f: impl Fn(u64, u64) -> u64) -> Scan {
        Scan {
            files: f(self.files, other.files),
            files_pruned_by_folder: f(self.files_pruned_by_folder, other.files_pruned_by_folder),
            files_pruned_by_footer: f(self.files_pruned_by_footer, other.files_pruned_by_footer),
            groups: f(self.groups, other.groups),
            groups_pruned: f(self.groups_pruned, other.groups_pruned),
            rows: f(self.rows, other.rows),
            rows_pruned: f(self.rows_pruned, other.rows_pruned),
            rows_filtered: f(self.rows_filtered, other.rows_filtered),
            bytes: f(self.bytes, other.bytes),
            bytes_of_columns: f(self.bytes_of_columns, other.bytes_of_columns),
            bytes_read: f(self.bytes_read, other.bytes_read),
        }
    }

    /// What of the files that were listed is left, as lines for people; none where nothing was listed.
    pub fn listed(&self) -> Vec<String> {
        if self.files == 0 {
            return Vec::new();
        }
        let left = |all: u64, pruned: u64| format!("{} of {all}", all.saturating_sub(pruned));
        let pruned = self.files_pruned_by_folder + self.files_pruned_by_footer;
        let mut lines = vec![format!(
            "files {} ({} left out by folder, {} by footer)",
            left(self.files, pruned),
            self.files_pruned_by_folder,
            self.files_pruned_by_footer,
        )];
        // Formats without row groups are pruned by folders alone.
        if self.groups > 0 {
            lines.push(format!(
                "row groups {}, rows {}",
                left(self.groups, self.groups_pruned),
                left(self.rows, self.rows_pruned),
            ));
        }
        lines
    }

    /// Adds other counts.
    pub fn add(&mut self, other: Scan) {
        *self = self.both(other, |a, b| a.saturating_add(b));
    }

    /// What was counted since there were `before`.
    #[must_use]
    pub fn since(self, before: Scan) -> Scan {
        self.both(before, |a, b| a.saturating_sub(b))
    }
}
