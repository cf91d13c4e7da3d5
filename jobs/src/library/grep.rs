//! The lines that match a pattern.

use crate::{Error, Flow, Job, Result};
use bytes::Bytes;
use clap::Args;
use regex::bytes::Regex;
use serde::{Deserialize, Serialize};
use windrow_datasets::location::Location;

/// Writes the lines that match a regular expression, in their order, whatever bytes they are.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct Grep {
    /// The regular expression, in the syntax of Rust's `regex`
    #[arg(long, value_name = "RE")]
    pub pattern: String,
    /// Text: files, folders, patterns
    #[arg(long, required = true, num_args = 1.., value_name = "LOCATION")]
    pub input: Vec<Location>,
    /// The folder to write to
    #[arg(long, value_name = "LOCATION")]
    pub output: Location,
}

impl Job for Grep {
    const NAME: &str = "grep";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let pattern = Regex::new(&self.pattern).map_err(Error::other)?;
        flow.read_lines_as::<Bytes>(&self.input)
            .filter(move |line| pattern.is_match(line))
            .write_text(&self.output)
    }
}
