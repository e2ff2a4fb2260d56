//! `upstreams`.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};

use super::{CertificateChain, PrivateKey, Shadow};

/// The dialect an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// `prometheus`: Prometheus or Thanos Query.
    Prometheus,
    /// `tempo`: Grafana Tempo.
    Tempo,
}

/// The path below which clusters are found by their names, and where they are listed.
pub const CLUSTERS: &str = "/clusters";

/// One entry of `upstreams`.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// `name`: for logs, metrics and errors; `[a-z0-9-]`, at most 63 characters.
    pub name: Arc<str>,
    /// `api`.
    pub api: Api,
    /// `url`: scheme, authority and base path; no query, fragment or user info.
    pub url: BaseUrl,
    /// `cluster`: the name of the cluster it belongs to; none by default. Then `path_prefix` is
    /// [`CLUSTERS`] with this name below.
    pub cluster: Option<Arc<str>>,
    /// `path_prefix`: `/eu`, the path below which clients find it; none by default.
    pub path_prefix: Option<Arc<str>>,
    /// `hosts`: the names by which clients find it, lower case, without port; every name by
    /// default.
    pub hosts: Vec<Box<str>>,
    /// `tls`: for `https`.
    pub tls: UpstreamTls,
    /// `credentials`: what we show the upstream.
    pub credentials: Credentials,
    /// `open_to_admins`: groups of closed endpoints that callers with all tenants may use.
    pub open_to_admins: Vec<ClosedGroup>,
    /// `timeouts`.
    pub timeouts: UpstreamTimeouts,
    /// `max_idle_connections`: kept open per upstream, default 128.
    pub max_idle_connections: usize,
    /// `health`.
    pub health: HealthCheck,
    /// `shadow`: until when nothing is enforced there; all is by default.
    pub shadow: Option<Shadow>,
}

impl Upstream {
    /// Whether it answers for its API wherever no other upstream does: neither `path_prefix` nor
    /// `hosts` binds it.
    pub fn is_default(&self) -> bool {
        self.path_prefix.is_none() && self.hosts.is_empty()
    }
}

/// An upstream's `tls`. Files are read when the config is (re)loaded and are watched, so what
/// they held is here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// `ca_file` or `insecure_skip_verify`.
    pub trust: Trust,
    /// `server_name`: asked for (SNI) and verified instead of the host of `url`.
    pub server_name: Option<ServerName<'static>>,
    /// `cert_file` and `key_file`: what is shown to an upstream that asks for a certificate.
    pub identity: Option<Identity>,
}

/// Whose certificates are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// The system's authorities.
    #[default]
    System,
    /// `ca_file`: these and no others. Not empty.
    Only(Vec<CertificateDer<'static>>),
    /// `insecure_skip_verify: true`: anyone's.
    Anyone,
}

/// A certificate and its key, which belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `cert_file`
    pub chain: CertificateChain,
    /// `key_file`
    pub key: PrivateKey,
}

/// An upstream's `health`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// `path`: below the base path, perhaps with a query. Default: `/-/ready` of a Prometheus,
    /// `/ready` of a Tempo.
    pub path: Box<str>,
    /// `interval`: from one check to the next, default 10 s.
    pub interval: Duration,
    /// `timeout`: of one check, default 5 s.
    pub timeout: Duration,
    /// `gates_readiness`: whether Partywall is not ready while the upstream is not, default
    /// false.
    pub gates_readiness: bool,
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
    /// `connect`: to a connection, TLS included, default 5 s.
    pub connect: Duration,
    /// `response_head`: from the whole request sent to the answer's head, default 2 min
    /// (Prometheus' own query timeout).
    pub response_head: Duration,
    /// `body_idle`: between two pieces of an answer, default 1 min.
    pub body_idle: Duration,
}
