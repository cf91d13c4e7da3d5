//! A job that has ended, and its stages, as spans: for those who follow traces. Executors tell of its attempts.

use super::{History, Row};
use std::collections::BTreeMap;
use windrow_protocol::control::{JobState, JobStatus};
use windrow_protocol::ids::TaskKind;

/// Tells of a job that ends now. Costs nothing where nobody listens.
pub(crate) fn tell(short_id: &str, status: impl FnOnce() -> JobStatus, history: &History) {
    if !tracing::enabled!(target: "windrow::trace", tracing::Level::INFO) {
        return;
    }
    let status = status();
    let failed = match &status.state {
        JobState::Failed(failure) => Some(failure.to_string()),
        JobState::Cancelled => Some("cancelled".to_owned()),
        JobState::Succeeded | JobState::Running { .. } => None,
    };
    let whole = tracing::info_span!(
        target: "windrow::trace", "job",
        job = %short_id, id = %status.job, name = %status.name, queue = %status.queue,
        user = %status.user, failed, retries = status.retries,
        begun_ms_ago = status.elapsed_ms, ended_ms_ago = 0_u64,
    );
    let ago = |ms: u64| status.elapsed_ms.saturating_sub(ms);
    for (stage, (from, to)) in stages(history.rows(), status.elapsed_ms) {
        let Some(of) = status.stages.get(stage as usize) else { continue };
        let told = tracing::info_span!(
            target: "windrow::trace", parent: &whole, "stage",
            stage = %of.stage, operators = %of.name, tasks = u64::from(of.tasks.unwrap_or(0)),
            begun_ms_ago = ago(from), ended_ms_ago = ago(to),
        );
        drop(told);
    }
}

/// From when to when each stage had attempts, in milliseconds.
fn stages(rows: &[Row], until_ms: u64) -> BTreeMap<u32, (u64, u64)> {
    let mut stages: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.kind == TaskKind::Compute) {
        let (from, to) = (u64::from(row.begun_ms), row.ended_ms.map_or(until_ms, u64::from));
        let of = stages.entry(row.stage).or_insert((from, to));
        *of = (of.0.min(from), of.1.max(to));
    }
    stages
}
