//! The third figure of Dean and Ghemawat, "MapReduce: simplified data processing on large clusters" (2004), on one machine:
//! how fast a sort reads, shuffles and writes over time when all is well, without backup attempts, and when workers are
//! killed in the midst of it and started again.
//!
//! Eight workers have an eighth of the machine's processors each, by control groups, so that capacity is really lost with
//! one; the last of them has a tenth of that. In the paper no worker was slow on purpose, and 11 % were killed.

mod cluster;
mod picture;

use cluster::Cluster;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use windrow_protocol::client::Client;
use windrow_protocol::control::JobState;
use windrow_protocol::ids::JobId;
use windrow_protocol::security::Credentials;

type AnyError = Box<dyn Error + Send + Sync>;

/// The workers; the last one is slow.
const WORKERS: usize = 8;

/// What the slow one has of what the others have.
const SLOW: f64 = 0.1;

/// How often each is executed; the picture has the median.
const ROUNDS: usize = 3;

/// How often it is looked how far the job is.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What is measured, and where.
#[derive(Debug)]
pub struct TransferRates {
    /// The binary.
    pub windrow: PathBuf,
    /// A folder for the input and all else.
    pub scratch: PathBuf,
    /// Records of 100 bytes.
    pub records: u64,
    /// Where the picture goes.
    pub picture: PathBuf,
}

/// One of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Execution {
    Normal,
    NoBackups,
    WorkersKilled,
}

impl Execution {
    const ALL: [Execution; 3] = [Execution::Normal, Execution::NoBackups, Execution::WorkersKilled];

    fn title(self) -> &'static str {
        match self {
            Execution::Normal => "normal",
            Execution::NoBackups => "without backup attempts",
            Execution::WorkersKilled => "one of eight workers killed",
        }
    }
}

/// How far a job was at some time: bytes of input, into the shuffle, of output.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    at: Duration,
    bytes: [u64; 3],
}

/// One execution, as it went.
struct Ran {
    execution: Execution,
    looks: Vec<Look>,
    total: Duration,
    /// When a worker was killed.
    killed: Option<Duration>,
    retries: u64,
    checksum: u64,
}

/// Measures, prints a table, and draws.
///
/// # Errors
/// Control groups cannot be made, something does not start, a job fails, or two outputs differ.
pub fn run(of: &TransferRates) -> Result<(), AnyError> {
    let input = of.scratch.join("in");
    fs::create_dir_all(&of.scratch)?;
    if !input.exists() {
        let made = Command::new(&of.windrow)
            .args(["generate", "tera", "--records", &of.records.to_string(), "--output"])
            .arg(&input)
            .output()?;
        if !made.status.success() {
            return Err(String::from_utf8_lossy(&made.stderr).into());
        }
    }
    let mut all: [Vec<Ran>; 3] = Default::default();
    for round in 1..=ROUNDS {
        for (of_execution, execution) in all.iter_mut().zip(Execution::ALL) {
            let ran = execute(of, execution)?;
            println!("round {round}: {}", row(&ran, None));
            of_execution.push(ran);
        }
    }
    let checksum = all[0][0].checksum;
    if all.iter().flatten().any(|ran| ran.checksum != checksum) {
        return Err("the outputs differ".into());
    }
    let medians = all.map(|mut runs| {
        runs.sort_by_key(|ran| ran.total);
        runs.swap_remove(ROUNDS / 2)
    });
    for ran in &medians {
        println!("median: {}", row(ran, Some(&medians[0])));
    }
    fs::write(&of.picture, picture::svg(&medians))?;
    Ok(())
}

/// A line of the table.
fn row(ran: &Ran, normal: Option<&Ran>) -> String {
    let seconds = ran.total.as_secs_f64();
    let mut text = format!("{}: {seconds:.1} s, {} retries", ran.execution.title(), ran.retries);
    let Some(normal) = normal else { return text };
    let normal = normal.total.as_secs_f64();
    text += &format!(", {:+.0} %", (seconds / normal - 1.0) * 100.0);
    if let Some(killed) = ran.killed {
        // What the worker had done by then is to be done by all.
        let capacity = (WORKERS - 1) as f64 + SLOW;
        let expected = normal + killed.as_secs_f64() / capacity;
        text += &format!(
            " (killed after {:.1} s; its work by then done again by all would make {expected:.1} s: {:+.0} %)",
            killed.as_secs_f64(),
            (seconds / expected - 1.0) * 100.0
        );
    }
    text
}

fn execute(of: &TransferRates, execution: Execution) -> Result<Ran, AnyError> {
    let output = of.scratch.join("out");
    if output.exists() {
        fs::remove_dir_all(&output)?;
    }
    let mut cluster = Cluster::start(of, execution != Execution::NoBackups)?;
    let begun = Instant::now();
    let mut job = Command::new(&of.windrow)
        .args(["run", "terasort", "--quiet", "--cluster", &cluster.address, "--input"])
        .arg(of.scratch.join("in"))
        .arg("--output")
        .arg(&output)
        .spawn()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let watched = runtime.block_on(watch(&mut cluster, execution, of.records * 100, begun));
    let status = job.wait()?;
    let (looks, killed, retries) = watched?;
    if !status.success() {
        return Err(format!("the job failed: {}", execution.title()).into());
    }
    let total = looks.last().map_or(Duration::ZERO, |look| look.at);
    Ok(Ran { execution, looks, total, killed, retries, checksum: checksum(&output)? })
}

type Watched = (Vec<Look>, Option<Duration>, u64);

/// Looks at the job until its end, and kills a worker once half of the input was read, if one is to be killed.
async fn watch(
    cluster: &mut Cluster,
    execution: Execution,
    input_bytes: u64,
    begun: Instant,
) -> Result<Watched, AnyError> {
    let client = Client::connect(&cluster.address, Credentials::off()).await?;
    let (mut looks, mut killed) = (vec![Look::default()], None);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // It may not be there yet.
        let Ok(status) = client.status(JobId(1), Duration::ZERO).await else { continue };
        let at = begun.elapsed();
        let counts = &status.counts;
        looks.push(Look {
            at,
            bytes: [counts.bytes_read, status.shuffle_bytes, counts.bytes_written],
        });
        match status.state {
            JobState::Running { .. } => {}
            JobState::Succeeded => return Ok((looks, killed, status.retries)),
            other => return Err(format!("the job has not succeeded: {other:?}").into()),
        }
        let is_halfway = counts.bytes_read >= input_bytes / 2;
        if execution == Execution::WorkersKilled && killed.is_none() && is_halfway {
            cluster.kill_and_start_again(0)?;
            killed = Some(at);
        }
    }
}

/// One number for all part files of an output, in the order of their names.
fn checksum(output: &std::path::Path) -> Result<u64, AnyError> {
    let mut parts: Vec<PathBuf> =
        fs::read_dir(output)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    parts.retain(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("part-")));
    parts.sort();
    let mut sum = 0;
    for part in parts {
        for chunk in fs::read(part)?.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            sum = windrow::record::mix(sum, u64::from_le_bytes(word));
        }
    }
    Ok(sum)
}
