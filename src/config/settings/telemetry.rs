//! `audit`, `metrics` and `tracing`: what is told about requests.

use std::path::PathBuf;
use std::sync::Arc;

/// `audit`: who did what, one line a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Audit {
    /// `output`: default `log`.
    pub output: AuditOutput,
    /// `sampling`: the share of allowed requests that is written, from 0 (default) to 1. Refusals
    /// and callers with all tenants are always written.
    pub sampling: f64,
    /// `queries`: `full`, `hash` or `none` (default).
    pub queries: AuditQueries,
}

/// `audit.output`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditOutput {
    /// `log`: among the other log lines, with the target `partywall::audit`.
    Log,
    /// `stdout`: JSON lines on standard output.
    Stdout,
    /// A path: JSON lines appended to a file.
    File(PathBuf),
    /// `none`: nowhere.
    None,
}

/// `audit.queries`: what is told of the texts of queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditQueries {
    /// `full`: the texts.
    Full,
    /// `hash`: their SHA-256, which tells equal queries from different ones.
    Hash,
    /// `none`: nothing.
    None,
}

/// `metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// `per_tenant.max_tenants`: the most tenants with request counters of their own, default 100
    /// where `per_tenant` is given; `None` without it: tenants are not counted.
    pub per_tenant: Option<usize>,
}

/// `tracing`: the proxy's own spans. Needs a build with the feature `otlp`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracing {
    /// `otlp_endpoint`: an absolute `http` or `https` URL that takes OTLP over HTTP as protobuf:
    /// `http://otel:4318/v1/traces`.
    pub otlp_endpoint: String,
    /// `sample_ratio`: the share of requests without a trace of their own that begin one, from 0
    /// to 1, default 0.01. A request that is part of a trace is sampled as that is.
    pub sample_ratio: f64,
    /// `service_name`: `service.name` of the spans' resource, default `partywall`.
    pub service_name: Arc<str>,
}
