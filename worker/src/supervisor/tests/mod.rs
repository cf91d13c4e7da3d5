//! Tests of the supervisor with executors that are processes: this test binary, started again.

mod draining;
mod fakes;
mod programs;
mod replicas;

use super::*;
use crate::blocks::BlockFolders;
use fakes::*;
use std::ffi::OsString;
use std::path::Path;
use windrow_protocol::control::{Ahead, BlockPage, JobOptions, JobSpec, PollAnswer, Term};
use windrow_protocol::failure::FailureClass;
use windrow_protocol::ids::{JobId, ShuffleId, TaskKind};
use windrow_protocol::task::Work;

/// Says which part a started test binary plays.
const PART: &str = "WINDROW_TEST_PART";

/// Not a test, but what executor processes run; so does a worker that is to be killed.
#[test]
fn part() {
    match std::env::var(PART).as_deref() {
        Ok("executor") => {
            let _ = executor();
            std::process::exit(0);
        }
        Ok(scratch) => worker_to_be_killed(Path::new(scratch)),
        Err(_) => {}
    }
}

fn command(part: &str) -> ExecutorCommand {
    let arguments = ["--exact", "supervisor::tests::part", "--nocapture", "-q"];
    ExecutorCommand {
        program: std::env::current_exe().unwrap(),
        arguments: arguments.map(OsString::from).to_vec(),
        environment: vec![(PART.into(), part.into())],
    }
}

fn config(scratch: &Path) -> SupervisorConfig {
    SupervisorConfig {
        host: "here".into(),
        data_listen: "127.0.0.1:0".parse().unwrap(),
        data_host: "127.0.0.1".into(),
        data_port: None,
        credentials: Default::default(),
        slots: 3,
        threads: 3,
        memory: 64 << 20,
        memory_limit: None,
        labels: Vec::new(),
        scratch: vec![scratch.join("disk1"), scratch.join("disk2")],
        binary: binary(),
        binaries: None,
        confined: None,
        run_as_submitter: false,
        executor: command("executor"),
        die_with_parent: false,
        give_up_after: None,
        limits: SupervisorLimits {
            grace: Duration::from_millis(200),
            grace_beside_others: Duration::from_millis(200),
            fresh: Duration::from_millis(10),
            ..SupervisorLimits::default()
        },
    }
}

/// A supervisor that runs in a task.
struct Worker {
    fake: Fake,
    handle: SupervisorHandle,
    ended: tokio::task::JoinHandle<Result<(), SupervisorError>>,
    scratch: tempfile::TempDir,
}

impl Worker {
    async fn start(change: impl FnOnce(&mut SupervisorConfig)) -> Worker {
        let scratch = tempfile::tempdir().unwrap();
        let fake = Fake::default();
        let mut config = config(scratch.path());
        change(&mut config);
        let supervisor = Supervisor::start(config, fake.clone()).await.unwrap();
        let handle = supervisor.handle();
        let ended = tokio::spawn(supervisor.run());
        Worker { fake, handle, ended, scratch }
    }

    /// Files of blocks in the scratch folder.
    fn block_files(&self) -> usize {
        walk(self.scratch.path()).iter().filter(|path| path.ends_with(".blocks")).count()
    }

    async fn stop(self) {
        self.handle.stop();
        self.ended.await.unwrap().unwrap();
        let stays = ["-lock", "/disk1", "/disk2"];
        let left = walk(self.scratch.path());
        assert!(left.iter().all(|path| stays.iter().any(|end| path.ends_with(end))), "{left:?}");
    }
}

fn walk(folder: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            paths.extend(walk(&path));
        }
        paths.push(path.to_string_lossy().into_owned());
    }
    paths
}

fn is_alive(pid: u32) -> bool {
    // A zombie has no command line.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

fn pid_of(output: &windrow_protocol::task::TaskOutput) -> u32 {
    let bytes = output.collected[0].1[..4].try_into().unwrap();
    u32::from_le_bytes(bytes)
}

#[tokio::test]
async fn tasks_run_and_their_ends_are_told_once() {
    let worker = Worker::start(|_| ()).await;
    worker.fake.assign((0..20).map(|partition| map(1, partition)));
    for partition in 0..20 {
        let output = worker.fake.end(attempt(1, 0, partition, 0)).await.unwrap();
        let bytes = (0..BUCKETS).map(|bucket| block(partition, bucket).len() as u64).sum::<u64>();
        assert_eq!(output.shuffles[0].bytes, bytes);
    }
    assert_eq!(worker.block_files(), 20);
    // Assigned once more, it does not run once more.
    worker.fake.assign([map(1, 3)]);
    worker.fake.assign([map(1, 20)]);
    worker.fake.end(attempt(1, 0, 20, 0)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert!(worker.fake.lock().times.values().all(|times| *times == 1));
    worker.fake.tell(|answer| answer.jobs_over.push(JobOver { job: JobId(1), abort: false }));
    let begun = Instant::now();
    while worker.block_files() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(5), "blocks of a job that is over");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    worker.stop().await;
}

#[tokio::test]
async fn splits_and_commits_are_tasks_too() {
    let worker = Worker::start(|_| ()).await;
    let (mut split, mut commit) = (map(1, 0), map(1, 0));
    (split.attempt.task.kind, split.work) = (TaskKind::Split, Work::Split);
    (commit.attempt.task.kind, commit.work) = (
        TaskKind::Commit,
        Work::Commit { outputs: Vec::new(), counters: Vec::new(), left_out: Vec::new() },
    );
    worker.fake.assign([split.clone(), commit.clone()]);
    let output = worker.fake.end(split.attempt).await.unwrap();
    assert_eq!(output.splits[0].payload, [7]);
    let failure = worker.fake.end(commit.attempt).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Storage);
    worker.stop().await;
}

#[tokio::test]
async fn an_end_is_told_at_once_and_again_until_it_came() {
    let worker = Worker::start(|_| ()).await;
    worker.fake.assign([map(1, 0)]);
    worker.fake.end(attempt(1, 0, 0, 0)).await.unwrap();
    // The poll that waits when a task ends does not hold its end back: the wait is 500 ms.
    let begun = Instant::now();
    for partition in 1..=20 {
        worker.fake.assign([map(1, partition)]);
        worker.fake.end(attempt(1, 0, partition, 0)).await.unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    worker.fake.lock().lose = 2;
    worker.fake.assign([map(1, 30)]);
    let thrice =
        |told: &mut Told| (told.times.get(&attempt(1, 0, 30, 0)) == Some(&3)).then_some(());
    worker.fake.until("the end to be told three times", thrice).await;
    worker.stop().await;
}

#[tokio::test]
async fn reduces_read_blocks_of_this_worker_and_of_others() {
    let near = Worker::start(|_| ()).await;
    let far = Worker::start(|config| config.host = "there".into()).await;
    near.fake.assign([map(1, 0), map(1, 2)]);
    far.fake.assign([map(1, 1), map(1, 3)]);
    for partition in [0, 2] {
        near.fake.end(attempt(1, 0, partition, 0)).await.unwrap();
        far.fake.end(attempt(1, 0, partition + 1, 0)).await.unwrap();
    }
    // Two pages, which number their workers differently; not complete at first.
    let far_address = far.fake.lock().hellos[0].data_address.clone();
    let here = (WorkerId(1), "here".to_string(), "nowhere:1".to_string());
    let there = (WorkerId(2), "there".to_string(), far_address);
    let page = |partitions: [u32; 2], workers: [_; 2], more| BlockPage {
        version: 5,
        complete: false,
        outputs: partitions.map(|p| (attempt(1, 0, p, 0), u32::from(p > partitions[0]))).to_vec(),
        workers: workers.to_vec(),
        more,
    };
    let first = page([0, 1], [here.clone(), there.clone()], true);
    let mut second = page([2, 3], [here.clone(), there.clone()], false);
    second.workers.reverse();
    second.outputs[0].1 = 1;
    second.outputs[1].1 = 0;
    near.fake.lock().pages = vec![first, second];
    near.fake.assign([reduce(1, vec![0, 1, 2, 4, 5])]);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!near.fake.lock().ends.contains_key(&attempt(1, 1, 0, 0)));
    near.fake.lock().pages.iter_mut().for_each(|page| page.complete = true);

    let output = near.fake.end(attempt(1, 1, 0, 0)).await.unwrap();
    let mut wanted = Vec::new();
    for bucket in [0, 1, 2, 4, 5] {
        for partition in 0..4 {
            let block = block(partition, bucket);
            wanted.extend([block[0], block[0], (block.len() >> 8) as u8]);
        }
    }
    assert_eq!(output.collected[0].1, wanted);

    // The far worker goes, and with it its blocks.
    far.stop().await;
    let mut again = reduce(1, vec![1]);
    again.attempt.number = 1;
    near.fake.assign([again]);
    let failure = near.fake.end(attempt(1, 1, 0, 1)).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::LostBlock);
    let lost = [1, 3].map(|partition| (attempt(1, 0, partition, 0), WorkerId(2)));
    assert_eq!(failure.lost, lost);

    // A file of this worker is damaged.
    let mut pages = std::mem::take(&mut near.fake.lock().pages);
    pages.truncate(1);
    pages[0].more = false;
    pages[0].version = 6;
    pages[0].outputs.truncate(1);
    near.fake.lock().pages = pages;
    let file = BlockFolders::new([PathBuf::new()]).file(attempt(1, 0, 0, 0), ShuffleId(0));
    let name = file.to_str().unwrap();
    let path = walk(near.scratch.path()).into_iter().find(|path| path.ends_with(name)).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[1] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut again = reduce(1, vec![0]);
    again.attempt.number = 2;
    near.fake.assign([again]);
    let failure = near.fake.end(attempt(1, 1, 0, 2)).await.unwrap_err();
    assert_eq!(failure.lost, [(attempt(1, 0, 0, 0), WorkerId(1))], "{failure}");
    near.stop().await;
}

#[tokio::test]
async fn blocks_that_were_fetched_ahead_are_read_here() {
    let near = Worker::start(|_| ()).await;
    let far = Worker::start(|config| config.host = "there".into()).await;
    near.fake.assign([map(1, 0)]);
    far.fake.assign([map(1, 1), map(1, 2)]);
    near.fake.end(attempt(1, 0, 0, 0)).await.unwrap();
    for partition in [1, 2] {
        far.fake.end(attempt(1, 0, partition, 0)).await.unwrap();
    }
    let far_address = far.fake.lock().hellos[0].data_address.clone();
    let page = |version, complete, far_address: &str| BlockPage {
        version,
        complete,
        outputs: (0..3).map(|partition| (attempt(1, 0, partition, 0), partition.min(1))).collect(),
        workers: vec![
            (WorkerId(1), "here".into(), "nowhere:1".into()),
            (WorkerId(2), "there".into(), far_address.into()),
        ],
        more: false,
    };
    near.fake.lock().pages = vec![page(5, false, &far_address)];
    let ahead = Ahead { job: JobId(1), shuffle: ShuffleId(0), buckets: 1..4 };
    near.fake.tell(|answer| answer.ahead = vec![ahead]);
    // Of the first output alone, for nobody knows yet how much an output has; then of the others.
    let files = || walk(near.scratch.path()).into_iter().filter(|path| path.ends_with(".ahead"));
    near.fake.until("two copies", |_| (files().count() == 2).then_some(())).await;
    let copy = files().next().unwrap();

    let read = async |number, buckets: Vec<u32>, page| {
        near.fake.lock().pages = vec![page];
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut order = reduce(1, buckets.clone());
        order.attempt.number = number;
        near.fake.assign([order]);
        let output = near.fake.end(attempt(1, 1, 0, number)).await?;
        let blocks = buckets.iter().flat_map(|bucket| (0..3).map(|p| block(p, *bucket)));
        let wanted = blocks.flat_map(|block| [block[0], block[0], (block.len() >> 8) as u8]);
        assert_eq!(output.collected[0].1, wanted.collect::<Vec<u8>>());
        Ok::<u64, windrow_protocol::failure::Failure>(output.counts.fetched_ahead_bytes)
    };
    // Nobody is asked for what is here.
    let copied = read(0, vec![1, 2, 3], page(6, true, "nowhere:1")).await.unwrap();
    let len = |bucket| 2 * block(1, bucket).len() as u64;
    assert_eq!(copied, len(1) + len(2) + len(3));
    let lost = read(1, vec![4], page(7, true, "nowhere:1")).await.unwrap_err();
    assert_eq!(lost.class, FailureClass::LostBlock);
    // A copy that is damaged is as none.
    let mut bytes = std::fs::read(&copy).unwrap();
    bytes[1] ^= 1;
    std::fs::write(&copy, bytes).unwrap();
    let copied = read(2, vec![1, 2], page(8, true, &far_address)).await.unwrap();
    assert!(copied < len(1) + len(2), "{copied}");
    let over = JobOver { job: JobId(1), abort: false };
    near.fake.tell(|answer| answer.jobs_over = vec![over]);
    near.fake.until("the removal", |_| (!Path::new(&copy).exists()).then_some(())).await;
    far.stop().await;
    near.stop().await;
}

#[tokio::test]
async fn an_attempt_that_loops_is_killed_and_others_are_not_charged() {
    let worker = Worker::start(|_| ()).await;
    worker.fake.assign([map(1, LOOPS), map(1, WAITS), map(1, 0)]);
    worker.fake.end(attempt(1, 0, 0, 0)).await.unwrap();
    worker.fake.tell(|answer| answer.cancelled.push(attempt(1, 0, LOOPS, 0)));
    let guilty = worker.fake.end(attempt(1, 0, LOOPS, 0)).await.unwrap_err();
    assert_eq!(guilty.class, FailureClass::Cancelled, "{guilty}");
    let innocent = worker.fake.end(attempt(1, 0, WAITS, 0)).await.unwrap_err();
    assert_eq!(innocent.class, FailureClass::Collateral, "{innocent}");
    // Blocks and worker stay, and the next task gets another executor.
    assert_eq!(worker.block_files(), 1);
    worker.fake.assign([map(1, 1)]);
    worker.fake.end(attempt(1, 0, 1, 0)).await.unwrap();
    assert_eq!(worker.fake.lock().hellos.len(), 1);
    worker.stop().await;
}

#[tokio::test]
async fn an_attempt_that_stops_when_told_kills_nobody() {
    let worker = Worker::start(|_| ()).await;
    worker.fake.assign([map(1, WAITS), map(1, COLLECTS_PID)]);
    let before = pid_of(&worker.fake.end(attempt(1, 0, COLLECTS_PID, 0)).await.unwrap());
    worker.fake.tell(|answer| answer.cancelled.push(attempt(1, 0, WAITS, 0)));
    let stopped = worker.fake.end(attempt(1, 0, WAITS, 0)).await.unwrap_err();
    assert_eq!(stopped.class, FailureClass::Cancelled);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut again = map(1, COLLECTS_PID);
    again.attempt.number = 1;
    worker.fake.assign([again]);
    let after = pid_of(&worker.fake.end(attempt(1, 0, COLLECTS_PID, 1)).await.unwrap());
    assert_eq!(before, after);
    worker.stop().await;
    assert!(!is_alive(after));
}

#[tokio::test]
async fn a_job_is_aborted_once_none_of_its_attempts_run() {
    let left = tempfile::tempdir().unwrap();
    let told = (OsString::from(ABORTED_VAR), left.path().into());
    let worker = Worker::start(|config| config.executor.environment.push(told)).await;
    let spec = |id: &str| {
        let options = JobOptions { short_id: id.into(), ..JobOptions::default() };
        let fingerprint = crate::executor_process::fingerprint(&plan());
        let (name, arguments) = ("fake".into(), "{}".into());
        Some(JobSpec {
            name,
            arguments,
            options,
            binary: binary(),
            fingerprint,
            submitter: String::new(),
        })
    };
    worker.fake.lock().spec = spec("ran");
    worker.fake.assign([map(1, LOOPS), map(1, COLLECTS_PID), map(1, 0)]);
    let pid = pid_of(&worker.fake.end(attempt(1, 0, COLLECTS_PID, 0)).await.unwrap());
    worker.fake.end(attempt(1, 0, 0, 0)).await.unwrap();
    worker.fake.tell(|answer| answer.jobs_over.push(JobOver { job: JobId(1), abort: true }));
    let aborted = async |id: &str| {
        let begun = Instant::now();
        while !left.path().join(id).exists() {
            assert!(begun.elapsed() < Duration::from_secs(20), "job {id} is not aborted");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    aborted("ran").await;
    assert!(!is_alive(pid));
    // One of which nothing ran here.
    worker.fake.lock().spec = spec("never");
    worker.fake.tell(|answer| answer.jobs_over.push(JobOver { job: JobId(2), abort: true }));
    aborted("never").await;
    worker.stop().await;
}

#[tokio::test]
async fn a_dead_executor_is_its_attempts_failure() {
    let worker = Worker::start(|_| ()).await;
    worker.fake.assign([map(1, ABORTS)]);
    let aborted = worker.fake.end(attempt(1, 0, ABORTS, 0)).await.unwrap_err();
    assert_eq!(aborted.class, FailureClass::LostExecutor);
    assert!(aborted.message.contains("SIGABRT"), "{aborted}");

    worker.fake.assign([map(1, COLLECTS_PID), map(1, WAITS)]);
    let pid = pid_of(&worker.fake.end(attempt(1, 0, COLLECTS_PID, 0)).await.unwrap());
    let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.unwrap().success());
    let killed = worker.fake.end(attempt(1, 0, WAITS, 0)).await.unwrap_err();
    assert_eq!(killed.class, FailureClass::LostExecutor);
    assert!(killed.message.contains("SIGKILL"), "{killed}");

    // With another one in it, it may have been the other's.
    let mut both = [map(1, WAITS), map(1, COLLECTS_PID)];
    both.iter_mut().for_each(|order| order.attempt.number = 1);
    let mut third = map(1, WAITS);
    third.attempt.task.partition = 1;
    worker.fake.assign(both.into_iter().chain([third]));
    let pid = pid_of(&worker.fake.end(attempt(1, 0, COLLECTS_PID, 1)).await.unwrap());
    let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.unwrap().success());
    let killed = worker.fake.end(attempt(1, 0, WAITS, 1)).await.unwrap_err();
    assert_eq!(killed.class, FailureClass::LostExecutorOfSeveral);
    assert!(killed.message.contains("SIGKILL"), "{killed}");

    worker.fake.assign([map(1, PANICS)]);
    let panicked = worker.fake.end(attempt(1, 0, PANICS, 0)).await.unwrap_err();
    assert_eq!(panicked.class, FailureClass::UserCode);
    assert!(panicked.message.contains("fakes.rs") && panicked.message.contains("as it should"));
    worker.stop().await;
}

#[tokio::test]
async fn other_code_is_refused_with_what_differs() {
    let worker = Worker::start(|_| ()).await;
    let good = worker.fake.job_spec(JobId(1)).await.unwrap();
    let mut other = good.clone();
    other.binary.build = "beef".into();
    worker.fake.lock().spec = Some(other);
    worker.fake.assign([map(1, 0)]);
    let failure = worker.fake.end(attempt(1, 0, 0, 0)).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::WrongBinary);
    assert!(failure.message.contains("beef") && failure.message.contains("cafe"), "{failure}");

    let mut other = good.clone();
    other.fingerprint ^= 1;
    worker.fake.lock().spec = Some(other);
    worker.fake.assign([map(2, 0)]);
    let failure = worker.fake.end(attempt(2, 0, 0, 0)).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::WrongBinary);

    worker.fake.lock().spec =
        Some(windrow_protocol::control::JobSpec { name: "panics".into(), ..good });
    worker.fake.assign([map(3, 0), map(404, 0)]);
    let failure = worker.fake.end(attempt(3, 0, 0, 0)).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::UserCode);
    let failure = worker.fake.end(attempt(404, 0, 0, 0)).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Collateral);
    worker.stop().await;
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_the_workers_fault() {
    let worker = Worker::start(|config| config.executor.program = "/no/such/program".into()).await;
    worker.fake.assign([map(1, 0)]);
    let failure = worker.fake.end(attempt(1, 0, 0, 0)).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::LostWorker);
    assert!(failure.message.contains("/no/such/program"), "{failure}");
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_that_is_unknown_drops_all_and_registers_as_another() {
    let worker = Worker::start(|_| ()).await;
    worker.fake.assign([map(1, 0), map(1, LOOPS), map(1, COLLECTS_PID)]);
    worker.fake.end(attempt(1, 0, 0, 0)).await.unwrap();
    let pid = pid_of(&worker.fake.end(attempt(1, 0, COLLECTS_PID, 0)).await.unwrap());
    worker.fake.tell(|answer| answer.unknown = true);
    let again = |told: &mut Told| (told.hellos.len() == 2).then(|| told.hellos.clone());
    let hellos = worker.fake.until("another registration", again).await;
    assert_ne!(hellos[0].token, hellos[1].token);
    assert!(!is_alive(pid));
    assert_eq!(worker.block_files(), 0);
    assert!(!worker.fake.lock().ends.contains_key(&attempt(1, 0, LOOPS, 0)));
    worker.fake.assign([map(1, 1)]);
    worker.fake.end(attempt(1, 0, 1, 0)).await.unwrap();
    worker.stop().await;
}

#[tokio::test]
async fn workers_that_were_killed_are_told_of_by_the_next_one() {
    let scratch = tempfile::tempdir().unwrap();
    let left = scratch.path().join(format!("windrow-1-{:032x}", 7));
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("lock"), format!("{:032x}\n", 77)).unwrap();
    let root = scratch.path().to_path_buf();
    let worker = Worker::start(|config| config.scratch = vec![root]).await;
    worker.fake.until("the dead", |told| (told.gone == [77]).then_some(())).await;
    let lock = scratch.path().read_dir().unwrap().next().unwrap().unwrap().path().join("lock");
    let token = worker.fake.lock().hellos[0].token;
    assert_eq!(std::fs::read_to_string(lock).unwrap(), format!("{token:032x}\n"));
    worker.stop().await;
}

#[tokio::test]
async fn a_coordinator_that_another_has_taken_the_place_of_is_not_obeyed() {
    let worker = Worker::start(|_| ()).await;
    let turn_to = |epoch| worker.fake.lock().term = Term { journal: 7, epoch };
    turn_to(2);
    worker.fake.assign([map(1, 0)]);
    worker.fake.end(attempt(1, 0, 0, 0)).await.unwrap();
    turn_to(1);
    worker.fake.tell(|answer| {
        answer.unknown = true;
        answer.jobs_over = vec![JobOver { job: JobId(1), abort: false }];
    });
    let answered = |told: &mut Told| (told.answer == PollAnswer::default()).then_some(());
    worker.fake.until("the answer", answered).await;
    turn_to(2);
    worker.fake.assign([map(1, 1)]);
    worker.fake.end(attempt(1, 0, 1, 0)).await.unwrap();
    assert_eq!(worker.block_files(), 2);
    assert_eq!(worker.fake.lock().hellos.len(), 1);
    // One of another journal is another cluster.
    worker.fake.lock().term = Term { journal: 8, epoch: 1 };
    worker.fake.tell(|answer| answer.unknown = true);
    worker.fake.until("another hello", |told| (told.hellos.len() == 2).then_some(())).await;
    worker.stop().await;
}

#[tokio::test]
async fn attempts_go_on_while_the_coordinator_is_away() {
    let worker = Worker::start(|_| ()).await;
    worker.fake.assign([map(1, WAITS), map(1, 0)]);
    worker.fake.end(attempt(1, 0, 0, 0)).await.unwrap();
    worker.fake.lock().absent = true;
    tokio::time::sleep(Duration::from_millis(600)).await;
    worker.fake.lock().absent = false;
    worker.fake.tell(|answer| answer.cancelled.push(attempt(1, 0, WAITS, 0)));
    let failure = worker.fake.end(attempt(1, 0, WAITS, 0)).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Cancelled);
    assert_eq!(worker.fake.lock().hellos.len(), 1);
    worker.stop().await;

    let limit = Some(Duration::from_millis(100));
    let worker = Worker::start(|config| config.give_up_after = limit).await;
    worker.fake.lock().absent = true;
    let ended = tokio::time::timeout(Duration::from_secs(5), worker.ended).await.unwrap().unwrap();
    assert!(matches!(ended, Err(SupervisorError::Control(ControlError::Unreachable(_)))));
}

/// A worker in a process of its own, with an executor that loops; writes the executor's process into a file.
fn worker_to_be_killed(scratch: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let fake = Fake::default();
        let supervisor = Supervisor::start(config(scratch), fake.clone()).await.unwrap();
        let running = tokio::spawn(supervisor.run());
        fake.assign([map(1, LOOPS), map(1, COLLECTS_PID)]);
        let pid = pid_of(&fake.end(attempt(1, 0, COLLECTS_PID, 0)).await.unwrap());
        std::fs::write(scratch.join("pid.part"), pid.to_string()).unwrap();
        std::fs::rename(scratch.join("pid.part"), scratch.join("pid")).unwrap();
        let _ = running.await;
    });
}

#[test]
fn executors_die_with_their_worker_and_its_scratch_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    let part = command(folder.path().to_str().unwrap());
    let mut worker = std::process::Command::new(part.program)
        .args(part.arguments)
        .envs(part.environment)
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let wait = |what: &str| {
        assert!(begun.elapsed() < Duration::from_secs(10), "waited for {what}");
        std::thread::sleep(Duration::from_millis(2));
    };
    let pid: u32 = loop {
        if let Ok(pid) = std::fs::read_to_string(folder.path().join("pid")) {
            break pid.parse().unwrap();
        }
        wait("the executor");
    };
    assert!(is_alive(pid));
    worker.kill().unwrap();
    worker.wait().unwrap();
    while is_alive(pid) {
        wait("the end of the executor");
    }
    let left =
        |folder: &Path| walk(folder).iter().filter(|path| path.contains("/windrow-")).count();
    assert!(left(folder.path()) > 0);
    drop(Scratch::create(&config(folder.path()).scratch, 1).unwrap());
    assert_eq!(left(folder.path()), 0);
}
