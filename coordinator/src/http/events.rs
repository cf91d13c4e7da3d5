//! Events for whoever subscribes, as server-sent events (HTML standard, section 9.2): each has its cursor as id, so that a
//! browser that connects again goes on where it was.

use super::api::{Refused, job_id};
use crate::server::{Service, pause};
use axum::Extension;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Deserialize;
use serde_json::json;
use std::convert::Infallible;
use std::time::Duration;
use windrow_protocol::events::{Cursor, EventPage, NoCursor, Since};
use windrow_protocol::ids::JobId;
use windrow_protocol::security::Identity;

/// Where nothing happens, something is said so often: what stands between does not close the connection then, and it is
/// noticed that nobody is there any more.
const QUIET: Duration = Duration::from_secs(15);

/// Pages follow one another so slowly at least, so that each has several events where there are many.
const BETWEEN: Duration = Duration::from_millis(50);

/// A browser waits so long before it connects again, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// Which events are wanted.
#[derive(Debug, Deserialize)]
pub(super) struct EventsQuery {
    /// Those of one job.
    job: Option<String>,
    /// `oldest`, `now`, or a cursor.
    since: Option<String>,
    /// All but those of tasks and attempts.
    #[serde(default)]
    coarse: bool,
}

/// What was read of a subscription.
struct Reading {
    service: Service,
    who: Identity,
    since: Since,
    job: Option<JobId>,
    coarse: bool,
    is_first: bool,
}

/// All events since, and those that come.
pub(super) async fn events(
    State(service): State<Service>,
    Query(query): Query<EventsQuery>,
    Extension(who): Extension<Identity>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let job = query.job.as_deref().map(job_id).transpose()?;
    if let Some(job) = job {
        service.lock().0.job(job)?;
    }
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let since = match last.or(query.since.as_deref()) {
        None => Since::Now,
        Some(since) => since
            .parse()
            .map_err(|error: NoCursor| Refused(StatusCode::BAD_REQUEST, error.to_string()))?,
    };
    let reading = Reading { service, who, since, job, coarse: query.coarse, is_first: true };
    let pages = stream::unfold(reading, |mut reading| async move {
        let text = reading.next().await?;
        Some((Ok::<_, Infallible>(text), reading))
    });
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(pages)).into_response())
}

impl Reading {
    /// The next part; none once who reads may not any more.
    async fn next(&mut self) -> Option<String> {
        if std::mem::take(&mut self.is_first) {
            return Some(format!("retry: {RETRY_MS}\n\n"));
        }
        let page = self.service.events_within(self.since, self.job, QUIET).await;
        self.since = Since::Cursor(page.cursor);
        pause(BETWEEN).await;
        let may = self.service.gate().is_none_or(|gate| gate.holds(&self.who).is_ok());
        may.then(|| self.text(&page))
    }

    fn text(&self, page: &EventPage) -> String {
        let mut text = String::new();
        if let Some(missed) = page.missed {
            let (data, id) = (json!({ "events": missed }), page.cursor);
            text += &format!("event: missed\nid: {id}\ndata: {data}\n\n");
        }
        let stream = page.cursor.stream;
        for event in &page.events {
            if self.coarse && event.what.is_of_a_task() {
                continue;
            }
            let (kind, data) = (event.what.kind(), event.to_json(stream));
            let id = Cursor { stream, number: event.number };
            text += &format!("event: {kind}\nid: {id}\ndata: {data}\n\n");
        }
        if text.is_empty() {
            text += ":\n\n";
        }
        text
    }
}
