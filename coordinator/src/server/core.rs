//! The driver's state: schedulers, and the tables beside them. Calls become events here; nothing waits.
//!
//! Workers run one binary, and run only jobs of that binary: so the workers and jobs of one build are a *pool* with a
//! scheduler of its own, which never has to know about binaries.

use super::binaries::{JobBinary, Sources};
use super::bus::Bus;
use super::config::Config;
use super::job::Job;
use super::limits::{COLLECTED_KEPT, JOBS_MAX, MACHINE_MAX, SLOTS_MAX, SPLITS_PAGE, WORKERS_KEPT};
use super::outbox::Outbox;
use super::worker::{Standing, Worker};
use crate::explain::EventLog;
use crate::history::{Histories, History};
use crate::http::Totals;
use crate::journal::{Home, Journal};
use crate::scheduler::{Event, HostId, JobRequest, Millis, Scheduler, SplitInfo, Written};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use windrow_protocol::claim::{Claim, check_labels};
use windrow_protocol::control::{
    AttemptEnd, JobSubmission, PROTOCOL_VERSION, Refusal, Registered, Term, WorkerHello,
};
use windrow_protocol::events::What;
use windrow_protocol::failure::Failure;
use windrow_protocol::ids::{AttemptId, JobId, TaskKind, WorkerId};
use windrow_protocol::link::draw_token;
use windrow_protocol::task::TaskOutput;

/// The workers and jobs of one build.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) scheduler: Scheduler,
    /// Workers that may get work.
    pub(crate) alive: BTreeSet<WorkerId>,
    /// Jobs that have not ended.
    pub(crate) jobs: BTreeSet<JobId>,
}

/// Histories that are to be written.
pub(crate) struct EndedHistories {
    to: Arc<Histories>,
    ended: Vec<(JobId, Arc<History>)>,
    /// The first of the ended jobs that are remembered.
    oldest: JobId,
}

impl EndedHistories {
    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.ended.is_empty()
    }

    /// Writes them. Blocks on the disk.
    pub(crate) fn write(self) {
        self.ended.iter().for_each(|(job, history)| self.to.write(*job, history, self.oldest));
    }
}

/// All that the coordinator knows.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) pools: BTreeMap<String, Pool>,
    pub(crate) jobs: BTreeMap<JobId, Job>,
    /// Jobs that have ended, the longest ago first.
    pub(crate) ended: VecDeque<JobId>,
    /// What the jobs have done that are forgotten.
    pub(crate) forgotten: Totals,
    pub(super) job_tokens: BTreeMap<u128, JobId>,
    pub(crate) workers: BTreeMap<WorkerId, Worker>,
    /// Workers that are gone, the longest ago first.
    pub(crate) gone: VecDeque<WorkerId>,
    pub(super) worker_tokens: BTreeMap<u128, WorkerId>,
    pub(super) hosts: BTreeMap<String, HostId>,
    pub(super) next_job: u64,
    pub(super) next_worker: u64,
    pub(crate) bus: Bus,
    /// What became of the attempts of ended jobs; and of those that have ended since that was written to the disk.
    pub(crate) histories: Arc<Histories>,
    pub(crate) ended_histories: Vec<(JobId, Arc<History>)>,
    /// Why jobs were refused, until the submitting call has taken it.
    pub(crate) refused: Option<String>,
    /// Where the binaries of jobs can be read.
    pub(crate) sources: Sources,
    /// Events that follow from outcomes, to be handled next.
    pub(crate) next: VecDeque<(String, Event)>,
    pub(crate) stopping: bool,
    /// What schedulers were told.
    pub(crate) log: EventLog,
    /// Where all is kept that is decided, if it is.
    pub(crate) journal: Option<Arc<Journal>>,
    /// The answers to polls have numbers above this one.
    pub(crate) answers_above: u64,
    /// Which coordinator of those of one folder this is.
    pub(crate) term: Term,
    /// The bytes of the last snapshot.
    pub(crate) snapshot: u64,
}

impl Core {
    pub(crate) fn new(config: Config) -> Core {
        let folder = match &config.state {
            Some(Home::Folder(folder)) => Some(folder.join("history")),
            _ => None,
        };
        Core {
            config,
            pools: BTreeMap::new(),
            jobs: BTreeMap::new(),
            ended: VecDeque::new(),
            forgotten: Totals::default(),
            job_tokens: BTreeMap::new(),
            workers: BTreeMap::new(),
            gone: VecDeque::new(),
            worker_tokens: BTreeMap::new(),
            hosts: BTreeMap::new(),
            next_job: 1,
            next_worker: 1,
            // Without a state these events are those of this process alone.
            bus: Bus::new(draw_token() as u64),
            histories: Arc::new(Histories::new(folder)),
            ended_histories: Vec::new(),
            refused: None,
            sources: Sources::default(),
            next: VecDeque::new(),
            stopping: false,
            log: EventLog::default(),
            journal: None,
            answers_above: 0,
            term: Term::default(),
            snapshot: 0,
        }
    }

    /// Tells the scheduler of `build` what happened, and does what it decides; `arrived` is the output that an
    /// attempt's end brought.
    pub(crate) fn handle(
        &mut self,
        build: &str,
        event: Event,
        mut arrived: Option<(AttemptId, TaskOutput)>,
        now: Millis,
    ) {
        self.decide(build, event, &mut arrived, now);
        self.handle_next(now);
    }

    /// Handles the events that follow from outcomes.
    pub(crate) fn handle_next(&mut self, now: Millis) {
        while let Some((build, event)) = self.next.pop_front() {
            self.decide(&build, event, &mut None, now);
        }
    }

    fn decide(
        &mut self,
        build: &str,
        event: Event,
        arrived: &mut Option<(AttemptId, TaskOutput)>,
        now: Millis,
    ) {
        self.log_if_wanted(now);
        let Some(pool) = self.pools.get_mut(build) else { return };
        let mut outcomes = Vec::new();
        pool.scheduler.handle(&event, now, &mut outcomes);
        self.log.told(build, now, &event, outcomes.len());
        for outcome in outcomes {
            self.apply(build, outcome, arrived, now);
        }
    }

    /// Sees to it that what schedulers are told is kept, as long as a job runs.
    fn log_if_wanted(&mut self, now: Millis) {
        if self.jobs.len() == self.ended.len() {
            self.log.pause();
        } else if self.log.wants_start() {
            let schedulers = self.pools.iter().map(|(build, pool)| (&**build, &pool.scheduler));
            self.log.start(now, &self.config.scheduler, schedulers);
        }
    }

    pub(crate) fn pool(&mut self, build: &str) -> &mut Pool {
        let config = &self.config.scheduler;
        self.pools.entry(build.to_owned()).or_insert_with(|| Pool {
            scheduler: Scheduler::new(config.clone()),
            alive: BTreeSet::new(),
            jobs: BTreeSet::new(),
        })
    }

    /// Takes a job on, or finds it by its token. With a binary, workers of its kind of machine run it, whatever they are of.
    pub(crate) fn submit(
        &mut self,
        version: u32,
        submission: JobSubmission,
        claim: Claim,
        binary: Option<JobBinary>,
        now: Millis,
    ) -> Result<JobId, Refusal> {
        check_version(version)?;
        if let Some(&job) = self.job_tokens.get(&submission.token) {
            return Ok(job);
        }
        if self.stopping {
            return Err(Refusal::Invalid("the coordinator is shutting down".to_owned()));
        }
        if self.jobs.len() - self.ended.len() >= JOBS_MAX {
            return Err(Refusal::Invalid(format!(
                "{JOBS_MAX} jobs run or wait already: submit the job again when some have ended"
            )));
        }
        if let Some(JobBinary { machine, .. }) = &binary
            && machine.len() > MACHINE_MAX
        {
            return Err(Refusal::Invalid(format!(
                "the name of a kind of machine has up to {MACHINE_MAX} bytes, and this one {}",
                machine.len()
            )));
        }
        let id = JobId(self.next_job);
        let request = JobRequest {
            job: id,
            name: submission.name.clone(),
            weight: submission.weight,
            shape: submission.shape.clone(),
            claim: claim.clone(),
        };
        let token = submission.token;
        let build = self.enter_job(id, submission, claim, binary, now);
        self.handle(&build, Event::SubmitJob(Box::new(request)), None, now);
        if let Some(why) = self.refused.take() {
            self.jobs.remove(&id);
            self.job_tokens.remove(&token);
            self.pool(&build).jobs.remove(&id);
            self.drop_empty_pools();
            return Err(Refusal::Invalid(why));
        }
        self.explain_waiting(now);
        Ok(id)
    }

    /// Has a job, before the scheduler takes it on. Returns the build of the workers that run it.
    pub(crate) fn enter_job(
        &mut self,
        id: JobId,
        submission: JobSubmission,
        claim: Claim,
        binary: Option<JobBinary>,
        now: Millis,
    ) -> String {
        self.next_job = self.next_job.max(id.0 + 1);
        let mut job = Job::new(id, submission, binary, now);
        job.claim = claim;
        let build = job.pool();
        self.has_job(id, job);
        build
    }

    /// The job, or the refusal that says that there is none.
    pub(crate) fn job(&self, job: JobId) -> Result<&Job, Refusal> {
        self.jobs.get(&job).ok_or(Refusal::NoJob(job))
    }

    /// The same, to be changed.
    pub(crate) fn job_mut(&mut self, job: JobId) -> Result<&mut Job, Refusal> {
        self.jobs.get_mut(&job).ok_or(Refusal::NoJob(job))
    }

    pub(crate) fn cancel(&mut self, id: JobId, now: Millis) -> Result<(), Refusal> {
        let job = self.job(id)?;
        if job.is_running() {
            let build = job.pool();
            self.handle(&build, Event::Cancel { job: id }, None, now);
        }
        Ok(())
    }

    /// Gives a job up, for a reason that the scheduler does not know of: it ends as failed.
    pub(crate) fn give_up(&mut self, id: JobId, why: Failure, now: Millis) {
        if let Some(job) = self.jobs.get_mut(&id)
            && job.is_running()
            && job.given_up.is_none()
        {
            job.given_up = Some(why.clone());
            let build = job.pool();
            self.keep_given_up(id, &why, now);
            self.next.push_back((build, Event::Cancel { job: id }));
        }
    }

    /// Takes a worker on, or finds it by its token.
    pub(crate) fn register(
        &mut self,
        hello: WorkerHello,
        labels: Vec<String>,
        now: Millis,
    ) -> Result<Registered, Refusal> {
        check_version(hello.version)?;
        let lease_ms = self.config.scheduler.lease_ms;
        if let Some(&worker) = self.worker_tokens.get(&hello.token)
            && self.workers.get(&worker).is_some_and(Worker::is_known)
        {
            return Ok(Registered { worker, lease_ms, term: self.term });
        }
        if hello.slots == 0 || hello.slots > SLOTS_MAX {
            return Err(Refusal::Invalid(format!(
                "a worker has 1 to {SLOTS_MAX} slots, and this one says {}",
                hello.slots
            )));
        }
        if let Err(why) = check_labels(&labels) {
            return Err(Refusal::Invalid(why));
        }
        let worker = WorkerId(self.next_worker);
        let build = hello.binary.build.clone();
        let (slots, memory) = (hello.slots, hello.memory);
        let host = self.enter_worker(worker, hello, labels.clone());
        let named = build.as_str().into();
        let event = Event::WorkerJoined { worker, slots, memory, host, build: named, labels };
        self.handle(&build, event, None, now);
        self.explain_waiting(now);
        Ok(Registered { worker, lease_ms, term: self.term })
    }

    /// The process of a worker is dead.
    pub(crate) fn gone(&mut self, token: u128, now: Millis) {
        let worker = self.worker_tokens.get(&token).copied();
        let of = worker.and_then(|worker| Some((worker, self.workers.get(&worker)?)));
        if let Some((worker, of)) = of.filter(|(_, of)| of.is_alive()) {
            let build = of.hello.binary.build.clone();
            self.handle(&build, Event::WorkerLeft { worker }, None, now);
            self.explain_waiting(now);
        }
    }

    /// Has a worker, before the scheduler takes it on. Returns the number of its host.
    pub(crate) fn enter_worker(
        &mut self,
        worker: WorkerId,
        hello: WorkerHello,
        labels: Vec<String>,
    ) -> HostId {
        self.next_worker = self.next_worker.max(worker.0 + 1);
        let fresh = HostId(self.hosts.len() as u32);
        let host = *self.hosts.entry(hello.host.clone()).or_insert(fresh);
        let mut joined = Worker::new(hello, Outbox::above(self.answers_above));
        joined.labels = labels;
        self.has_worker(worker, joined);
        host
    }

    /// A worker was heard.
    pub(crate) fn heard(&mut self, worker: WorkerId, build: &str, now: Millis) {
        self.handle(build, Event::Heartbeat { worker }, None, now);
    }

    /// An attempt has ended, as its worker says. Whether the scheduler was told.
    pub(crate) fn ended(
        &mut self,
        worker: WorkerId,
        build: &str,
        mut end: AttemptEnd,
        now: Millis,
    ) -> bool {
        let attempt = end.attempt;
        match self.workers.get_mut(&worker) {
            Some(of) if of.running.contains(&attempt) => {
                if !of.all_listed(attempt, &mut end.result) {
                    return false;
                }
                of.outbox.forget(attempt);
            }
            _ => return false,
        }
        if let Some(job) = self.jobs.get_mut(&attempt.task.job) {
            job.history.told(attempt, end.spent, std::mem::take(&mut end.log));
        }
        let event = match end.result {
            Err(failure) => {
                let failure = Box::new(failure);
                (Event::AttemptFailed { worker, attempt, failure }, None)
            }
            Ok(output) => {
                let mut pages = 0;
                if attempt.task.kind == TaskKind::Split {
                    for splits in output.splits.chunks(SPLITS_PAGE) {
                        let splits = splits.iter().map(|split| self.split_info(split)).collect();
                        let event = Event::SplitsListed { worker, attempt, page: pages, splits };
                        self.handle(build, event, None, now);
                        pages += 1;
                    }
                }
                let shuffles = output.shuffles.iter();
                let written = shuffles.map(|made| Written {
                    shuffle: made.shuffle,
                    bytes: made.encoded,
                    buckets: made.sizes.clone(),
                });
                let written = written.collect();
                let given_up = end.given_up;
                let event = Event::AttemptDone { worker, attempt, pages, written, given_up };
                (event, Some((attempt, output)))
            }
        };
        self.handle(build, event.0, event.1, now);
        true
    }

    fn split_info(&self, split: &windrow_protocol::task::Split) -> SplitInfo {
        let hosts = split.hosts.iter().filter_map(|host| self.hosts.get(host).copied());
        SplitInfo { bytes: split.bytes, lanes: split.lanes, hosts: hosts.collect() }
    }

    pub(crate) fn drain(&mut self, worker: WorkerId, now: Millis) -> Result<(), Refusal> {
        let of = self.workers.get(&worker).ok_or(Refusal::NoWorker(worker))?;
        if matches!(of.standing, Standing::Ready | Standing::Aside) {
            let build = of.hello.binary.build.clone();
            self.handle(&build, Event::Drain { worker, hand_over: false }, None, now);
            self.explain_waiting(now);
        }
        Ok(())
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Millis) {
        let builds: Vec<String> = self.pools.keys().cloned().collect();
        for build in builds {
            self.handle(&build, Event::Tick, None, now);
        }
        self.explain_waiting(now);
        self.drop_empty_pools();
        self.forget_workers();
        self.forget_sources();
        self.snapshot_if_due(now);
        self.log.flush();
    }

    /// Pools of builds that nobody has any more.
    fn drop_empty_pools(&mut self) {
        let log = &mut self.log;
        self.pools.retain(|build, pool| {
            let stays = !pool.jobs.is_empty() || !pool.alive.is_empty();
            if !stays {
                log.closed(build);
            }
            stays
        });
    }

    fn forget_workers(&mut self) {
        while self.gone.len() > WORKERS_KEPT
            && let Some(worker) = self.gone.pop_front()
        {
            if let Some(worker) = self.workers.remove(&worker) {
                self.worker_tokens.remove(&worker.hello.token);
            }
        }
    }

    /// Forgets the jobs that ended longest ago.
    pub(crate) fn forget_jobs(&mut self) {
        while self.ended.len() > self.config.ended_jobs
            && let Some(job) = self.ended.pop_front()
        {
            if let Some(job) = self.jobs.remove(&job) {
                self.histories.forget(job.id);
                self.forgotten.add(&job);
                self.job_tokens.remove(&job.submission.token);
            }
        }
        let (mut collected, mut details) = (0, 0);
        for (at, job) in self.ended.iter().rev().enumerate() {
            if let Some(job) = self.jobs.get_mut(job) {
                collected += job.collected_bytes;
                if collected > COLLECTED_KEPT {
                    job.forget_collected();
                }
                details += job.details_bytes;
                if details > self.config.details_bytes && at > 0 {
                    job.forget_details();
                }
            }
        }
    }

    /// What became of the attempts of jobs that have ended since that was taken last, to be written.
    pub(crate) fn take_ended_histories(&mut self) -> EndedHistories {
        EndedHistories {
            to: self.histories.clone(),
            ended: std::mem::take(&mut self.ended_histories),
            oldest: self.ended.iter().min().copied().unwrap_or(JobId(0)),
        }
    }

    /// Everything ends: jobs are cancelled, workers told to end.
    pub(crate) fn shut_down(&mut self, now: Millis) {
        self.stopping = true;
        let running: Vec<JobId> = self.pools.values().flat_map(|pool| pool.jobs.clone()).collect();
        for job in running {
            if let Some(of) = self.jobs.get_mut(&job) {
                of.note("the coordinator was shut down".to_owned());
            }
            let _ = self.cancel(job, now);
        }
        self.workers.values().for_each(Worker::wake);
    }

    /// Whether all connected workers know that they shall end.
    pub(crate) fn all_told(&self) -> bool {
        self.workers.values().all(|worker| !worker.is_known() || worker.told_end)
    }

    pub(crate) fn publish(&mut self, what: What, now: Millis) {
        self.bus.publish(now.0, what);
    }
}

fn check_version(caller: u32) -> Result<(), Refusal> {
    if caller == PROTOCOL_VERSION {
        Ok(())
    } else {
        Err(Refusal::Version { coordinator: PROTOCOL_VERSION, caller })
    }
}
