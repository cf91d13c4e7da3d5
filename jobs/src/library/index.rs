//! Which files a word is in.

use crate::{Flow, Job, Result};
use bytes::Bytes;
use clap::Args;
use serde::{Deserialize, Serialize};
use windrow_datasets::location::Location;

/// Writes, for each word, the files that contain it: sorted lines `word<TAB>file,file`. Words are runs of bytes other
/// than ASCII white space, whatever bytes they are.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct Index {
    /// Text: files, folders, patterns
    #[arg(long, required = true, num_args = 1.., value_name = "LOCATION")]
    pub input: Vec<Location>,
    /// The folder to write to
    #[arg(long, value_name = "LOCATION")]
    pub output: Location,
}

impl Job for Index {
    const NAME: &str = "index";

    fn plan(&self, flow: &Flow) -> Result<()> {
        flow.read_file_lines::<Bytes>(&self.input)
            .emit::<(Bytes, String)>(|(file, line), out| {
                let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
                words.for_each(|word| out.push((word, file)));
            })
            .distinct()
            .group_by_key()
            .sorted_by(|a, b| a.cmp(b))
            .map(|word, files| (Bytes::copy_from_slice(word), files.collect::<Vec<String>>()))
            .sort_by_key()
            .write_text(&self.output)
    }
}
