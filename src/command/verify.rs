//! `verify`: an output against its manifest.

use super::quantity::human;
use super::stores::StoreFlags;
use super::{Failed, number_of};
use clap::Args;
use windrow_datasets::location::Location;
use windrow_datasets::storage::Storage;
use windrow_datasets::verify::{Verified, verify};

/// `windrow verify`.
#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// The folder that a job has written
    #[arg(value_name = "OUTPUT")]
    output: Location,
    #[command(flatten)]
    stores: StoreFlags,
}

impl Verify {
    pub(super) fn run(self) -> Result<(), Failed> {
        let verified = verify(&Storage::with_options(self.stores.options()?), &self.output)
            .map_err(|error| Failed::Because(error.to_string()))?;
        super::print(&shown(&verified))?;
        match verified.differences.len() {
            0 => Ok(()),
            count => Err(Failed::Because(format!(
                "{}: {} from its manifest; remove what is not listed, and restore the rest from a copy or run the job again with --overwrite",
                self.output,
                number_of(count as u64, "difference")
            ))),
        }
    }
}

/// What is told on standard output.
fn shown(verified: &Verified) -> String {
    let Verified { manifest, differences, uncounted, more_lines } = verified;
    let mut text = String::new();
    for difference in differences {
        text += &format!("{difference}\n");
    }
    for (file, lines) in more_lines {
        text += &format!(
            "note: {}: has {lines} lines, but {} rows: there are line feeds in some of them\n",
            file.name, file.rows
        );
    }
    if *uncounted > 0 {
        text += &format!(
            "note: the rows of {} were not counted: only those of Parquet and of text can be\n",
            number_of(*uncounted, "file")
        );
    }
    if differences.is_empty() {
        let (files, rows) = (manifest.files.len() as u64, manifest.rows);
        let (files, rows) = (number_of(files, "file"), number_of(rows, "row"));
        text += &format!("whole: {files}, {rows}, {}\n", human(manifest.bytes));
    }
    text
}
