//! Where a coordinator lets processes in.

use super::authority::{Authority, NewKey};
use super::credentials::{Certificate, authorities};
use super::files::{CA, Stamp};
use super::identity::COORDINATOR;
use super::refusals::{Refusals, TARGET};
use super::tls::{self, Callers};
use super::tokens::TOKEN_BYTES_MAX;
use super::{Credentials, Identity, Role, SecurityError, Tokens, Wire};
use crate::codec::{Peer, answer_unsecured};
use crate::control::{CertificateOf, Issued, Refusal};
use crate::transport::{Dropped, be_greeted};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a worker's certificate holds. One whose token is revoked may still talk to other workers until then.
const WORKER_LIFE: Duration = DAY;

/// How long an executor's certificate holds: longer than jobs take.
const EXECUTOR_LIFE: Duration = Duration::from_secs(30 * DAY.as_secs());

/// How long the certificate holds that a coordinator makes for itself; another one is made long before.
const COORDINATOR_LIFE: Duration = Duration::from_secs(30 * DAY.as_secs());

/// So many connections may be there that have not said who they are; more are closed at once.
const STRANGERS: usize = 256;

/// The first byte of a TLS connection (RFC 8446, 5.1: a handshake).
const TLS_HANDSHAKE: u8 = 22;

/// The longest text of a refusal, in bytes.
const WHY_BYTES_MAX: usize = 1024;

/// Where a coordinator lets processes in.
pub struct Gate {
    folder: PathBuf,
    strangers: Semaphore,
    refusals: Refusals,
    state: RwLock<Arc<State>>,
    /// The folder as it was when it was of no use: that is told once.
    useless: Mutex<Option<Stamp>>,
}

struct State {
    stamp: Stamp,
    acceptor: TlsAcceptor,
    /// None if certificates are brought along.
    authority: Option<Authority>,
    tokens: Tokens,
    /// The coordinator's own.
    certificate: Certificate,
}

impl State {
    fn read(folder: &Path) -> Result<State, SecurityError> {
        let stamp = Stamp::of(folder);
        let authority = Authority::read(folder)?;
        let certificate = match (Certificate::brought(folder)?, &authority) {
            (Some(brought), _) => brought,
            (None, Some(authority)) => authority.of_coordinator(COORDINATOR_LIFE)?,
            (None, None) => {
                let missing = "`ca-key.pem`, nor `cert.pem` and `key.pem`: `windrow cluster init` makes the first";
                return Err(SecurityError::Missing { folder: folder.to_owned(), missing });
            }
        };
        let authorities = authorities(folder)?;
        tls::verify(&authorities, &certificate, COORDINATOR)?;
        let server = tls::server(&authorities, &certificate, Callers::Any)?;
        let acceptor = TlsAcceptor::from(Arc::new(server));
        Ok(State { stamp, acceptor, authority, tokens: Tokens::read(folder)?, certificate })
    }
}

impl Gate {
    /// A gate with the authority, certificates and tokens of a folder.
    ///
    /// # Errors
    /// If something is missing there, or is not what it should be.
    pub fn open(folder: &Path) -> Result<Gate, SecurityError> {
        Ok(Gate {
            folder: folder.to_owned(),
            strangers: Semaphore::new(STRANGERS),
            refusals: Refusals::default(),
            state: RwLock::new(Arc::new(State::read(folder)?)),
            useless: Mutex::default(),
        })
    }

    fn state(&self) -> Arc<State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads files that have changed since, and makes a new certificate where the old one is old. What cannot be read is
    /// said, and changes nothing. Reads from the disk.
    pub fn look_again(&self) {
        let (state, stamp) = (self.state(), Stamp::of(&self.folder));
        let mut useless = self.useless.lock().unwrap_or_else(PoisonError::into_inner);
        let has_changed = state.stamp != stamp || state.certificate.is_old();
        if !has_changed || useless.as_ref() == Some(&stamp) {
            return;
        }
        match State::read(&self.folder) {
            Ok(state) => {
                *self.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
            }
            Err(error) => {
                tracing::warn!(
                    target: TARGET,
                    "what has changed is of no use, and what was there before holds: {error}"
                );
                *useless = Some(stamp);
            }
        }
    }

    /// Lets a connection in, once the other side has proven who it is, and is greeted.
    ///
    /// # Errors
    /// Why it was dropped; that is logged. Not cancel safe: the connection is of no more use then.
    pub async fn admit(self: &Arc<Self>, stream: TcpStream) -> Result<(Wire, Identity), Dropped> {
        let peer = stream.peer_addr().ok();
        let Ok(_permit) = self.strangers.try_acquire() else {
            return Err(self.refused(peer, "too many connections have not said who they are"));
        };
        let admitted = self.prove(stream).await;
        admitted.inspect_err(|dropped| {
            // Whoever only looks whether something listens is no stranger.
            if !matches!(dropped, Dropped::Silent) {
                self.refusals.log(peer, dropped);
            }
        })
    }

    /// Says that a call was refused.
    pub(super) fn log_refused(&self, why: &str) {
        self.refusals.log(None, &why);
    }

    fn refused(&self, peer: Option<std::net::SocketAddr>, why: &str) -> Dropped {
        let dropped = Dropped::Refused(why.to_owned());
        self.refusals.log(peer, &dropped);
        dropped
    }

    async fn prove(self: &Arc<Self>, mut stream: TcpStream) -> Result<(Wire, Identity), Dropped> {
        let first = first_byte(&stream).await?.ok_or(Dropped::Silent)?;
        if first != TLS_HANDSHAKE {
            return Err(match answer_unsecured(&mut stream).await? {
                Peer::Stranger | Peer::Gone => Dropped::Stranger,
                _ => Dropped::Refused("it does not speak TLS".into()),
            });
        }
        let mut wire = self
            .secure(stream)
            .await
            .map_err(|error| Dropped::Refused(format!("the TLS handshake failed: {error}")))?;
        be_greeted(&mut wire).await?;
        let token = read_text(&mut wire, TOKEN_BYTES_MAX).await?;
        let proven = match wire.certified() {
            Some(who @ Identity::Worker { .. }) => self.holds(&who).map(|()| who),
            Some(who) => Err(format!("{who} has no business here")),
            None if token.is_empty() => Err("it shows no token and no certificate".into()),
            None => self.identify(&token).await,
        };
        let told = proven.as_ref().err().map_or("", String::as_str);
        write_text(&mut wire, told, WHY_BYTES_MAX).await?;
        match proven {
            Ok(who) => Ok((wire, who)),
            Err(why) => {
                // It reads the answer before the connection is gone.
                let _ = wire.shutdown().await;
                Err(Dropped::Refused(why))
            }
        }
    }

    /// Who shows a token. One that is refused may have been made just now.
    ///
    /// # Errors
    /// Why it is refused, for people.
    pub async fn identify(self: &Arc<Self>, token: &str) -> Result<Identity, String> {
        if let Ok(who) = self.state().tokens.identify(token) {
            return Ok(who);
        }
        let gate = self.clone();
        // What fails there is told there.
        let _ = tokio::task::spawn_blocking(move || gate.look_again()).await;
        self.state().tokens.identify(token)
    }

    /// Secures a connection of somebody who will say who it is later on.
    ///
    /// # Errors
    /// If the other side speaks no TLS, or does not believe this one. Not cancel safe: the connection is of no more use then.
    pub async fn secure(&self, stream: TcpStream) -> io::Result<Wire> {
        let secured = self.state().acceptor.accept(stream).await?;
        Ok(Wire::Secured(Box::new(secured.into())))
    }

    /// What a coordinator shows to another one of the same cluster; none where certificates are brought along.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn as_caller(&self) -> Result<Option<Credentials>, SecurityError> {
        let state = self.state();
        let Some(authority) = &state.authority else { return Ok(None) };
        let key = NewKey::draw()?;
        let who = Identity::Worker { token: None };
        let certificate = authority.certify(key.public(), &who, COORDINATOR_LIFE)?;
        let certificate = key.certified(vec![certificate], COORDINATOR_LIFE);
        Credentials::of_authorities(authorities(&self.folder)?, certificate).map(Some)
    }

    /// Whether what somebody has proven still holds.
    ///
    /// # Errors
    /// Why it does not, for people.
    pub fn holds(&self, who: &Identity) -> Result<(), String> {
        match who {
            Identity::Worker { token: Some(token) } | Identity::Holder { token, .. } => {
                self.state().tokens.holds(token)
            }
            _ => Ok(()),
        }
    }

    /// The certificates of the cluster's authorities, as who connects needs them (`ca.pem`). Reads from the disk.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn authorities_pem(&self) -> io::Result<String> {
        std::fs::read_to_string(self.folder.join(CA))
    }

    /// Certifies somebody's public key.
    ///
    /// # Errors
    /// If that is not for it to have, or this cluster's certificates are brought along.
    pub fn certify(
        &self,
        who: &Identity,
        public_key: &[u8],
        of: CertificateOf,
    ) -> Result<Issued, Refusal> {
        let (identity, lifetime) = match (of, who) {
            (CertificateOf::Worker, Identity::Holder { token, role: Role::Join, .. }) => {
                (Identity::Worker { token: Some(token.clone()) }, WORKER_LIFE)
            }
            (CertificateOf::Worker, worker @ Identity::Worker { .. }) => {
                (worker.clone(), WORKER_LIFE)
            }
            (CertificateOf::Executor(job), Identity::Worker { .. }) => {
                (Identity::Executor(job), EXECUTOR_LIFE)
            }
            _ => return Err(Refusal::Denied(format!("there is no such certificate for {who}"))),
        };
        let state = self.state();
        let Some(authority) = &state.authority else { return Err(Refusal::CertifiesNobody) };
        let certificate = authority
            .certify(public_key, &identity, lifetime)
            .map_err(|error| Refusal::Invalid(error.to_string()))?;
        Ok(Issued { chain: vec![certificate], lifetime_s: lifetime.as_secs() })
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate({})", self.folder.display())
    }
}

/// The first byte that comes, which stays where it is; none if the other side says nothing before it goes.
pub(super) async fn first_byte(stream: &TcpStream) -> io::Result<Option<u8>> {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(came) => Ok((came > 0).then_some(first[0])),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a text, after its length (u16, big endian).
async fn read_text(io: &mut (impl AsyncRead + Unpin), most: usize) -> io::Result<String> {
    let len = usize::from(io.read_u16().await?);
    if len > most {
        let text = format!("a text of {len} bytes: {most} are the most");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut bytes = vec![0; len];
    io.read_exact(&mut bytes).await?;
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "bytes that are no text"))
}

/// Writes a text, of which no more than so many bytes.
async fn write_text(io: &mut (impl AsyncWrite + Unpin), text: &str, most: usize) -> io::Result<()> {
    let text = &text[..text.floor_char_boundary(most)];
    io.write_u16(text.len() as u16).await?;
    io.write_all(text.as_bytes()).await?;
    io.flush().await
}

/// The other side of the end of [`Gate::admit`]: shows a token, or none, and hears why this process is refused, if it is.
///
/// # Errors
/// If the connection is gone. Not cancel safe.
pub(crate) async fn introduce(wire: &mut Wire, token: Option<&str>) -> io::Result<Option<String>> {
    write_text(wire, token.unwrap_or_default(), TOKEN_BYTES_MAX).await?;
    let why = read_text(wire, WHY_BYTES_MAX).await?;
    Ok(Some(why).filter(|why| !why.is_empty()))
}
