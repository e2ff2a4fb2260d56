//! Maps a path to an endpoint. The table is closed: unknown paths within the data APIs are refused.

pub(super) mod cluster;
pub(super) mod entry;
pub(super) mod host;
pub(super) mod path;

use std::sync::Arc;

use hyper::{Method, Request};

use self::cluster::{Cluster, Named};
use self::path::{PathReading, is_guarded_segment};
use super::error::{Dialect, ErrorKind, ProxyError};
use super::rules::Rules;
use crate::alertmanager::endpoints::{
    self as alertmanager, Class as Alerts, Endpoint as AlertmanagerEndpoint,
};
use crate::config::settings::{Api, ClosedGroup};
use crate::grpc::method::Method as GrpcMethod;
use crate::headers;
use crate::prometheus::endpoints::{self, Class, Endpoint};
use crate::reason::Reason;
use crate::tempo::endpoints::{
    self as tempo, Class as Traces, Endpoint as TracesEndpoint, PathError,
};
use crate::upstream::Upstream;

/// The endpoint of a request, and its upstream.
#[derive(Clone)]
pub(in crate::proxy) struct Route {
    /// The endpoint.
    pub target: Target,
    /// The upstream; `None` if Partywall answers itself, and also if there is only one when
    /// parameters name clusters.
    pub upstream: Option<Arc<Upstream>>,
    /// The named cluster that the upstream belongs to.
    pub cluster: Option<Arc<str>>,
    /// The upstreams of named clusters that may be listed, or named by parameters.
    pub clusters: Vec<Arc<Upstream>>,
    needs_token: bool,
    dialect: Dialect,
}

/// The endpoint of a route, which determines how it is enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Target {
    /// An endpoint of the metrics API.
    Metrics(Endpoint),
    /// The same at the root, where parameters may name clusters.
    ClusterQuery(Endpoint),
    /// The list of the named clusters.
    Clusters,
    /// Below the list, but not a cluster.
    NoCluster,
    /// An endpoint of the traces API.
    Traces(TracesEndpoint),
    /// An endpoint of Alertmanager's API.
    Alertmanager(AlertmanagerEndpoint),
    /// A silence of Alertmanager whose id is none.
    MalformedSilence,
    /// A gRPC call of the traces API.
    Grpc(GrpcMethod),
    /// Any other gRPC call.
    UnknownGrpc,
    /// An endpoint of the traces API with an invalid path parameter.
    Malformed(PathError),
    /// Refused, except for callers with all tenants where the config opens it.
    Closed(ClosedGroup),
    /// A data API's or an internal path below a prefix that no upstream's URL has. The upstream
    /// might be mounted there.
    Misplaced,
    /// A health check of the upstream at this path, which the config permits without a token.
    Health(&'static str),
    /// Outside the data APIs.
    PassThrough,
}

/// Finds the route of a request.
///
/// # Errors
/// When no upstream is configured for it, or several could be meant.
pub(in crate::proxy) fn route<B>(
    rules: &Rules,
    cluster: &Cluster<'_>,
    request: &Request<B>,
    path: &PathReading<'_>,
) -> Result<Route, ProxyError> {
    match cluster.named() {
        Some(Named::List) => return Ok(without_upstream(Target::Clusters, cluster, request)),
        Some(Named::Nothing) => return Ok(without_upstream(Target::NoCluster, cluster, request)),
        Some(Named::Cluster(_)) | None => {}
    }
    if let Some(route) = health(rules, cluster, request, path) {
        return Ok(route);
    }
    let (api, target) = match path {
        PathReading::Canonical(path) => classify(cluster, request, path.as_str()),
        PathReading::HarmlesslyOdd => (None, Target::PassThrough),
    };
    let clusters: Vec<_> = match &target {
        Target::ClusterQuery(_) => cluster.all_named().cloned().collect(),
        _ => Vec::new(),
    };
    let upstream = match (api, &target) {
        (_, Target::Grpc(_) | Target::UnknownGrpc) => cluster.grpc()?,
        (Some(api), _) => cluster.upstream(api),
        (None, _) => cluster.passthrough(),
    };
    let of_upstream = upstream.and_then(|upstream| upstream.settings().cluster.clone());
    let named = match cluster.named() {
        Some(Named::Cluster(name)) => Some(Arc::clone(name)),
        _ => of_upstream,
    };
    // Whether a named cluster has this API is disclosed only to callers that may use it.
    if upstream.is_none() && clusters.is_empty() && named.is_none() {
        return Err(no_upstream());
    }
    let has_api = |api| upstream.is_some_and(|upstream| upstream.api() == api);
    let (is_tempo, is_alertmanager) = (has_api(Api::Tempo), has_api(Api::Alertmanager));
    // Tempo has no paths outside its API.
    let target = match target {
        Target::PassThrough if is_tempo => Target::Closed(ClosedGroup::Unknown),
        target => target,
    };
    let needs_token = rules.settings().passthrough.authenticated
        || target != Target::PassThrough
        || named.is_some();
    Ok(Route {
        dialect: match &target {
            // Nor which API it has.
            _ if named.is_some() => Dialect::of_request(request),
            Target::Grpc(_) | Target::UnknownGrpc => Dialect::Grpc,
            Target::PassThrough => Dialect::Plain,
            _ if is_tempo => Dialect::Plain,
            _ if is_alertmanager => Dialect::Alertmanager,
            _ => Dialect::Prometheus,
        },
        target,
        upstream: upstream.cloned(),
        cluster: named,
        clusters,
        needs_token,
    })
}

/// A route without an upstream.
fn without_upstream<B>(target: Target, cluster: &Cluster<'_>, request: &Request<B>) -> Route {
    Route {
        clusters: match target {
            Target::Clusters => cluster.all_named().cloned().collect(),
            _ => Vec::new(),
        },
        target,
        upstream: None,
        cluster: None,
        needs_token: true,
        dialect: Dialect::of_request(request),
    }
}

/// The route of a health check that needs no token. Only where the upstream has no cluster with a name:
/// whether there is such a cluster is known to nobody without a token.
fn health<B>(
    rules: &Rules,
    cluster: &Cluster<'_>,
    request: &Request<B>,
    path: &PathReading<'_>,
) -> Option<Route> {
    const METRICS_OR_ALERTS: &[Api] = &[Api::Prometheus, Api::Alertmanager];
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if rules.settings().passthrough.health_authenticated || cluster.named().is_some() || !is_read {
        return None;
    }
    let PathReading::Canonical(path) = path else {
        return None;
    };
    let (apis, path) = match path.as_str() {
        "/-/ready" => (METRICS_OR_ALERTS, "/-/ready"),
        "/-/healthy" => (METRICS_OR_ALERTS, "/-/healthy"),
        "/ready" => (&[Api::Tempo][..], "/ready"),
        // By which Kiali checks a Tempo.
        "/status/services" => (&[Api::Tempo][..], "/status/services"),
        _ => return None,
    };
    let upstream = apis.iter().find_map(|api| cluster.upstream(*api))?;
    Some(Route {
        target: Target::Health(path),
        upstream: Some(Arc::clone(upstream)),
        cluster: None,
        clusters: Vec::new(),
        needs_token: false,
        dialect: Dialect::Plain,
    })
}

/// The error where no upstream is configured.
pub(in crate::proxy) fn no_upstream() -> ProxyError {
    let text = "no upstream is configured for this API, host and path prefix";
    ProxyError::new(ErrorKind::Forbidden, text).because(Reason::NoUpstream)
}

/// The endpoint of a path, and its API unless it is passed through.
fn classify<B>(cluster: &Cluster<'_>, request: &Request<B>, path: &str) -> (Option<Api>, Target) {
    let is_grpc = headers::is_grpc(request.headers());
    if is_grpc || path.starts_with("/tempopb.") {
        let target = GrpcMethod::from_path(path)
            .filter(|_| is_grpc && request.method() == Method::POST)
            .map_or(Target::UnknownGrpc, Target::Grpc);
        return (Some(Api::Tempo), target);
    }
    // Where both APIs are served at one address, a path that both have is the metrics API's, except
    // for Tempo's own calls; where only one is, it is that one's.
    let has = |api| cluster.upstream(api).is_some();
    if has(Api::Alertmanager)
        && let Some(target) = of_alertmanager(path, &has)
    {
        return (Some(Api::Alertmanager), target);
    }
    match endpoints::classify(path) {
        Class::Known(endpoint @ (Endpoint::Query | Endpoint::QueryRange))
            if cluster.is_root() && cluster.all_named().next().is_some() =>
        {
            (Some(Api::Prometheus), Target::ClusterQuery(endpoint))
        }
        Class::Known(endpoint) if has(Api::Prometheus) || !has(Api::Tempo) => {
            (Some(Api::Prometheus), Target::Metrics(endpoint))
        }
        metrics => match tempo::classify(path) {
            Traces::Known(endpoint) if has(Api::Tempo) => {
                (Some(Api::Tempo), Target::Traces(endpoint))
            }
            Traces::Malformed(error) if has(Api::Tempo) => {
                (Some(Api::Tempo), Target::Malformed(error))
            }
            Traces::Closed(group) if !has(Api::Prometheus) => {
                (Some(Api::Tempo), Target::Closed(group))
            }
            Traces::Closed(group)
                if has(Api::Tempo) && (is_tempo_api(path) || is_only_tempos(&metrics, path)) =>
            {
                (Some(Api::Tempo), Target::Closed(group))
            }
            _ => closed_or_passed(&metrics, path),
        },
    }
}

/// What a path is in Alertmanager's API, which has no path in common with the others'. Of those that
/// it does not serve, it answers for the ones below `/api/v2` where no Tempo does, and for all where
/// there is no other upstream.
fn of_alertmanager(path: &str, has: &impl Fn(Api) -> bool) -> Option<Target> {
    match alertmanager::classify(path) {
        Alerts::Known(endpoint) => Some(Target::Alertmanager(endpoint)),
        Alerts::MalformedId => Some(Target::MalformedSilence),
        Alerts::Closed(group) => {
            let is_its_own = path.starts_with("/api/v2/") || !has(Api::Prometheus);
            (is_its_own && !has(Api::Tempo)).then_some(Target::Closed(group))
        }
        Alerts::PassThrough => None,
    }
}

fn closed_or_passed(class: &Class, path: &str) -> (Option<Api>, Target) {
    match class {
        Class::Closed(group) => (Some(Api::Prometheus), Target::Closed(*group)),
        Class::Known(_) => (Some(Api::Prometheus), Target::Closed(ClosedGroup::Unknown)),
        Class::PassThrough if holds_guarded_segment(path) && !is_health(path) => {
            (None, Target::Misplaced)
        }
        Class::PassThrough => (None, Target::PassThrough),
    }
}

/// `/api/…` is Tempo's, except `/api/v1/…`.
fn is_tempo_api(path: &str) -> bool {
    path.starts_with("/api/") && !path.starts_with("/api/v1/")
}

/// An internal path of Tempo that the metrics API does not have. One gateway may serve both, so
/// what passes through to the one must not reach the other. Only `/status` is a page of Prometheus
/// too.
fn is_only_tempos(metrics: &Class, path: &str) -> bool {
    *metrics == Class::PassThrough && path != "/status"
}

/// Whether the path may be a data API's or an internal one below a prefix. The part of the older web
/// interface that is passed through is named by the path's beginning alone.
fn holds_guarded_segment(path: &str) -> bool {
    let rest = path.strip_prefix("/classic/").unwrap_or(path);
    rest.split('/').any(is_guarded_segment)
}

/// The two paths below `/-/` that only report that the upstream is up.
fn is_health(path: &str) -> bool {
    matches!(path, "/-/healthy" | "/-/ready")
}

impl Route {
    /// Whether a caller needs a token.
    pub(in crate::proxy) fn needs_token(&self) -> bool {
        self.needs_token
    }

    /// For metrics and logs; from a closed set.
    pub(in crate::proxy) fn name(&self) -> &'static str {
        match &self.target {
            Target::Metrics(endpoint) | Target::ClusterQuery(endpoint) => endpoint.name(),
            Target::Clusters => "clusters",
            Target::NoCluster => "no_cluster",
            Target::Traces(endpoint) => endpoint.name(),
            Target::Alertmanager(endpoint) => endpoint.name(),
            Target::Grpc(method) => method.name(),
            Target::UnknownGrpc => "grpc_unknown",
            Target::Malformed(_) | Target::MalformedSilence => "malformed",
            Target::Closed(group) => group.name(),
            Target::Misplaced => "misplaced",
            Target::Health(_) => "health",
            Target::PassThrough => "passthrough",
        }
    }

    /// The error format of this endpoint.
    pub(in crate::proxy) fn dialect(&self) -> Dialect {
        self.dialect
    }
}
