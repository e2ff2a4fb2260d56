//! What a config file says, checked and complete: plain data, no I/O handles.
//!
//! Every field here is a key of the YAML file; `config/partywall.yaml` is the annotated whole.

mod defaults;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use crate::promql::ForeignMatchers;
pub use crate::trace::ForeignSpans;

/// The whole file.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `listeners`: where requests come in; at least one.
    pub listeners: Vec<Listener>,
    /// `admin`: health, metrics and reload.
    pub admin: Admin,
    /// `upstreams`: at least one, and at most one of each [`Api`]; names are unique.
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
    /// `timeouts`: the bound of every wait on a client.
    pub timeouts: Timeouts,
    /// `drain`: how the process ends.
    pub drain: Drain,
    /// `reload`: how changes are noticed.
    pub reload: Reload,
    /// `log`: what is written to standard error.
    pub log: Log,
}

/// One entry of `listeners`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// `address`: IP address and port. Not reloadable.
    pub address: SocketAddr,
}

/// `admin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// `address`: IP address and port, default `127.0.0.1:8081`. Not reloadable.
    pub address: SocketAddr,
}

/// The dialect an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// `prometheus`: Prometheus or Thanos Query.
    Prometheus,
    /// `tempo`: Grafana Tempo.
    Tempo,
}

/// One entry of `upstreams`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// `name`: for logs, metrics and errors; `[a-z0-9-]`, at most 63 characters.
    pub name: Arc<str>,
    /// `api`.
    pub api: Api,
    /// `url`: scheme, authority and base path; no query, fragment or user info.
    pub url: BaseUrl,
    /// `ca_file`: PEM certificates to trust instead of the system's, for `https`.
    pub ca_file: Option<PathBuf>,
    /// `credentials`: what we show the upstream.
    pub credentials: Credentials,
    /// `open_to_admins`: groups of closed endpoints that callers with all tenants may use.
    pub open_to_admins: Vec<ClosedGroup>,
    /// `timeouts`.
    pub timeouts: UpstreamTimeouts,
    /// `max_idle_connections`: kept open per upstream, default 128.
    pub max_idle_connections: usize,
}

/// An upstream's `url`, in parts: `http://host:port/base`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    /// `http` or `https`.
    pub https: bool,
    /// Host, and port if one was given: `thanos.monitoring.svc:10902`, `[::1]:9090`.
    pub authority: String,
    /// The base path without a trailing slash: empty or `/prometheus`.
    pub path: String,
}

/// A value that is never printed: its `Debug` is `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value read from the config, the environment or a file.
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The value, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// An upstream's `credentials`; at most one kind. Files are read when the config is (re)loaded
/// and are watched, so the values here are current.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing is sent.
    None,
    /// `bearer_token` or `bearer_token_file`.
    Bearer(Secret),
    /// `basic: { username, password | password_file }`.
    Basic {
        /// `username`
        username: String,
        /// `password`
        password: Secret,
    },
    /// `forward_token: true`: the caller's own token.
    ForwardToken,
}

/// Endpoints that are refused unless `open_to_admins` names their group, and even then answer
/// only callers whose scope is all tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClosedGroup {
    /// `status`: `/api/v1/status/*` but `buildinfo`, and the like.
    Status,
    /// `stores`: Thanos' `/api/v1/stores`.
    Stores,
    /// `tsdb_admin`: `/api/v1/admin/*`.
    TsdbAdmin,
    /// `write`: `/api/v1/write`, `/api/v1/otlp/*`.
    Write,
    /// `internals`: `/metrics`, `/debug/*`, `/-/*` but health, `/consoles/*`, `/classic/*`.
    Internals,
    /// `overrides`: Tempo's `/api/overrides`.
    Overrides,
    /// `mcp`: Tempo's tools for language models, `/api/mcp`.
    Mcp,
    /// `querier`: the internal twins of Tempo's API, `/querier/*`.
    Querier,
    /// `unknown`: every other path of the data API.
    Unknown,
}

impl ClosedGroup {
    /// Every group.
    pub const ALL: [Self; 9] = [
        Self::Status,
        Self::Stores,
        Self::TsdbAdmin,
        Self::Write,
        Self::Internals,
        Self::Overrides,
        Self::Mcp,
        Self::Querier,
        Self::Unknown,
    ];

    /// As the config file spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Stores => "stores",
            Self::TsdbAdmin => "tsdb_admin",
            Self::Write => "write",
            Self::Internals => "internals",
            Self::Overrides => "overrides",
            Self::Mcp => "mcp",
            Self::Querier => "querier",
            Self::Unknown => "unknown",
        }
    }
}

/// An upstream's `timeouts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamTimeouts {
    /// `connect`, default 5 s.
    pub connect: Duration,
    /// `response_head`: from the whole request sent to the answer's head, default 2 min
    /// (Prometheus' own query timeout).
    pub response_head: Duration,
    /// `body_idle`: between two pieces of an answer, default 1 min.
    pub body_idle: Duration,
}

/// `tokens`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tokens {
    /// `sources`: headers a token is looked for in, in order; the first that is present decides.
    /// Default: `Authorization` (scheme Bearer), then `X-Id-Token`.
    pub sources: Vec<TokenSource>,
    /// `issuers`: at least one; issuer names are unique.
    pub issuers: Vec<Issuer>,
    /// `cache_entries`: verified tokens kept, default 10 000.
    pub cache_entries: usize,
    /// `max_bytes`: the longest token, default 16 KiB.
    pub max_bytes: usize,
}

/// One entry of `tokens.sources`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSource {
    /// `header`: lower case.
    pub header: String,
    /// `scheme`: the authentication scheme before the token, matched without case
    /// (RFC 9110 §11.1); `None` where the header is the bare token. Default: `Bearer` for
    /// `Authorization`, none for others.
    pub scheme: Option<String>,
}

/// One entry of `tokens.issuers`.
#[derive(Clone, Debug, PartialEq)]
pub struct Issuer {
    /// `issuer`: the exact `iss`.
    pub issuer: Arc<str>,
    /// `audiences`: one of these must be in `aud`; not empty.
    pub audiences: Vec<String>,
    /// `algorithms`: what a token may be signed with; not empty. All of one family (HMAC secrets
    /// never with public keys).
    pub algorithms: Vec<Algorithm>,
    /// `authorized_parties`: if not empty, `azp` (or `client_id`) must be one of these.
    pub authorized_parties: Vec<String>,
    /// `leeway`: how far clocks may disagree, default 30 s, at most 5 min.
    pub leeway: Duration,
    /// Where the keys are.
    pub keys: KeySource,
    /// `refresh_interval`: how often remote keys are fetched, default 5 min.
    pub refresh_interval: Duration,
    /// `max_stale`: how long keys outlive the last good fetch, default 24 h.
    pub max_stale: Duration,
}

/// Signature algorithms by their names in RFC 7518 §3.1 and RFC 8037 (`EdDSA`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Algorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl Algorithm {
    /// Every algorithm with its registered name.
    pub const ALL: [(&'static str, Self); 12] = [
        ("HS256", Self::HS256),
        ("HS384", Self::HS384),
        ("HS512", Self::HS512),
        ("RS256", Self::RS256),
        ("RS384", Self::RS384),
        ("RS512", Self::RS512),
        ("PS256", Self::PS256),
        ("PS384", Self::PS384),
        ("PS512", Self::PS512),
        ("ES256", Self::ES256),
        ("ES384", Self::ES384),
        ("EdDSA", Self::EdDSA),
    ];

    /// Whether it is one of the symmetric HMAC algorithms.
    pub fn is_hmac(self) -> bool {
        matches!(self, Self::HS256 | Self::HS384 | Self::HS512)
    }
}

/// Where an issuer's keys are; exactly one of these keys is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// `discovery: true`: `{issuer}/.well-known/openid-configuration` (OpenID Connect Discovery
    /// 1.0 §4).
    Discovery {
        /// `ca_file`
        ca_file: Option<PathBuf>,
        /// `bearer_token_file`: shown to the provider (Kubernetes' API server asks for it).
        bearer_token_file: Option<PathBuf>,
    },
    /// `jwks_url`
    JwksUrl {
        /// An absolute `http` or `https` URL.
        url: String,
        /// `ca_file`
        ca_file: Option<PathBuf>,
        /// `bearer_token_file`
        bearer_token_file: Option<PathBuf>,
    },
    /// `jwks_file`: the text of the file, read with the config.
    Jwks(String),
    /// `pem_file`: the text of the file: public keys or certificates.
    Pem(String),
    /// `hmac_secret` or `hmac_secret_file`: at least as long as the longest hash among the
    /// algorithms, so 32 to 64 bytes (RFC 7518 §3.2).
    Hmac(Secret),
}

/// `tenancy`: how claims become tenants.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenancy {
    /// `rules`, and as the last one the short form `claim` (with `separator`, `pattern`, `map`)
    /// beside them. The first rule whose `when` holds decides alone. At least one.
    pub rules: Vec<TenantRule>,
    /// `metrics.label`: the label that names a series' tenant. There when an upstream with
    /// `api: prometheus` is.
    pub metrics_label: Option<Arc<str>>,
    /// `traces.attribute`: `resource.tenant_id`; the name without `resource.`. There when an
    /// upstream with `api: tempo` is, and `traces_org_id` is not set.
    pub traces_attribute: Option<Arc<str>>,
    /// `traces.org_id: true`: a Tempo with multitenancy keeps tenants apart by `X-Scope-OrgID`.
    pub traces_org_id: bool,
    /// `and`: further labels that must match as well.
    pub and: Vec<FurtherDimension>,
    /// `max_tenants`: the most tenants one token may have, default 1000.
    pub max_tenants: usize,
}

/// One entry of `tenancy.and`.
#[derive(Clone, Debug, PartialEq)]
pub struct FurtherDimension {
    /// `rules` or the short form, as in [`Tenancy`]; none of them grants all tenants.
    pub rules: Vec<TenantRule>,
    /// `metrics.label`
    pub metrics_label: Option<Arc<str>>,
    /// `traces.attribute`
    pub traces_attribute: Option<Arc<str>>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantRule {
    /// `when`: what must hold for the rule to decide; all given parts must.
    pub when: When,
    /// What it grants.
    pub grant: Grant,
}

/// `when`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct When {
    /// `issuer`: one of `tokens.issuers`.
    pub issuer: Option<Arc<str>>,
    /// `claim` and `values`: the claim (string or list) has at least one of the values.
    pub claim: Option<(ClaimPath, Vec<String>)>,
}

/// What a rule grants; exactly one of these keys is given.
#[derive(Clone, Debug, PartialEq)]
pub enum Grant {
    /// `claim`, with `separator`, `pattern` and `map`.
    Claim(ClaimGrant),
    /// `tenants`: fixed ones, for service accounts.
    Tenants(Vec<String>),
    /// `all_tenants: true`: no restriction. Audited.
    AllTenants,
}

/// Tenants from a claim.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimGrant {
    /// `claim`: where the values are.
    pub claim: ClaimPath,
    /// `separator`: splits a string into several values; blanks around each are dropped. Without
    /// it a string is one value.
    pub separator: Option<String>,
    /// `pattern`: a regex that must match a value as a whole; its first group, or the whole, is
    /// the tenant. Values that do not match are left out.
    pub pattern: Option<Pattern>,
    /// `map`: from value (after `pattern`) to tenants; when given, values not in it are left out.
    pub map: Option<Vec<(String, Vec<String>)>>,
}

/// A compiled, anchored `pattern` that compares by its source.
#[derive(Clone, Debug)]
pub struct Pattern(pub regex::Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// The keys that lead to a claim: `realm_access.roles`, or `["https://example.com/tenants"]`
/// where a key holds dots. Never empty, no key empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(pub Vec<String>);

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
    /// `upstream`: the one that paths outside the data APIs go to; default the first.
    pub upstream: Arc<str>,
}

/// `limits`. Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `connections`: open at once, all listeners together, default 10 000.
    pub connections: usize,
    /// `requests`: in flight at once, default 1000; more are answered 503.
    pub requests: usize,
    /// `header_bytes`: a request's head, default 64 KiB.
    pub header_bytes: usize,
    /// `body_bytes`: a request body that is read whole (forms, remote read), default 2 MiB.
    pub body_bytes: usize,
    /// `query_bytes`: one query or selector, default 64 KiB.
    pub query_bytes: usize,
    /// `query_selectors`: in one query, default 1000.
    pub query_selectors: usize,
    /// `answer_bytes`: an answer that is filtered and so read whole, default 64 MiB.
    pub answer_bytes: usize,
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
    /// `idle`: a connection without a request, default 2 min.
    pub idle: Duration,
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
