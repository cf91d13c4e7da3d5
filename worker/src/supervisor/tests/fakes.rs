//! A coordinator without decisions, and an engine whose tasks do what their partition's number says.

use super::super::*;
use crate::executor::BuildSide;
use crate::executor_process::{
    self, BlockOut, Careful, Engine, Env, ExecutorConfig, PlanSource, TaskRun,
};
use arrow::buffer::Buffer;
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use tokio::sync::Notify;
use windrow_datasets::source::Split;
use windrow_jobs::Flow;
use windrow_jobs::plan::Plan;
use windrow_protocol::binary::{BinaryContent, BinarySource, PIECE_BYTES};
use windrow_protocol::control::{
    AttemptEnd, BlockPage, CertificateOf, Issued, JobOptions, JobSpec, Refusal, Term,
};
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::{
    AttemptId, CollectId, JobId, LaneRange, Round, ShuffleId, SinkId, StageId, TaskId, TaskKind,
};
use windrow_protocol::parts::BucketSizes;
use windrow_protocol::shape::{Cut, LookUp};
use windrow_protocol::task::{ShuffleOutput, TaskInput, TaskOrder, TaskOutput, Work};

/// Tasks of stage 0 with this partition go on for ever, whatever they are told.
pub(super) const LOOPS: u32 = 1000;
/// These end their process by an abort.
pub(super) const ABORTS: u32 = 1001;
/// These panic.
pub(super) const PANICS: u32 = 1002;
/// These go on until they are told to stop.
pub(super) const WAITS: u32 = 1003;
/// These collect the number of their process.
pub(super) const COLLECTS_PID: u32 = 1004;

/// The variable with the folder in which aborts leave a file.
pub(super) const ABORTED_VAR: &str = "WINDROW_TEST_ABORTED";

/// The number of buckets.
pub(super) const BUCKETS: u32 = 6;

pub(super) fn plan() -> Plan {
    Plan::from_fn("fake", |flow: &Flow| flow.from_iter([(1u32, 1u64)]).sum_by_key().collect("sums"))
        .unwrap()
}

pub(super) fn binary() -> BinaryId {
    BinaryId { build: "cafe".into(), name: "tests".into() }
}

pub(super) fn attempt(job: u64, stage: u32, partition: u32, number: u32) -> AttemptId {
    let task = TaskId {
        job: JobId(job),
        stage: StageId(stage),
        round: Round(0),
        kind: TaskKind::Compute,
        partition,
    };
    AttemptId { task, number }
}

fn compute(input: TaskInput) -> Work {
    Work::Compute { input, cuts: Vec::new(), whole_inputs: Vec::new(), lookups: Vec::new() }
}

pub(super) fn map(job: u64, partition: u32) -> TaskOrder {
    let input = TaskInput::Splits(Vec::new());
    let work = compute(input);
    TaskOrder { attempt: attempt(job, 0, partition, 0), lanes: LaneRange::ALL, work }
}

pub(super) fn reduce(job: u64, buckets: Vec<u32>) -> TaskOrder {
    let cut = Cut { buckets: BUCKETS, partitions: 1 };
    let input = TaskInput::Buckets { cut, buckets, piece: None };
    let work = compute(input);
    TaskOrder { attempt: attempt(job, 1, 0, 0), lanes: LaneRange::ALL, work }
}

/// A block: large enough that a window holds a few of them.
pub(super) fn block(partition: u32, bucket: u32) -> Vec<u8> {
    vec![(partition * 16 + bucket) as u8; if bucket == 2 { 3 << 20 } else { 700 }]
}

/// The engine in the executor process.
struct FakeEngine;

struct FakeRun {
    attempt: AttemptId,
    buckets: Option<Vec<u32>>,
    read: Mutex<Vec<u8>>,
    stopped: AtomicBool,
}

impl Engine for FakeEngine {
    fn start(
        &self,
        _: &Arc<Plan>,
        order: &TaskOrder,
        _: Option<Careful>,
        _: &[(ShuffleId, BuildSide)],
        _: &Env,
    ) -> Result<Arc<dyn TaskRun>, Failure> {
        let buckets = match &order.work {
            Work::Compute { input: TaskInput::Buckets { buckets, .. }, .. } => {
                Some(buckets.clone())
            }
            _ => None,
        };
        let read = Mutex::default();
        let stopped = AtomicBool::new(false);
        Ok(Arc::new(FakeRun { attempt: order.attempt, buckets, read, stopped }))
    }

    fn build_side(
        &self,
        _: &Plan,
        _: LookUp,
        _: Cut,
        _: Vec<Vec<Buffer>>,
        _: &Env,
    ) -> Result<BuildSide, Failure> {
        Err(Failure::new(FailureClass::Internal, "nothing is looked up"))
    }

    fn split(&self, _: &Arc<Plan>, _: &TaskOrder, _: &Env) -> Result<Vec<Split>, Failure> {
        Ok(vec![Split { payload: vec![7], bytes: 1, lanes: 1, hosts: Vec::new() }])
    }

    fn commit(
        &self,
        _: &Arc<Plan>,
        _: &TaskOrder,
        _: &Env,
    ) -> Result<Vec<(SinkId, String)>, Failure> {
        Err(Failure::new(FailureClass::Storage, "no commit"))
    }

    /// Leaves a file, whose name says what the job's short id was.
    fn abort(&self, _: &Plan, env: &Env) -> Result<(), Failure> {
        let folder = std::env::var(ABORTED_VAR)
            .map_err(|_| Failure::new(FailureClass::Internal, "an abort that nobody expects"))?;
        let file = std::path::Path::new(&folder).join(&env.options.short_id);
        std::fs::write(file, "")
            .map_err(|error| Failure::new(FailureClass::Storage, error.to_string()))
    }
}

impl TaskRun for FakeRun {
    fn lanes(&self) -> u32 {
        self.buckets.as_ref().map_or(2, |buckets| buckets.len() as u32)
    }

    fn bucket(&self, lane: u32) -> Option<u32> {
        self.buckets.as_ref().map(|buckets| buckets[lane as usize])
    }

    fn run_lane(&self, _: u32, blocks: Option<Vec<Vec<Buffer>>>) -> Result<(), Failure> {
        if let Some(blocks) = blocks {
            let mut read = self.read.lock().unwrap();
            for block in blocks.iter().flatten() {
                // The first and last bytes, and the length, tell blocks apart.
                read.extend([block[0], block[block.len() - 1], (block.len() >> 8) as u8]);
            }
            return Ok(());
        }
        match self.attempt.task.partition {
            LOOPS => loop {
                std::hint::spin_loop();
            },
            ABORTS => std::process::abort(),
            PANICS => panic!("as it should"),
            WAITS => {
                while !self.stopped.load(Ordering::SeqCst) {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                Err(Failure::new(FailureClass::Internal, "stopped"))
            }
            _ => Ok(()),
        }
    }

    fn finish(self: Arc<Self>, blocks: &mut dyn BlockOut) -> Result<TaskOutput, Failure> {
        let mut output = TaskOutput::default();
        let partition = self.attempt.task.partition;
        if self.buckets.is_some() {
            output.collected = vec![(CollectId(0), self.read.lock().unwrap().clone())];
        } else if partition == COLLECTS_PID {
            let pid = std::process::id().to_le_bytes().to_vec();
            output.collected = vec![(CollectId(0), pid)];
        } else {
            blocks.begin(ShuffleId(0), BUCKETS);
            for bucket in 0..BUCKETS {
                blocks.bucket(bucket, &block(partition, bucket)).unwrap();
            }
            let bytes = blocks.end().unwrap();
            let (shuffle, stage) = (ShuffleId(0), StageId(0));
            output.shuffles = vec![ShuffleOutput {
                shuffle,
                stage,
                rows: 0,
                bytes,
                encoded: 0,
                sizes: BucketSizes::default(),
                content: 0,
            }];
        }
        Ok(output)
    }

    fn cancel(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }
}

struct FakePlans;

impl PlanSource for FakePlans {
    fn plan(&self, name: &str, _: &str) -> Result<Plan, Failure> {
        assert_ne!(name, "panics", "a plan function that panics");
        Ok(plan())
    }
}

/// The life of an executor process, which is this test binary.
pub(super) fn executor() -> std::process::ExitCode {
    let (fetch, wanted) = Default::default();
    let config = ExecutorConfig { binary: binary(), fetch, wanted };
    executor_process::main(Arc::new(FakePlans), Arc::new(FakeEngine), config)
}

/// A coordinator that hands out what the test gives it, and remembers what it is told.
#[derive(Clone, Default)]
pub(super) struct Fake(Arc<(Mutex<Told>, Notify)>);

#[derive(Default)]
pub(super) struct Told {
    pub(super) hellos: Vec<WorkerHello>,
    pub(super) gone: Vec<u128>,
    pub(super) answer: PollAnswer,
    pub(super) ends: HashMap<AttemptId, AttemptEnd>,
    /// How often each end was told.
    pub(super) times: HashMap<AttemptId, u32>,
    pub(super) polls: u64,
    pub(super) progress: u64,
    pub(super) replicated: Vec<(AttemptId, bool)>,
    pub(super) absent: bool,
    pub(super) draining: bool,
    /// Answers that get lost on the way, after what was told has come.
    pub(super) lose: u32,
    pub(super) pages: Vec<BlockPage>,
    /// Who answers.
    pub(super) term: Term,
    pub(super) spec: Option<JobSpec>,
    /// The job's binary, where it can be read, one place for each who asks, and its bytes.
    pub(super) binary: Option<BinaryContent>,
    pub(super) sources: VecDeque<BinarySource>,
    pub(super) binary_bytes: Vec<u8>,
    /// What was told of binaries.
    pub(super) fetched: Vec<bool>,
}

impl Fake {
    pub(super) fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.0.lock().unwrap()
    }

    /// Changes what the next answer says, and sends it.
    pub(super) fn tell(&self, change: impl FnOnce(&mut PollAnswer)) {
        change(&mut self.lock().answer);
        self.0.1.notify_waiters();
    }

    pub(super) fn assign(&self, orders: impl IntoIterator<Item = TaskOrder>) {
        self.tell(|answer| answer.assigned.extend(orders));
    }

    /// Waits until something is so, and says what it is.
    pub(super) async fn until<T>(
        &self,
        what: &str,
        mut so: impl FnMut(&mut Told) -> Option<T>,
    ) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = so(&mut self.lock()) {
                return found;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "waited for {what}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(super) async fn end(&self, attempt: AttemptId) -> Result<TaskOutput, Failure> {
        let what = format!("the end of {attempt}");
        self.until(&what, |told| told.ends.get(&attempt).map(|end| end.result.clone())).await
    }
}

impl Control for Fake {
    async fn register(
        &self,
        hello: WorkerHello,
        _: Vec<String>,
    ) -> Result<Registered, ControlError> {
        let mut told = self.lock();
        if told.absent {
            return Err(ControlError::Unreachable("absent".into()));
        }
        told.hellos.push(hello);
        let worker = WorkerId(told.hellos.len() as u64);
        Ok(Registered { worker, lease_ms: 3000, term: told.term })
    }

    async fn gone(&self, tokens: Vec<u128>) -> Result<(), ControlError> {
        self.lock().gone.extend(tokens);
        Ok(())
    }

    async fn certify(&self, _: Vec<u8>, _: CertificateOf) -> Result<Issued, ControlError> {
        Err(Refusal::CertifiesNobody.into())
    }

    async fn job_binary(&self, _: JobId) -> Result<Option<BinaryContent>, ControlError> {
        Ok(self.lock().binary)
    }

    async fn binary_source(
        &self,
        _: WorkerId,
        _: BinaryContent,
    ) -> Result<BinarySource, ControlError> {
        Ok(self.lock().sources.pop_front().unwrap_or(BinarySource::NotYet))
    }

    async fn binary_piece(&self, _: BinaryContent, piece: u32) -> Result<Bytes, ControlError> {
        let told = self.lock();
        let mut pieces = told.binary_bytes.chunks(PIECE_BYTES as usize);
        Ok(Bytes::copy_from_slice(pieces.nth(piece as usize).unwrap_or_default()))
    }

    async fn binary_fetched(
        &self,
        _: WorkerId,
        _: BinaryContent,
        is_here: bool,
    ) -> Result<(), ControlError> {
        self.lock().fetched.push(is_here);
        Ok(())
    }

    fn connect_anew(&self) {}

    async fn poll(&self, worker: WorkerId, poll: Poll) -> Result<PollAnswer, ControlError> {
        let until = Instant::now() + Duration::from_millis(poll.wait_ms.into());
        let ended_seen = poll.ended.len() as u32;
        {
            let mut told = self.lock();
            if told.absent {
                return Err(ControlError::Unreachable("absent".into()));
            }
            told.polls += 1;
            told.progress += poll.progress.len() as u64;
            told.draining |= poll.draining;
            told.replicated.extend(poll.replicated);
            for end in poll.ended {
                *told.times.entry(end.attempt).or_default() += 1;
                told.ends.insert(end.attempt, end);
            }
            if ended_seen > 0 && told.lose > 0 {
                told.lose -= 1;
                return Err(ControlError::Unreachable("the answer is lost".into()));
            }
        }
        loop {
            let notified = self.0.1.notified();
            {
                let mut told = self.lock();
                let current = worker.0 == told.hellos.len() as u64;
                if told.answer != PollAnswer::default() || Instant::now() >= until || !current {
                    let number = told.polls;
                    let answer = std::mem::take(&mut told.answer);
                    return Ok(PollAnswer { number, ended_seen, term: told.term, ..answer });
                }
            }
            tokio::select! {
                () = notified => {}
                () = tokio::time::sleep_until(until.into()) => {}
            }
        }
    }

    async fn job_spec(&self, job: JobId) -> Result<JobSpec, ControlError> {
        let default = JobSpec {
            name: "fake".into(),
            arguments: "{}".into(),
            options: JobOptions::default(),
            binary: binary(),
            fingerprint: executor_process::fingerprint(&plan()),
            submitter: String::new(),
        };
        if job == JobId(404) {
            return Err(Refusal::NoJob(job).into());
        }
        Ok(self.lock().spec.clone().unwrap_or(default))
    }

    async fn blocks(&self, _: JobId, _: ShuffleId, from: u32) -> Result<BlockPage, ControlError> {
        let told = self.lock();
        let mut before = 0;
        for page in &told.pages {
            if before == from {
                return Ok(page.clone());
            }
            before += page.outputs.len() as u32;
        }
        let empty = told.pages.first().map(|page| BlockPage {
            version: page.version,
            complete: page.complete,
            ..BlockPage::default()
        });
        Ok(empty.unwrap_or_default())
    }
}
