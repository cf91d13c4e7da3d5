//! Files of one format as files of another.

use super::files::{ReadFlags, WriteFlags, keyed, without_keys};
use crate::{Flow, Job, Result};
use clap::Args;
use serde::{Deserialize, Serialize};

/// Writes files of any format as files of another: the same rows, in their order or sorted, in fewer or more files. All
/// have the columns of the first file; see `docs/formats.md` on what is read as what.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct Convert {
    /// What is read.
    #[command(flatten)]
    pub read: ReadFlags,
    /// What is written.
    #[command(flatten)]
    pub write: WriteFlags,
    /// So many files, evenly filled [default: by the size of the input, small files together]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub partitions: Option<u32>,
    /// Sort by these columns, the names of the files in the order of the whole; -COLUMN puts the greatest first
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', allow_hyphen_values = true)]
    pub sort_by: Vec<String>,
}

impl Job for Convert {
    const NAME: &str = "convert";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let rows = self.read.rows(flow)?;
        let rows = match self.partitions {
            _ if !self.sort_by.is_empty() => {
                without_keys(&keyed(&rows, &self.sort_by).sort_by_key_into(self.partitions))
            }
            Some(partitions) => rows.repartition(partitions),
            None => rows,
        };
        self.write.write(&rows)
    }
}
