//! `run`: a job, in this process.

use super::claim::ClaimFlags;
use super::quantity::human;
use super::security::ClientSecurity;
use super::stores::StoreFlags;
use super::{Failed, progress};
use crate::cluster::{self, Cluster, Prepared};
use crate::launcher::{Launched, LocalWorkers};
use crate::local::{Local, threads};
use crate::registry::{AnyJob, JobEntry};
use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use windrow_datasets::commit::{QUARANTINE_NAME, WriteMode};
use windrow_datasets::memory;
use windrow_datasets::scan::Scan;
use windrow_datasets::source::Split;
use windrow_datasets::storage::Storage;
use windrow_jobs::plan::Splits;
use windrow_jobs::{Outcome, Summary};
use windrow_protocol::client::Client;
use windrow_protocol::ids::JobId;
use windrow_protocol::security::Credentials;

// Flags of every job. No doc comment: its text would take the place of what a job's own help page says of the job.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of every job")]
pub(crate) struct RunFlags {
    /// Threads that compute, in this process or in each worker
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Over so many local worker processes, instead of in this one
    #[arg(long, conflicts_with = "cluster", group = "over_workers", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) workers: Option<u16>,
    /// On the cluster with this coordinator; where others stand by, all their addresses with commas between
    #[arg(long, value_name = "HOST:PORT", group = "over_workers")]
    pub(crate) cluster: Option<String>,
    /// On a cluster, have workers run this file, which is the same program, in place of the binary that is run here: built for
    /// another kind of machine, or linked statically
    #[arg(long, value_name = "FILE", requires = "cluster")]
    pub(crate) binary: Option<PathBuf>,
    /// On a cluster, submit the job, print its name, and do not wait for its end: `jobs attach` does
    #[arg(long, requires = "cluster", conflicts_with_all = ["json", "explain"])]
    pub(crate) detach: bool,
    /// On a cluster, run the job once: if it was submitted with this key before, which the coordinator knows of the last jobs, it
    /// is that one whose end is waited for
    #[arg(long, value_name = "KEY", requires = "cluster")]
    pub(crate) submit_once: Option<String>,
    #[command(flatten)]
    pub(crate) claim: ClaimFlags,
    #[command(flatten)]
    pub(crate) security: ClientSecurity,
    /// Over workers, end an attempt that runs for longer; its task is tried again, 4 times in all
    #[arg(long, value_name = "SECONDS", requires = "over_workers", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) task_timeout: Option<u64>,
    /// Memory of this process, or of each local worker: what does not fit goes to scratch [default: three quarters of the
    /// machine's, for all together]
    #[arg(long, value_name = "SIZE", value_parser = super::quantity::bytes)]
    pub(crate) memory: Option<u64>,
    /// End a local worker's executor that has more memory [default: no limit]
    #[arg(long, value_name = "SIZE", requires = "workers", value_parser = super::quantity::bytes)]
    pub(crate) memory_limit: Option<u64>,
    /// The folder for what does not fit the memory, and for shuffle files of local workers; several, if given more than
    /// once, are used by turns [default: that of the system for temporary files]
    #[arg(long, value_name = "DIR")]
    pub(crate) scratch: Vec<PathBuf>,
    /// A local worker that was not heard for so long is lost
    #[arg(long, value_name = "MS", hide = true)]
    pub(crate) lease_ms: Option<u64>,
    /// Leave out up to so many records of the input at which the job's code fails, or that cannot be parsed, and put them
    /// into `_quarantine/` in the output; the input is then read twice
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, value_parser = clap::value_parser!(u32).range(..=10_000))]
    pub(crate) skip_bad_records: u32,
    /// What to do about output that is there already
    #[arg(long, value_enum, default_value_t)]
    pub(crate) mode: Mode,
    /// Short for --mode overwrite
    #[arg(long, conflicts_with = "mode")]
    pub(crate) overwrite: bool,
    #[command(flatten)]
    pub(crate) stores: StoreFlags,
    /// Print the plan, and do not run it
    #[arg(long)]
    pub(crate) explain: bool,
    /// Print the result as JSON on standard output
    #[arg(long)]
    pub(crate) json: bool,
    /// No progress and no summary
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// What to do about output that is there already.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Mode {
    /// Refuse
    #[default]
    Error,
    /// Take its place
    Overwrite,
    /// Add to it
    Append,
    /// Take the place of those Hive partitions (folders `COLUMN=VALUE/`) that are written, and leave the others
    OverwritePartitions,
}

impl RunFlags {
    pub(crate) fn write_mode(&self) -> WriteMode {
        match (self.overwrite, self.mode) {
            (true, _) | (_, Mode::Overwrite) => WriteMode::Overwrite,
            (_, Mode::Append) => WriteMode::Append,
            (_, Mode::OverwritePartitions) => WriteMode::OverwritePartitions,
            (_, Mode::Error) => WriteMode::Error,
        }
    }
}

/// The `run` command with a command for each job.
pub(super) fn command(jobs: &[JobEntry]) -> Command {
    let command = Command::new("run")
        .about("Runs a job")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand_value_name("JOB")
        .subcommand_help_heading("Jobs");
    jobs.iter().fold(command, |command, job| {
        command.subcommand(RunFlags::augment_args((job.flags)(Command::new(job.name))))
    })
}

/// Runs the job that was asked for.
pub(super) fn run(jobs: &[JobEntry], matches: &ArgMatches) -> Result<(), Failed> {
    let Some((name, matches)) = matches.subcommand() else { unreachable!("clap asks for a job") };
    let Some(entry) = jobs.iter().find(|job| job.name == name) else {
        unreachable!("clap knows the jobs")
    };
    let job = (entry.of_flags)(matches)?;
    run_job(name, &*job, &RunFlags::from_arg_matches(matches)?)
}

/// Runs a job as its flags say.
pub(super) fn run_job(name: &str, job: &dyn AnyJob, flags: &RunFlags) -> Result<(), Failed> {
    let plan = job.plan().map_err(crate::RunError::from)?;
    if !flags.explain && (flags.workers.is_some() || flags.cluster.is_some()) {
        let arguments = job.arguments()?;
        let prepared = Prepared { name: name.to_string(), arguments, plan };
        if flags.detach {
            return detach(flags, &prepared);
        }
        return show(flags, job, &on_cluster(flags, prepared)?);
    }
    let mut local = Local::new()
        .mode(flags.write_mode())
        .skip_bad_records(flags.skip_bad_records)
        .storage(Storage::with_options(flags.stores.options()?));
    if let Some(threads) = flags.threads {
        local = local.threads(threads.into());
    }
    if let Some(memory) = flags.memory {
        local = local.memory(memory);
    }
    local = local.scratch(flags.scratch.iter().cloned());
    let local = local.prepare(plan);
    if flags.explain {
        let listed = local.list().map_err(crate::RunError::from)?;
        let of = |splits: &[Split], scan: Scan| Splits {
            splits: splits.len() as u64,
            lanes: splits.iter().map(|split| u64::from(split.lanes)).sum(),
            bytes: splits.iter().map(|split| split.bytes).sum(),
            scan,
        };
        let splits =
            listed.iter().map(|(stage, (splits, scan))| (*stage, of(splits, *scan))).collect();
        return super::print(&local.plan().explain(splits).to_string());
    }
    let cancelled = local.cancelled();
    on_interrupt(move || cancelled.store(true, Ordering::Relaxed));
    let shown = (!flags.quiet).then(|| progress::show_local(&local));
    let outcome = local.run();
    drop(shown);
    let outcome = outcome.map_err(crate::RunError::from)?;
    report(flags, name, &outcome)?;
    show(flags, job, &outcome)
}

/// Submits a job to a cluster, and leaves it there.
fn detach(flags: &RunFlags, job: &Prepared) -> Result<(), Failed> {
    let runtime = Arc::new(cluster::runtime()?);
    let address = flags.cluster.as_deref().unwrap_or_default();
    let cluster = connected(flags, runtime, address, flags.security.credentials()?)?;
    super::print(&format!("{}\n", cluster.detach_prepared(job)?))
}

/// A connection to a cluster, on which jobs run as the flags say.
fn connected(
    flags: &RunFlags,
    runtime: Arc<tokio::runtime::Runtime>,
    address: &str,
    credentials: Credentials,
) -> Result<Cluster, Failed> {
    let mut cluster = Cluster::connect_on(runtime, address, credentials)?
        .mode(flags.write_mode())
        .skip_bad_records(flags.skip_bad_records)
        .stores(flags.stores.options()?)
        .task_timeout(flags.task_timeout.map(Duration::from_secs));
    if let Some(key) = &flags.submit_once {
        cluster = cluster.once(key);
    }
    cluster = flags.claim.on(cluster);
    match &flags.binary {
        Some(binary) => Ok(cluster.binary(binary).map_err(Failed::from)?),
        None => Ok(cluster),
    }
}

/// Runs a job over local workers, or on a cluster.
fn on_cluster(flags: &RunFlags, job: Prepared) -> Result<Outcome, Failed> {
    let runtime = Arc::new(cluster::runtime()?);
    let launched = match flags.workers {
        Some(workers) => {
            let workers = usize::from(workers);
            let each = (threads() / workers).max(1);
            let options = LocalWorkers {
                workers,
                threads: flags.threads.map_or(each, usize::from),
                memory: flags.memory.unwrap_or_else(|| memory::of_machine() / workers as u64),
                memory_limit: flags.memory_limit,
                scratch: flags.scratch.clone(),
                lease_ms: flags.lease_ms,
            };
            Some(Launched::start(runtime.clone(), &options)?)
        }
        None => None,
    };
    let address = match (&launched, &flags.cluster) {
        (Some(launched), _) => launched.address(),
        (None, Some(address)) => address.clone(),
        (None, None) => unreachable!("one of the two was asked for"),
    };
    let credentials = match launched {
        Some(_) => Credentials::off(),
        None => flags.security.credentials()?,
    };
    let mut cluster = connected(flags, runtime.clone(), &address, credentials.clone())?;
    if launched.is_some() {
        cluster = cluster.of_this_process();
    }
    let running: Arc<Mutex<Option<JobId>>> = Arc::default();
    let (of_interrupt, interrupt_on) = (running.clone(), runtime.clone());
    on_interrupt(move || {
        let job = *of_interrupt.lock().unwrap_or_else(PoisonError::into_inner);
        interrupt_on.block_on(async {
            // A job that is not known yet, or a coordinator that is gone, ends with this process.
            let client = Client::connect(&address, credentials.clone()).await;
            if let (Some(job), Ok(client)) = (job, client) {
                let _ = client.cancel(job).await;
            }
        });
    });
    let mut shown = (!flags.quiet).then(progress::Remote::new);
    let outcome = cluster.run_prepared(&job, |id, status| {
        *running.lock().unwrap_or_else(PoisonError::into_inner) = Some(id);
        if let Some(shown) = &mut shown {
            shown.show(status);
        }
    });
    drop(shown);
    drop(launched);
    let outcome = outcome?;
    report(flags, &job.name, &outcome)?;
    Ok(outcome)
}

/// Calls `first` at the first Ctrl-C; the second one ends the process at once.
fn on_interrupt(first: impl Fn() + Send + 'static) {
    static INTERRUPTED: AtomicBool = AtomicBool::new(false);
    extern "C" fn handle(_: libc::c_int) {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            // SAFETY: `_exit` may be called in a signal handler.
            unsafe { libc::_exit(130) };
        }
    }
    let handler: extern "C" fn(libc::c_int) = handle;
    // SAFETY: the handler does only what a signal handler may.
    unsafe { libc::signal(libc::SIGINT, handler as libc::sighandler_t) };
    std::thread::spawn(move || {
        while !INTERRUPTED.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
        }
        first();
    });
}

/// Shows what the job itself has to show; with `--json`, standard output has the summary alone.
fn show(flags: &RunFlags, job: &dyn AnyJob, outcome: &Outcome) -> Result<(), Failed> {
    match job.show(outcome) {
        Some(text) if !flags.json => super::print(&text),
        _ => Ok(()),
    }
}

/// Tells the result.
pub(super) fn report(flags: &RunFlags, job: &str, outcome: &Outcome) -> Result<(), Failed> {
    if !flags.quiet {
        super::tell(&summary(job, outcome));
    }
    if flags.json {
        super::print(&format!("{}\n", json(job, outcome)))?;
    }
    Ok(())
}

fn json(job: &str, outcome: &Outcome) -> serde_json::Value {
    let Summary { records_read, bytes_read, records_written, bytes_written, .. } = outcome.summary;
    let summary = &outcome.summary;
    let outputs: Vec<serde_json::Value> = outcome
        .outputs
        .iter()
        .map(|(location, manifest)| {
            serde_json::json!({
                "location": location.to_string(),
                "files": manifest.files.len(),
                "rows": manifest.rows,
                "bytes": manifest.bytes,
            })
        })
        .collect();
    let stages: Vec<serde_json::Value> = summary
        .stages
        .iter()
        .map(|(name, tasks, elapsed)| {
            serde_json::json!({ "name": name, "tasks": tasks, "ms": elapsed.as_millis() as u64 })
        })
        .collect();
    serde_json::json!({
        "job": job,
        "records_read": records_read,
        "bytes_read": bytes_read,
        "records_written": records_written,
        "bytes_written": bytes_written,
        "tasks": summary.tasks,
        "retries": summary.retries,
        "left_out": summary.left_out,
        "shuffle_bytes": summary.shuffle_bytes,
        "spilled_bytes": summary.spilled_bytes,
        "fetched_ahead_bytes": summary.fetched_ahead_bytes,
        "store_requests": summary.traffic.requests,
        "store_failed": summary.traffic.failed,
        "store_bytes_received": summary.traffic.bytes_received,
        "store_bytes_sent": summary.traffic.bytes_sent,
        "scan": summary.scan,
        "memory_peak_bytes": summary.memory_peak_bytes,
        "elapsed_ms": summary.elapsed.as_millis() as u64,
        "counters": outcome.counters,
        "outputs": outputs,
        "stages": stages,
    })
}

/// What a person is told at the end.
fn summary(job: &str, outcome: &Outcome) -> String {
    use std::fmt::Write;
    let summary = &outcome.summary;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<12} {value}");
    };
    let both = |records: u64, bytes: u64| format!("{records} records, {}", human(bytes));
    line("read", both(summary.records_read, summary.bytes_read));
    line("wrote", both(summary.records_written, summary.bytes_written));
    line("tasks", format!("{}, {} retries", summary.tasks, summary.retries));
    if summary.left_out > 0 {
        line(
            "left out",
            format!("{} records, to {QUARANTINE_NAME}/ in the output", summary.left_out),
        );
    }
    line("shuffle", human(summary.shuffle_bytes));
    if summary.spilled_bytes > 0 {
        line("spilled", human(summary.spilled_bytes));
    }
    let traffic = summary.traffic;
    if traffic.requests > 0 {
        let failed = match traffic.failed {
            0 => String::new(),
            failed => format!(" ({failed} failed)"),
        };
        let (received, sent) = (human(traffic.bytes_received), human(traffic.bytes_sent));
        line(
            "stores",
            format!("{} requests{failed}, {received} received, {sent} sent", traffic.requests),
        );
    }
    let scan = summary.scan;
    if scan.files > 0 {
        for text in scan.listed() {
            line("scanned", text);
        }
    }
    if scan.groups > 0 {
        let rows = scan.rows - (scan.rows_pruned + scan.rows_filtered).min(scan.rows);
        line("filtered", format!("{} rows, {rows} left", scan.rows_filtered));
        let (read, bytes) = (human(scan.bytes_read), human(scan.bytes));
        let columns = human(scan.bytes_of_columns);
        line("bytes", format!("{read} read of {bytes}; the columns have {columns}"));
    }
    line("peak memory", human(summary.memory_peak_bytes));
    let longest = longest(&summary.stages);
    for &number in &longest {
        let (name, tasks, elapsed) = &summary.stages[number];
        line(
            &format!("stage {number}"),
            format!("{:.2} s, {tasks} tasks: {name}", elapsed.as_secs_f64()),
        );
    }
    if longest.len() < summary.stages.len() {
        let all: Duration = summary.stages.iter().map(|stage| stage.2).sum();
        let shown: Duration = longest.iter().map(|&number| summary.stages[number].2).sum();
        let others = summary.stages.len() - longest.len();
        let seconds = all.saturating_sub(shown).as_secs_f64();
        line("stages", format!("{seconds:.2} s in {others} others"));
    }
    for (name, count) in &outcome.counters {
        line("counter", format!("{name} {count}"));
    }
    for (location, manifest) in &outcome.outputs {
        line("output", format!("{location}, {} files", manifest.files.len()));
    }
    format!("{job} succeeded in {:.2} s\n{text}", summary.elapsed.as_secs_f64())
}

/// The most stages that a summary shows: a loop has many.
const STAGES_SHOWN: usize = 24;

/// The numbers of those stages that took longest, in their order; of all, if they are not many.
fn longest(stages: &[(String, u64, Duration)]) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..stages.len()).collect();
    numbers.sort_by_key(|&number| std::cmp::Reverse(stages[number].2));
    numbers.truncate(STAGES_SHOWN);
    numbers.sort_unstable();
    numbers
}
