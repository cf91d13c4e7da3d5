//! Which calls of a coordinator need which identity. A call that is not named here is nobody's.

use super::{Gate, Identity, Role};
use std::io;
use std::sync::Arc;
use tarpc::server::Serve;
use tarpc::{RequestName, ServerError, context};

/// What an error of a call begins with that its caller may not make. The error's kind does not say it: tarpc 0.38 writes it as
/// a signed number and reads it as an unsigned one, which postcard tells apart.
const DENIED: &str = "denied: ";

/// Why a call is denied; none if its error says something else.
pub(crate) fn denied(error: &ServerError) -> Option<&str> {
    error.detail.strip_prefix(DENIED)
}

/// The least role that may make a call; none if people do not make it.
pub fn least_role(method: &str) -> Option<Role> {
    Some(match method {
        "status" | "jobs" | "workers" | "explain" | "events" | "queues" | "attempts" | "logs"
        | "bounds" => Role::View,
        "submit" | "submitted" | "cancel" | "collected" | "job_record" | "task_record"
        | "offer_binary" | "put_binary" => Role::Submit,
        "drain" | "shut_down" => Role::Admin,
        _ => return None,
    })
}

/// Whether workers make the call.
fn is_of_workers(method: &str) -> bool {
    matches!(
        method,
        "register"
            | "poll"
            | "job_spec"
            | "blocks"
            | "gone"
            | "certify"
            | "job_binary"
            | "binary_source"
            | "binary_piece"
            | "binary_fetched"
    )
}

/// Whether somebody may make a call, by what it is; whether that still holds is another question.
///
/// # Errors
/// Why not, for people.
pub(super) fn may(who: &Identity, method: &str) -> Result<(), String> {
    let enough = match who {
        Identity::Unsecured => true,
        _ if method == "hello" => true,
        Identity::Worker { .. } => is_of_workers(method),
        Identity::Holder { role: Role::Join, .. } => method == "certify",
        Identity::Holder { role, .. } => least_role(method).is_some_and(|least| *role >= least),
        Identity::Executor(_) => false,
    };
    if enough {
        return Ok(());
    }
    Err(match least_role(method) {
        Some(least) => format!("`{method}` needs the role {least}, and this is {who}"),
        None => format!("`{method}` is for workers, and this is {who}"),
    })
}

/// A service that a caller may use as far as its identity goes, and as long as that holds.
#[derive(Clone)]
pub struct Allowed<S> {
    service: S,
    who: Identity,
    gate: Arc<Gate>,
}

impl<S> Allowed<S> {
    /// Lets a caller, whom the gate has admitted, use the service.
    pub fn new(service: S, who: Identity, gate: Arc<Gate>) -> Allowed<S> {
        Allowed { service, who, gate }
    }
}

impl<S: Serve> Serve for Allowed<S>
where
    S::Req: RequestName,
{
    type Req = S::Req;
    type Resp = S::Resp;

    async fn serve(self, ctx: context::Context, req: S::Req) -> Result<S::Resp, ServerError> {
        let method = req.name().rsplit('.').next().unwrap_or_default();
        let allowed = self.gate.holds(&self.who).and_then(|()| may(&self.who, method));
        if let Err(why) = allowed {
            self.gate.log_refused(&why);
            let why = format!("{DENIED}{why}");
            return Err(ServerError::new(io::ErrorKind::PermissionDenied, why));
        }
        self.service.serve(ctx, req).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::JobId;

    fn holder(role: Role) -> Identity {
        Identity::Holder { token: "12ab34cd".into(), name: "eve".into(), role }
    }

    #[test]
    fn a_role_has_what_the_lesser_ones_have() {
        for (role, can, cannot) in [
            (Role::Join, &["hello", "certify"][..], &["jobs", "submit", "register", "poll"][..]),
            (Role::View, &["hello", "jobs", "status"], &["submit", "cancel", "collected"]),
            (Role::Submit, &["jobs", "submit", "cancel"], &["drain", "shut_down", "register"]),
            (Role::Admin, &["jobs", "submit", "drain", "shut_down"], &["poll", "certify"]),
        ] {
            can.iter().for_each(|method| may(&holder(role), method).unwrap());
            for method in cannot {
                let why = may(&holder(role), method).unwrap_err();
                assert!(why.contains("eve") && why.contains(method), "{why}");
            }
        }
    }

    #[test]
    fn workers_do_what_workers_do_and_executors_nothing() {
        let worker = Identity::Worker { token: None };
        for method in [
            "register",
            "poll",
            "job_spec",
            "blocks",
            "gone",
            "certify",
            "job_binary",
            "binary_piece",
        ] {
            may(&worker, method).unwrap();
            may(&Identity::Executor(JobId(1)), method).unwrap_err();
        }
        for method in ["submit", "cancel", "shut_down", "put_binary", "unknown"] {
            may(&worker, method).unwrap_err();
        }
    }
}
