//! How all is, in numbers: Prometheus' text format
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).

use crate::server::{Core, Job, Service, Standing};
use std::fmt::{Display, Write};
use windrow_protocol::claim::QueueStatus;
use windrow_protocol::control::JobState;

/// The format's name and version.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What jobs have done, in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    succeeded: u64,
    failed: u64,
    cancelled: u64,
    records_read: u64,
    bytes_read: u64,
    records_written: u64,
    bytes_written: u64,
    shuffle_bytes: u64,
    spilled_bytes: u64,
    fetched_ahead_bytes: u64,
    retries: u64,
}

impl Totals {
    /// Adds what a job has done so far.
    pub(crate) fn add(&mut self, job: &Job) {
        match &job.state {
            JobState::Running { .. } => {}
            JobState::Succeeded => self.succeeded += 1,
            JobState::Failed(_) => self.failed += 1,
            JobState::Cancelled => self.cancelled += 1,
        }
        self.records_read += job.counts.records_read;
        self.bytes_read += job.counts.bytes_read;
        self.records_written += job.counts.records_written;
        self.bytes_written += job.counts.bytes_written;
        self.shuffle_bytes += job.shuffle_bytes;
        self.spilled_bytes += job.counts.spilled_bytes;
        self.fetched_ahead_bytes += job.counts.fetched_ahead_bytes;
        self.retries += job.retries;
    }
}

/// How all is now.
#[derive(Debug, Default)]
struct Numbers {
    totals: Totals,
    running_jobs: u64,
    waiting_jobs: u64,
    running_attempts: u64,
    /// Ready, draining, set aside, and lost as far as that is remembered.
    workers: [u64; 4],
    slots: u64,
    queues: Vec<QueueStatus>,
}

impl Numbers {
    fn of(core: &Core) -> Numbers {
        let mut all =
            Numbers { totals: core.forgotten, queues: core.queue_list(), ..Numbers::default() };
        for job in core.jobs.values() {
            all.totals.add(job);
            if let JobState::Running { waiting } = &job.state {
                all.running_jobs += 1;
                all.waiting_jobs += u64::from(waiting.is_some());
            }
        }
        for worker in core.workers.values() {
            let place = match worker.standing {
                Standing::Ready => 0,
                Standing::Draining => 1,
                Standing::Aside => 2,
                Standing::Lost(_) => 3,
                Standing::Drained => continue,
            };
            all.workers[place] += 1;
            if place < 3 {
                all.slots += u64::from(worker.hello.slots);
                all.running_attempts += worker.running.len() as u64;
            }
        }
        all
    }
}

/// All numbers, as text.
pub(super) fn text(service: &Service) -> String {
    let (numbers, uptime) = {
        let (core, _) = service.lock();
        (Numbers::of(&core), service.shared.uptime())
    };
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, values: &[(&str, &dyn Display)]| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let Numbers { totals, running_jobs, waiting_jobs, running_attempts, workers, slots, queues } =
        &numbers;
    metric(
        "windrow_jobs",
        "gauge",
        "Jobs that have not ended; those that wait for something are among those that run.",
        &[("{state=\"running\"}", running_jobs), ("{state=\"waiting\"}", waiting_jobs)],
    );
    metric(
        "windrow_jobs_ended_total",
        "counter",
        "Jobs that have ended.",
        &[
            ("{end=\"succeeded\"}", &totals.succeeded),
            ("{end=\"failed\"}", &totals.failed),
            ("{end=\"cancelled\"}", &totals.cancelled),
        ],
    );
    metric(
        "windrow_workers",
        "gauge",
        "Workers; lost ones as far as they are remembered.",
        &[
            ("{state=\"ready\"}", &workers[0]),
            ("{state=\"draining\"}", &workers[1]),
            ("{state=\"aside\"}", &workers[2]),
            ("{state=\"lost\"}", &workers[3]),
        ],
    );
    metric("windrow_slots", "gauge", "Slots of workers that are there.", &[("", slots)]);
    metric("windrow_attempts_running", "gauge", "Attempts that run.", &[("", running_attempts)]);
    let of_queue = |queue: &QueueStatus| format!("{{queue=\"{}\"}}", queue.name);
    let names: Vec<String> = queues.iter().map(of_queue).collect();
    let mut of_queues = |name: &str, help: &str, value: fn(&QueueStatus) -> u64| {
        let values: Vec<u64> = queues.iter().map(value).collect();
        let values =
            names.iter().zip(&values).map(|(name, value)| (&**name, value as &dyn Display));
        metric(name, "gauge", help, &values.collect::<Vec<_>>());
    };
    of_queues("windrow_queue_slots", "Slots that the jobs of a queue have.", |of| of.slots);
    of_queues("windrow_queue_jobs", "Jobs of a queue that may run.", |of| of.running.into());
    of_queues("windrow_queue_waiting", "Jobs that wait for a place in a queue.", |of| {
        of.waiting.into()
    });
    let counters: [(&str, &str, &u64); 8] = [
        ("retries", "Attempts that failed or were lost.", &totals.retries),
        ("records_read", "Records that sources and shuffles gave.", &totals.records_read),
        ("bytes_read", "Bytes of splits and blocks that were read.", &totals.bytes_read),
        ("records_written", "Records that went into outputs.", &totals.records_written),
        ("bytes_written", "Bytes that went into outputs.", &totals.bytes_written),
        ("shuffle_bytes", "Bytes that went through shuffles.", &totals.shuffle_bytes),
        ("spilled_bytes", "Bytes that did not fit the memory.", &totals.spilled_bytes),
        (
            "fetched_ahead_bytes",
            "Bytes of blocks that were read where they had been fetched ahead.",
            &totals.fetched_ahead_bytes,
        ),
    ];
    for (name, help, value) in counters {
        metric(&format!("windrow_{name}_total"), "counter", help, &[("", value)]);
    }
    metric("windrow_uptime_seconds", "gauge", "Since the coordinator started.", &[("", &uptime)]);
    let process = Process::of_this();
    metric(
        "process_resident_memory_bytes",
        "gauge",
        "Memory of the coordinator.",
        &[("", &process.memory)],
    );
    metric("process_open_fds", "gauge", "Open files of the coordinator.", &[("", &process.files)]);
    text
}

/// This process, as the system has it.
struct Process {
    memory: u64,
    files: usize,
}

impl Process {
    fn of_this() -> Process {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let memory = status.lines().find_map(|line| {
            let kilobytes = line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?;
            kilobytes.trim().parse::<u64>().ok()
        });
        let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        Process { memory: memory.unwrap_or_default() * 1024, files }
    }
}
