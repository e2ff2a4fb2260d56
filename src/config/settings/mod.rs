//! What a config file says, checked and complete: plain data, no I/O handles.
//!
//! Every field here is a key of the YAML file; `config/partywall.yaml` is the annotated whole.

mod cache;
mod defaults;
mod listeners;
mod shadow;
mod telemetry;
mod tenancy;
mod tenant_limits;
mod tokens;
mod upstreams;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use self::cache::{Cache, CacheStore, Redis};
pub use self::listeners::{
    CertificateChain, ClientCertificates, Listener, ListenerTls, PrivateKey,
};
pub use self::shadow::Shadow;
pub use self::telemetry::{Audit, AuditOutput, AuditQueries, Metrics, Tracing};
pub use self::tenancy::{
    ClaimGrant, ClaimPath, FurtherDimension, Grant, Pattern, Tenancy, TenantRule, When,
};
pub use self::tenant_limits::{Rate, TenantLimit, TenantLimits};
pub use self::tokens::{Algorithm, Issuer, KeySource, TokenSource, Tokens};
pub use self::upstreams::{
    Api, BaseUrl, CLUSTERS, ClosedGroup, Credentials, HealthCheck, Identity, Secret, Trust,
    Upstream, UpstreamTimeouts, UpstreamTls,
};
pub use crate::promql::ForeignMatchers;
pub use crate::tempo::trace::ForeignSpans;

/// The whole file.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `listeners`: where requests come in; at least one.
    pub listeners: Vec<Listener>,
    /// `admin`: health, metrics and reload.
    pub admin: Admin,
    /// `upstreams`: at least one; at most one of an [`Api`] at each prefix and host; names are
    /// unique.
    pub upstreams: Vec<Upstream>,
    /// `tokens`: who is believed.
    pub tokens: Tokens,
    /// `tenancy`: which tenants a believed caller has.
    pub tenancy: Tenancy,
    /// `promql`: how queries are confined.
    pub promql: PromQl,
    /// `traces`: how traces that several tenants share are shown.
    pub traces: Traces,
    /// `passthrough`: what lies outside the data APIs.
    pub passthrough: Passthrough,
    /// `limits`: the bound of every buffer, cache and queue.
    pub limits: Limits,
    /// `tenant_limits`: what each tenant may ask for.
    pub tenant_limits: TenantLimits,
    /// `cache`: answers to metric queries that are kept; `None` if none is.
    pub cache: Option<Cache>,
    /// `timeouts`: the bound of every wait on a client.
    pub timeouts: Timeouts,
    /// `drain`: how the process ends.
    pub drain: Drain,
    /// `reload`: how changes are noticed.
    pub reload: Reload,
    /// `log`: what is written to standard error.
    pub log: Log,
    /// `audit`: who did what, one line a request.
    pub audit: Audit,
    /// `metrics`: what is counted beyond the usual.
    pub metrics: Metrics,
    /// `tracing`: the proxy's own spans; `None` if they are not exported.
    pub tracing: Option<Tracing>,
}

/// `admin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// `address`: IP address and port, default `127.0.0.1:8081`. Not reloadable.
    pub address: SocketAddr,
    /// `hosts`: names that it may be asked by, besides `localhost` and every IP address; in lower
    /// case.
    pub hosts: Vec<Box<str>>,
}

/// `promql`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromQl {
    /// `foreign_matchers`: `intersect` (default) or `reject`.
    pub foreign_matchers: ForeignMatchers,
}

/// `traces`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traces {
    /// `search_metadata`: what describes a whole trace in search results: `verify` (default),
    /// `mask` or `trust`.
    pub search_metadata: SearchMetadata,
    /// `foreign_spans`: `redact` (default) or `deny`, for a trace by id.
    pub foreign_spans: ForeignSpans,
}

/// Root names, duration, start and statistics by service describe a trace as a whole, whoever its
/// spans belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchMetadata {
    /// Shown of traces that a second search finds to be wholly the caller's.
    Verify,
    /// Never shown.
    Mask,
    /// Always shown, and allowed in queries: the operator asserts that no trace is shared.
    Trust,
}

/// `passthrough`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passthrough {
    /// `authentication`: `required` (default, true) or `none`.
    pub authenticated: bool,
    /// `upstream`: the one that paths outside the data APIs go to where no cluster of their prefix
    /// or host has its own; default the first that is a default of its API, if there is one.
    pub upstream: Option<Arc<str>>,
}

/// `limits`. Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `connections`: open at once, all listeners together, default 10 000.
    pub connections: usize,
    /// `unauthenticated_connections_per_address`: open at once from one client address (of IPv6, one
    /// /64) that never showed a valid token, default 1000; `None`, written 0, is unbounded.
    pub unauthenticated_connections_per_address: Option<usize>,
    /// `requests`: in flight at once, default 1000; more are answered 503.
    pub requests: usize,
    /// `header_bytes`: a request's head, default 64 KiB.
    pub header_bytes: usize,
    /// `uri_bytes`: a request's path and query, default 32 KiB, or `header_bytes` where that is
    /// less.
    pub uri_bytes: usize,
    /// `body_bytes`: a request body that is buffered (forms, remote read), default 2 MiB.
    pub body_bytes: usize,
    /// `body_bytes_per_second`: how fast a client must send a request body, in the long run, default
    /// 1 KiB; not bounded if it is 0.
    pub body_bytes_per_second: usize,
    /// `incomplete_bodies`: request bodies that are being buffered at once, default 1000.
    pub incomplete_bodies: usize,
    /// `query_bytes`: one query or selector, default 64 KiB.
    pub query_bytes: usize,
    /// `query_depth`: brackets and unary operators within each other in one query or selector,
    /// default 100.
    pub query_depth: usize,
    /// `query_nodes`: names, values, operators and brackets of one query, or of all selectors of a
    /// request, default 4000.
    pub query_nodes: usize,
    /// `format_bytes`: a text for `format_query` or `parse_query`, times the depth of its tree,
    /// default 256 KiB.
    pub format_bytes: usize,
    /// `query_selectors`: in one query, default 1000.
    pub query_selectors: usize,
    /// `answer_bytes`: an answer that is filtered and so read whole, default 64 MiB.
    pub answer_bytes: usize,
    /// `answer_bytes_per_second`: how fast a client must read what waits for it, averaged over
    /// `timeouts.body_idle` of waiting, default 1 KiB; 0 for no minimum.
    pub answer_bytes_per_second: usize,
    /// `buffered_bytes`: all bodies and answers, of all requests, that are in memory at once,
    /// default 512 MiB.
    pub buffered_bytes: usize,
    /// `rewrite_cache_bytes`: confined queries kept, default 8 MiB.
    pub rewrite_cache_bytes: usize,
}

/// `timeouts` on the client's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// `first_request`: from accept to the first request's head, default 10 s.
    pub first_request: Duration,
    /// `header`: from a head's first byte to its last, default 10 s.
    pub header: Duration,
    /// `body_idle`: between two pieces of a request body, default 30 s.
    pub body_idle: Duration,
    /// `body_total`: from the first to the last byte of a request body that is buffered, default
    /// 1 min.
    pub body_total: Duration,
    /// `idle`: a connection without a request, default 2 min.
    pub idle: Duration,
    /// `unauthenticated_idle`: the same, where no request on it had a valid token, default 10 s.
    pub unauthenticated_idle: Duration,
}

/// `drain`: on SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// `min`: still accepting, while not ready, default 0 s.
    pub min: Duration,
    /// `max`: then requests in flight have this long, default 30 s.
    pub max: Duration,
}

/// `reload`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reload {
    /// `poll_interval`: how often the config and the files it names are read, default 5 s.
    pub poll_interval: Duration,
}

/// `log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `format`: `text` (default) or `json`. Not reloadable.
    pub json: bool,
    /// `level`: a `tracing` filter, default `info`. Not reloadable.
    pub level: String,
}
