//! What a process shows to those it connects to, and to those that fetch blocks from it.

use super::files::{self, CA, CERTIFICATE, KEY, Stamp, TOKEN};
use super::gate::first_byte;
use super::identity::{COORDINATOR, WORKER};
use super::refusals::{Refusals, TARGET};
use super::tls::{self, Callers};
use super::{Identity, Secret, SecurityError, Wire};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// So many connections may be there that have not said who they are; more are closed at once.
const STRANGERS: usize = 64;

/// How often it is looked whether files have changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The certificate, and those between it and the authority, in DER.
    pub(super) chain: Vec<Vec<u8>>,
    /// The key, in DER (PKCS #8).
    pub(super) key: Secret<Vec<u8>>,
    /// Since when it is there.
    pub(super) since: SystemTime,
    /// How long it holds from then on; none if that is not known here.
    pub(super) lifetime: Option<Duration>,
}

impl Certificate {
    /// The one that was brought along in a folder, if one was.
    pub(super) fn brought(folder: &Path) -> Result<Option<Certificate>, SecurityError> {
        let Some(text) = files::read(folder, CERTIFICATE)? else { return Ok(None) };
        let missing = "`key.pem`, the key of `cert.pem`";
        let missing = SecurityError::Missing { folder: folder.to_owned(), missing };
        let key = files::read_private(folder, KEY)?.ok_or(missing)?;
        let wrong = |why: String| SecurityError::Content { path: folder.join(KEY), why };
        let key = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes())
            .map_err(|error| wrong(format!("this is no key in PKCS #8: {error}")))?;
        Ok(Some(Certificate {
            chain: certificates(&folder.join(CERTIFICATE), &text)?,
            key: Secret::new(PrivateKeyDer::from(key).secret_der().to_vec()),
            since: SystemTime::now(),
            lifetime: None,
        }))
    }

    fn age(&self) -> Duration {
        self.since.elapsed().unwrap_or_default()
    }

    /// Whether it holds no more.
    fn is_over(&self) -> bool {
        self.lifetime.is_some_and(|lifetime| self.age() >= lifetime)
    }

    /// Whether it is time for another one: with a third of its life gone, there are many tries left.
    pub(super) fn is_old(&self) -> bool {
        self.lifetime.is_some_and(|lifetime| self.age() >= lifetime / 3)
    }
}

/// The certificates in a text.
pub(super) fn certificates(path: &Path, text: &str) -> Result<Vec<Vec<u8>>, SecurityError> {
    let wrong = |why: String| SecurityError::Content { path: path.to_owned(), why };
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes())
        .map(|certificate| certificate.map(|der| der.to_vec()))
        .collect();
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(wrong("there is no certificate in it (`BEGIN CERTIFICATE`)".into()))
        }
        read => read.map_err(|error| wrong(format!("a certificate cannot be read: {error}"))),
    }
}

/// The certificates of the authorities that a folder says are to be believed.
pub(super) fn authorities(folder: &Path) -> Result<Vec<Vec<u8>>, SecurityError> {
    let missing = "`ca.pem`, the certificate of the cluster's authority";
    let missing = SecurityError::Missing { folder: folder.to_owned(), missing };
    certificates(&folder.join(CA), &files::read(folder, CA)?.ok_or(missing)?)
}

/// What a process gives to another one, so that it can connect to workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// The certificates of the authorities that are to be believed, in DER.
    authorities: Vec<Vec<u8>>,
    certificate: Certificate,
}

/// Whom one connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callee {
    /// A coordinator.
    Coordinator,
    /// The data plane of a worker.
    Worker,
}

/// What a process shows to others, or that nothing is secured. Clones are the same credentials.
#[derive(Clone, Default)]
pub struct Credentials(Option<Arc<Inner>>);

struct Inner {
    refusals: Refusals,
    strangers: Semaphore,
    /// Where they come from; none of an executor, which was given them.
    folder: Option<PathBuf>,
    state: Mutex<State>,
}

struct State {
    found: Found,
    /// The certificate that a coordinator has made.
    issued: Option<Certificate>,
    made: Made,
    stamp: Stamp,
    looked: Instant,
}

/// What is in a folder.
#[derive(Clone)]
struct Found {
    authorities: Vec<Vec<u8>>,
    brought: Option<Certificate>,
    token: Option<Secret<String>>,
}

/// What is made of it.
#[derive(Clone)]
struct Made {
    connector: TlsConnector,
    /// None without a certificate.
    acceptor: Option<TlsAcceptor>,
    certificate: Option<Certificate>,
}

impl Found {
    fn read(folder: &Path) -> Result<Found, SecurityError> {
        let token = files::read_private(folder, TOKEN)?;
        let token = token.map(|text| Secret::new(text.trim().to_owned()));
        let (authorities, brought) = (authorities(folder)?, Certificate::brought(folder)?);
        if let Some(brought) = &brought {
            tls::verify(&authorities, brought, WORKER)?;
        }
        Ok(Found { authorities, brought, token })
    }
}

impl Made {
    fn of(found: &Found, issued: Option<&Certificate>) -> Result<Made, SecurityError> {
        let issued = issued.filter(|issued| !issued.is_over());
        let certificate = found.brought.as_ref().or(issued).cloned();
        let client = tls::client(&found.authorities, certificate.as_ref())?;
        let server = certificate.as_ref();
        let server = server.map(|own| tls::server(&found.authorities, own, Callers::Certified));
        let acceptor = server.transpose()?.map(|server| TlsAcceptor::from(Arc::new(server)));
        Ok(Made { connector: TlsConnector::from(Arc::new(client)), acceptor, certificate })
    }
}

impl Credentials {
    /// None: nothing is secured.
    pub fn off() -> Credentials {
        Credentials(None)
    }

    /// Those of a folder. Files that change are read again.
    ///
    /// # Errors
    /// If it lacks the authority's certificate, or a file is not what it should be.
    pub fn of_folder(folder: &Path) -> Result<Credentials, SecurityError> {
        let stamp = Stamp::of(folder);
        let found = Found::read(folder)?;
        if found.token.is_none() && found.brought.is_none() {
            let missing = "`token`, nor `cert.pem` and `key.pem`: one of them says who you are";
            return Err(SecurityError::Missing { folder: folder.to_owned(), missing });
        }
        Credentials::with(Some(folder.to_owned()), found, stamp)
    }

    /// Those that a process was given by another one.
    ///
    /// # Errors
    /// If they are none.
    pub fn given(given: Given) -> Result<Credentials, SecurityError> {
        Credentials::of_authorities(given.authorities, given.certificate)
    }

    pub(super) fn of_authorities(
        authorities: Vec<Vec<u8>>,
        certificate: Certificate,
    ) -> Result<Credentials, SecurityError> {
        let found = Found { authorities, brought: Some(certificate), token: None };
        Credentials::with(None, found, Stamp::default())
    }

    fn with(
        folder: Option<PathBuf>,
        found: Found,
        stamp: Stamp,
    ) -> Result<Credentials, SecurityError> {
        let made = Made::of(&found, None)?;
        let state = State { found, issued: None, made, stamp, looked: Instant::now() };
        Ok(Credentials(Some(Arc::new(Inner {
            refusals: Refusals::default(),
            strangers: Semaphore::new(STRANGERS),
            folder,
            state: Mutex::new(state),
        }))))
    }

    /// Whether anything is secured.
    pub fn are_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether a certificate is to be asked of the coordinator: there is none, or it is old.
    pub fn want_certificate(&self) -> bool {
        let wants = |inner: &Arc<Inner>| {
            let made = &inner.lock().made;
            made.certificate.as_ref().is_none_or(Certificate::is_old)
        };
        self.0.as_ref().is_some_and(wants)
    }

    /// Shows this certificate from now on.
    ///
    /// # Errors
    /// If it is none.
    pub fn install(&self, certificate: Certificate) -> Result<(), SecurityError> {
        let Some(inner) = &self.0 else { return Ok(()) };
        let mut state = inner.lock();
        state.made = Made::of(&state.found, Some(&certificate))?;
        state.issued = Some(certificate);
        Ok(())
    }

    /// The certificate that is shown.
    #[cfg(test)]
    pub(super) fn own(&self) -> Option<Certificate> {
        self.0.as_ref()?.lock().made.certificate.clone()
    }

    /// What another process is to have: the authorities that this one believes, and a certificate; this one's own, if it gets
    /// no other. None if nothing is secured, or there is no certificate.
    pub fn give(&self, certificate: Option<Certificate>) -> Option<Given> {
        let state = self.0.as_ref()?.lock();
        let certificate = certificate.or_else(|| state.made.certificate.clone())?;
        Some(Given { authorities: state.found.authorities.clone(), certificate })
    }

    /// The token to be shown over a connection; none where the certificate says it already.
    pub(crate) fn token(&self) -> Option<Secret<String>> {
        let state = self.0.as_ref()?.lock();
        if state.made.certificate.is_some() { None } else { state.found.token.clone() }
    }

    /// Secures a connection that this process has made.
    ///
    /// # Errors
    /// If the other side is not what it should be, does not believe this one, or is gone. Not cancel safe: the connection is
    /// of no more use then.
    pub async fn connect(&self, stream: TcpStream, to: Callee) -> io::Result<Wire> {
        let Some(inner) = &self.0 else { return Ok(Wire::Plain(stream)) };
        let name = match to {
            Callee::Coordinator => COORDINATOR,
            Callee::Worker => WORKER,
        };
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let connector = inner.current().await.connector;
        let secured = connector.connect(name, stream).await?;
        Ok(Wire::Secured(Box::new(secured.into())))
    }

    /// Secures a connection that somebody has made to this process, who must have a certificate; says who it is.
    ///
    /// # Errors
    /// As for [`connect`](Credentials::connect), and if this process has no certificate yet. Not cancel safe.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<(Wire, Identity)> {
        let Some(inner) = &self.0 else { return Ok((Wire::Plain(stream), Identity::Unsecured)) };
        let peer = stream.peer_addr().ok();
        if first_byte(&stream).await?.is_none() {
            // Whoever only looks whether something listens is no stranger.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let accepted = inner.accept(stream).await;
        accepted.inspect_err(|error| inner.refusals.log(peer, error))
    }
}

impl Inner {
    async fn accept(self: &Arc<Self>, stream: TcpStream) -> io::Result<(Wire, Identity)> {
        let crowd = |_| io::Error::other("too many connections have not said who they are");
        let _permit = self.strangers.try_acquire().map_err(crowd)?;
        let none = || io::Error::other("this process has no certificate yet");
        let acceptor = self.current().await.acceptor.ok_or_else(none)?;
        let secured = acceptor.accept(stream).await.map_err(|error| {
            io::Error::new(error.kind(), format!("the TLS handshake failed: {error}"))
        })?;
        let wire = Wire::Secured(Box::new(secured.into()));
        let nobody = || io::Error::other("its certificate is of no worker and no executor");
        let who = wire.certified().ok_or_else(nobody)?;
        Ok((wire, who))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What holds now.
    async fn current(self: &Arc<Self>) -> Made {
        let is_time = {
            let mut state = self.lock();
            let is_time = state.looked.elapsed() >= LOOK_EVERY;
            if is_time {
                state.looked = Instant::now();
            }
            is_time
        };
        if is_time {
            let inner = self.clone();
            // It reads from the disk. Where it does not, what was there holds.
            let _ = tokio::task::spawn_blocking(move || inner.look()).await;
        }
        self.lock().made.clone()
    }

    /// Reads files that have changed, and drops a certificate that holds no more.
    fn look(&self) {
        let changed = self.folder.as_deref().and_then(|folder| {
            let stamp = Stamp::of(folder);
            (stamp != self.lock().stamp).then(|| (stamp, Found::read(folder)))
        });
        let mut state = self.lock();
        let over = state.made.certificate.as_ref().is_some_and(Certificate::is_over);
        let found = match changed {
            None if !over => return,
            None => Ok(state.found.clone()),
            Some((stamp, found)) => {
                state.stamp = stamp;
                found
            }
        };
        let made = found.and_then(|found| {
            let made = Made::of(&found, state.issued.as_ref())?;
            Ok((found, made))
        });
        match made {
            Ok((found, made)) => (state.found, state.made) = (found, made),
            Err(error) => tracing::warn!(
                target: TARGET,
                "what has changed is of no use, and what was there before holds: {error}"
            ),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.are_on() { "Credentials(on)" } else { "Credentials(off)" })
    }
}
