//! Who may say what: TLS between the processes of a cluster, certificates for its workers, tokens for its people.
//!
//! A cluster has one certificate authority, whose key the coordinator has. Every process has a folder with what it needs
//! (`CA`, `TOKEN` and so on name its files): the authority's certificate, and a token or a certificate of its own. A coordinator makes
//! itself a certificate when it starts. A worker shows a token once, has its public key certified by the coordinator
//! ([`Coordinator::certify`](crate::control::Coordinator::certify)), and from then on both sides of its connections show
//! certificates (mutual TLS), on the control plane and on the data plane. An executor, which runs the code of a user, gets a
//! certificate from its supervisor that is good for reading the blocks of its job, and for nothing else. People have
//! tokens with a [`Role`].
//!
//! Certificates name what a process *is*, not where it runs ([`Identity`]): workers come and go, at any address. Files
//! that change are read again, so that certificates and tokens are replaced without a restart. TLS 1.3 (RFC 8446) alone is
//! spoken, by rustls.
//!
//! Without a folder nothing is secured, which is refused for addresses at which others than this machine can connect:
//! [`may_be_unsecured`].

mod access;
mod authority;
mod credentials;
mod files;
mod folders;
mod gate;
mod identity;
mod refusals;
mod secret;
mod tls;
mod tokens;
mod wire;

pub(crate) use access::denied;
pub use access::{Allowed, least_role};
pub use authority::{Authority, NewKey};
pub use credentials::{Callee, Certificate, Credentials, Given};
pub use files::{CA, CA_KEY, CERTIFICATE, KEY, TOKEN, TOKENS, write_private};
pub use folders::{ClusterFolders, hand_out};
pub use gate::Gate;
pub(crate) use gate::introduce;
pub use identity::{Identity, Role};
pub use secret::Secret;
pub use tokens::{Token, Tokens};
pub use wire::Wire;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why something about security cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    /// A file cannot be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {why}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The folder lacks something.
    #[error("the folder {} has no {missing}", .folder.display())]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// Which file, and what it is for.
        missing: &'static str,
    },
    /// A certificate or key cannot be made or used.
    #[error("certificates: {0}")]
    Certificate(String),
    /// There is no such token.
    #[error("there is no token `{0}`; `windrow cluster token list` shows those that there are")]
    NoToken(String),
}

/// Whether a process that listens there may do without security: nobody on another machine can connect.
pub fn may_be_unsecured(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests;
