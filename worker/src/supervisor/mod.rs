//! The supervisor: holds the worker's lease, its blocks and the data plane, and starts an executor for each job. It runs
//! no code of a job.
//!
//! One poll at a time is with the coordinator. A poll that has ends of attempts to tell asks for an answer at once, and
//! ends that come meanwhile go with the next one. A poll without waits for news, and is dropped in favour of another as
//! soon as there is something to tell. Since whatever an answer was to bring is told again until it came, nothing is
//! lost by that.

mod ahead;
mod certificates;
mod config;
mod control;
mod ending;
mod executor;
mod job_end;
mod keeping;
mod link;
mod locations;
mod programs;
mod replicate;
mod starting;
mod state;
mod suspects;

pub use config::{Confined, ExecutorCommand, SupervisorConfig, SupervisorError, SupervisorLimits};
pub use control::{Control, ControlError};
pub use link::supervisor_link;

use crate::binaries::Binaries;
use crate::blocks::{Blocks, Scratch};
use crate::data_plane::DataServer;
use ahead::FetchAhead;
use keeping::Keeping;
use locations::Locations;
use replicate::Replicas;
use state::{Assigned, State};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use windrow_protocol::binary::{any_build, own_machine};
use windrow_protocol::control::{
    BinaryId, JobOver, PROTOCOL_VERSION, Poll, PollAnswer, Registered, WorkerHello,
};
use windrow_protocol::ids::WorkerId;
use windrow_protocol::security::may_be_unsecured;

/// How often the parent is looked for.
const PARENT_EVERY: Duration = Duration::from_millis(200);

/// Lets a supervisor end. All clones are for the same one.
#[derive(Clone, Debug, Default)]
pub struct SupervisorHandle {
    drain: CancellationToken,
    stop: CancellationToken,
}

impl SupervisorHandle {
    /// The worker takes no more work, and ends when the coordinator needs its blocks no more.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// The worker ends now; its attempts and blocks are lost.
    pub fn stop(&self) {
        self.stop.cancel();
    }
}

/// A worker's supervisor.
pub struct Supervisor<C> {
    keeping: Arc<Keeping<C>>,
    data: DataServer,
    handle: SupervisorHandle,
    executors: JoinSet<()>,
    /// Removed when all else is over.
    scratch: Scratch,
}

/// Waits for an answer of the coordinator.
async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, ControlError>>,
) -> Result<T, ControlError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer,
        Err(_) => {
            let text = format!("no answer within {} ms", limit.as_millis());
            Err(ControlError::Unreachable(text))
        }
    }
}

impl<C: Control> Supervisor<C> {
    /// Makes the scratch folders, which sweeps those of dead workers, and opens the data plane.
    ///
    /// # Errors
    /// If one of the two fails.
    pub async fn start(
        config: SupervisorConfig,
        control: C,
    ) -> Result<Supervisor<C>, SupervisorError> {
        let roots = config.scratch.clone();
        let made = tokio::task::spawn_blocking(move || Scratch::create(&roots, random_token()));
        let made = made.await.map_err(std::io::Error::other);
        let scratch = made.and_then(|made| made).map_err(SupervisorError::Scratch)?;
        if !config.credentials.are_on() && !may_be_unsecured(config.data_listen) {
            return Err(SupervisorError::Unsecured(config.data_listen));
        }
        let listen = |source| SupervisorError::Listen { address: config.data_listen, source };
        let listener = TcpListener::bind(config.data_listen).await.map_err(listen)?;
        let as_others = config.run_as_submitter;
        if as_others && !rustix::process::geteuid().is_root() {
            return Err(SupervisorError::NotRoot);
        }
        if as_others && !config.credentials.are_on() {
            return Err(SupervisorError::UnknownSubmitters);
        }
        let binaries = match config.binaries.clone() {
            Some(folder) => {
                let open = move || Binaries::open(&folder, as_others);
                let opened = tokio::task::spawn_blocking(open).await;
                let opened = opened.map_err(std::io::Error::other).and_then(|opened| opened);
                Some(Arc::new(opened.map_err(SupervisorError::Binaries)?))
            }
            None => None,
        };
        let blocks = Arc::new(Blocks::new(scratch.paths().map(|path| path.join("blocks"))));
        let limits = config.limits.data.clone();
        let credentials = config.credentials.clone();
        let data = DataServer::start(
            listener,
            blocks.clone(),
            binaries.clone(),
            config.host.clone(),
            limits,
            credentials.clone(),
        )
        .map_err(listen)?;
        let folders = || scratch.paths().map(PathBuf::from).collect();
        let control = Arc::new(control);
        let keeping = Keeping {
            locations: Locations::new(control.clone(), &config.limits),
            config,
            control,
            state: State::default(),
            blocks,
            binaries,
            fetching: Semaphore::new(1),
            scratch: folders(),
            ahead: FetchAhead::new(folders(), credentials.clone()),
            replicas: Replicas::new(folders(), credentials),
        };
        Ok(Supervisor {
            keeping: Arc::new(keeping),
            data,
            handle: SupervisorHandle::default(),
            executors: JoinSet::new(),
            scratch,
        })
    }

    /// Lets it end; for signal handlers and the like.
    pub fn handle(&self) -> SupervisorHandle {
        self.handle.clone()
    }

    /// Works, until it has drained, is told to stop, or cannot go on. All executors are dead then, and the scratch
    /// folders are removed.
    ///
    /// # Errors
    /// [`SupervisorError`]: refused by the coordinator, without it for too long, or the parent is gone.
    pub async fn run(mut self) -> Result<(), SupervisorError> {
        let stop = self.handle.stop.clone();
        let parent = self.keeping.config.die_with_parent;
        let keeping = self.keeping.clone();
        let renewing = certificates::renew(&keeping.config, &*keeping.control);
        let ended = tokio::select! {
            ended = self.work() => ended,
            () = stop.cancelled() => Ok(()),
            () = parent_gone(), if parent => Err(SupervisorError::ParentGone),
            () = renewing => Ok(()),
        };
        self.drop_everything().await;
        let scratch = self.scratch;
        drop(self.data);
        let _ = tokio::task::spawn_blocking(move || drop(scratch)).await;
        ended
    }

    async fn work(&mut self) -> Result<(), SupervisorError> {
        loop {
            let drain = self.handle.drain.clone();
            let registered = tokio::select! {
                registered = self.register() => registered?,
                // It has nothing that anybody needs.
                () = drain.cancelled() => return Ok(()),
            };
            let (registered, token) = registered;
            tracing::info!(worker = %registered.worker, token, "registered");
            self.scratch.note_owner(token);
            self.tell_dead().await;
            if self.poll(&registered).await? {
                return Ok(());
            }
            tracing::warn!(worker = %registered.worker, "the coordinator does not know this worker: it registers again");
            self.drop_everything().await;
        }
    }

    /// Tells of workers whose scratch was left behind: nobody has to wait for the end of their leases. Where that does not
    /// come, they do.
    async fn tell_dead(&self) {
        let dead = self.scratch.dead().to_vec();
        if !dead.is_empty() {
            let call = self.keeping.control.gone(dead);
            if let Err(error) = within(self.keeping.config.limits.answer, call).await {
                tracing::debug!(%error, "the coordinator was not told of workers that are dead");
            }
        }
    }

    /// Registers as a new worker, however long it takes.
    async fn register(&self) -> Result<(Registered, u128), SupervisorError> {
        let config = &self.keeping.config;
        let token = random_token();
        let port = config.data_port.unwrap_or_else(|| self.data.address().port());
        let hello = WorkerHello {
            version: PROTOCOL_VERSION,
            token,
            host: config.host.clone(),
            data_address: format!("{}:{port}", config.data_host),
            slots: config.slots,
            memory: config.memory,
            binary: match &config.binaries {
                None => config.binary.clone(),
                Some(_) => {
                    BinaryId { build: any_build(&own_machine()), name: config.binary.name.clone() }
                }
            },
        };
        let mut absent = Absent::new(Duration::MAX, config.give_up_after);
        loop {
            let control = &*self.keeping.control;
            let registered = async {
                certificates::of_worker(config, control).await?;
                within(config.limits.answer, control.register(hello.clone(), config.labels.clone()))
                    .await
            };
            match registered.await {
                Ok(registered) if self.keeping.state.hears(registered.term) => {
                    return Ok((registered, token));
                }
                Ok(_) => absent.again(outdated()).await?,
                Err(error) => absent.again(error).await?,
            }
        }
    }

    /// Polls until the worker has drained (true) or is not known any more (false).
    async fn poll(&mut self, registered: &Registered) -> Result<bool, SupervisorError> {
        let keeping = self.keeping.clone();
        let Keeping { config, control, state, .. } = &*keeping;
        let lease = Duration::from_millis(registered.lease_ms);
        let idle = config.limits.poll_wait.min(lease / 6);
        let drain = self.handle.drain.clone();
        let mut absent = Absent::new(lease, config.give_up_after);
        let mut seen = 0;
        let mut drain_told = false;
        loop {
            while self.executors.try_join_next().is_some() {}
            let draining = drain.is_cancelled();
            let poll = state.poll(seen, draining);
            let telling = !poll.ended.is_empty() || draining != drain_told;
            let wait = if telling { Duration::ZERO } else { idle };
            let poll = Poll { wait_ms: wait.as_millis() as u32, ..poll };
            let told = (poll.ended.len(), poll.replicated.len());
            let call = within(wait + config.limits.answer, control.poll(registered.worker, poll));
            let answered = tokio::select! {
                answered = call => answered,
                () = state.news.notified(), if !telling => continue,
                () = drain.cancelled(), if !draining && !telling => continue,
            };
            match answered {
                Ok(answer) if !state.hears(answer.term) => absent.again(outdated()).await?,
                Ok(answer) => {
                    absent = Absent::new(lease, config.give_up_after);
                    drain_told = draining;
                    seen = answer.number;
                    if answer.drained {
                        return Ok(true);
                    }
                    if answer.unknown {
                        return Ok(false);
                    }
                    state.told(told.0.min(answer.ended_seen as usize), told.1);
                    self.obey(registered.worker, answer).await;
                }
                Err(error) if draining && absent.since.elapsed() >= config.limits.alone => {
                    tracing::warn!(%error, "it has drained for long enough without a coordinator");
                    return Ok(true);
                }
                Err(error) => absent.again(error).await?,
            }
        }
    }

    /// Does what the coordinator says.
    async fn obey(&mut self, worker: WorkerId, answer: PollAnswer) {
        let keeping = &self.keeping;
        for attempt in answer.cancelled {
            keeping.state.cancel(attempt, keeping.config.limits.grace);
        }
        answer.give_up.into_iter().for_each(|asked| keeping.state.give_up(asked));
        for over in answer.jobs_over {
            let kept = keeping.state.job_over(over);
            keeping.locations.forget(over.job);
            keeping.ahead.forget(over.job);
            keeping.replicas.forget(over.job);
            if !kept {
                // Files in use stay readable; nobody waits for the removal.
                self.executors.spawn(job_end::end(keeping.clone(), worker, over));
            }
        }
        ahead::begin(keeping, worker, answer.ahead);
        replicate::begin(keeping, answer.replicate);
        for order in answer.assigned {
            if let Assigned::Start(name, wake) = keeping.state.assign(order) {
                let keeping = keeping.clone();
                self.executors.spawn(async move {
                    if !executor::keep(keeping.clone(), name, worker, wake).await {
                        // The executor writes no more.
                        let (job, abort) = (name.0, keeping.state.take_abort(name.0));
                        job_end::end(keeping, worker, JobOver { job, abort }).await;
                    }
                });
            }
        }
    }

    /// Ends all executors and forgets all blocks.
    async fn drop_everything(&mut self) {
        self.keeping.ahead.forget_all();
        self.keeping.replicas.forget_all();
        self.keeping.state.clear();
        while self.executors.join_next().await.is_some() {}
        let blocks = self.keeping.blocks.clone();
        let _ = tokio::task::spawn_blocking(move || blocks.drop_all()).await;
    }
}

/// What is made of an answer of a coordinator that another one has taken the place of.
fn outdated() -> ControlError {
    ControlError::Unreachable(
        "a coordinator answered that another one has taken the place of".into(),
    )
}

/// The longest pause between two tries to reach the coordinator.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How long the coordinator has been absent.
struct Absent {
    since: Instant,
    tries: u32,
    pause: Duration,
    pause_max: Duration,
    limit: Option<Duration>,
}

impl Absent {
    /// A lease counts anew from the start of another coordinator: by its end there have been several tries.
    fn new(lease: Duration, limit: Option<Duration>) -> Absent {
        let pause_max = (lease / 6).min(PAUSE_MAX);
        let pause = Duration::from_millis(50).min(pause_max);
        Absent { since: Instant::now(), tries: 0, pause, pause_max, limit }
    }

    /// Waits before another try.
    ///
    /// # Errors
    /// The error, if another try makes no sense.
    async fn again(&mut self, error: ControlError) -> Result<(), ControlError> {
        let over = self.limit.is_some_and(|limit| self.since.elapsed() >= limit);
        if over || matches!(error, ControlError::Refused(_)) {
            return Err(error);
        }
        if self.tries == 0 {
            tracing::warn!(%error, "trying again");
        }
        self.tries += 1;
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(self.pause_max);
        Ok(())
    }
}

/// Waits until the process that started this one has ended.
async fn parent_gone() {
    let parent = std::os::unix::process::parent_id();
    while std::os::unix::process::parent_id() == parent {
        tokio::time::sleep(PARENT_EVERY).await;
    }
}

/// A number that no other process draws.
fn random_token() -> u128 {
    use std::hash::{BuildHasher, RandomState};
    // The standard library's hash maps are seeded at random.
    let draw = || RandomState::new().hash_one((std::process::id(), Instant::now()));
    u128::from(draw()) << 64 | u128::from(draw())
}

#[cfg(test)]
mod tests;
