//! What the code of a job logs while an attempt runs: kept with the attempt, and told with its end.
//!
//! The layer is for processes that run attempts. It takes the events that come within the span of an attempt, from whatever
//! crate, of level INFO and above; of a long log the first lines and the last ones stay.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterFn, filter_fn};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;
use windrow_protocol::attempts::LOG_BYTES_MAX;
use windrow_protocol::ids::AttemptId;

/// Half of a log is for the first lines, and half for the last.
const HALF_BYTES: usize = LOG_BYTES_MAX / 2;

/// The longest line, in bytes.
const LINE_BYTES_MAX: usize = 1000;

/// The logs of the attempts that run here, by their names.
static LOGS: Mutex<Option<HashMap<String, Log>>> = Mutex::new(None);

/// The lines of an attempt.
#[derive(Debug, Default)]
struct Log {
    first: String,
    last: VecDeque<String>,
    last_bytes: usize,
    left_out: u64,
}

impl Log {
    fn add(&mut self, mut line: String) {
        line.truncate(line.floor_char_boundary(LINE_BYTES_MAX));
        line.push('\n');
        if self.last.is_empty() && self.first.len() + line.len() <= HALF_BYTES {
            return self.first.push_str(&line);
        }
        self.last_bytes += line.len();
        self.last.push_back(line);
        while self.last_bytes > HALF_BYTES - 100
            && let Some(oldest) = self.last.pop_front()
        {
            self.last_bytes -= oldest.len();
            self.left_out += 1;
        }
    }

    fn text(self) -> String {
        let mut text = self.first;
        if self.left_out > 0 {
            // Nothing fails here.
            let _ = writeln!(text, "... {} lines are left out", self.left_out);
        }
        text.extend(self.last);
        text
    }
}

fn logs() -> MutexGuard<'static, Option<HashMap<String, Log>>> {
    LOGS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an attempt has logged; nothing after that.
pub(super) fn take(attempt: AttemptId) -> String {
    let log = logs().as_mut().and_then(|logs| logs.remove(&attempt.to_string()));
    log.map_or_else(String::new, Log::text)
}

/// Keeps what attempts log.
#[derive(Debug)]
pub struct AttemptLogs;

/// The span of an attempt.
struct Begun {
    attempt: String,
    at: Instant,
}

fn is_of_attempt(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target() == "windrow::trace" && metadata.name() == "attempt"
}

impl AttemptLogs {
    /// The layer, which is not asked for what it does not take.
    pub fn layer<S: Subscriber + for<'s> LookupSpan<'s>>() -> impl Layer<S> {
        let wants: FilterFn = filter_fn(|metadata| {
            is_of_attempt(metadata) || metadata.is_event() && *metadata.level() <= Level::INFO
        });
        AttemptLogs.with_filter(wants.with_max_level_hint(Level::INFO))
    }
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for AttemptLogs {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut task = Task(String::new());
        attributes.record(&mut task);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Begun { attempt: task.0, at: Instant::now() });
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(mut scope) = context.event_scope(event) else { return };
        let of_attempt = scope.find_map(|span| {
            let extensions = span.extensions();
            let begun = extensions.get::<Begun>()?;
            Some((begun.attempt.clone(), begun.at.elapsed()))
        });
        let Some((attempt, at)) = of_attempt else { return };
        let metadata = event.metadata();
        let (seconds, level, target) = (at.as_secs_f64(), metadata.level(), metadata.target());
        let mut line = Line(format!("+{seconds:.3} s {level} {target}:"));
        event.record(&mut line);
        logs().get_or_insert_default().entry(attempt).or_default().add(line.0);
    }
}

/// The `task` field of a span.
struct Task(String);

impl Visit for Task {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "task" {
            self.0 = format!("{value:?}");
        }
    }
}

/// A line with the fields of an event.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Nothing fails here.
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            // How `log` brings its own.
            name if name.starts_with("log.") => Ok(()),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;
    use windrow_protocol::ids::{JobId, Round, StageId, TaskId, TaskKind};

    fn attempt(partition: u32) -> AttemptId {
        let (job, stage, kind) = (JobId(77), StageId(0), TaskKind::Compute);
        AttemptId { task: TaskId { job, stage, round: Round(0), kind, partition }, number: 0 }
    }

    #[test]
    fn each_attempt_has_what_was_logged_within_it() {
        let subscriber = tracing_subscriber::registry().with(AttemptLogs::layer());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("of nobody");
            for partition in [1, 2] {
                let task = attempt(partition);
                let span = tracing::info_span!(target: "windrow::trace", "attempt", task = %task);
                let _within = span.entered();
                tracing::warn!(rows = 3, "odd in {partition}");
                tracing::debug!("too much");
                std::thread::scope(|scope| {
                    let span = tracing::Span::current();
                    scope.spawn(move || span.in_scope(|| tracing::info!("of another thread")));
                });
            }
        });
        let log = take(attempt(1));
        let lines: Vec<&str> = log.lines().collect();
        assert!(lines[0].starts_with("+0."), "{log}");
        assert!(lines[0].ends_with("log::tests: odd in 1 rows=3"), "{log}");
        assert_eq!(lines.len(), 1, "the other thread has another subscriber: {log}");
        assert!(take(attempt(1)).is_empty() && take(attempt(2)).contains("odd in 2"));
    }

    #[test]
    fn of_a_long_log_the_first_and_the_last_lines_stay() {
        let mut log = Log::default();
        (0..10_000)
            .for_each(|number| log.add(format!("line {number} {}", "ä".repeat(number % 900))));
        let text = log.text();
        assert!(text.len() <= LOG_BYTES_MAX, "{}", text.len());
        assert!(text.starts_with("line 0 \nline 1 ä\n") && text.contains("\nline 9999 "), "{text}");
        let told: Vec<&str> = text.lines().filter(|line| line.contains("left out")).collect();
        let left: usize = told[0].split(' ').nth(1).unwrap().parse().unwrap();
        assert_eq!(left + text.lines().count() - 1, 10_000);
    }
}
