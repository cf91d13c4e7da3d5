//! Who may ask, and from where.
//!
//! Where the coordinator is secured, by token and role. Where it is not, whoever is on this machine may, which is more than
//! every page that is open in a browser there: a page of elsewhere can reach the port by a name of its own that it points to
//! this machine ("DNS rebinding"), and can send forms. So names of elsewhere are refused, and what changes something has to
//! be sent as JSON, which a browser lets no other origin do.

use crate::server::Service;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use windrow_protocol::security::{Identity, Role};

use super::api::Refused;

/// Who may ask for something.
#[derive(Clone, Debug)]
pub(super) struct For {
    pub(super) service: Service,
    /// The least role.
    pub(super) role: Role,
    /// Whether the name by which the coordinator was reached counts: monitors read under any.
    pub(super) is_named: bool,
}

/// Lets those pass who may.
pub(super) async fn admit(State(of): State<For>, mut request: Request, next: Next) -> Response {
    let admitted = match of.service.gate() {
        None => may_unsecured(&of, &request).map(|()| Identity::Unsecured),
        Some(_) => holder(&of, request.headers()).await,
    };
    let who = match admitted.and_then(|who| is_json(&request).map(|()| who)) {
        Ok(who) => who,
        Err(refused) => return refused.into_response(),
    };
    request.extensions_mut().insert(who);
    next.run(request).await
}

fn may_unsecured(of: &For, request: &Request) -> Result<(), Refused> {
    let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if !of.is_named || named.is_some_and(is_of_this_machine) {
        return Ok(());
    }
    let why =
        "an unsecured coordinator is asked as `localhost` or by its address, and by no other name";
    Err(Refused(StatusCode::FORBIDDEN, why.to_owned()))
}

/// Whether a name, with or without a port, is one that nobody elsewhere can point to this machine.
fn is_of_this_machine(named: &str) -> bool {
    let host = match named.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => named.rsplit_once(':').map_or(named, |(host, _)| host),
    };
    host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok()
}

fn is_json(request: &Request) -> Result<(), Refused> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(());
    }
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if kind
        .is_some_and(|kind| kind.split(';').next().unwrap_or_default().trim() == "application/json")
    {
        return Ok(());
    }
    let why = "what changes something is sent with `Content-Type: application/json`";
    Err(Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, why.to_owned()))
}

/// The token that is shown.
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    let shown = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    shown.strip_prefix("Bearer ")
}

async fn holder(of: &For, headers: &HeaderMap) -> Result<Identity, Refused> {
    let For { service, role, .. } = of;
    let Some(gate) = service.gate() else { return Ok(Identity::Unsecured) };
    let token = token(headers).ok_or_else(|| {
        let why = format!("show a token of the role `{role}`: `Authorization: Bearer TOKEN`");
        Refused(StatusCode::UNAUTHORIZED, why)
    })?;
    match gate.identify(token).await {
        Ok(who @ Identity::Holder { role: has, .. }) if has >= *role => Ok(who),
        Ok(who) => {
            let why = format!("this needs the role {role}, and this is {who}");
            Err(Refused(StatusCode::FORBIDDEN, why))
        }
        Err(why) => Err(Refused(StatusCode::UNAUTHORIZED, why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_elsewhere_are_told_apart() {
        for named in [
            "localhost",
            "localhost:80",
            "127.0.0.1:7078",
            "[::1]:7078",
            "[::1]",
            "10.1.2.3",
            "a.localhost:1",
        ] {
            assert!(is_of_this_machine(named), "{named}");
        }
        for named in [
            "",
            "evil.example",
            "evil.example:80",
            "localhost.evil.example",
            "127.0.0.1.evil.example:1",
            "[evil]:80",
        ] {
            assert!(!is_of_this_machine(named), "{named}");
        }
    }
}
