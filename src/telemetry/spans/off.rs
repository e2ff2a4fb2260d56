//! Spans without the feature `otlp`: these types do nothing.

use std::convert::Infallible;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::HeaderValue;

use super::Finished;
use crate::config::settings::Tracing;
use crate::telemetry::metrics::{SpanCounters, Stage};
use crate::telemetry::traceparent::{TraceId, TraceParent};

pub struct Spans;

/// The spans of one request.
pub struct RequestSpans;

pub type SpansError = Infallible;

impl Spans {
    /// Never fails: a config with `tracing` is refused earlier.
    pub fn new(_settings: Option<&Tracing>, _counters: SpanCounters) -> Result<Self, SpansError> {
        Ok(Self)
    }

    pub fn prepare(&self, _settings: Option<&Tracing>) -> Result<Self, SpansError> {
        Ok(Self)
    }

    pub fn replace(&self, _prepared: Self) {}

    pub fn close(&self, _within: Duration) {}

    pub fn begin(&self, _caller: Option<TraceParent>) -> RequestSpans {
        RequestSpans
    }
}

impl RequestSpans {
    /// Always `None`.
    pub fn trace_id(&self) -> Option<TraceId> {
        None
    }

    pub fn stage(&self, _stage: Stage, _took: Duration) {}

    /// Always `None`: the caller's `traceparent` is forwarded.
    pub fn upstream_begins(&mut self, _upstream: Option<&str>) -> Option<HeaderValue> {
        None
    }

    pub fn upstream_ends(&mut self, _status: Option<StatusCode>) {}

    pub fn end(&mut self, _finished: &Finished<'_>) {}
}
