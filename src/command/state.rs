//! What `cluster up` remembers, for `status` and `down`.

use super::Failed;
use super::security::credentials;
use clap::Args;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::PathBuf;
use windrow_protocol::security::{ClusterFolders, Credentials};

// The folder of a cluster that `up` started.
#[derive(Args, Debug)]
pub(super) struct State {
    /// The folder that remembers the cluster [default: ~/.windrow/cluster]
    #[arg(long, value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
}

/// What `up` remembers of a cluster.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Remembered {
    /// Where clients and workers connect.
    pub(super) address: String,
    /// Where its page is; empty for one that an earlier release started.
    #[serde(default)]
    pub(super) http: String,
    /// The coordinator's process.
    pub(super) coordinator: u32,
    /// Those of workers on this machine.
    #[serde(default)]
    pub(super) workers: Vec<u32>,
    /// Of one over hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) over: Option<OverHosts>,
}

/// What there is to know of a cluster over hosts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct OverHosts {
    /// The name of its folder on each host.
    pub(super) folder: String,
    /// Where the coordinator listens.
    pub(super) listens: String,
    /// The folder that `cluster init` made.
    pub(super) security: PathBuf,
    /// The command for `ssh`.
    pub(super) ssh: String,
    /// The hosts, and the ports of their `ssh`, where something is of this cluster.
    pub(super) hosts: Vec<(String, Option<u16>)>,
}

impl Remembered {
    /// What this machine shows to the coordinator.
    pub(super) fn credentials(&self) -> Result<Credentials, Failed> {
        let admin = self.over.as_ref().map(|over| ClusterFolders::of(&over.security).admin);
        credentials(admin.as_deref())
    }
}

fn because(why: String) -> Failed {
    Failed::Because(format!("cluster: {why}"))
}

impl State {
    pub(super) fn folder(&self) -> PathBuf {
        self.state.clone().unwrap_or_else(|| {
            let home = std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from);
            home.join(".windrow").join("cluster")
        })
    }

    fn file(&self) -> PathBuf {
        self.folder().join("cluster.json")
    }

    /// Where the coordinator keeps what it decides.
    pub(super) fn journal(&self) -> PathBuf {
        self.folder().join("journal")
    }

    /// What is remembered; none if there is no cluster.
    pub(super) fn find(&self) -> Result<Option<Remembered>, Failed> {
        let file = self.file();
        let wrong = |why: String| because(format!("{}: {why}", file.display()));
        match fs::read_to_string(&file) {
            Ok(json) => serde_json::from_str(&json).map(Some).map_err(|error| {
                wrong(format!("{error}; if no process of it runs any more, remove this file"))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(wrong(error.to_string())),
        }
    }

    /// What is remembered, which has to be there.
    pub(super) fn read(&self) -> Result<Remembered, Failed> {
        let none = format!("{}: it is not there; `cluster up` starts one", self.file().display());
        self.find()?.ok_or_else(|| because(none))
    }

    /// Remembers a cluster: the file is the old one or the new one, whatever happens meanwhile.
    pub(super) fn write(&self, cluster: &Remembered) -> Result<(), Failed> {
        let file = self.file();
        let wrong = |error: io::Error| because(format!("{}: {error}", file.display()));
        let json = serde_json::to_string_pretty(cluster).map_err(|error| wrong(error.into()))?;
        let new = file.with_extension("json.new");
        fs::write(&new, json).and_then(|()| fs::rename(&new, &file)).map_err(wrong)
    }

    /// Forgets a cluster that has ended, and what its coordinator decided: the jobs of the next one are others.
    pub(super) fn forget(&self) -> Result<(), Failed> {
        let journal = self.journal();
        let (journal, file) = (fs::remove_dir_all(&journal), fs::remove_file(self.file()));
        for removed in [journal, file] {
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(because(format!("{}: {error}", self.folder().display())));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
