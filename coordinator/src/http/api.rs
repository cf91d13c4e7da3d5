//! What programs and pages ask for: jobs, workers and attempts, as JSON, and the end of a job. `openapi.json` describes it.

use super::submit;
use super::views::{self, Attempts, Clock};
use crate::server::{Core, Service};
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use windrow_protocol::control::Refusal;
use windrow_protocol::ids::{JobId, NoJobName};

/// The description of all this.
const OPENAPI: &str = include_str!("openapi.json");

/// The most jobs of one list.
const JOBS: usize = 1_000;

/// Why a request is not answered: a status, and words.
#[derive(Debug)]
pub(super) struct Refused(pub(super) StatusCode, pub(super) String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Refused(status, why) = self;
        let mut answer = (status, json_of(&json!({ "error": why }))).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let scheme = header::HeaderValue::from_static("Bearer realm=\"windrow\"");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        answer
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Refused {
        let status = match refusal {
            Refusal::NoJob(_) | Refusal::NoWorker(_) => StatusCode::NOT_FOUND,
            Refusal::Denied(_) => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_REQUEST,
        };
        Refused(status, refusal.to_string())
    }
}

pub(super) fn json_of(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => {
            let headers =
                [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
            (headers, bytes).into_response()
        }
        // There is nothing in it that cannot be written.
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// What those may ask for who may look.
pub(super) fn for_viewers() -> Router<Service> {
    Router::new()
        .route("/api/v1/cluster", get(cluster))
        .route("/api/v1/workers", get(workers))
        .route("/api/v1/queues", get(queues))
        .route("/api/v1/jobs", get(jobs))
        .route("/api/v1/jobs/{job}", get(job))
        .route("/api/v1/jobs/{job}/attempts", get(attempts))
        .route("/api/v1/jobs/{job}/attempts/{row}/log", get(log))
        .route("/api/v1/jobs/{job}/outputs", get(outputs))
        .route("/api/v1/jobs/{job}/explain", get(explain))
        .route("/api/v1/jobs/{job}/bounds", get(bounds))
        .route("/api/v1/events", get(super::events::events))
}

/// What those may ask for who may submit.
pub(super) fn for_submitters() -> Router<Service> {
    Router::new()
        .route("/api/v1/programs", get(submit::programs))
        .route("/api/v1/jobs", post(submit::submit))
        .route("/api/v1/jobs/{job}/cancel", post(cancel))
}

/// What anybody may.
pub(super) fn for_anybody() -> Router<Service> {
    let openapi = || async { ([(header::CONTENT_TYPE, "application/json")], OPENAPI) };
    Router::new().route("/api/v1/openapi.json", get(openapi))
}

/// Looks at the state, and answers once all is kept that it was seen with.
async fn look<T>(
    service: &Service,
    at: impl FnOnce(&Core, Clock) -> Result<T, Refused>,
) -> Result<T, Refused> {
    let seen = {
        let (core, now) = service.lock();
        at(&core, Clock { now, unix_ms: service.shared.unix_ms() })
    };
    service.kept().await;
    seen
}

async fn cluster(State(service): State<Service>) -> Result<Response, Refused> {
    let uptime = service.shared.uptime();
    let seen = look(&service, |core, clock| {
        let there = || core.workers.values().filter(|worker| worker.is_alive());
        let running = core.jobs.values().filter(|job| job.is_running()).count();
        Ok(json!({
            "release": env!("CARGO_PKG_VERSION"),
            "binary": core.config.binary.name,
            "is_secured": service.gate().is_some(),
            "unix_ms": clock.unix_ms,
            "uptime_s": uptime,
            "workers": there().count(),
            "slots": there().map(|worker| u64::from(worker.hello.slots)).sum::<u64>(),
            "attempts_running": there().map(|worker| worker.running.len() as u64).sum::<u64>(),
            "jobs_running": running,
            "jobs_ended": core.ended.len(),
            "cursor": core.bus.cursor().to_string(),
        }))
    });
    Ok(json_of(&seen.await?))
}

async fn workers(State(service): State<Service>) -> Result<Response, Refused> {
    let seen = look(&service, |core, _| {
        Ok(core.worker_list().iter().map(views::worker).collect::<Value>())
    });
    Ok(json_of(&json!({ "workers": seen.await? })))
}

async fn queues(State(service): State<Service>) -> Result<Response, Refused> {
    let seen =
        look(&service, |core, _| Ok(core.queue_list().iter().map(views::queue).collect::<Value>()));
    Ok(json_of(&json!({ "queues": seen.await? })))
}

#[derive(Debug, Deserialize)]
struct JobsQuery {
    state: Option<String>,
    limit: Option<usize>,
}

async fn jobs(
    State(service): State<Service>,
    Query(query): Query<JobsQuery>,
) -> Result<Response, Refused> {
    let limit = query.limit.unwrap_or(100).min(JOBS);
    let seen = look(&service, |core, clock| {
        let views = core.jobs.values().rev().map(|job| views::job_in_list(job, clock));
        let wanted =
            views.filter(|view| query.state.as_ref().is_none_or(|of| view["state"] == **of));
        Ok(wanted.take(limit).collect::<Value>())
    });
    Ok(json_of(&json!({ "jobs": seen.await? })))
}

/// Reads the name of a job.
pub(super) fn job_id(name: &str) -> Result<JobId, Refused> {
    name.parse().map_err(|error: NoJobName| Refused(StatusCode::NOT_FOUND, error.to_string()))
}

async fn job(
    State(service): State<Service>,
    Path(name): Path<String>,
) -> Result<Response, Refused> {
    let id = job_id(&name)?;
    let seen = look(&service, |core, clock| Ok(views::job(core.job(id)?, clock)));
    Ok(json_of(&seen.await?))
}

#[derive(Debug, Deserialize)]
struct AttemptsQuery {
    seen: Option<u64>,
}

async fn attempts(
    State(service): State<Service>,
    Path(name): Path<String>,
    Query(query): Query<AttemptsQuery>,
) -> Result<Response, Refused> {
    let (id, seen) = (job_id(&name)?, query.seen.unwrap_or(0));
    let found = look(&service, |core, _| {
        let job = core.job(id)?;
        let running = || Attempts::since(&job.history, seen).with_progress(core, job);
        let running = job.is_running().then(running);
        Ok((running, core.histories.clone(), job.attempts_so_far()))
    });
    let attempts = match found.await? {
        (Some(attempts), ..) => attempts,
        // It may be on the disk.
        (None, histories, attempts) => {
            let read = move || views::of_ended(histories.get(id), seen, attempts);
            spawn_blocking(read).await.unwrap_or_else(|_| Attempts::default())
        }
    };
    Ok(json_of(&attempts))
}

async fn log(
    State(service): State<Service>,
    Path((name, row)): Path<(String, u32)>,
) -> Result<Response, Refused> {
    let id = job_id(&name)?;
    let log = service.of_history(id, move |history| history.log(row).map(str::to_owned)).await?;
    let none = || {
        let text = format!("nothing is kept that attempt {row} of job {id} logged");
        Refused(StatusCode::NOT_FOUND, text)
    };
    let log = log.flatten().ok_or_else(none)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], log).into_response())
}

async fn outputs(
    State(service): State<Service>,
    Path(name): Path<String>,
) -> Result<Response, Refused> {
    let id = job_id(&name)?;
    let seen = look(&service, |core, _| {
        let manifests = core.job(id)?.manifests.iter();
        let of = |manifest: &str| serde_json::from_str::<Value>(manifest).unwrap_or_default();
        Ok(manifests.map(|(_, manifest)| of(manifest)).collect::<Value>())
    });
    Ok(json_of(&json!({ "outputs": seen.await? })))
}

async fn explain(
    State(service): State<Service>,
    Path(name): Path<String>,
) -> Result<Response, Refused> {
    let explained = service.explained(job_id(&name)?, None).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], explained).into_response())
}

async fn bounds(
    State(service): State<Service>,
    Path(name): Path<String>,
) -> Result<Response, Refused> {
    let lines = service.bounds_of(job_id(&name)?).await?;
    Ok(json_of(&json!({ "lines": lines })))
}

async fn cancel(
    State(service): State<Service>,
    Path(name): Path<String>,
) -> Result<Response, Refused> {
    service.cancelled(job_id(&name)?).await?;
    Ok(json_of(&json!({})))
}
