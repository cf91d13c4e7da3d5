//! A job that has ended, and its stages, as spans: for those who follow traces. Executors tell of its attempts.

use super::History;
use windrow_protocol::attempts::stage_times;
use windrow_protocol::control::{JobState, JobStatus};

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
    for (stage, (from, to)) in stage_times(history.rows(), status.elapsed_ms) {
        let Some(of) = status.stages.get(stage as usize) else { continue };
        let told = tracing::info_span!(
            target: "windrow::trace", parent: &whole, "stage",
            stage = %of.stage, operators = %of.name, tasks = u64::from(of.tasks.unwrap_or(0)),
            begun_ms_ago = ago(from), ended_ms_ago = ago(to),
        );
        drop(told);
    }
}
