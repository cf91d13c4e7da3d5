//! What each thread of each process does, and when: files in the Trace Event Format, which browsers' trace viewers show.
//!
//! `WINDROW_TRACE` names the folder. Each process that has something to tell writes one file there, an event a line, as soon as
//! each ends, so that a process that is killed has told what it did until then. Times are those of the machine's clock, so
//! that the files of all processes can be put beside each other.
//!
//! Format: "Trace Event Format", Google, 2016: complete events (`X`) for what a thread does, and asynchronous ones (`b`, `e`) for
//! what goes on beside it. The list is not closed, as the format allows.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Spans of this target are told; whether they run on one thread or beside the threads is in their name.
const TARGET: &str = "windrow::trace";

/// Names of spans that go on beside the threads.
const BESIDE: [&str; 3] = ["fetch", "send", "attempt"];

/// Names of spans of what processes do together.
const TOGETHER: [&str; 2] = ["job", "stage"];

/// Writes spans to a file of this process.
pub(crate) struct Trace {
    folder: PathBuf,
    /// Made by the first event: most processes of a program have nothing to tell.
    file: Mutex<Option<File>>,
    start: Instant,
    /// Microseconds from 1970 to `start`.
    epoch: u64,
}

/// What a span brings.
struct Begun {
    at: u64,
    thread: u64,
    arguments: serde_json::Map<String, serde_json::Value>,
}

impl Trace {
    /// If `WINDROW_TRACE` is set.
    pub(crate) fn of_environment() -> Option<Trace> {
        let folder = std::env::var_os("WINDROW_TRACE").filter(|folder| !folder.is_empty())?;
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(Trace {
            folder: folder.into(),
            file: Mutex::new(None),
            start: Instant::now(),
            epoch: u64::try_from(epoch.as_micros()).unwrap_or_default(),
        })
    }

    fn now(&self) -> u64 {
        self.epoch + u64::try_from(self.start.elapsed().as_micros()).unwrap_or_default()
    }

    /// Appends an event. A trace is no result: what cannot be written is left out.
    fn write(&self, event: &serde_json::Value) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.is_none() {
            let path = self.folder.join(format!("{}.json", std::process::id()));
            *file = fs::create_dir_all(&self.folder).and_then(|()| File::create(path)).ok();
            if let Some(file) = file.as_mut() {
                let _ = file.write_all(b"[\n");
            }
        }
        if let Some(file) = file.as_mut() {
            let _ = file.write_all(format!("{event},\n").as_bytes());
        }
    }
}

/// A small number for this thread.
fn thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static OWN: u64 = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    OWN.with(|own| *own)
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Trace {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let metadata = attributes.metadata();
        if metadata.target() != TARGET || TOGETHER.contains(&metadata.name()) {
            return;
        }
        let mut arguments = Arguments::default();
        attributes.record(&mut arguments);
        if let Some(span) = context.span(id) {
            let begun = Begun { at: self.now(), thread: thread(), arguments: arguments.0 };
            span.extensions_mut().insert(begun);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(begun) = span.extensions_mut().remove::<Begun>() else { return };
        let (name, process, end) = (span.name(), std::process::id(), self.now());
        let event = |phase: &str, at: u64| {
            serde_json::json!({
                "name": name, "cat": "windrow", "ph": phase, "ts": at, "pid": process, "tid": begun.thread,
                "args": begun.arguments,
            })
        };
        if BESIDE.contains(&name) {
            for (phase, at) in [("b", begun.at), ("e", end)] {
                let mut event = event(phase, at);
                event["id"] = id.into_u64().into();
                self.write(&event);
            }
        } else {
            let mut event = event("X", begun.at);
            event["dur"] = (end - begun.at).into();
            self.write(&event);
        }
    }
}

/// The fields of a span.
#[derive(Default)]
struct Arguments(serde_json::Map<String, serde_json::Value>);

impl Visit for Arguments {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().into(), format!("{value:?}").into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }
}
