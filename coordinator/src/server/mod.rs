//! The coordinator's server: it drives the scheduler, tells workers and clients, and keeps what is needed to do so.
//!
//! `core` has the state and turns calls into events, `apply` does what outcomes say, `orders` builds what workers are
//! told, `outbox` keeps it until they have seen it; `binaries` has those of jobs; `replay` tells what is kept of tasks; `scaling` has the number of workers follow the work; `service` is the tarpc side, `bus` tells what happens.

mod apply;
mod binaries;
mod bus;
mod config;
mod core;
mod job;
mod limits;
mod news;
mod orders;
mod outbox;
mod pages;
mod poll;
mod queues;
mod records;
mod recovery;
mod replay;
mod scaling;
mod service;
mod snapshot;
mod waiting;
mod worker;

pub use config::Config;
pub use scaling::Scaling;

pub(crate) use self::core::Core;
use self::core::EndedHistories;
pub(crate) use job::Job;
pub(crate) use service::Service;
pub(crate) use worker::Standing;

use crate::http::{serve_http, tell_ends};
use crate::journal::{Home, Journal, JournalError};
use crate::scheduler::Millis;
use crate::standby;
use binaries::Store;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use windrow_protocol::control::Coordinator as _;
use windrow_protocol::security::{Credentials, Gate, Identity, may_be_unsecured};
use windrow_protocol::transport::{serve, serve_connection, serve_secured};

/// Connections that wait to be taken.
const BACKLOG: u32 = 1024;

/// Workers are given so long to learn that the coordinator ends.
const TELL_END: Duration = Duration::from_secs(2);

/// So many programs make plans for those who ask over HTTP at once.
const SUBMITTING: usize = 4;

/// How often it is looked whether they have.
const TELL_END_LOOK: Duration = Duration::from_millis(10);

/// How often it is looked whether certificates or tokens have changed.
const GATE_LOOK: Duration = Duration::from_secs(1);

/// Why a coordinator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process listens there.
    #[error(
        "port {} is in use on {}: is a coordinator running there already? End it, or choose another port with `--listen`",
        .0.port(), .0.ip()
    )]
    PortInUse(SocketAddr),
    /// It cannot listen there.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Others could connect.
    #[error(
        "{0} can be reached from other machines: `--security FOLDER` is needed (`windrow cluster init` makes one), or a `--listen` on 127.0.0.1"
    )]
    Unsecured(SocketAddr),
    /// The journal in its state folder cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What the calls share.
#[derive(Debug)]
pub(crate) struct Shared {
    core: Mutex<Core>,
    started: Instant,
    /// The time then: that of the last coordinator goes on.
    base: Millis,
    /// That of the core, if there is one.
    journal: Option<Arc<Journal>>,
    /// The binaries of jobs.
    binaries: Arc<Store>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// So many jobs may be submitted over HTTP at once.
    pub(crate) submitting: Semaphore,
    /// So many jobs may be explained at once.
    explaining: Semaphore,
    /// Who is let in; without one, who can connect.
    gate: Option<Arc<Gate>>,
    /// Whether somebody wants the coordinator to end, and how.
    end: watch::Sender<End>,
}

/// How a coordinator ends.
#[derive(Clone, Debug)]
enum End {
    /// Not yet.
    No,
    /// Its process ends; another one goes on with its journal.
    Process,
    /// Jobs are cancelled, and workers end.
    Cluster,
    /// It cannot keep what it decides: nobody is told anything any more.
    Failed(JournalError),
}

impl Shared {
    /// Since it started, in seconds.
    pub(crate) fn uptime(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// The time of the day, in milliseconds since 1970: for people, and nothing is decided by it.
    #[allow(clippy::disallowed_methods, reason = "the driver is what reads the clock")]
    pub(crate) fn unix_ms(&self) -> u64 {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        unix.as_millis() as u64
    }

    /// The one clock of the coordinator.
    fn now(&self) -> Millis {
        self.base.plus(self.started.elapsed().as_millis() as u64)
    }

    /// Somebody wants the end, or it has to be; what was wanted first counts.
    fn end(&self, how: End) {
        self.end.send_if_modified(|end| {
            let is_first = matches!(end, End::No);
            if is_first {
                *end = how;
            }
            is_first
        });
    }
}

/// A port of this machine that this process has, and nobody else.
struct Port {
    at: SocketAddr,
    socket: TcpSocket,
}

impl Port {
    fn failed(at: SocketAddr, source: io::Error) -> StartError {
        match source.kind() {
            io::ErrorKind::AddrInUse => StartError::PortInUse(at),
            _ => StartError::Listen { address: at, source },
        }
    }

    fn take(at: SocketAddr, is_secured: bool) -> Result<Port, StartError> {
        if !is_secured && !may_be_unsecured(at) {
            return Err(StartError::Unsecured(at));
        }
        let take = || {
            let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            socket.set_reuseaddr(true)?;
            socket.bind(at).map(|()| socket)
        };
        let socket = take().map_err(|error| Port::failed(at, error))?;
        Ok(Port { at, socket })
    }

    /// Listens there from now on.
    fn listen(self) -> Result<(TcpListener, SocketAddr), StartError> {
        let Port { at, socket } = self;
        let listen = || {
            let listener = socket.listen(BACKLOG)?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        listen().map_err(|error| Port::failed(at, error))
    }
}

/// A coordinator.
#[derive(Debug)]
pub struct Coordinator;

impl Coordinator {
    /// Starts a coordinator that listens on `listen` (port 0 chooses one). It runs on the current tokio runtime. With a
    /// [state folder](Config::state) it goes on with the jobs of the one that had it before.
    ///
    /// # Errors
    /// It cannot listen there, or cannot have or read the folder.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn start(listen: SocketAddr, config: Config) -> Result<Running, StartError> {
        if let Some(home) = &config.state {
            standby::refuse_if_led(home, Duration::from_millis(config.gone_after_ms)).await?;
        }
        Coordinator::start_now(listen, config).await
    }

    async fn start_now(listen: SocketAddr, config: Config) -> Result<Running, StartError> {
        // It has the ports from now on, and listens once it leads.
        let port = Port::take(listen, config.gate.is_some())?;
        let http = config.http.map(|at| Port::take(at, config.gate.is_some())).transpose()?;
        #[allow(clippy::disallowed_methods, reason = "the driver is what reads the clock")]
        let started = Instant::now();
        let (end, _) = watch::channel(End::No);
        let gone_after = Duration::from_millis(config.gone_after_ms);
        let gate = config.gate.clone();
        let leads = match &config.state {
            Some(Home::Objects(objects)) => Some(objects.clone()),
            _ => None,
        };
        let binaries = Arc::new(Store::beside(config.state.as_ref()));
        // It reads from the disk or the network.
        let recovered = spawn_blocking(move || match config.state.clone() {
            Some(home) => Core::recover(config, &home),
            None => Ok((Core::new(config), Millis(0))),
        });
        let recovered =
            recovered.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        let (core, base) = recovered?;
        let (listener, address) = port.listen()?;
        let http = http.map(Port::listen).transpose()?;
        let journal = core.journal.clone();
        let shared = Arc::new(Shared {
            core: Mutex::new(core),
            started,
            base,
            journal,
            binaries,
            address,
            submitting: Semaphore::new(SUBMITTING),
            explaining: Semaphore::new(1),
            gate,
            end,
        });
        let service = Service { shared: shared.clone(), who: Identity::Unsecured };
        let (http, monitors) = http.unzip();
        let task = tokio::spawn(async move {
            let epoch = service.shared.journal.as_ref().map_or(0, |journal| journal.epoch());
            let Some(objects) = leads else { return run(listener, http, service).await };
            let shared = service.shared.clone();
            let leading = standby::lead(objects.clone(), epoch, address, gone_after);
            let leading = tokio::spawn(async move { shared.end(End::Failed(leading.await)) });
            let ended = run(listener, http, service).await;
            leading.abort();
            // Who has taken over says so itself.
            if ended.is_ok() {
                standby::lead_no_more(&objects, epoch, address).await;
            }
            ended
        });
        let service = Service { shared, who: Identity::Unsecured };
        Ok(Running { address, http: monitors, service, task: Some(task) })
    }
}

impl Coordinator {
    /// Waits until no other coordinator leads that has this [state](Config::state), and then [starts](Coordinator::start)
    /// one that goes on with its jobs. Until then nothing listens. Without a state there is nothing to wait for. Cancel safe.
    ///
    /// # Errors
    /// As for [`start`](Coordinator::start).
    pub async fn stand_by(listen: SocketAddr, config: Config) -> Result<Running, StartError> {
        let gone_after = Duration::from_millis(config.gone_after_ms);
        let credentials = match &config.gate {
            None => Some(Credentials::off()),
            // Without, it takes longer to see that the one that leads is gone.
            Some(gate) => gate.as_caller().unwrap_or_default(),
        };
        loop {
            if let Some(home) = &config.state {
                standby::until_nobody_leads(home, credentials.as_ref(), gone_after).await?;
            }
            match Coordinator::start_now(listen, config.clone()).await {
                // Another one that stood by was faster.
                Err(StartError::Journal(
                    JournalError::TakenOver { .. } | JournalError::InUse { .. },
                )) => {}
                started => return started,
            }
        }
    }
}

/// A coordinator that runs. Dropped, it [stops](Running::stop) on its own.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it listens for monitors, if it does.
    pub http: Option<SocketAddr>,
    service: Service,
    task: Option<JoinHandle<Result<(), JournalError>>>,
}

impl Running {
    /// Cancels all jobs, tells workers to end, and ends. Cancel safe: it goes on by itself.
    ///
    /// # Errors
    /// As for [`ended`](Running::ended).
    pub async fn shut_down(mut self) -> Result<(), JournalError> {
        self.service.shared.end(End::Cluster);
        self.ended().await
    }

    /// Ends, and leaves jobs and workers to the next coordinator that has the state folder; without one, as
    /// [`shut_down`](Running::shut_down). Cancel safe: it goes on by itself.
    ///
    /// # Errors
    /// As for [`ended`](Running::ended).
    pub async fn stop(mut self) -> Result<(), JournalError> {
        self.leave();
        self.ended().await
    }

    /// Leaves jobs and workers to the next coordinator, if there may be one.
    fn leave(&self) {
        let shared = &self.service.shared;
        shared.end(if shared.journal.is_some() { End::Process } else { End::Cluster });
    }

    /// Waits until the coordinator has ended, which a client may ask for. Cancel safe.
    ///
    /// # Errors
    /// If it ended because it could not keep what it decided.
    pub async fn ended(&mut self) -> Result<(), JournalError> {
        let Some(task) = &mut self.task else { return Ok(()) };
        let ended = task.await;
        self.task = None;
        // If it panicked, that was told.
        ended.unwrap_or(Ok(()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Serves until somebody wants the end.
async fn run(
    listener: TcpListener,
    http: Option<TcpListener>,
    service: Service,
) -> Result<(), JournalError> {
    let (limits, tick_ms) = {
        let (core, _) = service.lock();
        let scheduler = &core.config.scheduler;
        let tick_ms = scheduler.tick_ms.min(scheduler.lease_ms / 4).max(1);
        (core.config.limits.clone(), tick_ms)
    };
    let (stop, stopped) = watch::channel(false);
    let for_each = stopped.clone();
    let each_service = service.clone();
    let each_limits = limits.clone();
    let monitors = for_monitors(http, service.clone(), stopped.clone());
    let server = serve(listener, &limits, stopped, move |io| {
        let service = each_service.clone();
        let (limits, stop) = (each_limits.clone(), for_each.clone());
        async move {
            match service.shared.gate.clone() {
                None => serve_connection(io, service.serve(), limits, stop).await,
                Some(gate) => {
                    let of = |who| Service { who, ..service }.serve();
                    serve_secured(io, gate, of, limits, stop).await
                }
            }
        }
    });
    let server = async {
        tokio::select! {
            () = server => {}
            () = look_at_gate(service.shared.gate.clone()) => {}
            () = monitors => {}
            () = tell_ends(service.clone()) => {}
            () = scaling::follow_work(service.clone()) => {}
        }
    };
    let end = async {
        let end = ticks(&service, tick_ms).await;
        if matches!(end, End::Cluster) {
            {
                let (mut core, now) = service.lock();
                core.shut_down(now);
            }
            let told = async {
                while !service.lock().0.all_told() {
                    pause(TELL_END_LOOK).await;
                }
            };
            let _ = tokio::time::timeout(TELL_END, told).await;
        }
        let histories = service.lock().0.take_ended_histories();
        write_histories(histories).await;
        stop.send_replace(true);
        end
    };
    let ((), end) = tokio::join!(server, end);
    if let Some(journal) = service.shared.journal.clone() {
        let _ = tokio::task::spawn_blocking(move || journal.end()).await;
    }
    match end {
        End::Failed(error) => Err(error),
        End::No | End::Process | End::Cluster => Ok(()),
    }
}

/// Answers monitors until `stop` is true, where that is wanted. Never ends.
async fn for_monitors(http: Option<TcpListener>, service: Service, stop: watch::Receiver<bool>) {
    if let Some(listener) = http {
        serve_http(listener, service, stop).await;
    }
    std::future::pending().await
}

/// Looks whether certificates and tokens have changed. Never ends.
async fn look_at_gate(gate: Option<Arc<Gate>>) {
    let Some(gate) = gate else { return std::future::pending().await };
    loop {
        pause(GATE_LOOK).await;
        let gate = gate.clone();
        // It reads from the disk. What fails there is told there.
        let _ = spawn_blocking(move || gate.look_again()).await;
    }
}

/// Tells the schedulers that time passes, until somebody wants the end.
async fn ticks(service: &Service, tick_ms: u64) -> End {
    let mut end = service.shared.end.subscribe();
    let mut interval = tokio::time::interval(Duration::from_millis(tick_ms));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => {
                let histories = {
                    let (mut core, now) = service.lock();
                    core.tick(now);
                    core.take_ended_histories()
                };
                write_histories(histories).await;
            }
            wanted = wanted(&mut end) => return wanted,
        }
    }
}

/// Waits until somebody wants the end.
async fn wanted(end: &mut watch::Receiver<End>) -> End {
    // The sender lives as long as the service.
    end.wait_for(|end| !matches!(end, End::No)).await.map_or(End::Process, |end| end.clone())
}

/// Writes what became of jobs that have ended.
async fn write_histories(ended: EndedHistories) {
    if !ended.is_empty() {
        // What fails there is told there.
        let _ = spawn_blocking(move || ended.write()).await;
    }
}

/// Waits.
pub(crate) async fn pause(duration: Duration) {
    let _ = tokio::time::timeout(duration, std::future::pending::<()>()).await;
}
