//! A cluster of processes: a coordinator with a state folder, and workers that share a scratch folder, or have one each.

use super::client::Client;
use super::disk::Disk;
use super::faults::Kind;
use super::group::Group;
use super::jobs::JobKind;
use super::processes::{children, has, runs, signal};
use super::proxy::{Link, Proxy};
use super::random::Random;
use super::{AnyError, Chaos};
use std::fs::{self, File, OpenOptions};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A worker that was not heard for so long is lost, in milliseconds.
const LEASE_MS: u64 = 1000;

/// Workers have drained after so long.
const DRAIN: Duration = Duration::from_secs(20);

/// What is to be done later.
#[derive(Debug)]
enum Later {
    StartCoordinator,
    /// With its scratch on the disk with this number.
    StartWorker(usize),
    /// The process with this number goes on.
    GoOn(u32),
    /// Those in a group are as fast as others again.
    Hasten(Group),
    /// The links of the worker with this process number are open again.
    OpenLinks(u32),
    /// The disk with this number has room again.
    Free(usize),
}

/// A worker, and its links.
#[derive(Debug)]
struct Worker {
    process: Child,
    disk: usize,
    /// From it to the coordinator.
    control: Proxy,
    /// From other workers to its blocks.
    data: Proxy,
}

impl Worker {
    fn id(&self) -> u32 {
        self.process.id()
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Cluster {
    /// All that belongs to it.
    pub(super) folder: PathBuf,
    windrow: PathBuf,
    address: SocketAddr,
    /// Workers differ in memory and threads.
    random: Random,
    /// One that all workers share, or several: then each stands for a host, and blocks are fetched over the network.
    disks: Vec<Disk>,
    coordinator: Child,
    workers: Vec<Worker>,
    /// Those that were told to drain, or killed.
    ending: Vec<Worker>,
    later: Vec<(Instant, Later)>,
    logs: u32,
}

impl Cluster {
    /// Starts one, of two to four workers.
    pub(super) fn start(
        chaos: &Chaos,
        random: &mut Random,
        folder: PathBuf,
    ) -> Result<Cluster, AnyError> {
        let workers = 2 + random.below(3);
        let disks = if random.below(2) == 0 { 1 } else { workers };
        let disks = (0..disks).map(|at| Disk::make(folder.join(format!("scratch-{at}"))));
        let disks = disks.collect::<Result<_, _>>()?;
        let address = free_port()?;
        let windrow = chaos.windrow.clone();
        let coordinator = coordinator(&windrow, &folder, address)?;
        let mut cluster = Cluster {
            folder,
            windrow,
            address,
            random: Random::of(random.next()),
            disks,
            coordinator,
            workers: Vec::new(),
            ending: Vec::new(),
            later: Vec::new(),
            logs: 0,
        };
        let begun = Instant::now();
        while TcpStream::connect(cluster.address).is_err() {
            if begun.elapsed() > DRAIN {
                return Err("the coordinator does not listen".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        for at in 0..workers {
            cluster.start_worker(at % cluster.disks.len())?;
        }
        Ok(cluster)
    }

    fn log(&mut self, name: &str) -> Result<File, AnyError> {
        self.logs += 1;
        Ok(File::create(self.folder.join(format!("{name}-{}.log", self.logs)))?)
    }

    fn start_worker(&mut self, disk: usize) -> Result<(), AnyError> {
        let log = self.log("worker")?;
        let control = Proxy::start(self.address)?;
        let listen = free_port()?;
        let data = Proxy::start(listen)?;
        let memory = *self.random.one(&["16MiB", "64MiB", "1GiB"]);
        let threads = 1 + self.random.below(2);
        let mut worker = Command::new(&self.windrow);
        worker.args(["worker", "--coordinator", &control.address.to_string()]);
        worker.args(["--listen", &listen.to_string()]);
        worker.args(["--advertise", &data.address.to_string()]);
        worker.args(["--threads", &threads.to_string(), "--memory", memory]);
        worker.args(["--host", &format!("host-{disk}"), "--scratch"]);
        worker.arg(&self.disks[disk].folder).env("WINDROW_LOG", "info");
        let process = worker.stdout(Stdio::null()).stderr(log).spawn()?;
        self.workers.push(Worker { process, disk, control, data });
        Ok(())
    }

    /// Lets a client run a job, and wait for it.
    pub(super) fn submit<'j>(
        &mut self,
        job: &'j JobKind,
        output: PathBuf,
    ) -> Result<Client<'j>, AnyError> {
        let log = self.log("client")?;
        let mut client = Command::new(&self.windrow);
        client.args(["run", job.name]).args(&job.flags).arg("--output").arg(&output);
        client.args(["--quiet", "--json", "--cluster", &self.address.to_string()]);
        let process = client.stdout(log.try_clone()?).stderr(log).spawn()?;
        Ok(Client { process, job, output, begun: Instant::now() })
    }

    fn after(&mut self, random: &mut Random, most_ms: usize, later: Later) {
        let wait = Duration::from_millis(random.below(most_ms) as u64);
        self.later.push((Instant::now() + wait, later));
    }

    /// Does what was planned for later and is due.
    pub(super) fn mend(&mut self) -> Result<(), AnyError> {
        let now = Instant::now();
        let (due, later) =
            std::mem::take(&mut self.later).into_iter().partition(|(when, _)| *when <= now);
        self.later = later;
        let due: Vec<(Instant, Later)> = due;
        for (_, what) in due {
            match what {
                Later::StartCoordinator => {
                    self.coordinator = coordinator(&self.windrow, &self.folder, self.address)?;
                }
                Later::StartWorker(disk) => self.start_worker(disk)?,
                Later::Free(disk) => self.disks[disk].free(),
                Later::GoOn(pid) => signal(pid, libc::SIGCONT),
                Later::Hasten(group) => drop(group),
                Later::OpenLinks(pid) => {
                    let workers = self.workers.iter().chain(&self.ending);
                    for worker in workers.filter(|worker| worker.id() == pid) {
                        worker.control.set(Link::Open);
                        worker.data.set(Link::Open);
                    }
                }
            }
        }
        Ok(())
    }

    /// Breaks something; whether there was anything to break.
    pub(super) fn break_it(&mut self, kind: Kind, random: &mut Random) -> Result<bool, AnyError> {
        match kind {
            Kind::KillWorker | Kind::Drain => {
                self.workers.retain_mut(|worker| runs(&mut worker.process));
                if self.workers.is_empty() {
                    return Ok(false);
                }
                let worker = self.workers.swap_remove(random.below(self.workers.len()));
                let drains = kind == Kind::Drain;
                signal(worker.id(), if drains { libc::SIGTERM } else { libc::SIGKILL });
                // Both are waited for at the end.
                let again = Later::StartWorker(worker.disk);
                self.ending.push(worker);
                self.after(random, 2_000, again);
            }
            Kind::StopWorker => {
                self.workers.retain_mut(|worker| runs(&mut worker.process));
                let Some(pid) = self.any_worker(random).map(Worker::id) else { return Ok(false) };
                signal(pid, libc::SIGSTOP);
                self.after(random, 3_000, Later::GoOn(pid));
            }
            Kind::KillExecutor | Kind::StopExecutor => {
                let Some(worker) = self.any_worker(random).map(Worker::id) else {
                    return Ok(false);
                };
                let Some(&executor) = children(worker).first() else { return Ok(false) };
                if kind == Kind::KillExecutor {
                    signal(executor, libc::SIGKILL);
                } else {
                    signal(executor, libc::SIGSTOP);
                    self.after(random, 3_000, Later::GoOn(executor));
                }
            }
            Kind::KillCoordinator => {
                if !runs(&mut self.coordinator) {
                    return Ok(false);
                }
                self.coordinator.kill()?;
                self.coordinator.wait()?;
                self.after(random, 1_500, Later::StartCoordinator);
            }
            Kind::StopCoordinator => {
                let pid = self.coordinator.id();
                if !runs(&mut self.coordinator) {
                    return Ok(false);
                }
                signal(pid, libc::SIGSTOP);
                self.after(random, 3_000, Later::GoOn(pid));
            }
            Kind::SlowWorker => {
                let Some(pid) = self.any_worker(random).map(Worker::id) else { return Ok(false) };
                let name = format!("windrow-chaos-{pid}-{}", random.next());
                let Some(group) = Group::make(&name, 20) else { return Ok(false) };
                group.take(pid);
                children(pid).into_iter().for_each(|executor| group.take(executor));
                self.after(random, 4_000, Later::Hasten(group));
            }
            Kind::AddWorker => self.start_worker(random.below(self.disks.len()))?,
            Kind::Control(link) | Kind::Data(link) => {
                let Some(worker) = self.any_worker(random) else { return Ok(false) };
                let is_control = matches!(kind, Kind::Control(_));
                let of = if is_control { &worker.control } else { &worker.data };
                of.set(link);
                let again = Later::OpenLinks(worker.id());
                self.after(random, 4_000, again);
            }
            Kind::FlipOnWire => {
                let apart = self.disks.len() > 1;
                let Some(worker) = self.any_worker(random).filter(|_| apart) else {
                    return Ok(false);
                };
                worker.data.flip();
            }
            Kind::FillDisk => {
                let disk = random.below(self.disks.len());
                self.after(random, 2_000, Later::Free(disk));
                return Ok(self.disks[disk].fill());
            }
            Kind::FlipBit | Kind::RemoveFile | Kind::CutFile => {
                let files = files_below(&random.one(&self.disks).folder);
                let files: Vec<&(PathBuf, u64)> =
                    files.iter().filter(|(_, len)| *len > 0).collect();
                if files.is_empty() {
                    return Ok(false);
                }
                let (path, len) = *random.one(&files);
                return Ok(damage(path, *len, kind, random).is_ok());
            }
        }
        Ok(true)
    }

    fn any_worker(&self, random: &mut Random) -> Option<&Worker> {
        (!self.workers.is_empty()).then(|| random.one(&self.workers))
    }

    /// Ends all processes in good order; those that were killed leave their scratch to a worker that sweeps it.
    pub(super) fn end(&mut self) -> Result<(), AnyError> {
        while !self.later.is_empty() {
            self.mend()?;
            std::thread::sleep(Duration::from_millis(5));
        }
        for disk in 0..self.disks.len() {
            self.start_worker(disk)?;
        }
        std::thread::sleep(Duration::from_millis(300));
        let mut all = std::mem::take(&mut self.workers);
        all.append(&mut self.ending);
        for worker in &mut all {
            signal(worker.id(), libc::SIGTERM);
        }
        let begun = Instant::now();
        for Worker { process: mut worker, .. } in all {
            while runs(&mut worker) && begun.elapsed() < DRAIN {
                std::thread::sleep(Duration::from_millis(5));
            }
            let has_drained = !runs(&mut worker);
            worker.kill()?;
            worker.wait()?;
            if !has_drained {
                return Err("a worker that was told to drain does not end".into());
            }
        }
        signal(self.coordinator.id(), libc::SIGTERM);
        self.coordinator.wait()?;
        Ok(())
    }

    /// Prints what its processes have, and how much is in its folders, each line behind these words.
    pub(super) fn look(&self, words: &str) {
        let line = |process: &str, [memory, files, threads]: [u64; 3]| {
            println!("{words} {process} | {memory} | {files} | {threads} |");
        };
        line("coordinator", has(self.coordinator.id()));
        // The one that has been there the longest, as numbers of processes ascend.
        if let Some(worker) = self.workers.iter().min_by_key(|worker| worker.id()) {
            line(&format!("worker {}", worker.id()), has(worker.id()));
        }
        let bytes =
            |folder: &Path| files_below(folder).iter().map(|(_, len)| len).sum::<u64>() >> 20;
        let scratch: u64 = self.disks.iter().map(|disk| bytes(&disk.folder)).sum();
        println!(
            "{words} scratch {scratch} MiB, journal {} MiB | | | |",
            bytes(&self.folder.join("state"))
        );
    }

    /// What the coordinator said of attempts of one task that wrote different rows, though the jobs' code is deterministic.
    pub(super) fn other_rows(&self) -> Option<String> {
        let log = fs::read_to_string(self.folder.join("coordinator.log")).unwrap_or_default();
        log.lines().find(|line| line.contains("is not deterministic")).map(str::to_owned)
    }

    /// Whether an attempt of a job failed or was lost, or there is no summary of it.
    pub(super) fn ran_again(&self) -> bool {
        !self.clients_say("\"retries\":0")
    }

    /// Whether these words are in what a client wrote.
    fn clients_say(&self, words: &str) -> bool {
        let logs = files_below(&self.folder);
        let of_clients = logs.iter().filter(|(path, _)| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("client"))
        });
        let said = |(path, _): &(PathBuf, u64)| fs::read_to_string(path).unwrap_or_default();
        of_clients.map(said).any(|text| text.contains(words))
    }

    /// Whether a job said that a disk is full, and there is one only.
    pub(super) fn says_full(&self) -> bool {
        self.disks.len() == 1 && self.clients_say("No space left")
    }

    /// What is left in scratch and in the output, and should not be.
    pub(super) fn leftovers(&self, output: &Path) -> Result<Vec<PathBuf>, AnyError> {
        let scratch = self.disks.iter().flat_map(|disk| files_below(&disk.folder));
        let mut left: Vec<PathBuf> = scratch.map(|(path, _)| path).collect();
        left.retain(|path| !path.to_string_lossy().ends_with("-lock"));
        for entry in fs::read_dir(output).into_iter().flatten() {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !name.starts_with("part-") && name != "_SUCCESS" {
                left.push(path);
            }
        }
        Ok(left)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for worker in self.workers.iter_mut().chain(&mut self.ending) {
            let _ = worker.process.kill();
            let _ = worker.process.wait();
        }
        let _ = self.coordinator.kill();
        let _ = self.coordinator.wait();
    }
}

/// An address at which nobody listens.
fn free_port() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

fn coordinator(windrow: &Path, folder: &Path, address: SocketAddr) -> Result<Child, AnyError> {
    let log = OpenOptions::new().create(true).append(true).open(folder.join("coordinator.log"))?;
    Ok(Command::new(windrow)
        .args(["coordinator", "--listen", &address.to_string()])
        .args(["--lease-ms", &LEASE_MS.to_string(), "--replicate-shuffle", "200", "--state"])
        .arg(folder.join("state"))
        .env("WINDROW_LOG", "info")
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()?)
}

/// All files in a folder and those in it, with their lengths.
fn files_below(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => found.extend(files_below(&path)),
            Ok(metadata) => found.push((path, metadata.len())),
            Err(_) => {}
        }
    }
    found.sort();
    found
}

fn damage(path: &Path, len: u64, kind: Kind, random: &mut Random) -> std::io::Result<()> {
    let at = random.next() % len;
    match kind {
        Kind::RemoveFile => return fs::remove_file(path),
        Kind::CutFile => return OpenOptions::new().write(true).open(path)?.set_len(at),
        _ => {}
    }
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    byte[0] ^= 1 << random.below(8);
    file.write_all_at(&byte, at)
}
