//! The proof that nothing is to be enforced on a request.

use std::sync::Arc;
use std::time::SystemTime;

use hyper::Method;

use crate::config::settings::ClosedGroup;
use crate::proxy::route::{Route, Target};
use crate::upstream::Upstream;

/// Proof that the shadow mode of a route's upstream is in force. Only a config that says so can
/// make one, and it is valid for that route only.
pub(in crate::proxy) struct InForce {
    route: Route,
    upstream: Arc<Upstream>,
    until: SystemTime,
}

impl InForce {
    /// Checks the clock for each request to an upstream that has `shadow`: once the time is up,
    /// everything is enforced again without further action.
    pub(in crate::proxy) fn of(route: &Route) -> Option<Self> {
        let upstream = route.upstream.as_ref()?;
        let shadow = upstream.settings().shadow.as_ref()?;
        let until = shadow.until();
        shadow.is_in_force(SystemTime::now()).then(|| Self {
            route: route.clone(),
            upstream: Arc::clone(upstream),
            until,
        })
    }

    /// Whether it covers requests with this method. All others are enforced as usual.
    pub(in crate::proxy) fn is_for(&self, method: &Method) -> bool {
        lets_through(&self.route.target, method)
    }

    /// The route whose requests may be forwarded unmodified.
    pub(in crate::proxy) fn route(&self) -> &Route {
        &self.route
    }

    /// Their upstream.
    pub(in crate::proxy) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// `shadow.until`.
    pub(in crate::proxy) fn until(&self) -> SystemTime {
        self.until
    }
}

/// Whether shadow mode covers such requests: those that read tenants' data, or that change nothing,
/// as far as the method tells. Writes, administration and requests that could be either are
/// enforced as usual: the administration of an open store was never meant for every client that
/// reaches its port.
fn lets_through(target: &Target, method: &Method) -> bool {
    let is_safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    match target {
        Target::Metrics(endpoint) | Target::ClusterQuery(endpoint) => {
            is_safe || endpoint.allows(method.as_str())
        }
        Target::Traces(endpoint) => is_safe || endpoint.methods().contains(&method.as_str()),
        Target::Grpc(_) | Target::PassThrough | Target::Health(_) => true,
        // Its writes are enforced: a silence stays after shadow mode has ended.
        Target::Alertmanager(_) | Target::Malformed(_) | Target::MalformedSilence => is_safe,
        Target::Closed(group) => is_safe && only_reads(*group),
        Target::UnknownGrpc | Target::Misplaced | Target::Clusters | Target::NoCluster => false,
    }
}

/// Groups in which a GET is known to change nothing.
fn only_reads(group: ClosedGroup) -> bool {
    match group {
        ClosedGroup::Status | ClosedGroup::Stores | ClosedGroup::Unknown => true,
        ClosedGroup::TsdbAdmin
        | ClosedGroup::Write
        | ClosedGroup::Internals
        | ClosedGroup::Overrides
        | ClosedGroup::Mcp
        | ClosedGroup::Querier => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alertmanager::endpoints::Endpoint as AlertmanagerEndpoint;
    use crate::grpc::method::Method as GrpcMethod;
    use crate::prometheus::endpoints::Endpoint;

    #[test]
    fn writes_and_administration_are_enforced() {
        let get = |target: Target| lets_through(&target, &Method::GET);
        let post = |target: Target| lets_through(&target, &Method::POST);
        assert!(get(Target::Metrics(Endpoint::Query)) && post(Target::Metrics(Endpoint::Query)));
        assert!(get(Target::Metrics(Endpoint::Rules)) && !post(Target::Metrics(Endpoint::Rules)));
        assert!(!lets_through(
            &Target::Metrics(Endpoint::Series),
            &Method::DELETE
        ));
        assert!(post(Target::Grpc(GrpcMethod::Search)) && post(Target::PassThrough));
        for group in ClosedGroup::ALL {
            assert!(!post(Target::Closed(group)), "{group:?}");
        }
        for group in [
            ClosedGroup::Status,
            ClosedGroup::Stores,
            ClosedGroup::Unknown,
        ] {
            assert!(get(Target::Closed(group)), "{group:?}");
        }
        for group in [
            ClosedGroup::TsdbAdmin,
            ClosedGroup::Write,
            ClosedGroup::Internals,
            ClosedGroup::Overrides,
            ClosedGroup::Mcp,
            ClosedGroup::Querier,
        ] {
            assert!(!get(Target::Closed(group)), "{group:?}");
        }
        let silences = || Target::Alertmanager(AlertmanagerEndpoint::Silences);
        assert!(get(silences()) && !post(silences()));
        assert!(!lets_through(&silences(), &Method::DELETE));
        assert!(!get(Target::Misplaced) && !post(Target::UnknownGrpc));
    }
}
