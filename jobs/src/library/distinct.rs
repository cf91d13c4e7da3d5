//! Each line once.

use crate::{Flow, Job, Result};
use bytes::Bytes;
use clap::Args;
use serde::{Deserialize, Serialize};
use windrow_datasets::location::Location;

/// Writes each line once, whatever bytes it is, in the order of the lines' hashes.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct Distinct {
    /// Text: files, folders, patterns
    #[arg(long, required = true, num_args = 1.., value_name = "LOCATION")]
    pub input: Vec<Location>,
    /// The folder to write to
    #[arg(long, value_name = "LOCATION")]
    pub output: Location,
}

impl Job for Distinct {
    const NAME: &str = "distinct";

    fn plan(&self, flow: &Flow) -> Result<()> {
        flow.read_lines_as::<Bytes>(&self.input).distinct().write_text(&self.output)
    }
}
