//! Executors that get less than their worker has: a control group of their own, and the account of the one who submitted the job.
//! Only root can try it.

mod harness;

use harness::processes::{children, listening};
use harness::{Room, Running, is_root};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The account without rights.
const NOBODY: u32 = 65534;

const PATIENCE: Duration = Duration::from_secs(240);

/// Something that listens, and where.
fn listens<'r>(mut running: Running<'r>) -> (Running<'r>, String) {
    let id = running.id();
    running.until("it listens", || !listening(id).is_empty());
    (running, format!("127.0.0.1:{}", listening(id)[0]))
}

fn write_words(room: &Room, files: u32) {
    for file in 0..files {
        room.write(&format!("words/{file}.txt"), "b a b\n".repeat(20_000));
    }
}

/// Everything in a folder.
fn all_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap());
    entries
        .flat_map(|entry| {
            let below = if entry.file_type().unwrap().is_dir() {
                all_in(&entry.path())
            } else {
                Vec::new()
            };
            below.into_iter().chain([entry.path()])
        })
        .collect()
}

#[test]
fn a_job_runs_as_who_submitted_it() {
    let room = is_root().then(|| Room::for_nobody("cli_confined-as_submitter")).flatten();
    let Some(room) = room else {
        eprintln!("skipped: only root can run jobs as others");
        return;
    };
    write_words(&room, 4);
    room.windrow("cluster init secured").ok();
    let token = |name: &str| {
        let token = format!(
            "cluster token new --security secured/coordinator --role submit --name {name} --output {name}"
        );
        room.windrow(&token).ok();
        for path in all_in(&room.path(name)).into_iter().chain([room.path(name)]) {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    };
    ["nobody", "root", "stranger"].iter().for_each(|name| token(name));
    let coordinator = "coordinator --listen 127.0.0.1:0 --security secured/coordinator";
    let (_coordinator, address) = listens(room.windrow(coordinator).start());
    let worker = format!(
        "worker --coordinator {address} --threads 2 --run-as-submitter --security secured/worker --scratch scratch"
    );
    let (worker, _) = listens(room.windrow(&worker).start());
    std::fs::create_dir(room.path("outputs")).unwrap();
    chown(room.path("outputs"), Some(NOBODY), Some(NOBODY)).unwrap();

    let run = |name: &str| {
        let run = format!(
            "run wordcount --input words --output outputs/{name} --cluster {address} --security {name}"
        );
        // Two shuffles' worth of blocks, and what is spilled, are written by the executor too.
        room.windrow_by_nobody(&run).timeout(PATIENCE)
    };
    run("nobody").ok();
    let mut rows = room.rows("outputs/nobody");
    rows.sort();
    assert_eq!(rows, ["a\t80000", "b\t160000"]);
    for path in all_in(&room.path("outputs/nobody")) {
        assert_eq!(std::fs::metadata(&path).unwrap().uid(), NOBODY, "{}", path.display());
    }
    run("root").fails(1).says(&["would run as root"]);
    run("stranger").fails(1).says(&["`stranger`", "has no account", "--run-as-submitter"]);
    assert!(children(worker.id()).is_empty(), "executors are left");
    let unsecured = "worker --coordinator 127.0.0.1:9 --run-as-submitter";
    room.windrow(unsecured).fails(2).says(&["--security"]);
    let by_nobody = format!("worker --coordinator {address} --run-as-submitter --security nobody");
    room.windrow_by_nobody(&by_nobody).fails(1).says(&["only root", "--run-as-submitter"]);
}

/// A control group of a test's own, in each hierarchy there is; `None` where the system lets nobody make one.
struct OwnGroup(String);

impl OwnGroup {
    fn folders(&self) -> [PathBuf; 4] {
        ["", "memory", "cpu", "pids"].map(|of| Path::new("/sys/fs/cgroup").join(of).join(&self.0))
    }

    fn new(test: &str) -> Option<OwnGroup> {
        let group = OwnGroup(format!("windrow-test-{test}-{}", std::process::id()));
        let made = group.folders().map(|folder| std::fs::create_dir(folder).is_ok());
        let is_there = made.contains(&true)
            && group.folders().iter().any(|folder| folder.join("pids.max").exists());
        if !is_there {
            eprintln!("skipped: no control groups can be made here");
            return None;
        }
        Some(group)
    }

    /// The groups in it.
    fn groups(&self) -> Vec<PathBuf> {
        let is_group = |path: &PathBuf| path.join("cgroup.procs").exists();
        let of = |folder: &PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten();
        self.folders()
            .iter()
            .filter(|folder| folder.ends_with(&self.0))
            .flat_map(of)
            .map(|entry| entry.path())
            .filter(is_group)
            .collect()
    }
}

impl Drop for OwnGroup {
    fn drop(&mut self) {
        for folder in self.groups().iter().chain(&self.folders()) {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

#[test]
fn an_executor_is_in_a_group_of_its_own_which_goes_with_it() {
    let room = room!();
    let Some(group) = is_root().then(|| OwnGroup::new("cli")).flatten() else { return };
    write_words(&room, 40);
    let (_coordinator, address) = listens(room.windrow("coordinator --listen 127.0.0.1:0").start());
    let worker = format!(
        "worker --coordinator {address} --threads 1 --memory 512MiB --memory-limit 1GiB --cgroup {} --processes 64",
        group.0
    );
    let (mut worker, _) = listens(room.windrow(&worker).start());
    let run = format!("run wordcount --input words --output out --cluster {address}");
    let job = room.windrow(&run).timeout(PATIENCE).start();
    let id = worker.id();
    let mut seen = String::new();
    worker.until("an executor in a group", || {
        let Some((executor, _)) = children(id).pop() else { return false };
        seen = std::fs::read_to_string(format!("/proc/{executor}/cgroup")).unwrap_or_default();
        seen.contains(&format!("{}/windrow-{id}-j1-1", group.0))
    });
    let of = |file: &str| {
        let read = |folder: PathBuf| std::fs::read_to_string(folder.join(file)).ok();
        group.groups().into_iter().find_map(read).map(|text| text.trim().to_owned())
    };
    assert_eq!(of("pids.max").as_deref(), Some("64"));
    let memory = of("memory.max").or_else(|| of("memory.limit_in_bytes"));
    assert_eq!(memory.as_deref(), Some("1073741824"));
    let cpu = of("cpu.max").or_else(|| of("cpu.cfs_quota_us"));
    assert!(cpu.as_ref().is_some_and(|cpu| cpu.starts_with("100000")), "{cpu:?}");
    job.ok();
    worker.until("the group is gone", || group.groups().is_empty());

    let nowhere = format!("worker --coordinator {address} --cgroup no/such/group");
    room.windrow(&nowhere).fails(1).says(&["no/such/group"]);
}
