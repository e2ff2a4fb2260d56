//! Named clusters: the list of those that a caller may use, and a query of several of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::{Method, Request};

use super::input::MetricsCall;
use super::metrics::{self, Rebuild};
use super::{Enforcement, OwnAnswer, ResponsePlan, UpstreamTarget, query_size};
use crate::auth::Caller;
use crate::body::ClientBody;
use crate::config::settings::Api;
use crate::prometheus::clusters::{self, Listed};
use crate::prometheus::endpoints::Endpoint;
use crate::proxy::authorize::{no_cluster, scope};
use crate::proxy::context::RequestContext;
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::proxy::route::{Route, no_upstream};
use crate::reason::Reason;
use crate::upstream::Upstream;

/// The most clusters that one request may name. All are queried at once.
const MAX_CLUSTERS: usize = 32;

/// Lists the clusters that the caller may use. It does not show their health, which all tenants
/// share.
pub(super) fn list(
    route: &Route,
    caller: &Caller,
    method: &Method,
) -> Result<Enforcement, ProxyError> {
    if *method != Method::GET {
        return Err(ProxyError::method_not_allowed(&["GET"]));
    }
    let scope = scope(caller)?;
    let mut all: BTreeMap<&str, Listed<'_>> = BTreeMap::new();
    for upstream in &route.clusters {
        let settings = upstream.settings();
        let Some(name) = settings
            .cluster
            .as_deref()
            .filter(|name| scope.may_use(name))
        else {
            continue;
        };
        let listed = all.entry(name).or_insert_with(|| Listed {
            name,
            apis: Vec::new(),
            prefix: settings.path_prefix.as_deref().unwrap_or_default(),
        });
        listed.apis.push(match settings.api {
            Api::Prometheus => "prometheus",
            Api::Tempo => "tempo",
            Api::Alertmanager => "alertmanager",
        });
        listed.apis.sort_unstable();
    }
    let all: Vec<Listed<'_>> = all.into_values().collect();
    let answer = OwnAnswer::Json(clusters::list(&all));
    Ok(Enforcement::Answered(answer))
}

/// A query at the root: of the clusters that it names or, if it names none, of the upstream at the
/// root. It is parsed and confined once, and the same query is sent to each.
pub(super) fn query(
    context: &RequestContext,
    route: &Route,
    endpoint: &Endpoint,
    caller: &Arc<Caller>,
    request: Request<ClientBody>,
) -> Result<Enforcement, ProxyError> {
    let matchers = metrics::admitted_matchers(endpoint, caller, request.method())?;
    let room = context.request_room(caller.holder());
    let call = MetricsCall::new(request, endpoint)?;
    let (names, form) = clusters::split(call.parameters(endpoint)?);
    let upstreams = upstreams_of(route, caller, &names)?;
    query_size::metrics(context, endpoint, &form)?;
    context.queries.received_parameters(form.iter());
    let (sent, origin) = match matchers {
        None => (form, None),
        Some(matchers) => {
            let (allowed, origin) = metrics::confined(context, endpoint, caller, matchers, form)?;
            (allowed.sent, origin)
        }
    };
    let enforced = |upstream: &Arc<Upstream>| {
        let plan = match matchers {
            None => ResponsePlan::AllTenants,
            Some(_) => ResponsePlan::Scrub(origin.clone()),
        };
        let rebuild = Rebuild {
            target: &UpstreamTarget::new(
                &context.rules,
                upstream,
                Some(caller),
                &call.head.headers,
            ),
            endpoint,
            head: &call.head,
            budget: &room.budget,
        };
        rebuild.form(&sent, plan)
    };
    if names.is_empty() {
        let upstream = route.upstream.as_ref().ok_or_else(no_upstream)?;
        return Ok(Enforcement::One(enforced(upstream)?));
    }
    let all: Result<_, ProxyError> = upstreams
        .into_iter()
        .map(|(name, upstream)| Ok((name, enforced(upstream)?)))
        .collect();
    Ok(Enforcement::Several(all?))
}

/// A cluster and its upstream.
type Named<'r> = (Arc<str>, &'r Arc<Upstream>);

/// The upstreams of these clusters. One that the caller may not use is refused like one that does
/// not exist, and refuses the whole request: the response would not be what the client asked for.
fn upstreams_of<'r>(
    route: &'r Route,
    caller: &Caller,
    names: &[String],
) -> Result<Vec<Named<'r>>, ProxyError> {
    if names.len() > MAX_CLUSTERS {
        let text = format!("at most {MAX_CLUSTERS} clusters can be queried at once");
        return Err(ProxyError::new(ErrorKind::BadRequest, text).because(Reason::Parameters));
    }
    let scope = scope(caller)?;
    names
        .iter()
        .map(|wanted| {
            let mut own = route.clusters.iter().filter(|upstream| {
                let name = upstream.settings().cluster.as_deref();
                name == Some(wanted) && scope.may_use(wanted)
            });
            let first = own.next().ok_or_else(no_cluster)?;
            let name = first.settings().cluster.clone().ok_or_else(no_cluster)?;
            let upstream = std::iter::once(first)
                .chain(own)
                .find(|upstream| upstream.api() == Api::Prometheus)
                .ok_or_else(no_upstream)?;
            Ok((name, upstream))
        })
        .collect()
}
