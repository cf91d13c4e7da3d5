//! What jobs do, as OpenTelemetry traces: a trace for each job, sent over OTLP to where the standard variables say
//! (`OTEL_EXPORTER_OTLP_ENDPOINT` and its like). Without one of those nothing is sent.
//!
//! All processes of a cluster tell of a job apart, and none has to be told by another what to call it: the ids of the trace
//! and of its root follow from the job's short id. The coordinator tells of the job and its stages when it has ended, an
//! executor of the attempts that it ran, and of what they did.

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, IdGenerator, RandomIdGenerator, SpanData, SpanProcessor,
};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Spans of this target are told.
const TARGET: &str = "windrow::trace";

/// The variables that say where to.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// What tells, once it does.
static PROCESSOR: OnceLock<Arc<BatchSpanProcessor>> = OnceLock::new();

/// Tells of spans.
pub(crate) struct Telemetry {
    processor: Arc<BatchSpanProcessor>,
    scope: InstrumentationScope,
    ids: RandomIdGenerator,
}

/// A span that has begun.
struct Begun {
    context: SpanContext,
    parent: SpanId,
    start: SystemTime,
    fields: Fields,
}

/// The fields of a span.
#[derive(Default)]
struct Fields {
    /// The short id of the job whose span it is, or which is above it.
    job: Option<String>,
    /// Of what has been already: how many milliseconds ago it began and ended.
    ago_ms: Option<[u64; 2]>,
    failed: Option<String>,
    attributes: Vec<KeyValue>,
}

impl Telemetry {
    /// If the environment says where to. What is wrong with it is said.
    pub(crate) fn of_environment() -> Option<Telemetry> {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_off = std::env::var("OTEL_SDK_DISABLED").is_ok_and(|value| value == "true")
            || std::env::var("OTEL_TRACES_EXPORTER").is_ok_and(|value| value == "none");
        if is_off || !ENDPOINTS.iter().any(|name| is_set(name)) {
            return None;
        }
        let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary);
        let exporter = match exporter.build() {
            Ok(exporter) => exporter,
            Err(error) => {
                let [_, name] = ENDPOINTS;
                crate::command::tell(&format!("windrow: no traces are sent: {name}: {error}\n"));
                return None;
            }
        };
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        let named = is_set("OTEL_SERVICE_NAME") || is_set("OTEL_RESOURCE_ATTRIBUTES");
        let resource = Resource::builder();
        let resource = if named { resource } else { resource.with_service_name("windrow") };
        processor.set_resource(&resource.build());
        let processor = Arc::new(processor);
        let processor = PROCESSOR.get_or_init(|| processor).clone();
        let scope =
            InstrumentationScope::builder("windrow").with_version(env!("CARGO_PKG_VERSION"));
        Some(Telemetry { processor, scope: scope.build(), ids: RandomIdGenerator::default() })
    }
}

/// Sends what is still to be sent: before the process ends.
pub(crate) fn flush() {
    if let Some(processor) = PROCESSOR.get() {
        // A trace is no result: what cannot be sent is left out.
        let _ = processor.shutdown_with_timeout(Duration::from_secs(5));
    }
}

/// The ids of a job's trace, and of its root.
fn of_job(short_id: &str) -> (TraceId, SpanId) {
    let digest = ring::digest::digest(&ring::digest::SHA256, short_id.as_bytes());
    let word = |from: usize| {
        let bytes = digest.as_ref()[from..].first_chunk::<8>();
        u64::from_be_bytes(*bytes.expect("a digest has 32 bytes"))
    };
    let trace = u128::from(word(0)) << 64 | u128::from(word(8));
    (TraceId::from(trace), SpanId::from(word(16)))
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Telemetry {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().target() != TARGET {
            return;
        }
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let Some(span) = context.span(id) else { return };
        let above = span.scope().skip(1).find_map(|span| {
            let extensions = span.extensions();
            let begun = extensions.get::<Begun>()?;
            Some((begun.context.trace_id(), begun.context.span_id()))
        });
        let (trace, own, parent) = match (&fields.job, above) {
            (Some(job), _) if attributes.metadata().name() == "job" => {
                let (trace, root) = of_job(job);
                (trace, root, SpanId::INVALID)
            }
            (Some(job), None) => {
                let (trace, root) = of_job(job);
                (trace, self.ids.new_span_id(), root)
            }
            (_, Some((trace, parent))) => (trace, self.ids.new_span_id(), parent),
            // Of no job.
            (None, None) => return,
        };
        let start = SystemTime::now();
        let state = TraceState::default();
        let context = SpanContext::new(trace, own, TraceFlags::SAMPLED, false, state);
        span.extensions_mut().insert(Begun { context, parent, start, fields });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(begun) = span.extensions_mut().get_mut::<Begun>() {
            values.record(&mut begun.fields);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(begun) = span.extensions_mut().remove::<Begun>() else { return };
        let now = SystemTime::now();
        let (start, end) = match begun.fields.ago_ms {
            Some(ago) => {
                let [from, to] =
                    ago.map(|ms| now.checked_sub(Duration::from_millis(ms)).unwrap_or(now));
                (from, to)
            }
            None => (begun.start, now),
        };
        self.processor.on_end(SpanData {
            span_context: begun.context,
            parent_span_id: begun.parent,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: span.name().into(),
            start_time: start,
            end_time: end,
            attributes: begun.fields.attributes,
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status: begun.fields.failed.map_or(Status::Unset, Status::error),
            instrumentation_scope: self.scope.clone(),
        });
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        let [from, to] = self.ago_ms.unwrap_or_default();
        match field.name() {
            "begun_ms_ago" => self.ago_ms = Some([value, to]),
            "ended_ms_ago" => self.ago_ms = Some([from, value]),
            name => {
                let value = i64::try_from(value).unwrap_or(i64::MAX);
                self.attributes.push(KeyValue::new(format!("windrow.{name}"), value));
            }
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "job" => self.job = Some(value.to_owned()),
            "failed" => self.failed = Some(value.to_owned()),
            _ => {}
        }
        self.attributes.push(KeyValue::new(format!("windrow.{}", field.name()), value.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_processes_call_a_job_the_same() {
        let (trace, root) = of_job("3f9a2c");
        assert_eq!((trace, root), of_job("3f9a2c"));
        assert_ne!(trace, of_job("3f9a2d").0);
        assert_eq!(trace.to_string().len(), 32);
        assert_ne!(root, SpanId::INVALID);
    }
}
