//! Which endpoint a path is. The table is closed: inside the data APIs, what is not known is
//! refused.

pub(super) mod cluster;
pub(super) mod entry;
pub(super) mod host;
pub(super) mod path;

use std::sync::Arc;

use hyper::Request;

use self::cluster::{Cluster, Named};
use self::path::{PathReading, is_guarded_segment};
use super::error::{Dialect, ErrorKind, ProxyError};
use super::rules::Rules;
use crate::config::settings::{Api, ClosedGroup};
use crate::grpc::method::Method;
use crate::headers;
use crate::prometheus::endpoints::{self, Class, Endpoint};
use crate::reason::Reason;
use crate::tempo::endpoints::{
    self as tempo, Class as Traces, Endpoint as TracesEndpoint, PathError,
};
use crate::upstream::Upstream;

/// Where a request goes, and under which rule.
#[derive(Clone)]
pub(in crate::proxy) struct Route {
    /// The rule.
    pub target: Target,
    /// The upstream; `None` where the answer is ours alone, and where there is none unless
    /// parameters name clusters.
    pub upstream: Option<Arc<Upstream>>,
    /// The named cluster that the upstream belongs to.
    pub cluster: Option<Arc<str>>,
    /// What may be listed, or be named by parameters: the upstreams of clusters.
    pub of_clusters: Vec<Arc<Upstream>>,
    needs_token: bool,
    dialect: Dialect,
}

/// The rule of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Target {
    /// An endpoint of the metrics API.
    Metrics(Endpoint),
    /// The same at the root, where parameters may name clusters.
    ClusterQuery(Endpoint),
    /// The list of the named clusters.
    Clusters,
    /// Below the list, but of none of them.
    NoCluster,
    /// An endpoint of the traces API.
    Traces(TracesEndpoint),
    /// A gRPC call of the traces API.
    Grpc(Method),
    /// Any other gRPC call.
    UnknownGrpc,
    /// An endpoint of the traces API, with something in its path that is not taken.
    Malformed(PathError),
    /// Refused, but for admins where the config opens it.
    Closed(ClosedGroup),
    /// A data API's or an internal path below a prefix that no upstream's URL names. It might be
    /// the real thing, mounted there.
    Misplaced,
    /// Outside the data APIs.
    PassThrough,
}

/// Finds the route of a request.
///
/// # Errors
/// When no upstream is configured for it, or none can be told from the others.
pub(in crate::proxy) fn route<B>(
    rules: &Rules,
    cluster: &Cluster<'_>,
    request: &Request<B>,
    path: &PathReading<'_>,
) -> Result<Route, ProxyError> {
    match cluster.named() {
        Some(Named::List) => return Ok(ours(Target::Clusters, cluster, request)),
        Some(Named::Nothing) => return Ok(ours(Target::NoCluster, cluster, request)),
        Some(Named::Cluster(_)) | None => {}
    }
    let (api, target) = match path {
        PathReading::Canonical(path) => classify(cluster, request, path.as_str()),
        PathReading::HarmlesslyOdd => (None, Target::PassThrough),
    };
    let of_clusters: Vec<_> = match &target {
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
    // Whether a named cluster has this API is for those to know who may use it.
    if upstream.is_none() && of_clusters.is_empty() && named.is_none() {
        return Err(no_upstream());
    }
    let is_tempo = upstream.is_some_and(|upstream| upstream.api() == Api::Tempo);
    // Nothing of Tempo lies outside its API.
    let target = match target {
        Target::PassThrough if is_tempo => Target::Closed(ClosedGroup::Unknown),
        target => target,
    };
    let needs_token = rules.settings().passthrough.authenticated
        || target != Target::PassThrough
        || named.is_some();
    Ok(Route {
        dialect: match &target {
            // Nor what it speaks.
            _ if named.is_some() => Dialect::of_request(request),
            Target::Grpc(_) | Target::UnknownGrpc => Dialect::Grpc,
            Target::PassThrough => Dialect::Plain,
            _ if is_tempo => Dialect::Plain,
            _ => Dialect::Prometheus,
        },
        target,
        upstream: upstream.cloned(),
        cluster: named,
        of_clusters,
        needs_token,
    })
}

/// A route that leads to no upstream.
fn ours<B>(target: Target, cluster: &Cluster<'_>, request: &Request<B>) -> Route {
    Route {
        of_clusters: match target {
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

/// Nothing is configured there.
pub(in crate::proxy) fn no_upstream() -> ProxyError {
    let text = "no upstream is configured for this API, host and path prefix";
    ProxyError::new(ErrorKind::Forbidden, text).because(Reason::NoUpstream)
}

/// The rule of a path, and the API it belongs to if it is not passed through.
fn classify<B>(cluster: &Cluster<'_>, request: &Request<B>, path: &str) -> (Option<Api>, Target) {
    let says_grpc = headers::says_grpc(request.headers());
    if says_grpc || path.starts_with("/tempopb.") {
        let target = Method::from_path(path)
            .filter(|_| says_grpc && request.method() == hyper::Method::POST)
            .map_or(Target::UnknownGrpc, Target::Grpc);
        return (Some(Api::Tempo), target);
    }
    // Where both are served at one address, what both could mean is the metrics API's, but for
    // Tempo's own calls; where only one is, it is that one's.
    let has = |api| cluster.upstream(api).is_some();
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
                if has(Api::Tempo) && (is_api_of_tempo(path) || is_only_tempos(&metrics, path)) =>
            {
                (Some(Api::Tempo), Target::Closed(group))
            }
            _ => closed_or_passed(&metrics, path),
        },
    }
}

fn closed_or_passed(class: &Class, path: &str) -> (Option<Api>, Target) {
    match class {
        Class::Closed(group) => (Some(Api::Prometheus), Target::Closed(*group)),
        Class::Known(_) => (Some(Api::Prometheus), Target::Closed(ClosedGroup::Unknown)),
        Class::PassThrough if path.split('/').any(is_guarded_segment) && !is_health(path) => {
            (None, Target::Misplaced)
        }
        Class::PassThrough => (None, Target::PassThrough),
    }
}

/// `/api/…`, but `/api/v1/…`, is Tempo's.
fn is_api_of_tempo(path: &str) -> bool {
    path.starts_with("/api/") && !path.starts_with("/api/v1/")
}

/// An internal path of Tempo's that is none of the metrics API's. One gateway may stand before
/// both, so what passes through to the one must not reach the other. `/status` alone is a page of
/// Prometheus too.
fn is_only_tempos(metrics: &Class, path: &str) -> bool {
    *metrics == Class::PassThrough && path != "/status"
}

/// The two paths below `/-/` that only say that the upstream is up.
fn is_health(path: &str) -> bool {
    matches!(path, "/-/healthy" | "/-/ready")
}

impl Route {
    /// Whether a caller must show a token.
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
            Target::Grpc(method) => method.name(),
            Target::UnknownGrpc => "grpc_unknown",
            Target::Malformed(_) => "malformed",
            Target::Closed(group) => group.name(),
            Target::Misplaced => "misplaced",
            Target::PassThrough => "passthrough",
        }
    }

    /// How errors are written here.
    pub(in crate::proxy) fn dialect(&self) -> Dialect {
        self.dialect
    }
}
