//! The only place where a request becomes one that may be sent: confined to its caller's scope, or
//! known to need no confinement. It sends nothing and waits for nothing.

mod alertmanager;
mod closed;
mod clusters;
mod decision;
mod enforced;
mod grpc;
mod guard;
mod input;
mod metrics;
mod passthrough;
mod query_size;
mod traces;
mod unmodified;

use std::sync::Arc;

use hyper::Request;

pub(super) use self::alertmanager::ChangeOfSilence;
use self::enforced::UpstreamTarget;
pub(super) use self::enforced::{
    AlertmanagerAnswer, AlertsPage, Enforced, Filter, FurtherTags, GrpcAnswer, MetadataPlan,
    NamesPlan, Origin, OwnTargets, Page, Parts, ResponsePlan, SentTags, SharedTraces, TagsPlan,
    TagsSubject, TraceOwnership, TracesAnswer, VerifyTraces, WholeAnswer,
};
pub(super) use self::input::shown;
pub(super) use self::metrics::SelectorsOfEverything;
pub(super) use self::traces::TracesToVerify;
pub(super) use self::unmodified::unmodified;
use super::context::RequestContext;
use super::error::{ErrorKind, ProxyError};
use super::route::{Route, Target, no_upstream};
use crate::auth::Caller;
use crate::body::ClientBody;
use crate::reason::Reason;
use crate::telemetry::metrics::Decision;

/// The result of enforcement.
pub(super) enum Enforcement {
    One(Enforced),
    /// To be sent to several clusters, in the order of their names.
    Several(Vec<(Arc<str>, Enforced)>),
    /// To be sent once side requests have shown that it may be.
    Conditional(Box<Condition>),
    /// Not sent at all.
    Answered(OwnAnswer),
}

/// What side requests have to show before a request is sent.
pub(super) enum Condition {
    /// That both traces have nothing but the caller's spans.
    OwnTraces(TracesToVerify),
    /// That the silence that the request changes is the caller's.
    OwnSilence(ChangeOfSilence),
    /// That the store accepts selectors of everything.
    AcceptedSelectors(SelectorsOfEverything),
}

/// What Partywall answers itself.
pub(super) enum OwnAnswer {
    /// 200 with this JSON.
    Json(Vec<u8>),
    /// 204.
    NoContent,
}

/// Whether enforcement reads the request's body, which must then have been received.
///
/// # Errors
/// When the request is refused whatever its body is.
pub(super) fn reads_body(
    context: &RequestContext,
    route: &Route,
    caller: &Caller,
    request: &Request<()>,
) -> Result<bool, ProxyError> {
    match &route.target {
        Target::Metrics(endpoint) | Target::ClusterQuery(endpoint) => {
            metrics::admitted_matchers(endpoint, caller, request.method())?;
            input::reads_body(request, endpoint)
        }
        Target::Traces(endpoint) => traces::reads_body(context, endpoint, caller, request.method()),
        Target::Alertmanager(endpoint) => alertmanager::reads_body(endpoint, caller, request),
        Target::Grpc(_) => {
            grpc::check_format(request.headers())?;
            Ok(true)
        }
        Target::Closed(group) => match &route.upstream {
            Some(upstream) => closed::reads_body(upstream, *group, caller, request.headers()),
            None => Ok(false),
        },
        Target::UnknownGrpc
        | Target::Malformed(_)
        | Target::MalformedSilence
        | Target::Misplaced
        | Target::Clusters
        | Target::NoCluster
        | Target::Health(_)
        | Target::PassThrough => Ok(false),
    }
}

/// Enforces the route's rule; returns the result and the decision.
pub(super) fn enforce(
    context: &RequestContext,
    route: &Route,
    caller: Option<&Arc<Caller>>,
    request: Request<ClientBody>,
) -> Result<(Enforcement, Decision), ProxyError> {
    let enforcement = by_target(context, route, caller, request)?;
    let caller = caller.map(|caller| &**caller);
    let decision = match &enforcement {
        Enforcement::One(enforced) => decision::of(&route.target, enforced.plan(), caller),
        Enforcement::Several(_) | Enforcement::Conditional(_) => {
            decision::of_scope(caller, Decision::Confined)
        }
        Enforcement::Answered(_) => decision::of_scope(caller, Decision::Filtered),
    };
    Ok((enforcement, decision))
}

fn by_target(
    context: &RequestContext,
    route: &Route,
    caller: Option<&Arc<Caller>>,
    request: Request<ClientBody>,
) -> Result<Enforcement, ProxyError> {
    let upstream = || {
        let upstream = route.upstream.as_ref().ok_or_else(no_upstream)?;
        let caller = caller.map(|caller| &**caller);
        let target = UpstreamTarget::new(&context.rules, upstream, caller, request.headers());
        Ok::<_, ProxyError>(target)
    };
    let one = |enforced: Result<Enforced, ProxyError>| enforced.map(Enforcement::One);
    let Some(caller) = caller else {
        return match &route.target {
            Target::Health(path) => {
                let target = upstream()?;
                one(passthrough::health(&target, path, &request))
            }
            Target::PassThrough => {
                passthrough::check(context, &request)?;
                let target = upstream()?;
                one(passthrough::enforce(context, &target, request))
            }
            // A data API is never reached without a caller.
            _ => Err(unreachable_route(
                "this endpoint was reached without a token",
            )),
        };
    };
    match &route.target {
        Target::Metrics(endpoint) => {
            let target = upstream()?;
            metrics::enforce(context, &target, endpoint, caller, request)
        }
        Target::Traces(endpoint) => {
            let target = upstream()?;
            traces::enforce(context, &target, endpoint, caller, request)
        }
        Target::Alertmanager(endpoint) => {
            let target = upstream()?;
            alertmanager::enforce(context, &target, endpoint, caller, request)
        }
        Target::MalformedSilence => Err(alertmanager::malformed_id()),
        Target::Grpc(method) => {
            let target = upstream()?;
            one(grpc::enforce(context, &target, *method, caller, request))
        }
        Target::Closed(group) => {
            let target = upstream()?;
            one(closed::enforce(context, &target, *group, caller, request))
        }
        Target::Clusters => clusters::list(route, caller, request.method()),
        Target::ClusterQuery(endpoint) => {
            clusters::query(context, route, endpoint, caller, request)
        }
        Target::UnknownGrpc => Err(grpc::unknown()),
        Target::Malformed(error) => {
            Err(ProxyError::new(ErrorKind::BadRequest, error.to_string()).because(Reason::Path))
        }
        Target::Misplaced => Err(closed::misplaced()),
        Target::NoCluster => Err(unreachable_route(
            "this endpoint has no upstream of its own",
        )),
        Target::Health(path) => {
            let target = upstream()?;
            one(passthrough::health(&target, path, &request))
        }
        Target::PassThrough => {
            passthrough::check(context, &request)?;
            let target = upstream()?;
            one(passthrough::enforce(context, &target, request))
        }
    }
}

/// The error for what no route leads to.
fn unreachable_route(text: &'static str) -> ProxyError {
    ProxyError::new(ErrorKind::Internal, text)
}
