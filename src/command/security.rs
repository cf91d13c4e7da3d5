//! Who may do what on a cluster: the flags that name a security folder, `cluster init` and `cluster token`.

use super::{Failed, print, tell};
use clap::{Args, Subcommand, ValueEnum};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use windrow_protocol::security::{
    ClusterFolders, Credentials, Gate, Role, SecurityError, Token, Tokens, hand_out,
};

const DAY_S: u64 = 24 * 60 * 60;

// Which coordinator, and what a client shows to it. No doc comments: their texts would take the place of what commands say.
#[derive(Args, Clone, Debug)]
pub(crate) struct OnCluster {
    /// The coordinator; where others stand by, all their addresses with commas between
    #[arg(long, value_name = "HOST:PORT", global = true, default_value = "127.0.0.1:7077")]
    pub(crate) cluster: String,
    #[command(flatten)]
    pub(crate) security: ClientSecurity,
}

// What a client shows to a coordinator.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ClientSecurity {
    /// The folder with the `ca.pem` of a cluster that is secured, and your `token`
    #[arg(
        long,
        value_name = "DIR",
        env = "WINDROW_SECURITY",
        hide_env_values = true,
        global = true
    )]
    security: Option<PathBuf>,
}

impl ClientSecurity {
    pub(crate) fn credentials(&self) -> Result<Credentials, Failed> {
        credentials(self.security.as_deref())
    }
}

/// The credentials of a folder; none without one.
pub(super) fn credentials(folder: Option<&Path>) -> Result<Credentials, Failed> {
    folder.map_or(Ok(Credentials::off()), Credentials::of_folder).map_err(because)
}

/// The gate of a coordinator with this folder; none without one.
pub(super) fn gate(folder: Option<&Path>) -> Result<Option<Arc<Gate>>, Failed> {
    folder.map(Gate::open).transpose().map(|gate| gate.map(Arc::new)).map_err(because)
}

fn because(error: SecurityError) -> Failed {
    Failed::Because(format!("security: {error}"))
}

/// `windrow cluster init`.
#[derive(Args, Debug)]
pub(super) struct Init {
    /// The folder that is made
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Init {
    pub(super) fn run(self) -> Result<(), Failed> {
        let folders = ClusterFolders::make(&self.folder).map_err(because)?;
        let ClusterFolders { coordinator, worker, admin } = folders;
        print(&format!(
            "{}: for the coordinator, `--security` of `coordinator`; nobody else may read it\n\
             {}: for workers, `--security` of `worker`, on each machine\n\
             {}: for you, `--security` or WINDROW_SECURITY; `cluster token new` makes folders for others\n",
            coordinator.display(),
            worker.display(),
            admin.display()
        ))
    }
}

/// `windrow cluster token`.
#[derive(Args, Debug)]
pub(super) struct TokenFlags {
    /// The coordinator's folder, which knows the tokens
    #[arg(long, value_name = "DIR", global = true, required = false)]
    security: Option<PathBuf>,
    #[command(subcommand)]
    action: TokenAction,
}

#[derive(Subcommand, Debug)]
enum TokenAction {
    /// Makes a token, in a folder to be given to who is to use it
    New {
        /// Whose it is: jobs and logs say so
        #[arg(long)]
        name: String,
        /// What it is good for
        #[arg(long, value_enum)]
        role: RoleName,
        /// It is good for so many days [default: until it is revoked]
        #[arg(long)]
        days: Option<u32>,
        /// The folder that is made
        #[arg(long, value_name = "DIR")]
        output: PathBuf,
    },
    /// Shows all tokens, without their secrets
    List,
    /// Makes a token good for nothing: within seconds, who has it is refused
    Revoke {
        /// The token's id
        id: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    /// Be a worker
    Join,
    /// Look at jobs and workers
    View,
    /// Also submit and cancel jobs
    Submit,
    /// Also drain workers and end the cluster
    Admin,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Role {
        match name {
            RoleName::Join => Role::Join,
            RoleName::View => Role::View,
            RoleName::Submit => Role::Submit,
            RoleName::Admin => Role::Admin,
        }
    }
}

impl TokenFlags {
    pub(super) fn run(self) -> Result<(), Failed> {
        let Some(folder) = self.security else {
            let text = "cluster token: the coordinator's folder is needed: `--security DIR`";
            return Err(Failed::Because(text.into()));
        };
        match self.action {
            TokenAction::New { name, role, days, output } => {
                let life = days.map(|days| Duration::from_secs(u64::from(days) * DAY_S));
                let id = hand_out(&folder, &name, role.into(), life, &output).map_err(because)?;
                tell(&format!("{}: for {name}, in no other hands\n", output.display()));
                print(&format!("{id}\n"))
            }
            TokenAction::List => {
                let tokens = Tokens::read(&folder).map_err(because)?;
                print(&tokens.all().iter().map(line).collect::<String>())
            }
            TokenAction::Revoke { id } => {
                Tokens::change(&folder, |tokens| tokens.revoke(&id)).map_err(because)
            }
        }
    }
}

/// A token in a line.
fn line(token: &Token) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let state = match (token.is_void(), token.expires) {
        (Some(why), _) => format!("it {why}"),
        (None, Some(expires)) => {
            format!("good for {} more days", expires.saturating_sub(now).div_ceil(DAY_S))
        }
        (None, None) => "good".to_owned(),
    };
    format!("{} {} {}: {state}\n", token.id, token.role, token.name)
}
