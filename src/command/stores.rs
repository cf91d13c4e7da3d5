//! The flags that say how object stores are reached.

use super::Failed;
use clap::Args;
use clap::error::ErrorKind;
use windrow_datasets::storage::{StoreOption, StoreOptions};

// No doc comment: its text would take the place of what a command's own help page says.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct StoreFlags {
    /// An option of object stores, as in aws_region=eu-west-1; can be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    store_option: Vec<String>,
    /// A named set of options and secrets, which each process looks up by itself
    #[arg(long, value_name = "NAME")]
    store_profile: Option<String>,
    // What the profile of `windrow.toml` says; `--store-option` adds to it.
    #[arg(long, value_name = "KEY=VALUE", hide = true)]
    store_options_of_profile: Vec<String>,
}

impl StoreFlags {
    /// What they say.
    pub(crate) fn options(&self) -> Result<StoreOptions, Failed> {
        // Not a parser of clap's, whose message has the value in it: that may be a secret.
        let parse = |text: &String| {
            text.parse::<StoreOption>().map_err(|error| {
                let why = format!("--store-option: {error}\n");
                Failed::Usage(clap::Error::raw(ErrorKind::ValueValidation, why))
            })
        };
        // Of two with the same key the later one counts.
        let said = self.store_options_of_profile.iter().chain(&self.store_option);
        let options = said.map(parse).collect::<Result<_, _>>()?;
        Ok(StoreOptions { profile: self.store_profile.clone(), options })
    }
}
