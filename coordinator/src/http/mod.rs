//! The coordinator over HTTP: pages for people, an API for programs, and numbers for monitors.
//!
//! | path | what it gives |
//! |---|---|
//! | `/` | the page, to anybody: nothing of the cluster is in it, and what it shows it asks for |
//! | `/api/v1/` | jobs, workers, attempts and events, as JSON; `openapi.json` describes it |
//! | `/healthz` | `ok`, to anybody: the coordinator leads, and answers |
//! | `/metrics` | numbers in Prometheus' text format |
//!
//! `connections` accepts and secures, `admission` says who may ask, `api`, `events` and `submit` answer programs with what `views` makes
//! of the state, `page` has the files of the page, and `metrics` says how all is; `webhooks` tells others of the ends of jobs. Where the coordinator is secured it speaks
//! HTTPS alone, and who asks shows a token (`Authorization: Bearer`, RFC 6750): of the role `view` to look, `submit` to submit
//! and cancel jobs.

mod admission;
mod api;
mod connections;
mod events;
mod metrics;
mod page;
mod submit;
mod views;
mod webhooks;

pub(crate) use connections::serve_http;
pub(crate) use metrics::Totals;
pub(crate) use webhooks::tell_ends;
pub use webhooks::{Webhook, WebhookError};

use crate::server::Service;
use admission::{For, admit};
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::get;
use windrow_protocol::security::Role;

/// What there is, by path.
fn router(service: Service) -> Router {
    let admitted = |routes: Router<Service>, role, is_named| {
        let of = For { service: service.clone(), role, is_named };
        routes.layer(from_fn_with_state(of, admit))
    };
    let monitors = Router::new().route("/metrics", get(numbers));
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .merge(page::routes())
        .merge(api::for_anybody())
        .merge(admitted(monitors, Role::View, false))
        .merge(admitted(api::for_viewers(), Role::View, true))
        .merge(admitted(api::for_submitters(), Role::Submit, true))
        .with_state(service)
}

async fn numbers(State(service): State<Service>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::text(&service))
}
