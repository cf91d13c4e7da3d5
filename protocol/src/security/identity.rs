//! What a process has proven to be, and how a certificate says so.

use crate::ids::JobId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The name in the certificate of a coordinator.
pub(super) const COORDINATOR: &str = "coordinator.windrow";

/// The name in the certificate of a worker. A second name has the token before it by which the worker joined.
pub(super) const WORKER: &str = "worker.windrow";

/// The end of the name in the certificate of an executor; the job is before it.
const EXECUTOR: &str = "executor.windrow";

/// What somebody with a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Be a worker.
    Join,
    /// Look at jobs and workers.
    View,
    /// Also submit and cancel jobs, and read what they collect.
    Submit,
    /// Also drain workers and end the cluster.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Join => "join",
            Role::View => "view",
            Role::Submit => "submit",
            Role::Admin => "admin",
        })
    }
}

/// What the other side of a connection has proven to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Nothing: there is no security, since nobody else can connect.
    Unsecured,
    /// A worker, by its certificate.
    Worker {
        /// The id of the token by which it joined, unless its certificate was brought along.
        token: Option<String>,
    },
    /// An executor, by its certificate.
    Executor(JobId),
    /// Somebody with a token.
    Holder {
        /// The token's id.
        token: String,
        /// Whose it is.
        name: String,
        /// What it is good for.
        role: Role,
    },
}

impl Identity {
    /// Whose token it is, if it was one.
    pub fn holder(&self) -> Option<&str> {
        match self {
            Identity::Holder { name, .. } => Some(name),
            Identity::Unsecured | Identity::Worker { .. } | Identity::Executor(_) => None,
        }
    }

    /// The names that a certificate of it has; none where there is no certificate for it.
    pub(super) fn names(&self) -> Vec<String> {
        match self {
            Identity::Worker { token: None } => vec![WORKER.to_owned()],
            Identity::Worker { token: Some(token) } => {
                vec![WORKER.to_owned(), format!("{token}.{WORKER}")]
            }
            Identity::Executor(job) => vec![format!("{job}.{EXECUTOR}")],
            Identity::Unsecured | Identity::Holder { .. } => Vec::new(),
        }
    }

    /// Whom a certificate with these names is of; none if that is no worker and no executor.
    pub(super) fn of_names<'n>(names: impl Iterator<Item = &'n str>) -> Option<Identity> {
        let before = |name: &'n str, end: &str| name.strip_suffix(end)?.strip_suffix('.');
        let (mut is_worker, mut token) = (false, None);
        for name in names {
            is_worker |= name == WORKER;
            token = token.or(before(name, WORKER).map(str::to_owned));
            let job = before(name, EXECUTOR).and_then(|job| job.strip_prefix('j')?.parse().ok());
            if let Some(job) = job {
                return Some(Identity::Executor(JobId(job)));
            }
        }
        is_worker.then_some(Identity::Worker { token })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identity::Unsecured => f.write_str("an unsecured process"),
            Identity::Worker { token: None } => f.write_str("a worker"),
            Identity::Worker { token: Some(token) } => write!(f, "a worker of token {token}"),
            Identity::Executor(job) => write!(f, "an executor of job {job}"),
            Identity::Holder { token, name, role } => {
                write!(f, "token {token} ({name}, {role})")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_who_it_is() {
        let workers = [None, Some("12ab".to_owned())].map(|token| Identity::Worker { token });
        for identity in workers.into_iter().chain([Identity::Executor(JobId(7))]) {
            let names = identity.names();
            assert_eq!(Identity::of_names(names.iter().map(String::as_str)), Some(identity));
        }
    }

    #[test]
    fn other_names_are_nobody() {
        for names in [
            &[][..],
            &["coordinator.windrow"],
            &["12ab.worker.windrow"],
            &["jx.executor.windrow"],
            &["executor.windrow"],
            &["worker.windrow.example.org"],
        ] {
            assert_eq!(Identity::of_names(names.iter().copied()), None, "{names:?}");
        }
    }
}
