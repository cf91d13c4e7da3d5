//! Runs jobs on a cluster.

use crate::binary::BinaryFile;
use crate::error::RunError;
use crate::local::short_id;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use windrow_datasets::commit::{self, Manifest, Runner, WriteMode};
use windrow_datasets::storage::{Storage, StoreOptions};
use windrow_jobs::plan::{Plan, Stage};
use windrow_jobs::{Flow, Job, Outcome, Summary};
use windrow_protocol::claim::{Claim, Needs, check_name};
use windrow_protocol::client::Client;
use windrow_protocol::control::{JobOptions, JobState, JobStatus, JobSubmission};
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::{CollectId, JobId};
use windrow_protocol::link::draw_token;
use windrow_protocol::security::Credentials;
use windrow_worker::executor::failure::of_storage;
use windrow_worker::executor::task::outputs_of;
use windrow_worker::executor_process::fingerprint;
use windrow_worker::shape::shape_of;

/// A connection to a cluster's coordinator. Its workers need not run this program: where they do not, its binary is sent to
/// them.
pub struct Cluster {
    client: Client,
    runtime: Arc<Runtime>,
    mode: WriteMode,
    task_timeout: Option<Duration>,
    bad_records_max: u32,
    once: Option<u128>,
    claim: Claim,
    storage: Storage,
    stores: StoreOptions,
    /// What a job ends with.
    runner: Runner,
    /// What executors of the job run.
    binary: BinaryFile,
}

/// A job's name, arguments and plan, ready to be sent.
pub(crate) struct Prepared {
    pub(crate) name: String,
    pub(crate) arguments: String,
    pub(crate) plan: Plan,
}

impl Cluster {
    /// Connects to the coordinator at `HOST:PORT`.
    ///
    /// # Errors
    /// If no coordinator is there, or one of another version.
    pub fn connect(address: &str) -> Result<Cluster, RunError> {
        Cluster::connect_on(Arc::new(runtime()?), address, Credentials::off())
    }

    /// As [`connect`](Cluster::connect), to a coordinator that is secured; `folder` has the cluster's `ca.pem`, and the
    /// `token` that this program shows.
    ///
    /// # Errors
    /// As there, and if the folder is not what it should be, or the coordinator refuses the token.
    pub fn connect_secured(address: &str, folder: impl AsRef<Path>) -> Result<Cluster, RunError> {
        let credentials = Credentials::of_folder(folder.as_ref()).map_err(RunError::Security)?;
        Cluster::connect_on(Arc::new(runtime()?), address, credentials)
    }

    pub(crate) fn connect_on(
        runtime: Arc<Runtime>,
        address: &str,
        credentials: Credentials,
    ) -> Result<Cluster, RunError> {
        let client = runtime.block_on(Client::connect(address, credentials));
        let client = client.map_err(RunError::Cluster)?;
        let (storage, stores) = (Storage::new(), StoreOptions::default());
        let (mode, task_timeout, runner) = (WriteMode::Error, None, Runner::Cluster);
        let bad_records_max = 0;
        Ok(Cluster {
            client,
            runtime,
            mode,
            task_timeout,
            bad_records_max,
            once: None,
            claim: Claim { user: account(), ..Claim::default() },
            storage,
            stores,
            runner,
            binary: BinaryFile::own(),
        })
    }

    /// Workers run this file in place of the binary of this process: the same program, built for other machines, or to run on
    /// more of them.
    ///
    /// # Errors
    /// If it is no such file.
    pub fn binary(self, path: impl AsRef<Path>) -> Result<Cluster, RunError> {
        Ok(Cluster { binary: BinaryFile::open(path.as_ref())?, ..self })
    }

    /// What is done about output that is there already.
    #[must_use]
    pub fn mode(self, mode: WriteMode) -> Cluster {
        Cluster { mode, ..self }
    }

    /// An attempt that runs for longer is ended, and its task tried again as after any other failure of its own.
    #[must_use]
    pub fn task_timeout(self, task_timeout: Option<Duration>) -> Cluster {
        Cluster { task_timeout, ..self }
    }

    /// So many records may be left out, as [`Local::skip_bad_records`](crate::Local) has it; here also those of which a
    /// process dies.
    #[must_use]
    pub fn skip_bad_records(self, most: u32) -> Cluster {
        Cluster { bad_records_max: most, ..self }
    }

    /// A job that is run with this key is run once: where it was submitted with it before, and the coordinator remembers that
    /// (it does of the last jobs that have ended), it is that job whose end is waited for, and no other is submitted.
    #[must_use]
    pub fn once(self, key: &str) -> Cluster {
        Cluster { once: Some(token_of(key)), ..self }
    }

    /// The queue that jobs go through; without this, the one called `default`.
    #[must_use]
    pub fn queue(mut self, name: &str) -> Cluster {
        name.clone_into(&mut self.claim.queue);
        self
    }

    /// Of the jobs that a user has in a queue, those of a higher priority go first; 0 without this.
    #[must_use]
    pub fn priority(mut self, priority: i16) -> Cluster {
        self.claim.priority = priority;
        self
    }

    /// What each attempt needs of a worker; one slot of any, without this.
    #[must_use]
    pub fn needs(mut self, needs: Needs) -> Cluster {
        self.claim.needs = vec![needs];
        self
    }

    /// The cluster is gone when this process is.
    pub(crate) fn of_this_process(self) -> Cluster {
        Cluster { runner: Runner::ThisProcess, ..self }
    }

    /// How object stores are reached, here and by the job's tasks, beyond what the environment of each process says.
    #[must_use]
    pub fn stores(self, stores: StoreOptions) -> Cluster {
        Cluster { storage: Storage::with_options(stores.clone()), stores, ..self }
    }

    /// Runs a job, and waits for its end.
    ///
    /// # Errors
    /// Why it did not succeed.
    pub fn run<J: Job>(&self, job: &J) -> Result<Outcome, RunError> {
        let arguments =
            job.to_json().map_err(|source| RunError::Arguments { job: J::NAME, source })?;
        let plan = Plan::of(job)?;
        let prepared = Prepared { name: J::NAME.to_string(), arguments, plan };
        self.run_prepared(&prepared, |_, _| {})
    }

    /// Runs a plan that workers have by this name without a job of it: for tests, which have workers of their own.
    ///
    /// # Errors
    /// As for [`Cluster::run`].
    #[doc(hidden)]
    pub fn run_plan(
        &self,
        name: &str,
        plan: impl FnOnce(&Flow) -> windrow_jobs::Result<()>,
    ) -> Result<Outcome, RunError> {
        let plan = Plan::from_fn(name, plan)?;
        let prepared = Prepared { name: name.to_string(), arguments: "null".to_string(), plan };
        self.run_prepared(&prepared, |_, _| {})
    }

    /// Runs a job; `shown` is called with the job and each status on the way.
    pub(crate) fn run_prepared(
        &self,
        job: &Prepared,
        mut shown: impl FnMut(JobId, &JobStatus),
    ) -> Result<Outcome, RunError> {
        let (id, outputs) = match self.submitted(job)? {
            Some(id) => (id, outputs_of(&job.plan, self.mode, &short_id())),
            None => self.submit(job)?,
        };
        let wait = self.client.wait_and_send(id, &self.binary.path, |status| shown(id, status));
        let status = self.runtime.block_on(wait).map_err(RunError::Cluster)?;
        let failure = match status.state.clone() {
            JobState::Succeeded => return self.outcome(&job.plan, &outputs, id, &status),
            JobState::Failed(failure) => failure,
            JobState::Cancelled => Failure::new(FailureClass::Cancelled, "the job was cancelled"),
            JobState::Running { .. } => {
                Failure::new(FailureClass::Internal, "the job's end was told before it ended")
            }
        };
        self.abort(&outputs);
        Err(failure.into())
    }

    /// Submits a job, and leaves it to the cluster: this process may end then.
    pub(crate) fn detach_prepared(&self, job: &Prepared) -> Result<JobId, RunError> {
        if let Some(id) = self.submitted(job)? {
            return Ok(id);
        }
        let (id, _) = self.submit(job)?;
        match self.runtime.block_on(self.client.send_binary(id, &self.binary.path)) {
            // It has ended meanwhile, and needs no binary.
            Err(error) if error.is_refusal() => Ok(id),
            sent => sent.map(|()| id).map_err(RunError::Cluster),
        }
    }

    /// The job that was submitted with the key that there may be.
    fn submitted(&self, job: &Prepared) -> Result<Option<JobId>, RunError> {
        let Some(token) = self.once else { return Ok(None) };
        let found = self.runtime.block_on(async {
            let Some(id) = self.client.submitted(token).await? else { return Ok(None) };
            Ok(Some(self.client.status(id, Duration::ZERO).await?))
        });
        match found.map_err(RunError::Cluster)? {
            Some(status) if status.name != job.name => {
                Err(RunError::OtherJob { job: status.job, name: status.name })
            }
            found => Ok(found.map(|status| status.job)),
        }
    }

    /// What a job claims: what is said for all jobs, and what its stages need besides. Workers of this process alone are
    /// of one kind, and have no labels.
    fn claim_of(&self, plan: &Plan) -> Claim {
        let mut claim = self.claim.clone();
        let stages = plan.stages();
        if self.runner == Runner::Cluster && stages.iter().any(|of| !of.needs.is_ordinary()) {
            let of = |(at, stage): (u32, &Stage)| {
                let mut needs = self.claim.needs_of(at);
                needs.slots = needs.slots.max(stage.needs.slots);
                needs.memory = needs.memory.max(stage.needs.memory);
                for label in &stage.needs.labels {
                    if !needs.labels.contains(label) {
                        needs.labels.push(label.clone());
                    }
                }
                needs
            };
            claim.needs = (0..).zip(stages).map(of).collect();
        }
        claim
    }

    /// Submits a job. Gives its outputs, too.
    fn submit(&self, job: &Prepared) -> Result<(JobId, Vec<commit::Output>), RunError> {
        let short_id = short_id();
        let outputs = outputs_of(&job.plan, self.mode, &short_id);
        let begun = outputs.iter().try_for_each(|output| {
            commit::begin(&self.storage, output, self.runner).map_err(|error| of_storage(&error))
        });
        if let Err(failure) = begun {
            self.abort(&outputs);
            return Err(failure.into());
        }
        let submission = JobSubmission {
            token: self.once.unwrap_or_else(draw_token),
            name: job.name.clone(),
            arguments: job.arguments.clone(),
            options: JobOptions {
                mode: self.mode,
                short_id,
                task_timeout_ms: self.task_timeout.map(|limit| limit.as_millis() as u64),
                bad_records_max: self.bad_records_max,
                stores: self.stores.clone(),
            },
            binary: self.binary.id.clone(),
            fingerprint: fingerprint(&job.plan),
            shape: shape_of(&job.plan),
            weight: 1,
        };
        let machine = Some(&*self.binary.machine);
        let claim = self.claim_of(&job.plan);
        let submitted = self.client.submit_claiming(&submission, &claim, machine);
        match self.runtime.block_on(submitted) {
            Ok(id) => Ok((id, outputs)),
            Err(error) => {
                // Of any other error nobody knows whether the job has come.
                if error.is_refusal() {
                    self.abort(&outputs);
                }
                Err(RunError::Cluster(error))
            }
        }
    }

    /// Removes what a job has left that did not succeed.
    fn abort(&self, outputs: &[commit::Output]) {
        for output in outputs {
            // The failure is what is to be told.
            let _ = commit::abort(&self.storage, output);
        }
    }

    fn outcome(
        &self,
        plan: &Plan,
        outputs: &[commit::Output],
        id: JobId,
        status: &JobStatus,
    ) -> Result<Outcome, RunError> {
        let mut collected = BTreeMap::new();
        for number in 0..plan.collects() as u32 {
            let name = plan.collect(number).name;
            if !name.is_empty() {
                let rows = self.client.collected(id, CollectId(number));
                let rows = self.runtime.block_on(rows).map_err(RunError::Cluster)?;
                collected.insert(name.to_string(), rows);
            }
        }
        let mut outcome = Outcome::with_collected(collected);
        for (output, (_, json)) in outputs.iter().zip(&status.manifests) {
            let manifest = if json.is_empty() {
                // Too long to travel.
                Manifest::read(&self.storage, &output.location)
                    .map_err(|error| of_storage(&error))?
            } else {
                serde_json::from_str(json).map_err(|error| {
                    let message = format!("a manifest cannot be read: {error}");
                    Failure::new(FailureClass::Internal, message)
                })?
            };
            outcome.outputs.push((output.location.clone(), manifest));
        }
        outcome.counters = plan.named_counters(&status.counts.counters);
        outcome.summary = summary(status);
        Ok(outcome)
    }
}

/// The token of what is submitted with a key.
fn token_of(key: &str) -> u128 {
    let hash = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
    let mut token = [0; 16];
    token.copy_from_slice(&hash.as_ref()[..16]);
    u128::from_le_bytes(token)
}

fn summary(status: &JobStatus) -> Summary {
    let stages = status.stages.iter().map(|stage| {
        let tasks = u64::from(stage.tasks.unwrap_or_default());
        (stage.name.clone(), tasks, Duration::from_millis(stage.elapsed_ms))
    });
    Summary {
        records_read: status.counts.records_read,
        bytes_read: status.counts.bytes_read,
        records_written: status.counts.records_written,
        bytes_written: status.counts.bytes_written,
        tasks: stages.clone().map(|stage| stage.1).sum(),
        retries: status.retries,
        left_out: status.left_out,
        shuffle_bytes: status.shuffle_bytes,
        spilled_bytes: status.counts.spilled_bytes,
        fetched_ahead_bytes: status.counts.fetched_ahead_bytes,
        traffic: status.counts.traffic,
        scan: status.counts.scan,
        memory_peak_bytes: status.counts.memory_peak_bytes,
        elapsed: Duration::from_millis(status.elapsed_ms),
        stages: stages.collect(),
    }
}

/// A runtime that waits; nothing is computed on it.
pub(crate) fn runtime() -> Result<Runtime, RunError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("windrow-waiting")
        .enable_all()
        .build()
        .map_err(RunError::Threads)
}

/// The account of this process, which stands for who submits jobs where nobody has to prove that; empty if it has no name.
fn account() -> String {
    let of_environment = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    of_environment.filter(|name| check_name("user", name).is_ok()).unwrap_or_default()
}
