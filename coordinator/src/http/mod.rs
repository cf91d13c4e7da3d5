//! The coordinator over HTTP: what monitors read. `connections` accepts and secures, `metrics` says how all is.
//!
//! | path | what it gives |
//! |---|---|
//! | `/healthz` | `ok`, to anybody: the coordinator leads, and answers |
//! | `/metrics` | numbers in Prometheus' text format |
//!
//! Where the coordinator is secured it speaks HTTPS alone, and all but `/healthz` is for those who show a token of the role
//! `view` or more (`Authorization: Bearer`, RFC 6750).

mod connections;
mod metrics;

pub(crate) use connections::serve_http;
pub(crate) use metrics::Totals;

use crate::server::Service;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use windrow_protocol::security::{Identity, Role};

/// What there is, by path.
fn router(service: Service) -> Router {
    let for_viewers = Router::new()
        .route("/metrics", get(numbers))
        .layer(from_fn_with_state(service.clone(), viewers_only));
    Router::new().route("/healthz", get(async || "ok\n")).merge(for_viewers).with_state(service)
}

async fn numbers(State(service): State<Service>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::text(&service))
}

/// Lets those pass who may look.
async fn viewers_only(State(service): State<Service>, request: Request, next: Next) -> Response {
    match may_view(&service, request.headers()).await {
        Ok(()) => next.run(request).await,
        Err((status, why)) => {
            let scheme = [(header::WWW_AUTHENTICATE, "Bearer realm=\"windrow\"")];
            (status, scheme, format!("{why}\n")).into_response()
        }
    }
}

async fn may_view(service: &Service, headers: &HeaderMap) -> Result<(), (StatusCode, String)> {
    let Some(gate) = service.gate() else { return Ok(()) };
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = shown.and_then(|value| value.strip_prefix("Bearer ")).ok_or_else(|| {
        let why = "show a token of the role `view`: `Authorization: Bearer TOKEN`";
        (StatusCode::UNAUTHORIZED, why.to_owned())
    })?;
    match gate.identify(token).await {
        Ok(Identity::Holder { role, .. }) if role >= Role::View => Ok(()),
        Ok(who) => {
            Err((StatusCode::FORBIDDEN, format!("this needs the role view, and this is {who}")))
        }
        Err(why) => Err((StatusCode::UNAUTHORIZED, why)),
    }
}
