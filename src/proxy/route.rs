//! Which endpoint a path is. The table is closed: inside the data APIs, what is not known is
//! refused.

use std::sync::Arc;

use super::error::{Dialect, ErrorKind, ProxyError};
use super::path::{PathReading, is_guarded_segment};
use super::snapshot::Snapshot;
use crate::config::settings::{Api, ClosedGroup};
use crate::prometheus::endpoints::{self, Class, Endpoint};
use crate::upstream::Upstream;

/// Where a request goes, and under which rule.
pub(super) struct Route {
    /// The rule.
    pub target: Target,
    /// The upstream.
    pub upstream: Arc<Upstream>,
    needs_token: bool,
}

/// The rule of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// An endpoint of the metrics API.
    Metrics(Endpoint),
    /// Refused, but for admins where the config opens it.
    Closed(ClosedGroup),
    /// A data API's or an internal path below a prefix that no upstream's URL names. It might be
    /// the real thing, mounted there.
    Misplaced,
    /// The traces API.
    Traces,
    /// Outside the data APIs.
    PassThrough,
}

/// Finds the route of a path.
///
/// # Errors
/// When no upstream is configured for it.
pub(super) fn route(snapshot: &Snapshot, path: &PathReading<'_>) -> Result<Route, ProxyError> {
    let target = match path {
        PathReading::Canonical(path) => classify(path.as_str()),
        PathReading::HarmlesslyOdd => Target::PassThrough,
    };
    let upstream = match &target {
        Target::PassThrough | Target::Misplaced => snapshot.passthrough(),
        Target::Metrics(_) | Target::Closed(_) => snapshot
            .upstream(Api::Prometheus)
            .or_else(|| snapshot.passthrough()),
        Target::Traces => snapshot
            .upstream(Api::Tempo)
            .or_else(|| snapshot.passthrough()),
    };
    let Some(upstream) = upstream else {
        return Err(no_upstream());
    };
    if matches!(target, Target::Metrics(_)) && upstream.api() != Api::Prometheus {
        return Err(no_upstream());
    }
    let authenticated = snapshot.settings().passthrough.authenticated;
    Ok(Route {
        needs_token: authenticated || target != Target::PassThrough,
        target,
        upstream: Arc::clone(upstream),
    })
}

fn no_upstream() -> ProxyError {
    ProxyError::new(
        ErrorKind::Forbidden,
        "no upstream is configured for this API",
    )
    .because("no_upstream")
}

fn classify(path: &str) -> Target {
    match endpoints::classify(path) {
        Class::Known(endpoint) => Target::Metrics(endpoint),
        Class::Closed(ClosedGroup::Unknown) if is_traces_path(path) => Target::Traces,
        Class::Closed(group) => Target::Closed(group),
        Class::PassThrough if path.split('/').any(is_guarded_segment) && !is_health(path) => {
            Target::Misplaced
        }
        Class::PassThrough => Target::PassThrough,
    }
}

/// `/api/…` but `/api/v1/…` is Tempo's, and so are its gRPC services.
fn is_traces_path(path: &str) -> bool {
    path.starts_with("/tempopb.") || (path.starts_with("/api/") && !path.starts_with("/api/v1/"))
}

/// The two paths below `/-/` that only say that the upstream is up.
fn is_health(path: &str) -> bool {
    matches!(path, "/-/healthy" | "/-/ready")
}

impl Route {
    /// Whether a caller must show a token.
    pub(super) fn needs_token(&self) -> bool {
        self.needs_token
    }

    /// For metrics and logs; from a closed set.
    pub(super) fn name(&self) -> &'static str {
        match &self.target {
            Target::Metrics(endpoint) => endpoint.name(),
            Target::Closed(group) => group.name(),
            Target::Misplaced => "misplaced",
            Target::Traces => "traces",
            Target::PassThrough => "passthrough",
        }
    }

    /// How errors are written here.
    pub(super) fn dialect(&self) -> Dialect {
        match self.target {
            Target::Metrics(_) | Target::Closed(_) | Target::Misplaced => Dialect::Prometheus,
            Target::Traces | Target::PassThrough => Dialect::Plain,
        }
    }
}
