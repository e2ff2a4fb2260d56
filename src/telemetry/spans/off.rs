//! Without the feature `otlp`: nothing.

use std::convert::Infallible;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::HeaderValue;

use super::Finished;
use crate::config::settings::Tracing;
use crate::telemetry::metrics::{SpanCounters, Stage};
use crate::telemetry::traceparent::{TraceId, TraceParent};

/// Where spans would go.
pub struct Spans;

/// The spans that one request would have.
pub struct RequestSpans;

/// Never made.
pub type SpansError = Infallible;

impl Spans {
    /// `tracing` is refused where the config is read.
    pub fn new(_settings: Option<&Tracing>, _counters: SpanCounters) -> Result<Self, SpansError> {
        Ok(Self)
    }

    /// Nothing.
    pub fn prepare(&self, _settings: Option<&Tracing>) -> Result<Self, SpansError> {
        Ok(Self)
    }

    /// Nothing.
    pub fn replace(&self, _prepared: Self) {}

    /// Nothing.
    pub fn close(&self, _within: Duration) {}

    /// No spans.
    pub fn begin(&self, _caller: Option<TraceParent>) -> RequestSpans {
        RequestSpans
    }
}

impl RequestSpans {
    /// No trace of our own.
    pub fn trace_id(&self) -> Option<TraceId> {
        None
    }

    /// Nothing.
    pub fn stage(&self, _stage: Stage, _took: Duration) {}

    /// The caller's `traceparent` stays.
    pub fn upstream_begins(&mut self, _upstream: Option<&str>) -> Option<HeaderValue> {
        None
    }

    /// Nothing.
    pub fn upstream_ends(&mut self, _status: Option<StatusCode>) {}

    /// Nothing.
    pub fn end(&mut self, _finished: &Finished<'_>) {}
}
