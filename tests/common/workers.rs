//! Worker processes for plans that are closures of a test.
//!
//! Closures do not travel, and a plan that is made in the midst of a test function has no name. So an executor is this
//! test program once more, told to run the one test whose plan it is, up to the same call of
//! [`everywhere`](super::everywhere): there it has the plan, and serves it instead of running it. What earlier calls
//! have to give for the test to come that far, they have recorded.

use super::Ran;
use arrow::buffer::Buffer;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::process::{Child, Command};
use windrow::location::Location;
use windrow::plan::Plan;
use windrow::record::mix;
use windrow::storage::Storage;
use windrow::{Cluster, Failure, Flow, Outcome, Result, TaskReplay};
use windrow_coordinator::{Config, Coordinator};
use windrow_protocol::client::Client;
use windrow_protocol::ids::{JobId, ShuffleId, SinkId, StageId, TaskKind};
use windrow_protocol::security::Credentials;
use windrow_protocol::shape::{Cut, LookUp};
use windrow_protocol::task::{TaskOrder, TaskOutput};
use windrow_worker::data_plane::ClientLimits;
use windrow_worker::executor::BuildSide;
use windrow_worker::executor::task::Tasks;
use windrow_worker::executor_process::{self, BlockOut, Careful, Engine, Env, PlanSource, TaskRun};
use windrow_worker::process::{die_with_parent, spawn_from_lasting_thread};
use windrow_worker::supervisor::{
    ExecutorCommand, Supervisor, SupervisorConfig, SupervisorLimits, supervisor_link,
};

/// Set for worker processes to the coordinator's address; empty for their executors.
const COORDINATOR: &str = "WINDROW_TEST_COORDINATOR";
/// Set for workers: the folder for their scratch folders.
const SCRATCH: &str = "WINDROW_TEST_SCRATCH";
/// Set for workers: the test that their executors run.
const TEST: &str = "WINDROW_TEST_NAME";
/// Set for both: the call whose plan it is about.
const CALL: &str = "WINDROW_TEST_CALL";
/// Set for both: the folder for outputs.
const OUTPUT: &str = "WINDROW_TEST_OUTPUT";
/// Set for both, if an executor is to die: a file that is made when one does.
const FAULT: &str = "WINDROW_TEST_FAULT";

/// A call of `everywhere` or its like: the test, and how many there were before in it.
#[derive(Clone, Debug)]
pub(super) struct Call {
    test: String,
    number: usize,
}

impl Call {
    /// The call that is made now. Test runners name the thread of a test as the test.
    pub(super) fn now() -> Call {
        static CALLS: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());
        let test = std::thread::current().name().expect("a test's thread has its name").to_string();
        let mut calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
        let next = calls.entry(test.clone()).or_default();
        *next += 1;
        Call { test, number: *next - 1 }
    }

    /// How many calls there were before in the test.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Where it is recorded what the call has given.
    fn record(&self) -> PathBuf {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("everywhere");
        let test = format!("{}-{}", env!("CARGO_CRATE_NAME"), self.test.replace("::", "-"));
        folder.join(test).join(self.number.to_string())
    }

    /// In an executor: serves the plan if it is that of this call, and does not come back; else what this call has
    /// given before. `None` in the test's own process.
    pub(super) fn in_executor(
        &self,
        plan: impl FnOnce(&Flow, &Location) -> Result<()>,
    ) -> Option<Ran> {
        let wanted: usize = executor_of()?.parse().unwrap();
        if self.number != wanted {
            return Some(Ran::read(&self.record()));
        }
        let output = Location::of_path(variable(OUTPUT)).unwrap();
        let plan = Plan::from_fn("test", |flow| plan(flow, &output)).unwrap();
        let engine = Dying { tasks: Tasks::new(Storage::new()), point: Point::of(self, &plan) };
        let config = executor_process::ExecutorConfig {
            binary: windrow::own_binary().clone(),
            fetch: ClientLimits::default(),
            wanted: executor_process::Wanted::default(),
        };
        let plans = Arc::new(Served(Mutex::new(vec![plan])));
        let code = executor_process::main(plans, Arc::new(engine), config);
        std::process::exit(i32::from(code != ExitCode::SUCCESS));
    }

    /// Records what the call has given.
    pub(super) fn gave(&self, ran: &Ran) {
        ran.write(&self.record());
    }

    /// Runs the plan of this call over so many worker processes. If one executor is to die, one does.
    pub(super) fn run(
        &self,
        workers: usize,
        one_dies: bool,
        output: &Path,
        plan: impl Fn(&Flow) -> Result<()>,
    ) -> Outcome {
        let scratch = tempfile::tempdir().unwrap();
        let fault = scratch.path().join("fault");
        let runtime = Arc::new(tokio::runtime::Runtime::new().unwrap());
        let config = Config { binary: windrow::own_binary().clone(), ..Config::default() };
        let listen = ([127, 0, 0, 1], 0).into();
        let coordinator = runtime.block_on(Coordinator::start(listen, config)).unwrap();
        let address = coordinator.address.to_string();
        let mut processes: Vec<Child> = Vec::new();
        for _ in 0..workers {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command
                .args(["--exact", "common::workers::worker", "--nocapture"])
                .env(COORDINATOR, &address)
                .env(SCRATCH, scratch.path())
                .env(TEST, &self.test)
                .env(CALL, self.number.to_string())
                .env(OUTPUT, output)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .kill_on_drop(true);
            if one_dies {
                command.env(FAULT, &fault);
            }
            die_with_parent(&mut command);
            processes.push(runtime.block_on(spawn_from_lasting_thread(command)).unwrap());
        }
        let cluster = Cluster::connect(&address).unwrap();
        let outcome = cluster.run_plan("test", &plan).unwrap_or_else(|error| {
            panic!("{self:?} over {workers} workers: {error}");
        });
        runtime.block_on(async {
            self.again(&address, scratch.path(), &plan).await;
            coordinator.shut_down().await.unwrap();
            for mut process in processes {
                let ended = tokio::time::timeout(Duration::from_secs(60), process.wait()).await;
                assert!(ended.expect("a worker ends with its coordinator").unwrap().success());
            }
        });
        assert_eq!(fault.exists(), one_dies, "{self:?}: whether an executor died");
        assert!(!one_dies || outcome.summary.retries > 0, "{self:?}: {:?}", outcome.summary);
        outcome
    }
}

impl Call {
    /// Of each stage of the job a task runs again in this process, and makes the same.
    async fn again(&self, address: &str, scratch: &Path, plan: impl Fn(&Flow) -> Result<()>) {
        let client = Client::connect(address, Credentials::off()).await.unwrap();
        let job = JobId(1);
        let record = client.job_record(job).await.unwrap();
        for (stage, tasks) in (0..).map(StageId).zip(&record.tasks) {
            // One that is looked up has none.
            let Some(tasks @ 1..) = *tasks else { continue };
            let planned = || Plan::from_fn("test", &plan).unwrap();
            let replay = TaskReplay {
                client: &client,
                plans: Arc::new(Served(Mutex::new(vec![planned(), planned()]))),
                job,
                stage,
                kind: TaskKind::Compute,
                partition: self.number as u32 % tasks,
                output: None,
                threads: 2,
                memory: 1 << 30,
                scratch: vec![scratch.to_path_buf()],
                tell: &|line| assert!(!line.to_string().contains("note"), "{self:?}: {line}"),
            };
            let replayed = replay.run().await.unwrap_or_else(|error| {
                panic!("{self:?}: stage {stage}: {error}");
            });
            assert!(replayed.made.is_some(), "{self:?}: {}", replayed.attempt);
            let other = replayed.differences();
            assert!(other.is_empty(), "{self:?}: {}: {other:?}", replayed.attempt);
        }
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// In executors: the call whose plan it serves.
fn executor_of() -> Option<String> {
    let coordinator = std::env::var(COORDINATOR).ok()?;
    coordinator.is_empty().then(|| variable(CALL))
}

/// Not a test, but the life of a worker process.
#[test]
fn worker() {
    let Ok(coordinator) = std::env::var(COORDINATOR) else { return };
    let test = variable(TEST);
    let executor = ExecutorCommand {
        program: std::env::current_exe().unwrap(),
        arguments: ["--exact", &test, "--nocapture"].map(Into::into).to_vec(),
        environment: vec![(COORDINATOR.into(), "".into())],
    };
    let listen: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
    // Every other call has much, and the others so little that what is fetched goes to scratch.
    let call: usize = variable(CALL).parse().unwrap();
    let memory = if call % 2 == 1 { 1 << 20 } else { 1 << 30 };
    // In every third one they fetch ahead, since each seems to be on a host of its own.
    let host = if call % 3 == 2 { std::process::id().to_string() } else { "this".to_string() };
    let config = SupervisorConfig {
        host,
        data_listen: listen,
        data_host: listen.ip().to_string(),
        data_port: None,
        credentials: Credentials::off(),
        slots: 1,
        threads: 1,
        memory,
        memory_limit: None,
        labels: Vec::new(),
        scratch: vec![PathBuf::from(variable(SCRATCH))],
        binary: windrow::own_binary().clone(),
        binaries: Some(PathBuf::from(variable(SCRATCH)).join("binaries")),
        confined: None,
        run_as_submitter: false,
        executor,
        die_with_parent: true,
        give_up_after: None,
        limits: SupervisorLimits::default(),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let supervisor =
            Supervisor::start(config, supervisor_link(coordinator, Credentials::off()))
                .await
                .unwrap();
        supervisor.run().await.unwrap();
    });
}

/// A plan for each time that it is asked for.
struct Served(Mutex<Vec<Plan>>);

impl PlanSource for Served {
    fn plan(&self, _: &str, _: &str) -> Result<Plan, Failure> {
        Ok(self.0.lock().unwrap().pop().expect("a plan for each who asks"))
    }
}

/// Where an executor dies: in the first task of a stage, or of one behind it.
#[derive(Clone)]
struct Point {
    stage: usize,
    when: When,
    fault: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    Begin,
    BehindALane,
    End,
}

impl Point {
    /// Each call has another one. `None` where nobody is to die.
    fn of(call: &Call, plan: &Plan) -> Option<Point> {
        let fault = PathBuf::from(std::env::var_os(FAULT)?);
        let seed = call.test.bytes().fold(call.number as u64, |seed, byte| mix(seed, byte.into()));
        let when = [When::Begin, When::BehindALane, When::End][seed as usize % 3];
        Some(Point { stage: (seed >> 8) as usize % plan.stages().len(), when, fault })
    }

    /// Dies here, if nobody has died yet.
    fn reached(&self) {
        let new = std::fs::OpenOptions::new().write(true).create_new(true).open(&self.fault);
        if new.is_ok() {
            std::process::abort();
        }
    }
}

/// Runs tasks, and dies of it.
struct Dying {
    tasks: Tasks,
    point: Option<Point>,
}

impl Engine for Dying {
    fn start(
        &self,
        plan: &Arc<Plan>,
        order: &TaskOrder,
        careful: Option<Careful>,
        sides: &[(ShuffleId, BuildSide)],
        env: &Env,
    ) -> Result<Arc<dyn TaskRun>, Failure> {
        let run = self.tasks.start(plan, order, careful, sides, env)?;
        let stage = order.attempt.task.stage.0 as usize;
        let point = self.point.clone().filter(|point| stage >= point.stage);
        Ok(Arc::new(DyingRun { run, point, lanes: AtomicUsize::new(0) }))
    }

    fn build_side(
        &self,
        plan: &Plan,
        lookup: LookUp,
        cut: Cut,
        blocks: Vec<Vec<Buffer>>,
        env: &Env,
    ) -> Result<BuildSide, Failure> {
        self.tasks.build_side(plan, lookup, cut, blocks, env)
    }

    fn split(
        &self,
        plan: &Arc<Plan>,
        order: &TaskOrder,
        env: &Env,
    ) -> Result<Vec<windrow::source::Split>, Failure> {
        self.tasks.split(plan, order, env)
    }

    fn commit(
        &self,
        plan: &Arc<Plan>,
        order: &TaskOrder,
        env: &Env,
    ) -> Result<Vec<(SinkId, String)>, Failure> {
        self.tasks.commit(plan, order, env)
    }

    fn abort(&self, plan: &Plan, env: &Env) -> Result<(), Failure> {
        self.tasks.abort(plan, env)
    }
}

struct DyingRun {
    run: Arc<dyn TaskRun>,
    point: Option<Point>,
    lanes: AtomicUsize,
}

impl DyingRun {
    fn reached(&self, when: When) {
        if let Some(point) = self.point.as_ref().filter(|point| point.when == when) {
            point.reached();
        }
    }
}

impl TaskRun for DyingRun {
    fn lanes(&self) -> u32 {
        self.run.lanes()
    }

    fn bucket(&self, lane: u32) -> Option<u32> {
        self.run.bucket(lane)
    }

    fn run_lane(&self, lane: u32, blocks: Option<Vec<Vec<Buffer>>>) -> Result<(), Failure> {
        if self.lanes.fetch_add(1, Ordering::Relaxed) == 0 {
            self.reached(When::Begin);
        }
        self.run.run_lane(lane, blocks)?;
        self.reached(When::BehindALane);
        Ok(())
    }

    fn finish(self: Arc<Self>, blocks: &mut dyn BlockOut) -> Result<TaskOutput, Failure> {
        let output = self.run.clone().finish(blocks)?;
        self.reached(When::End);
        Ok(output)
    }

    fn cancel(&self) {
        self.run.cancel();
    }

    fn records(&self) -> u64 {
        self.run.records()
    }
}
