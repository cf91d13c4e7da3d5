//! The executor process: one for each job of a worker.
//!
//! This is its shell, the side that waits: it takes orders from its supervisor over a socket, fetches blocks, has lanes
//! run on a rayon pool, and tells how attempts ended. Plans come from a [`PlanSource`], and the lanes are those of an
//! [`Engine`].

mod attempt;
mod careful;
mod compute;
mod lanes;
mod log;
mod output;
mod places;
mod run;
mod sides;
mod window;

pub(crate) use careful::read_note;
pub use careful::{Careful, CarefulLane};
pub use compute::note_places_of_panics;
pub use log::AttemptLogs;
pub use run::{BlockOut, Engine, Env, PlanSource, TaskRun};

use crate::blocks::{BlockFolders, OpenFiles};
use crate::data_plane::{BlockClient, ClientLimits};
use crate::frames::{self, Reader, Writer};
use crate::process;
use attempt::Handle;
use compute::compute;
use places::Fetcher;
use sides::Sides;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use windrow_datasets::codec::Choice;
use windrow_datasets::memory::Budget;
use windrow_datasets::scan::Scan;
use windrow_datasets::spill::Spills;
use windrow_datasets::storage::Traffic;
use windrow_jobs::plan::{Plan, Root};
use windrow_jobs::shuffle::Memory;
use windrow_protocol::control::{BinaryId, GiveUp};
use windrow_protocol::executor::{BlockPlaces, ExecutorStart, FromExecutor, ToExecutor};
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::{AttemptId, ShuffleId};
use windrow_protocol::security::Credentials;
use windrow_protocol::task::TaskOrder;

/// The least room for blocks that were fetched ahead, for each attempt, in bytes.
const WINDOW_MIN: u64 = 8 << 20;

/// What a byte takes over a link to another host before that was measured, in picoseconds: 1 Gbit/s.
const LINK_BEFORE_MEASURED: u64 = 8_000;

/// How an executor behaves, apart from what its supervisor tells it.
#[derive(Clone, Debug)]
pub struct ExecutorConfig {
    /// The code of this process.
    pub binary: BinaryId,
    /// How blocks are fetched.
    pub fetch: ClientLimits,
    /// By shuffle: the buckets that are written of it, where that is not all.
    pub wanted: Wanted,
}

/// By shuffle: some of its buckets.
pub type Wanted = BTreeMap<ShuffleId, BTreeSet<u32>>;

/// What a plan is, as a number: equal in all processes that have the same plan.
pub fn fingerprint(plan: &Plan) -> u64 {
    rapidhash::v3::rapidhash_v3(plan.outline().as_bytes())
}

/// The whole life of an executor process: takes the socket that the process inherited, and serves its supervisor until
/// that says stop or is gone. Attempts that run then end with the process.
///
/// Installs a panic hook, in front of the one there is.
pub fn main(
    plans: Arc<dyn PlanSource>,
    engine: Arc<dyn Engine>,
    config: ExecutorConfig,
) -> ExitCode {
    compute::note_places_of_panics();
    let served = process::inherited_socket().and_then(|socket| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("windrow-waiting")
            .enable_all()
            .build()?;
        let served = runtime
            .block_on(async { serve(UnixStream::from_std(socket)?, plans, engine, config).await });
        // Threads that still compute end with the process.
        runtime.shutdown_background();
        served
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the executor ends");
            ExitCode::FAILURE
        }
    }
}

/// Serves a supervisor until it says stop or is gone; attempts that still run are told to stop, and not waited for.
///
/// # Errors
/// If the socket fails, or what comes over it makes no sense.
pub async fn serve(
    mut socket: UnixStream,
    plans: Arc<dyn PlanSource>,
    engine: Arc<dyn Engine>,
    config: ExecutorConfig,
) -> io::Result<()> {
    frames::greet(&mut socket).await?;
    let (mut reader, mut writer) = frames::split(socket);
    let start = match reader.next().await? {
        Some(ToExecutor::Start(start)) => *start,
        Some(other) => return Err(io::Error::other(format!("{other:?} before the start"))),
        None => return Ok(()),
    };
    let (out, notes) = mpsc::channel(256);
    let executor = match Executor::new(start, plans, engine, config, out).await {
        Ok(executor) => Arc::new(executor),
        Err(failure) => {
            writer.feed(&FromExecutor::Refused(failure)).await?;
            return writer.flush().await;
        }
    };
    let fingerprint = executor.start().spec.fingerprint;
    let ready = FromExecutor::Ready { fingerprint, inputs: executor.inputs.clone() };
    writer.feed(&ready).await?;
    writer.flush().await?;
    let telling = tokio::spawn(tell(writer, notes));
    let served = executor.clone().take_orders(&mut reader).await;
    executor.stop_all();
    telling.abort();
    served
}

/// What is to be told.
struct Note(FromExecutor);

/// Sends what attempts tell; several at once, if they are there.
async fn tell(mut writer: Writer, mut notes: mpsc::Receiver<Note>) -> io::Result<()> {
    while let Some(Note(message)) = notes.recv().await {
        writer.feed(&message).await?;
        while let Ok(Note(message)) = notes.try_recv() {
            writer.feed(&message).await?;
        }
        writer.flush().await?;
    }
    Ok(())
}

/// An executor that has its plan.
struct Executor {
    engine: Arc<dyn Engine>,
    plan: Arc<Plan>,
    env: Arc<Env>,
    pool: rayon::ThreadPool,
    fetcher: Arc<Fetcher>,
    /// What is written of shuffles, where that is not all.
    wanted: Wanted,
    /// What rows are looked up in.
    sides: Sides,
    /// Bytes of blocks that an attempt may have fetched ahead.
    window: u64,
    /// For each stage the shuffles that it reads.
    inputs: Vec<Vec<ShuffleId>>,
    attempts: Mutex<HashMap<AttemptId, Arc<Handle>>>,
    /// What of the traffic, of what was read and left out, and of what was spilled was told with attempts that ended.
    told: Mutex<(Traffic, Scan, u64)>,
    out: mpsc::Sender<Note>,
}

impl Executor {
    /// What went to and from object stores, what sources read and left out, and the bytes that were spilled, since this
    /// was asked last.
    fn untold(&self) -> (Traffic, Scan, u64) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (traffic, scan) = (self.engine.traffic(), self.engine.scan());
        let spilled = self.env.memory.spills.written();
        let before = std::mem::replace(&mut *told, (traffic, scan, spilled));
        (traffic.since(before.0), scan.since(before.1), spilled - before.2)
    }

    /// Plans the job, and compares it with what it should be.
    async fn new(
        start: ExecutorStart,
        plans: Arc<dyn PlanSource>,
        engine: Arc<dyn Engine>,
        config: ExecutorConfig,
        out: mpsc::Sender<Note>,
    ) -> Result<Executor, Failure> {
        let ExecutorStart { spec, .. } = &start;
        if spec.binary.build != config.binary.build {
            let text = format!(
                "job `{}` is of {} with build id {}, and the worker runs {} with build id {}: start workers with the binary that submits the job",
                spec.name,
                spec.binary.name,
                spec.binary.build,
                config.binary.name,
                config.binary.build
            );
            return Err(Failure::new(FailureClass::WrongBinary, text));
        }
        let threads = start.threads.max(1) as usize;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|number| format!("windrow-compute-{number}"))
            .build()
            .map_err(|error| {
                let text = format!("cannot start {threads} compute threads: {error}");
                Failure::new(FailureClass::LostWorker, text)
            })?;
        let (name, arguments) = (spec.name.clone(), spec.arguments.clone());
        let plan = compute(&pool, move || plans.plan(&name, &arguments)).await?;
        let here = fingerprint(&plan);
        if here != spec.fingerprint {
            let text = format!(
                "the plan of job `{}` with arguments {} is another one on the worker (fingerprint {here:016x}) than where it was submitted ({:016x}), though both run build {}: a plan function must depend on nothing but its arguments, on no file, clock or environment",
                spec.name, spec.arguments, spec.fingerprint, config.binary.build
            );
            return Err(Failure::new(FailureClass::WrongBinary, text));
        }
        for folder in start.scratch.iter().chain(&start.blocks) {
            std::fs::create_dir_all(folder).map_err(|error| {
                let text = format!("cannot make the scratch folder {folder}: {error}");
                Failure::new(FailureClass::Memory, text)
            })?;
        }
        let choice = Choice::default();
        if !start.peers_are_here {
            choice.set_link(LINK_BEFORE_MEASURED);
        }
        let env = Env {
            choice: choice.clone(),
            job: start.job,
            options: spec.options.clone(),
            threads,
            memory: Memory {
                budget: Budget::of_process(start.memory),
                spills: Spills::to(start.scratch.iter().map(PathBuf::from).collect()),
            },
        };
        engine.begin(&env);
        let credentials = start.credentials.clone().map(Credentials::given).transpose();
        let credentials = credentials.map_err(|error| {
            Failure::new(FailureClass::Internal, format!("what secures the executor: {error}"))
        })?;
        Ok(Executor {
            engine,
            inputs: inputs(&plan),
            plan: Arc::new(plan),
            env: Arc::new(env),
            pool,
            window: (start.memory / 8 / threads as u64).max(WINDOW_MIN),
            fetcher: Arc::new(Fetcher {
                client: BlockClient::new(config.fetch, choice, credentials.unwrap_or_default()),
                folders: BlockFolders::new(start.blocks.iter().map(PathBuf::from)),
                files: Arc::new(OpenFiles::new(128)),
                copied: AtomicU64::new(0),
                start,
            }),
            wanted: config.wanted,
            sides: Sides::default(),
            attempts: Mutex::default(),
            told: Mutex::default(),
            out,
        })
    }

    fn start(&self) -> &ExecutorStart {
        &self.fetcher.start
    }

    /// Takes orders until the supervisor says stop or is gone.
    async fn take_orders(self: Arc<Self>, reader: &mut Reader) -> io::Result<()> {
        let mut places: HashMap<ShuffleId, Arc<BlockPlaces>> = HashMap::new();
        while let Some(message) = reader.next().await? {
            match message {
                ToExecutor::Start(_) => return Err(io::Error::other("a second start")),
                ToExecutor::Blocks(of_shuffle) => {
                    places.insert(of_shuffle.shuffle, Arc::new(of_shuffle));
                }
                ToExecutor::Run(order) => self.clone().run(*order, None, &places),
                ToExecutor::RunCarefully { order, note, fatal } => {
                    let careful = Careful::new(Path::new(&note), &fatal)?;
                    self.clone().run(*order, Some(careful), &places);
                }
                ToExecutor::Cancel(attempt) => {
                    if let Some(handle) = self.lock().get(&attempt) {
                        handle.stop();
                    }
                }
                ToExecutor::GiveUp(GiveUp { attempt, keep_permille }) => {
                    let handle = self.lock().get(&attempt).cloned();
                    if let Some(progress) = handle.and_then(|of| of.give_up(keep_permille)) {
                        // If there is no room, it is told with the next lane.
                        let _ = self.out.try_send(Note(FromExecutor::Progress(attempt, progress)));
                    }
                }
                ToExecutor::Abort => {
                    tokio::spawn(self.clone().abort());
                }
                ToExecutor::Stop => return Ok(()),
            }
        }
        Ok(())
    }

    async fn abort(self: Arc<Self>) {
        let (engine, plan, env) = (self.engine.clone(), self.plan.clone(), self.env.clone());
        let done = compute(&self.pool, move || engine.abort(&plan, &env)).await;
        // Without a supervisor nobody wants to know.
        let _ = self.out.send(Note(FromExecutor::Aborted(done))).await;
    }

    fn run(
        self: Arc<Self>,
        order: TaskOrder,
        careful: Option<Careful>,
        places: &HashMap<ShuffleId, Arc<BlockPlaces>>,
    ) {
        let stage = order.attempt.task.stage;
        let of_root = self.inputs.get(stage.0 as usize).into_iter().flatten().copied();
        let inputs = of_root.chain(order.tables()).map(|shuffle| {
            places.get(&shuffle).cloned().ok_or_else(|| {
                let text = format!("nobody said where the blocks of shuffle {} are", shuffle.0);
                Failure::new(FailureClass::Internal, text)
            })
        });
        let inputs = inputs.collect();
        let handle = Arc::new(Handle::default());
        self.lock().insert(order.attempt, handle.clone());
        tokio::spawn(attempt::run(self, order, careful, inputs, handle));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<AttemptId, Arc<Handle>>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self, attempt: AttemptId) {
        self.lock().remove(&attempt);
    }

    fn stop_all(&self) {
        let all: Vec<Arc<Handle>> = self.lock().values().cloned().collect();
        all.iter().for_each(|handle| handle.stop());
    }
}

/// For each stage the shuffles that it reads.
fn inputs(plan: &Plan) -> Vec<Vec<ShuffleId>> {
    let of_root = |root: &Root| match root {
        Root::Source { .. } => Vec::new(),
        Root::Shuffles(shuffles) => shuffles.iter().copied().map(ShuffleId).collect(),
    };
    plan.stages().iter().map(|stage| of_root(&stage.root)).collect()
}
