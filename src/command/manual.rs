//! `completions` and `man`: what shells and `man` know of the commands.

use super::Failed;
use clap::{Args, Command};
use clap_complete::Shell;
use std::path::PathBuf;

/// `windrow completions`.
#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// The shell: `source <(windrow completions bash)` in its start file, for one
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    /// Prints what the shell is to read.
    pub(super) fn run(self, mut command: Command) -> Result<(), Failed> {
        let name = command.get_bin_name().unwrap_or("windrow").to_owned();
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut command, name, &mut text);
        super::print(&String::from_utf8_lossy(&text))
    }
}

/// `windrow man`.
#[derive(Args, Debug)]
pub(crate) struct Manual {
    /// The folder for the pages, one for each command, as in /usr/local/share/man/man1
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
}

impl Manual {
    /// Writes the pages.
    pub(super) fn run(self, command: Command) -> Result<(), Failed> {
        let folder = &self.output;
        let written = std::fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(command, folder));
        written.map_err(|error| Failed::Because(format!("man: {}: {error}", folder.display())))
    }
}
