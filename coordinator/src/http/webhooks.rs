//! Webhooks: each job's end is told to the addresses that are named, as a POST of JSON.
//!
//! It is told at least once, and in order: what was told last is kept beside the state, so that a coordinator that is started again
//! goes on behind it. An address that does not answer is tried again for an hour, with growing pauses; each has a task and a cursor
//! of its own, so that one does not wait for another.

use super::views::{self, Clock};
use crate::journal::Home;
use crate::server::{Service, pause};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};
use tokio::task::spawn_blocking;
use windrow_protocol::events::{Cursor, Event, Since, What};

/// An answer is waited for so long.
const ANSWER: Duration = Duration::from_secs(10);

/// What is not answered is told again so soon, twice as late each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(60);

/// And given up after so many times: within the hour.
const TRIES: u32 = 60;

/// So long it is waited for events at once.
const WAIT: Duration = Duration::from_secs(30);

/// Where ends of jobs are told. Its text has no secret in it, which an address may have.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    url: reqwest::Url,
}

/// A text is no address of a webhook.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The file cannot be read.
    #[error("the addresses of webhooks cannot be read from {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A line of it is none.
    #[error("line {line} of {} is no address of a webhook: it begins with https:// or http://", .path.display())]
    NoAddress {
        /// The file.
        path: PathBuf,
        /// The line, from 1 on.
        line: usize,
    },
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Webhook").field(&self.named()).finish()
    }
}

impl Webhook {
    /// Those of a file, an address a line; empty lines, and those that begin with `#`, are none. Reads from the disk.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub fn of_file(path: &Path) -> Result<Vec<Webhook>, WebhookError> {
        let text = fs::read_to_string(path)
            .map_err(|source| WebhookError::Read { path: path.to_owned(), source })?;
        let lines = (1..).zip(text.lines()).map(|(line, text)| (line, text.trim()));
        let lines = lines.filter(|(_, text)| !text.is_empty() && !text.starts_with('#'));
        let read = |(line, text): (usize, &str)| {
            let url = reqwest::Url::parse(text).ok();
            let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
            let url = url.ok_or_else(|| WebhookError::NoAddress { path: path.to_owned(), line })?;
            Ok(Webhook { url })
        };
        lines.map(read).collect()
    }

    /// Its host, for people.
    fn named(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The name of the file with its cursor.
    fn file(&self) -> String {
        format!("webhook-{:08x}", crc32fast::hash(self.url.as_str().as_bytes()))
    }

    async fn tell(&self, client: &reqwest::Client, body: &Value) {
        let mut wait = FIRST_PAUSE;
        for _ in 0..TRIES {
            let post = client.post(self.url.clone()).header("content-type", "application/json");
            let answer = post.body(body.to_string()).send().await;
            let why = match answer.map(|answer| answer.status()) {
                Ok(status) if status.is_success() => return,
                Ok(status) => format!("it answers {status}"),
                Err(error) => error.without_url().to_string(),
            };
            tracing::warn!(host = self.named(), why, "a webhook is told again in a while");
            pause(wait).await;
            wait = (wait * 2).min(LAST_PAUSE);
        }
        tracing::error!(host = self.named(), event = %body, "a webhook was not reached for an hour");
    }
}

/// Tells the ends of jobs to all webhooks. Never ends. Cancel safe: what was being told is told again by the next coordinator.
pub(crate) async fn tell_ends(service: Service) {
    let (webhooks, folder) = {
        let (core, _) = service.lock();
        let folder = match &core.config.state {
            Some(Home::Folder(folder)) => Some(folder.join("webhooks")),
            _ => None,
        };
        (core.config.webhooks.clone(), folder)
    };
    let all = webhooks.into_iter().map(|webhook| tell_to(service.clone(), webhook, folder.clone()));
    futures::future::join_all(all).await;
    std::future::pending().await
}

async fn tell_to(service: Service, webhook: Webhook, folder: Option<PathBuf>) {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // A client cannot be built without, and a program that is not started by `windrow::main` may have none.
        return tracing::error!(
            "webhooks cannot be told: no TLS provider is installed in this process"
        );
    }
    let built = reqwest::Client::builder()
        .timeout(ANSWER)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("windrow/", env!("CARGO_PKG_VERSION")))
        .build();
    let client = match built {
        Ok(client) => client,
        Err(error) => return tracing::error!(%error, "webhooks cannot be told"),
    };
    let file = folder.map(|folder| folder.join(webhook.file()));
    let mut since = match file.clone() {
        Some(file) => spawn_blocking(move || seen(&file)).await.unwrap_or(Since::Now),
        None => Since::Now,
    };
    loop {
        let page = service.events_within(since, None, WAIT).await;
        if page.missed.is_some_and(|missed| missed > 0) {
            tracing::warn!(
                host = webhook.named(),
                "ends of jobs may be missing: their events are not kept any more"
            );
        }
        let ends = page.events.iter().filter(|event| matches!(event.what, What::JobEnded { .. }));
        let mut told = false;
        for event in ends {
            webhook.tell(&client, &body(&service, event, page.cursor.stream)).await;
            told = true;
        }
        // Where nothing was told, what is kept still says what was.
        if let (true, Some(file)) = (told || matches!(since, Since::Now), file.clone()) {
            let cursor = page.cursor;
            let written = spawn_blocking(move || keep(&file, cursor)).await;
            if let Err(error) = written.map_err(io::Error::other).and_then(|written| written) {
                tracing::warn!(%error, "what webhooks were told is not kept");
            }
        }
        since = Since::Cursor(page.cursor);
    }
}

/// The event, and how the job came out.
fn body(service: &Service, event: &Event, stream: u64) -> Value {
    let mut body = event.to_json(stream);
    if let Some(job) = event.what.job() {
        let (core, now) = service.lock();
        let clock = Clock { now, unix_ms: service.shared.unix_ms() };
        body["result"] =
            core.job(job).map(|job| views::job_in_list(job, clock)).unwrap_or_default();
    }
    body
}

/// What was told last; from now on, where nothing was.
fn seen(file: &Path) -> Since {
    let text = fs::read_to_string(file).ok();
    text.and_then(|text| text.trim().parse().ok()).map_or(Since::Now, Since::Cursor)
}

fn keep(file: &Path, cursor: Cursor) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let made = file.with_extension("new");
    fs::write(&made, format!("{cursor}\n"))?;
    fs::rename(made, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_their_secrets_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("webhooks");
        fs::write(&path, "# of us\n\nhttps://chat.example/hooks/secret\n http://127.0.0.1:1/x\n")
            .unwrap();
        let read = Webhook::of_file(&path).unwrap();
        assert_eq!(format!("{read:?}"), "[Webhook(\"chat.example\"), Webhook(\"127.0.0.1\")]");
        fs::write(&path, "https://chat.example/\nftp://secret.example/\n").unwrap();
        let error = Webhook::of_file(&path).unwrap_err().to_string();
        assert!(error.contains("line 2 of") && !error.contains("secret"), "{error}");
        assert!(Webhook::of_file(&folder.path().join("none")).is_err());
    }

    #[test]
    fn what_was_told_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("webhooks").join("webhook-1");
        assert_eq!(seen(&file), Since::Now);
        let cursor = Cursor { stream: 5, number: 6 };
        keep(&file, cursor).unwrap();
        assert_eq!(seen(&file), Since::Cursor(cursor));
    }
}
