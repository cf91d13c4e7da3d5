//! The attempts of a job as a trace that browsers show: a row for each slot of each worker, and one for each stage.
//!
//! Format: "Trace Event Format", Google, 2016: complete events (`X`), and names of rows (`M`). Times are microseconds since
//! 1970, as in the traces of processes, so that both can be put beside each other.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};
use windrow_protocol::attempts::{AttemptRow, AttemptsPage, How, stage_times};
use windrow_protocol::control::{JobStatus, WorkerStatus};
use windrow_protocol::ids::{TaskKind, WorkerId};
use windrow_protocol::task::Spent;

/// The process of the rows of stages. Workers have their own numbers, which begin at one.
const STAGES: u64 = 0;

/// A trace that is put together.
#[derive(Debug)]
pub(super) struct Chart {
    status: JobStatus,
    workers: Vec<WorkerStatus>,
    submitted_ms: u64,
    elapsed_ms: u64,
    rows: Vec<AttemptRow>,
}

impl Chart {
    pub(super) fn new(status: JobStatus, workers: Vec<WorkerStatus>) -> Chart {
        Chart { status, workers, submitted_ms: 0, elapsed_ms: 0, rows: Vec::new() }
    }

    /// How many attempts it has.
    pub(super) fn attempts(&self) -> u64 {
        self.rows.len() as u64
    }

    /// Adds attempts. Whether there are more.
    pub(super) fn add(&mut self, page: AttemptsPage) -> bool {
        (self.submitted_ms, self.elapsed_ms) = (page.submitted_unix_ms, page.elapsed_ms);
        let came = !page.rows.is_empty();
        self.rows.extend(page.rows);
        came && self.attempts() < page.known
    }

    /// Writes it as JSON, an event a line.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut between = "[\n";
        let mut event = |event: Value| {
            let written = write!(out, "{between}{event}");
            between = ",\n";
            written
        };
        let name = |what: &str, process: u64, row: u64, name: String| json!({ "name": what, "ph": "M", "pid": process, "tid": row, "args": { "name": name } });
        let job = format!("{} {}", self.status.job, self.status.name);
        event(name("process_name", STAGES, 0, job))?;
        for (at, (from, to)) in stage_times(&self.rows, self.elapsed_ms) {
            let stage = self.status.stages.get(at as usize);
            let title = stage.map_or_else(String::new, |of| format!("{}: {}", of.stage, of.name));
            event(name("thread_name", STAGES, u64::from(at), format!("s{at}")))?;
            event(self.span(title, STAGES, u64::from(at), [from, to], json!({})))?;
        }
        let slots = slots(&self.rows, self.elapsed_ms);
        let mut named: BTreeMap<WorkerId, u64> = BTreeMap::new();
        for (row, &slot) in self.rows.iter().zip(&slots) {
            let known = named.entry(row.worker).or_insert_with(|| 0);
            if *known == 0 {
                let host = self.workers.iter().find(|of| of.worker == row.worker);
                let host = host.map_or_else(String::new, |of| format!(" on {}", of.host));
                event(name("process_name", row.worker.0, 0, format!("{}{host}", row.worker)))?;
            }
            if slot >= *known {
                *known = slot + 1;
                event(name("thread_name", row.worker.0, slot, format!("slot {}", slot + 1)))?;
            }
            let times = [row.begun_ms.into(), row.end_ms(self.elapsed_ms)];
            event(self.span(title(row), row.worker.0, slot, times, arguments(row)))?;
        }
        out.write_all(b"\n]\n")
    }

    fn span(&self, name: String, process: u64, row: u64, [from, to]: [u64; 2], of: Value) -> Value {
        json!({
            "name": name, "cat": "windrow", "ph": "X", "pid": process, "tid": row, "args": of,
            "ts": (self.submitted_ms + from) * 1000, "dur": to.saturating_sub(from) * 1000,
        })
    }
}

/// For each attempt a slot of its worker that no other one has at that time.
fn slots(rows: &[AttemptRow], until_ms: u64) -> Vec<u64> {
    // By worker, until when each of its slots is taken.
    let mut taken: BTreeMap<WorkerId, Vec<u64>> = BTreeMap::new();
    let slot = |row: &AttemptRow| {
        let slots = taken.entry(row.worker).or_default();
        let end = row.end_ms(until_ms);
        match slots.iter().position(|until| *until <= u64::from(row.begun_ms)) {
            Some(at) => {
                slots[at] = end;
                at as u64
            }
            None => {
                slots.push(end);
                slots.len() as u64 - 1
            }
        }
    };
    rows.iter().map(slot).collect()
}

fn title(row: &AttemptRow) -> String {
    let (stage, partition, number) = (row.stage, row.partition, row.number);
    let task = match row.kind {
        TaskKind::Compute => format!("s{stage}/{partition}"),
        TaskKind::Split => format!("list s{stage}"),
        TaskKind::Commit => "commit".to_owned(),
    };
    let how = match row.how {
        How::Done => "",
        how => how.name(),
    };
    format!("{task}#{number} {how}").trim_end().to_owned()
}

fn arguments(row: &AttemptRow) -> Value {
    let ms = |units: u32| (Spent::UNIT * units).as_secs_f64() * 1000.0;
    let Spent { queued, fetching, lanes, reading, chain, finishing, .. } = row.spent;
    json!({
        "ended": row.how.name(),
        "is backup": row.is_backup,
        "records": row.amounts.records,
        "bytes read": row.amounts.read_bytes,
        "bytes into shuffles": row.amounts.shuffle_bytes,
        "bytes written": row.amounts.written_bytes,
        "bytes spilled": row.amounts.spilled_bytes,
        "ms waiting for a thread": ms(queued),
        "ms fetching": ms(fetching),
        "ms waiting for input": ms(reading),
        "ms decoding": ms(lanes.saturating_sub(reading).saturating_sub(chain)),
        "ms in operators and outputs": ms(chain),
        "ms finishing": ms(finishing),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use windrow_protocol::attempts::Amounts;

    fn row(worker: u64, begun_ms: u32, ended_ms: Option<u32>) -> AttemptRow {
        AttemptRow {
            kind: TaskKind::Compute,
            stage: 0,
            partition: 3,
            number: 1,
            worker: WorkerId(worker),
            is_backup: false,
            begun_ms,
            ended_ms,
            how: if ended_ms.is_some() { How::Done } else { How::Running },
            amounts: Amounts::default(),
            spent: Spent::default(),
        }
    }

    #[test]
    fn attempts_at_one_time_have_slots_of_their_own() {
        let rows = [
            row(1, 0, Some(10)),
            row(1, 5, Some(20)),
            row(2, 5, None),
            row(1, 10, Some(30)),
            row(1, 15, None),
            row(2, 20, Some(21)),
        ];
        assert_eq!(slots(&rows, 40), [0, 1, 0, 0, 2, 1]);
        assert_eq!((title(&rows[0]), title(&rows[2])), ("s0/3#1".into(), "s0/3#1 running".into()));
    }
}
