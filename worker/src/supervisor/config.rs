//! How a supervisor is set up, and how it can end.

use super::control::ControlError;
use crate::data_plane::ServerLimits;
use crate::process::ParentGroup;
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use windrow_protocol::control::BinaryId;
use windrow_protocol::security::Credentials;

/// How a supervisor is set up.
#[derive(Clone, Debug)]
pub struct SupervisorConfig {
    /// The host, by a name that all workers on it have in common, and others not.
    pub host: String,
    /// Where the data plane listens; port 0 takes any.
    pub data_listen: SocketAddr,
    /// The name or IP address at which other workers reach the data plane.
    pub data_host: String,
    /// The port there, if it is not the one that is listened on.
    pub data_port: Option<u16>,
    /// What is shown to the coordinator and to other workers.
    pub credentials: Credentials,
    /// How many attempts run at once.
    pub slots: u32,
    /// Compute threads of an executor.
    pub threads: u32,
    /// Memory of an executor, in bytes.
    pub memory: u64,
    /// An executor that has more memory than so many bytes is killed.
    pub memory_limit: Option<u64>,
    /// What is special about it: attempts that need a label run on workers that have it.
    pub labels: Vec<String>,
    /// The folders, at least one, in each of which the worker makes a scratch folder: they are used by turns.
    pub scratch: Vec<PathBuf>,
    /// The code of this process.
    pub binary: BinaryId,
    /// The folder for binaries of jobs that are of other code; without one, the worker takes jobs of its own code alone.
    pub binaries: Option<PathBuf>,
    /// What executors may take of the machine, beyond which the system does not let them go.
    pub confined: Option<Confined>,
    /// Whether an executor is started under the account of the one who submitted the job, by the name of their token.
    pub run_as_submitter: bool,
    /// How an executor of this process's code is started; of another binary, with the same arguments.
    pub executor: ExecutorCommand,
    /// Whether the worker ends when the process that started it does.
    pub die_with_parent: bool,
    /// The worker ends when the coordinator could not be reached for so long; `None`: it goes on trying.
    pub give_up_after: Option<Duration>,
    /// Waits and limits.
    pub limits: SupervisorLimits,
}

/// What an executor may take of the machine, with all that its job's code starts. Its memory is limited by
/// [`SupervisorConfig::memory_limit`], and its processors are as many as it has threads.
#[derive(Clone, Debug)]
pub struct Confined {
    /// The group in which each executor has its own.
    pub group: ParentGroup,
    /// The most processes and threads.
    pub processes: u32,
}

/// The command line of an executor; it must come to [`crate::executor_process::main`].
#[derive(Clone, Debug)]
pub struct ExecutorCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Environment variables beside those of this process.
    pub environment: Vec<(OsString, OsString)>,
}

/// Waits and limits of a supervisor.
#[derive(Clone, Debug)]
pub struct SupervisorLimits {
    /// The longest that a poll waits for news. A poll is the heartbeat too: a sixth of the lease is taken if that is
    /// shorter.
    pub poll_wait: Duration,
    /// How long the coordinator may take for an answer, beyond what it was asked to wait.
    pub answer: Duration,
    /// How long an attempt that was cancelled, or an executor that was told to end, may go on before it is killed.
    pub grace: Duration,
    /// How much longer such an attempt may go on while others run in its executor, whose work would be lost: mostly it is
    /// the later one of two, and stops at the end of a lane.
    pub grace_beside_others: Duration,
    /// How long an executor may take to start and plan its job.
    pub start: Duration,
    /// How long the blocks of a shuffle may stay incomplete before an attempt that reads them is given back.
    pub incomplete: Duration,
    /// A worker that drains, and has heard nothing of a coordinator for so long, ends: nobody may be there who needs it.
    pub alone: Duration,
    /// How long a list of blocks is taken for the newest without asking.
    pub fresh: Duration,
    /// What the data plane allows its peers.
    pub data: ServerLimits,
}

impl Default for SupervisorLimits {
    fn default() -> SupervisorLimits {
        SupervisorLimits {
            poll_wait: Duration::from_millis(500),
            answer: Duration::from_secs(5),
            grace: Duration::from_secs(1),
            grace_beside_others: Duration::from_secs(30),
            start: Duration::from_secs(60),
            incomplete: Duration::from_secs(300),
            alone: Duration::from_secs(60),
            fresh: Duration::from_millis(100),
            data: ServerLimits::default(),
        }
    }
}

/// Why a supervisor could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// The scratch folder cannot be used.
    #[error("{0}; choose another folder with --scratch")]
    Scratch(io::Error),
    /// The folder for binaries cannot be used.
    #[error("{0}; choose another folder with --binaries")]
    Binaries(io::Error),
    /// The data plane cannot listen.
    #[error(
        "the data plane cannot listen on {address}: {source}; choose another address with --listen"
    )]
    Listen {
        /// Where it should.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Others could fetch blocks.
    #[error(
        "{0} can be reached from other machines: `--security FOLDER` is needed, with a token of the cluster (`windrow cluster init` makes both), or a `--listen` on 127.0.0.1"
    )]
    Unsecured(SocketAddr),
    /// Executors cannot be started as other users.
    #[error(
        "only root can run jobs as who submitted them; start the worker as root, or without --run-as-submitter"
    )]
    NotRoot,
    /// Nobody knows who submits jobs.
    #[error(
        "--run-as-submitter needs --security: where nothing is secured, nobody has to say who they are"
    )]
    UnknownSubmitters,
    /// The coordinator refused the worker, or could not be reached for too long.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The process that started the worker has ended.
    #[error("the process that started this worker has ended")]
    ParentGone,
}
