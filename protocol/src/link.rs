//! A connection to a coordinator that outlives faults: it connects again, and makes calls again.
//!
//! Every call of control is idempotent, so a call whose answer did not arrive is simply made again, after a pause that
//! grows and varies, until [`LinkConfig::patience`] has passed without any connection that answers.

use crate::control::CoordinatorClient;
use crate::security::{Credentials, denied};
use crate::transport::{self, ConnectError};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tarpc::client::RpcError;
use tarpc::context::Context;

/// How a [`Link`] behaves.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// A connection is made within this time, or tried again.
    pub connect: Duration,
    /// A call is given up when it has failed for so long, and more than once: one failure may only say that this
    /// machine slept. If it is zero, the first failure does.
    pub patience: Duration,
    /// The first pause after a failure; each further one is twice as long.
    pub pause: Duration,
    /// The longest pause.
    pub pause_max: Duration,
}

impl Default for LinkConfig {
    fn default() -> LinkConfig {
        LinkConfig {
            connect: Duration::from_secs(5),
            patience: Duration::from_secs(60),
            pause: Duration::from_millis(50),
            pause_max: Duration::from_secs(2),
        }
    }
}

/// Why a call failed for good.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// There is no connection, and no other try can help or the patience is over.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection was there, but no answer came, for as long as the patience lasts.
    #[error("the coordinator at {address} gave no answer for {} s: {source}", .after.as_secs_f32())]
    Lost {
        /// The coordinator's address.
        address: String,
        /// How long it was tried.
        after: Duration,
        /// What the last try failed with.
        source: RpcError,
    },
    /// This process may not make the call.
    #[error("the coordinator at {address} refuses: {why}")]
    Denied {
        /// The coordinator's address.
        address: String,
        /// What it says.
        why: String,
    },
    /// The call itself fails, and would again: it is too large, or its handler broke.
    #[error("a call to the coordinator at {address} failed: {source}")]
    Call {
        /// The coordinator's address.
        address: String,
        /// Why.
        source: RpcError,
    },
}

/// A connection to a coordinator that is made again when it breaks. Calls may be made at once from many tasks.
///
/// An address may be several, `HOST:PORT,HOST:PORT`: those of a coordinator and of others that stand by. Only one of them
/// listens at a time.
#[derive(Debug)]
pub struct Link {
    address: String,
    credentials: Credentials,
    config: LinkConfig,
    current: Mutex<Current>,
}

#[derive(Debug, Default)]
struct Current {
    client: Option<CoordinatorClient>,
    /// Grows with each connection, so that a task that saw an old one fail does not drop the new one.
    number: u64,
}

impl Link {
    /// A link to the coordinator at `HOST:PORT`. The first call connects, with the patience of any call.
    pub fn new(address: impl Into<String>, credentials: Credentials, config: LinkConfig) -> Link {
        Link { address: address.into(), credentials, config, current: Mutex::default() }
    }

    /// A link that is connected already.
    ///
    /// # Errors
    /// At the first failure: nobody is at that address, or somebody else. Cancel safe.
    pub async fn connect(
        address: impl Into<String>,
        credentials: Credentials,
        config: LinkConfig,
    ) -> Result<Link, ConnectError> {
        let link = Link::new(address, credentials, config);
        link.client().await?;
        Ok(link)
    }

    /// The coordinator's address, as given.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Makes a call, again and again if need be; each try must be answered within `answer`.
    ///
    /// # Errors
    /// [`LinkError`]. Cancel safe, as far as the call is: it may have been made.
    pub async fn call<T, F>(
        &self,
        answer: Duration,
        mut make: impl FnMut(CoordinatorClient, Context) -> F,
    ) -> Result<T, LinkError>
    where
        F: Future<Output = Result<T, RpcError>>,
    {
        let begun = Instant::now();
        let mut pause = self.config.pause;
        let mut failures = 0;
        loop {
            let failure = match self.client().await {
                Ok((client, number)) => match transport::call(answer, |c| make(client, c)).await {
                    Ok(answer) => return Ok(answer),
                    Err(source @ (RpcError::Send(_) | RpcError::Server(_))) => {
                        let address = self.address.clone();
                        let why = match &source {
                            RpcError::Server(error) => denied(error).map(str::to_owned),
                            _ => None,
                        };
                        return Err(match why {
                            Some(why) => LinkError::Denied { address, why },
                            None => LinkError::Call { address, source },
                        });
                    }
                    Err(source) => {
                        self.forget(number);
                        let after = begun.elapsed();
                        LinkError::Lost { address: self.address.clone(), after, source }
                    }
                },
                Err(err) if err.is_transient() => LinkError::Connect(err),
                Err(err) => return Err(err.into()),
            };
            failures += 1;
            let enough = failures > 1 || self.config.patience.is_zero();
            if enough && begun.elapsed() + pause >= self.config.patience {
                return Err(failure);
            }
            tracing::debug!(%failure, "a call is made again");
            tokio::time::sleep(varied(pause)).await;
            pause = (pause * 2).min(self.config.pause_max);
        }
    }

    /// Lets the next call make another connection, with the credentials that there are then.
    pub fn connect_anew(&self) {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).client = None;
    }

    /// The connection there is, or a new one. Several tasks may connect at once; the last one's is kept.
    async fn client(&self) -> Result<(CoordinatorClient, u64), ConnectError> {
        {
            let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(client) = &current.client {
                return Ok((client.clone(), current.number));
            }
        }
        let client = connect_any(&self.address, &self.credentials, self.config.connect).await?;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.client = Some(client.clone());
        current.number += 1;
        Ok((client, current.number))
    }

    fn forget(&self, number: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.number == number {
            current.client = None;
        }
    }
}

/// Connects to the coordinator that is there, of one address or several with commas between, which are tried at once.
///
/// # Errors
/// One of theirs, rather one that another try does not help against. Cancel safe.
pub async fn connect_any(
    address: &str,
    credentials: &Credentials,
    within: Duration,
) -> Result<CoordinatorClient, ConnectError> {
    let mut tries: FuturesUnordered<_> =
        addresses(address).map(|one| transport::connect(one, credentials, within)).collect();
    let mut failed: Option<ConnectError> = None;
    while let Some(tried) = tries.next().await {
        match tried {
            Ok(client) => return Ok(client),
            Err(error) if failed.as_ref().is_none_or(ConnectError::is_transient) => {
                failed = Some(error);
            }
            Err(_) => {}
        }
    }
    match failed {
        Some(error) => Err(error),
        // There was none.
        None => transport::connect(address, credentials, within).await,
    }
}

/// The addresses that a text with commas names.
pub fn addresses(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|one| !one.is_empty())
}

/// A number that no other process draws; for tokens.
pub fn draw_token() -> u128 {
    u128::from(random()) << 64 | u128::from(random())
}

/// Between half of `pause` and all of it, so that many processes do not come back at the same time.
fn varied(pause: Duration) -> Duration {
    pause / 2 + (pause / 2).mul_f64(random() as f64 / u64::MAX as f64)
}

/// The standard library's hash maps are seeded at random: so this is a random number.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
        ^ Instant::now().elapsed().as_nanos() as u64
        ^ u64::from(std::process::id()).rotate_left(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ() {
        assert_ne!(draw_token(), draw_token());
    }

    #[test]
    fn pauses_vary_within_bounds() {
        let pause = Duration::from_millis(100);
        assert!((0..100).all(|_| (pause / 2..=pause).contains(&varied(pause))));
    }

    #[tokio::test]
    async fn a_call_that_failed_once_is_made_again_however_long_that_took() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let twice = tokio::spawn(async move {
            for _ in 0..2 {
                // Hangs up instead of an answer.
                let (mut io, _) = listener.accept().await.unwrap();
                crate::codec::answer_greeting(&mut io).await.unwrap();
            }
        });
        let config = LinkConfig { patience: Duration::from_nanos(1), ..LinkConfig::default() };
        let link = Link::new(address, Credentials::off(), config);
        let hello = |client: CoordinatorClient, ctx| async move { client.hello(ctx).await };
        link.call(Duration::from_secs(5), hello).await.unwrap_err();
        tokio::time::timeout(Duration::from_secs(5), twice).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn patience_ends() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let patience = Duration::from_millis(200);
        let link = Link::new(
            address,
            Credentials::off(),
            LinkConfig { patience, ..LinkConfig::default() },
        );
        let begun = Instant::now();
        let result = link
            .call(Duration::from_secs(1), |client, ctx| async move { client.hello(ctx).await })
            .await;
        assert!(matches!(result, Err(LinkError::Connect(ConnectError::Refused { .. }))));
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(60) && took < Duration::from_secs(2), "{took:?}");
    }
}
