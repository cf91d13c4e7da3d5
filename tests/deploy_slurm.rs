//! `deploy/slurm/windrow.sh` under a real Slurm, of this machine alone: an allocation becomes a cluster for one job, which goes on
//! after it was preempted, and of which nothing is left when it was cancelled. `scale-up.sh` and `scale-down.sh` beside it: a coordinator
//! that stays has workers from Slurm while there is work.
//!
//! It needs Slurm's daemons (Debian's `slurm-wlm`) and root, and says so where they are not.

mod harness;

use harness::disk::block_files;
use harness::{Room, Running, is_root};
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

/// Long enough for a slow machine that has other work.
const PATIENCE: Duration = Duration::from_secs(300);

/// Slurm's daemons, with one node of one processor; jobs of the partition `high` push those of `low` back into the queue.
struct Slurm<'r> {
    room: &'r Room,
    config: String,
    controller: Running<'r>,
    _node: Running<'r>,
    /// With a short name: it has sockets.
    _spool: tempfile::TempDir,
}

impl<'r> Slurm<'r> {
    fn start(room: &'r Room) -> Option<Slurm<'r>> {
        let has = |name: &str| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).any(|folder| folder.join(name).exists())
        };
        if !is_root() || !has("slurmctld") || !has("slurmd") {
            println!("without root and Slurm's daemons: not run");
            return None;
        }
        let listeners = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let [controller, node] = listeners.each_ref().map(|l| l.local_addr().unwrap().port());
        drop(listeners);
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let host = host.trim().split('.').next().unwrap();
        let folder = room.path("slurm");
        std::fs::create_dir_all(folder.join("state")).unwrap();
        let spool = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.join(name).display().to_string();
        let config = format!(
            "ClusterName=try\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={controller}\nSlurmdPort={node}\n\
             SlurmUser=root\nAuthType=auth/none\nCredType=cred/none\nProctrackType=proctrack/linuxproc\n\
             TaskPlugin=task/none\nMpiDefault=none\nSelectType=select/cons_tres\nSelectTypeParameters=CR_CPU\n\
             PreemptType=preempt/partition_prio\nPreemptMode=REQUEUE\nReturnToService=2\nKillWait=20\n\
             SchedulerParameters=sched_interval=1,batch_sched_delay=1\nStateSaveLocation={}\nSlurmdSpoolDir={}\n\
             SlurmctldPidFile={}\nSlurmdPidFile={}\n\
             NodeName={host} NodeAddr=127.0.0.1 CPUs=1 State=UNKNOWN\n\
             PartitionName=low Nodes={host} Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=1\n\
             PartitionName=high Nodes={host} PriorityTier=10 PreemptMode=OFF\n",
            at("state"),
            spool.path().display(),
            at("slurmctld.pid"),
            at("slurmd.pid"),
        );
        let config = room.write("slurm/slurm.conf", config).display().to_string();
        let daemon = |name: &str, flags: &str| {
            let run = room.program(Path::new(name), flags).env("SLURM_CONF", &config);
            run.timeout(PATIENCE).start()
        };
        let (controller, node) = (daemon("slurmctld", "-c -D"), daemon("slurmd", "-D"));
        let mut slurm = Slurm { room, config, controller, _node: node, _spool: spool };
        slurm.until("the node is idle", |slurm| slurm.tell("sinfo -h -o %T").contains("idle"));
        Some(slurm)
    }

    /// Runs one of Slurm's commands; what it says.
    fn tell(&self, command: &str) -> String {
        let (program, arguments) = command.split_once(' ').unwrap();
        let run = self.room.program(Path::new(program), arguments);
        let done = run.env("SLURM_CONF", &self.config).timeout(PATIENCE).start().wait();
        done.stdout().trim().to_owned()
    }

    /// Submits a sort with the script, and waits until it has made something.
    fn sort(&mut self, output: &str) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/slurm/windrow.sh");
        let program = env!("CARGO_BIN_EXE_windrow");
        let job = self.tell(&format!(
            "sbatch --parsable --exclusive --output {output}.log {script} {program} run terasort --input in --output {output}"
        ));
        let scratch = self.scratch(&job);
        self.until("there are blocks", |_| !block_files(&scratch).is_empty());
        job
    }

    fn scratch(&self, job: &str) -> std::path::PathBuf {
        self.room.path(format!("../tmp/windrow-{job}"))
    }

    /// Nothing of a job is left, and its place is free.
    fn is_gone(&self, job: &str) -> bool {
        let state = self.room.path(format!("windrow-{job}"));
        let is_known = !self.tell(&format!("squeue -h -j {job}")).is_empty();
        !is_known && !state.exists() && !self.scratch(job).exists()
    }

    fn until(&mut self, what: &str, holds: impl Fn(&Slurm<'_>) -> bool) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(std::time::Instant::now() < deadline, "{what}: {}", self.room.listing());
            assert!(!self.controller.has_ended(), "slurmctld has ended");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

#[test]
fn an_allocation_is_a_cluster_that_survives_preemption_and_leaves_nothing() {
    let room = room!();
    let Some(mut slurm) = Slurm::start(&room) else { return };
    room.windrow("generate tera --records 4000000 --output in").timeout(PATIENCE).ok();
    room.windrow("run terasort --input in --output quiet").timeout(PATIENCE).ok();

    let job = slurm.sort("preempted");
    slurm.tell("sbatch --exclusive --partition high --output high.log --wrap true");
    slurm.until("it is back in the queue", |slurm| {
        slurm.tell(&format!("scontrol show job --oneliner {job}")).contains("Restarts=1 ")
    });
    // Slurm would wait longer than this test likes.
    slurm.until("nothing of it is left", |slurm| {
        if slurm.tell(&format!("squeue -h -j {job} -o %r")) == "BeginTime" {
            slurm.tell(&format!("scontrol update JobId={job} StartTime=now"));
        }
        slurm.is_gone(&job)
    });
    room.same_output("quiet", "preempted");
    let log = std::fs::read_to_string(room.path("preempted.log")).unwrap();
    // Once, though the script ran twice: another job would have found its output there.
    assert!(log.contains("terasort succeeded"), "{log}");

    let job = slurm.sort("cancelled");
    slurm.tell(&format!("scancel {job}"));
    slurm.until("nothing of it is left", |slurm| slurm.is_gone(&job));
    assert!(!room.path("cancelled").exists(), "{}", room.listing());
    let log = std::fs::read_to_string(room.path("cancelled.log")).unwrap();
    assert!(log.contains("windrow: cancelled"), "{log}");
}

#[test]
fn workers_come_from_slurm_with_the_work_and_give_their_places_back() {
    let room = room!();
    let Some(mut slurm) = Slurm::start(&room) else { return };
    for file in 0..6 {
        room.write(&format!("in/{file}.txt"), "b a b\n".repeat(1000));
    }
    let windrow = env!("CARGO_BIN_EXE_windrow");
    let address = format!("127.0.0.1:{}", harness::processes::free_port());
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/slurm");
    let flags = "--workers-max 2 --scale-down-after 1 --scale-pause 5";
    let mut coordinator = room
        .windrow(&format!("coordinator --listen {address} {flags}"))
        .args(["--scale-up", &format!("{folder}/scale-up.sh")])
        .args(["--scale-down", &format!("{folder}/scale-down.sh")])
        .env("SLURM_CONF", &slurm.config)
        .env("WINDROW_PROGRAM", windrow)
        .env("WINDROW_WORKER_FLAGS", "--threads 1")
        .timeout(PATIENCE)
        .start();
    coordinator.until("it listens", || std::net::TcpStream::connect(&address).is_ok());
    assert_eq!(slurm.tell("squeue --noheader"), "");
    // There is one place: the second worker waits in the queue, and is not asked for again and again.
    let run = room.windrow(&format!("run wordcount --input in --output out --cluster {address}"));
    let job = run.timeout(PATIENCE).start();
    let queued = "squeue --noheader --array --format %T:%j";
    slurm.until("a worker came", |slurm| slurm.tell(queued).contains("RUNNING:windrow-worker@"));
    assert!(slurm.tell(queued).lines().count() <= 2, "{}", slurm.tell(queued));
    job.ok();
    let mut rows = room.rows("out");
    rows.sort();
    assert_eq!(rows, ["a\t6000", "b\t12000"]);
    slurm.until("all places are free", |slurm| slurm.tell("squeue --noheader").is_empty());
    assert!(!coordinator.has_ended());
}
