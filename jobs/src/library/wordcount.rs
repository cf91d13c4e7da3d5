//! How often each word is there.

use crate::{Flow, Job, Result};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use windrow_datasets::location::Location;

/// Counts words: runs of bytes other than ASCII white space, whatever bytes they are. Writes `word<TAB>count` lines.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct Wordcount {
    /// Text: files, folders, patterns
    #[arg(long, required = true, num_args = 1.., value_name = "LOCATION")]
    pub input: Vec<Location>,
    /// The folder to write to
    #[arg(long, value_name = "LOCATION")]
    pub output: Location,
    /// What to write
    #[arg(long, value_enum, default_value_t)]
    pub format: WordFormat,
}

/// What a word count is written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub enum WordFormat {
    /// Lines `word<TAB>count`.
    #[default]
    Text,
    /// Parquet with columns for the word and its count.
    Parquet,
}

impl Job for Wordcount {
    const NAME: &str = "wordcount";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let counts = flow.read_words(&self.input).count_by_value();
        match self.format {
            WordFormat::Text => counts.write_text(&self.output),
            WordFormat::Parquet => counts.write_text(&self.output),
        }
    }
}
