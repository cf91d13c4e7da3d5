//! Sorts records of 100 bytes by their first 10, as the sort benchmark has them.

use crate::{Flow, Job, Result};
use clap::Args;
use serde::{Deserialize, Serialize};
use windrow_datasets::location::Location;

/// Sorts records of 100 bytes by their first 10 bytes.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct Terasort {
    /// Files of records of 100 bytes; `generate tera` makes some
    #[arg(long, required = true, num_args = 1.., value_name = "LOCATION")]
    pub input: Vec<Location>,
    /// The folder to write to
    #[arg(long, value_name = "LOCATION")]
    pub output: Location,
}

impl Job for Terasort {
    const NAME: &str = "terasort";

    fn plan(&self, flow: &Flow) -> Result<()> {
        flow.read_fixed::<100>(&self.input).sort_by_prefix::<10>().write_fixed(&self.output)
    }
}
