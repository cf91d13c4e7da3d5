//! Which of several coordinators leads that have one state: the others stand by until it is gone.
//!
//! Nothing depends on who believes to lead, since the [journal](crate::journal) has one writer: whoever takes over too early
//! costs a pause, and the one before ends. In a folder, who leads holds its lock. In a store, it says again and again that it
//! is there, in an object `leader`; and who stands by is connected to it, so as to see at once that its process is gone.

use crate::journal::{Home, Journal, JournalError, Objects};
use crate::server::pause;
use serde::{Deserialize, Serialize};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;
use windrow_protocol::security::Credentials;
use windrow_protocol::transport::{ConnectError, call, connect};

/// The object in which who leads says that it is there.
const LEADER: &str = "leader";

/// How often it is looked whether a folder's lock is free, and whether the process that leads is there.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Of the time after which a leader counts as gone: so often it says that it is there.
const BEATS: u32 = 5;

/// What a leader says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Beat {
    epoch: u64,
    /// Grows, so that it can be told from what was said before.
    number: u64,
    /// Where it listens.
    address: SocketAddr,
    /// Whether it has ended in good order, and nobody leads.
    ended: bool,
}

/// Waits until nobody leads that has this state: not heard for `gone_after`, seen to be gone, or ended. Without credentials
/// it is not looked whether its process is there. Cancel safe.
///
/// # Errors
/// The state cannot be looked at.
pub(crate) async fn until_nobody_leads(
    home: &Home,
    credentials: Option<&Credentials>,
    gone_after: Duration,
) -> Result<(), JournalError> {
    match home {
        Home::Folder(folder) => until_unlocked(folder).await,
        Home::Objects(objects) => {
            let mut said = look(objects).await?;
            loop {
                let Some(beat) = said.as_ref().filter(|beat| !beat.ended) else { return Ok(()) };
                let next = tokio::select! {
                    next = until_it_says_more(objects, beat, gone_after) => next?,
                    () = until_its_process_is_gone(beat.address, credentials, gone_after) => None,
                };
                match next {
                    Some(next) => said = Some(next),
                    None => return Ok(()),
                }
            }
        }
    }
}

/// Makes sure that nobody leads that has this state, which may take `gone_after`. Cancel safe.
///
/// # Errors
/// [`JournalError::Led`] if somebody does; the state cannot be looked at.
pub(crate) async fn refuse_if_led(home: &Home, gone_after: Duration) -> Result<(), JournalError> {
    // Who opens a folder finds its lock.
    let Home::Objects(objects) = home else { return Ok(()) };
    let Some(beat) = look(objects).await?.filter(|beat| !beat.ended) else { return Ok(()) };
    match until_it_says_more(objects, &beat, gone_after).await? {
        Some(next) if !next.ended => {
            Err(JournalError::Led { place: objects.name(), address: next.address })
        }
        _ => Ok(()),
    }
}

async fn until_unlocked(folder: &Path) -> Result<(), JournalError> {
    loop {
        match Journal::is_free(folder) {
            Ok(true) => return Ok(()),
            Ok(false) => pause(LOOK_EVERY).await,
            Err(error) => return Err(error),
        }
    }
}

async fn look(objects: &Arc<dyn Objects>) -> Result<Option<Beat>, JournalError> {
    let of = objects.clone();
    let found = blocking(move || of.get(LEADER)).await;
    let found = found.map_err(JournalError::io(Path::new(&objects.name())))?;
    // What is not understood was said by another release, which will say more if it leads.
    let unknown = |_| Beat { epoch: 0, number: 0, address: ([0, 0, 0, 0], 0).into(), ended: false };
    Ok(found.map(|bytes| serde_json::from_slice(&bytes).unwrap_or_else(unknown)))
}

/// What the leader says next; nothing if it does not for so long.
async fn until_it_says_more(
    objects: &Arc<dyn Objects>,
    beat: &Beat,
    gone_after: Duration,
) -> Result<Option<Beat>, JournalError> {
    let more = async {
        loop {
            pause(gone_after / (2 * BEATS)).await;
            match look(objects).await {
                Ok(Some(next)) if next == *beat => {}
                next => return next,
            }
        }
    };
    tokio::time::timeout(gone_after, more).await.unwrap_or(Ok(None))
}

/// Ends when the process that leads is gone: its machine says that nobody listens there any more. Of one that cannot be
/// reached from here nobody knows.
async fn until_its_process_is_gone(
    address: SocketAddr,
    credentials: Option<&Credentials>,
    within: Duration,
) {
    let at = address.to_string();
    let was_there = async {
        let credentials = credentials?;
        let mut client = connect(&at, credentials, within).await.ok()?;
        loop {
            if call(within, |context| client.hello(context)).await.is_ok() {
                pause(LOOK_EVERY).await;
                continue;
            }
            match connect(&at, credentials, within).await {
                Ok(again) => client = again,
                Err(ConnectError::Refused { .. }) => return Some(()),
                Err(_) => return None,
            }
        }
    };
    if was_there.await.is_none() {
        std::future::pending::<()>().await;
    }
}

/// Says again and again that a coordinator leads, until it is dropped.
///
/// # Errors
/// [`JournalError::TakenOver`], once somebody says so who took over.
pub(crate) async fn lead(
    objects: Arc<dyn Objects>,
    epoch: u64,
    address: SocketAddr,
    gone_after: Duration,
) -> JournalError {
    for number in 0.. {
        match look(&objects).await {
            Ok(Some(other)) if other.epoch > epoch => {
                return JournalError::TakenOver { place: objects.name() };
            }
            Ok(_) => say(&objects, Beat { epoch, number, address, ended: false }).await,
            Err(error) => tracing::warn!(%error, "it cannot be seen who leads"),
        }
        pause(gone_after / BEATS).await;
    }
    JournalError::Stopped
}

/// Says that a coordinator leads no more, and left all in good order.
pub(crate) async fn lead_no_more(objects: &Arc<dyn Objects>, epoch: u64, address: SocketAddr) {
    say(objects, Beat { epoch, number: 0, address, ended: true }).await;
}

async fn say(objects: &Arc<dyn Objects>, beat: Beat) {
    let of = objects.clone();
    let said = blocking(move || {
        let bytes = serde_json::to_vec(&beat).map_err(io::Error::other)?;
        of.put(LEADER, &bytes)
    });
    if let Err(error) = said.await {
        tracing::warn!(%error, "others cannot be told that this one leads");
    }
}

/// Does what waits for a store.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(call).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
