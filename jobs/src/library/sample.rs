//! Some rows of files.

use super::files::{ReadFlags, WriteFlags, without_keys};
use crate::{Error, Flow, Job, Result};
use clap::Args;
use serde::{Deserialize, Serialize};
use windrow_datasets::formats::NumberedRows;

/// Writes some of the rows of files of any format. Which ones is a function of where they lie in the files: the same input
/// gives the same sample.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// What is read.
    #[command(flatten)]
    pub read: ReadFlags,
    /// What is written.
    #[command(flatten)]
    pub write: WriteFlags,
    /// So many rows, in no order
    #[arg(
        long,
        value_name = "N",
        required_unless_present = "fraction",
        conflicts_with = "fraction"
    )]
    pub rows: Option<u64>,
    /// About this part of the rows, as in 0.01, in their order
    #[arg(long, value_name = "FRACTION")]
    pub fraction: Option<f64>,
}

impl Job for Sample {
    const NAME: &str = "sample";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let rows = flow.read(NumberedRows::new(self.read.source()?));
        let rows = match (self.rows, self.fraction) {
            (Some(count), _) => {
                let count = usize::try_from(count).map_err(Error::other)?;
                rows.top(count, |a, b| a.0.cmp(&b.0))
            }
            (None, Some(fraction)) if (0.0..=1.0).contains(&fraction) => {
                // All 64 bits of the hash are as good as its upper 53.
                let below = (fraction * (1u64 << 53) as f64) as u64;
                rows.filter(move |row| (row.0 >> 11) < below)
            }
            _ => return Err(Error::other("--fraction is a number from 0 to 1")),
        };
        self.write.write(&without_keys(&rows))
    }
}
