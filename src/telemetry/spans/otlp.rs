//! Spans by OTLP over HTTP: one for the request (kind server), with a child for each stage.
//!
//! Attributes follow OpenTelemetry's semantic conventions for HTTP. They hold no token, subject or
//! tenant, and queries only with `audit.queries: full`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use opentelemetry::trace::{
    SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags,
    TraceId as OtelTraceId, TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Array, Context, KeyValue, StringValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider};
use thiserror::Error;

use super::Finished;
use super::exporter::Counted;
use crate::config::settings::Tracing;
use crate::telemetry::metrics::{Decision, SpanCounters, Stage};
use crate::telemetry::traceparent::{TraceId, TraceParent};

/// How long a collector that the config no longer names has to receive its last spans.
const LAST_SPANS_TIMEOUT: Duration = Duration::from_secs(10);

/// The exporter of the process's spans. It changes with the config.
pub struct Spans {
    pipeline: ArcSwapOption<Pipeline>,
    counters: SpanCounters,
}

/// Why spans cannot be exported.
#[derive(Debug, Error)]
#[error("tracing: {0}")]
pub struct SpansError(String);

/// A pipeline prepared for other settings.
pub struct Prepared(Option<Arc<Pipeline>>);

/// A queue, a thread that sends from it, and the collector.
struct Pipeline {
    settings: Tracing,
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Spans {
    /// Starts to export, if the config has `tracing`. Needs a tokio runtime, which sends the spans.
    ///
    /// # Errors
    /// When the endpoint is not a usable URL.
    pub fn new(settings: Option<&Tracing>, counters: SpanCounters) -> Result<Self, SpansError> {
        let spans = Self {
            pipeline: ArcSwapOption::empty(),
            counters,
        };
        let Prepared(pipeline) = spans.prepare(settings)?;
        spans.pipeline.store(pipeline);
        Ok(spans)
    }

    /// Prepares other settings. With unchanged settings the exporter stays.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn prepare(&self, settings: Option<&Tracing>) -> Result<Prepared, SpansError> {
        let Some(settings) = settings else {
            return Ok(Prepared(None));
        };
        let current = self.pipeline.load_full();
        if let Some(pipeline) = current.filter(|pipeline| pipeline.settings == *settings) {
            return Ok(Prepared(Some(pipeline)));
        }
        Pipeline::start(settings, self.counters.clone())
            .map(|pipeline| Prepared(Some(Arc::new(pipeline))))
            .map_err(SpansError)
    }

    /// Uses the prepared settings from now on. The previous exporter ends on its own.
    pub fn replace(&self, Prepared(next): Prepared) {
        let before = self.pipeline.swap(next.clone());
        let Some(before) = before else { return };
        if !next.is_some_and(|next| Arc::ptr_eq(&next, &before)) {
            // Dropping it waits for the collector.
            std::thread::spawn(move || before.end(LAST_SPANS_TIMEOUT));
        }
    }

    /// Exports what is queued, waiting at most for `within`. Blocks.
    pub fn close(&self, within: Duration) {
        if let Some(pipeline) = self.pipeline.load_full() {
            pipeline.end(within);
        }
    }

    /// Starts a request's span, in the caller's trace if there is one.
    pub fn begin(&self, caller: Option<TraceParent>) -> RequestSpans {
        let pipeline = self.pipeline.load_full();
        RequestSpans(pipeline.map(|pipeline| Live::begin(pipeline, caller)))
    }
}

impl Pipeline {
    fn start(settings: &Tracing, counters: SpanCounters) -> Result<Self, String> {
        let exporter = Counted::new(&settings.otlp_endpoint, counters)?;
        let of_new_traces = Sampler::TraceIdRatioBased(settings.sample_ratio);
        let resource = Resource::builder()
            .with_service_name(settings.service_name.to_string())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(of_new_traces)))
            .with_resource(resource)
            .with_span_processor(BatchSpanProcessor::builder(exporter).build())
            .build();
        Ok(Self {
            tracer: provider.tracer("partywall"),
            provider,
            settings: settings.clone(),
        })
    }

    fn end(&self, within: Duration) {
        // The exporter counts and logs what cannot be sent.
        let _ = self.provider.shutdown_with_timeout(within);
    }
}

/// The spans of one request; none if nothing is exported.
pub struct RequestSpans(Option<Live>);

struct Live {
    pipeline: Arc<Pipeline>,
    /// The context of the request's span.
    request: Context,
    /// The context of the span of the call to the upstream, while there is one.
    upstream: Option<Context>,
}

impl RequestSpans {
    /// The id of their trace.
    pub fn trace_id(&self) -> Option<TraceId> {
        let context = self.0.as_ref()?.request.span().span_context().clone();
        TraceId::parse(context.trace_id().to_string().as_bytes())
    }

    /// Adds the span of a stage that ends now.
    pub fn stage(&self, stage: Stage, took: Duration) {
        let Some(live) = &self.0 else { return };
        if live.is_recorded() {
            let builder = SpanBuilder::from_name(stage.name())
                .with_kind(SpanKind::Internal)
                .with_start_time(SystemTime::now() - took);
            live.child(builder).span().end();
        }
    }

    /// Starts the span of the call to the upstream, and returns the `traceparent` to send.
    pub fn upstream_begins(&mut self, upstream: Option<&str>) -> Option<HeaderValue> {
        let live = self.0.as_mut()?;
        let mut attributes = Vec::new();
        if let Some(upstream) = upstream.filter(|_| live.is_recorded()) {
            attributes.push(KeyValue::new("partywall.upstream", upstream.to_owned()));
        }
        let builder = SpanBuilder::from_name(Stage::Upstream.name())
            .with_kind(SpanKind::Client)
            .with_attributes(attributes);
        let context = live.child(builder);
        let parent = traceparent(context.span().span_context());
        live.upstream = Some(context);
        parent
    }

    /// Ends it with the status of the upstream's answer, or without one.
    pub fn upstream_ends(&mut self, status: Option<StatusCode>) {
        let Some(context) = self.0.as_mut().and_then(|live| live.upstream.take()) else {
            return;
        };
        let span = context.span();
        match status.map(|status| status.as_u16()) {
            Some(code) => {
                span.set_attribute(KeyValue::new("http.response.status_code", i64::from(code)));
                // A client's span is an error from 400 on.
                if code >= 400 {
                    span.set_status(Status::error(""));
                }
            }
            None => span.set_status(Status::error("")),
        }
        span.end();
    }

    /// Ends the request's span.
    pub fn end(&mut self, finished: &Finished<'_>) {
        // The client may have disconnected meanwhile.
        self.upstream_ends(None);
        let Some(live) = self.0.take() else { return };
        if live.is_recorded() {
            live.describe(finished);
        }
        live.request.span().end();
    }
}

impl Live {
    fn begin(pipeline: Arc<Pipeline>, caller: Option<TraceParent>) -> Self {
        let parent = match caller.and_then(remote) {
            Some(caller) => Context::new().with_remote_span_context(caller),
            None => Context::new(),
        };
        let builder = SpanBuilder::from_name("request").with_kind(SpanKind::Server);
        let span = pipeline.tracer.build_with_context(builder, &parent);
        Self {
            request: parent.with_span(span),
            upstream: None,
            pipeline,
        }
    }

    fn is_recorded(&self) -> bool {
        self.request.span().is_recording()
    }

    fn child(&self, builder: SpanBuilder) -> Context {
        let tracer = &self.pipeline.tracer;
        let span = tracer.build_with_context(builder, &self.request);
        self.request.with_span(span)
    }

    fn describe(&self, finished: &Finished<'_>) {
        let span = self.request.span();
        let Finished {
            route,
            method,
            code,
            decision,
            reason,
            queries,
            rewritten,
        } = *finished;
        span.update_name(format!("{method} {route}"));
        span.set_attributes([
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.route", route),
            KeyValue::new("http.response.status_code", i64::from(code)),
            KeyValue::new(
                "partywall.decision",
                decision.map_or("none", Decision::name),
            ),
        ]);
        if let Some(reason) = reason {
            span.set_attribute(KeyValue::new("error.type", reason));
        }
        for (name, texts) in [
            ("partywall.queries", queries),
            ("partywall.rewritten", rewritten),
        ] {
            if !texts.is_empty() {
                span.set_attribute(KeyValue::new(name, strings(texts)));
            }
        }
        // A server's span is an error from 500 on.
        if code >= 500 {
            span.set_status(Status::error(""));
        }
    }
}

fn strings(texts: &[Box<str>]) -> Value {
    let texts = texts.iter().map(|text| StringValue::from(text.to_string()));
    Value::Array(Array::String(texts.collect()))
}

/// The caller's span, in the SDK's type.
fn remote(caller: TraceParent) -> Option<SpanContext> {
    let parent_id = std::str::from_utf8(&caller.parent_id).ok()?;
    let flags = if caller.sampled {
        TraceFlags::SAMPLED
    } else {
        TraceFlags::NOT_SAMPLED
    };
    Some(SpanContext::new(
        OtelTraceId::from_hex(caller.trace_id.as_str()).ok()?,
        SpanId::from_hex(parent_id).ok()?,
        flags,
        true,
        TraceState::NONE,
    ))
}

/// W3C Trace Context §2.2.
fn traceparent(context: &SpanContext) -> Option<HeaderValue> {
    let (trace, span) = (context.trace_id(), context.span_id());
    let sampled = u8::from(context.is_sampled());
    HeaderValue::try_from(format!("00-{trace}-{span}-{sampled:02x}")).ok()
}
