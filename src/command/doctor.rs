//! `doctor`: whether a machine, and a cluster, are fit for jobs.

use super::security::ClientSecurity;
use super::{Failed, print};
use crate::cluster;
use crate::config::{ConfigError, Configuration};
use crate::doctor::{self, Health};
use clap::Args;
use std::path::PathBuf;

/// `windrow doctor`.
#[derive(Args, Debug)]
pub(crate) struct Doctor {
    /// Look at the cluster of this coordinator, too
    #[arg(long, value_name = "HOST:PORT")]
    cluster: Option<String>,
    #[command(flatten)]
    security: ClientSecurity,
    /// The folders for what does not fit the memory, and for shuffle files [default: that of the system for temporary files]
    #[arg(long, value_name = "DIR")]
    scratch: Vec<PathBuf>,
}

impl Doctor {
    /// Says what was found.
    pub(super) fn run(
        self,
        configuration: &Result<Configuration, ConfigError>,
    ) -> Result<(), Failed> {
        let scratch = match &self.scratch[..] {
            [] => &[std::env::temp_dir()],
            given => given,
        };
        let mut found = vec![doctor::configuration(configuration)];
        found.extend(doctor::machine(scratch));
        if let Some(address) = &self.cluster {
            let credentials = self.security.credentials()?;
            found.extend(cluster::runtime()?.block_on(doctor::cluster(address, credentials)));
        }
        print(&found.iter().map(|finding| format!("{finding}\n")).collect::<String>())?;
        match found.iter().filter(|finding| finding.health == Health::Bad).count() {
            0 => Ok(()),
            bad => Err(Failed::Because(format!(
                "doctor: {} will not work; see BAD above",
                super::number_of(bad as u64, "thing")
            ))),
        }
    }
}
