//! Shadow mode: requests to an upstream that the config names are forwarded unmodified for a while,
//! and what enforcement would have done to them is evaluated, counted and recorded.
//!
//! | file | one idea |
//! |---|---|
//! | `in_force` | the proof that it is in force, without which nothing is forwarded unenforced |
//! | `evaluation` | the steps that a request would have taken |
//! | `verdict` | their result |
//! | `compare` | the confined copy of a request, sent to compare the sizes of both responses |
//! | `state` | what was recorded lately, and how many copies are in flight |
//!
//! What protects the process still applies: framing, the limits of headers and URLs, the checks of
//! paths, `limits.requests`, the deadlines of bodies. An ambiguous path is still refused, since it
//! may be that of an endpoint that writes, or of another upstream.

mod compare;
mod evaluation;
mod in_force;
mod state;
mod verdict;

use std::pin::pin;
use std::time::Instant;

use hyper::Response;
use hyper::header::{ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue};

use self::compare::ConfinedCopy;
use self::evaluation::Evaluated;
pub(in crate::proxy) use self::in_force::InForce;
pub(in crate::proxy) use self::state::ShadowState;
pub(in crate::proxy) use self::verdict::ShadowVerdict;
use super::context::RequestContext;
use super::error::ProxyError;
use super::exchange::exchange;
use super::pipeline::{Authenticated, Routed};
use super::record::RequestRecord;
use super::route::Route;
use super::snapshot::Runtime;
use super::{enforce, limits};
use crate::body::{ReceivedBody, ResponseBody};
use crate::telemetry::metrics::{Metrics, Stage, Verdict};

/// Tells the client what enforcement would have done.
const HEADER: HeaderName = HeaderName::from_static("x-partywall-shadow");

/// The proof, if the shadow mode of the route's upstream is in force. It is made here only.
pub(super) fn in_force(route: &Route) -> Option<InForce> {
    InForce::of(route)
}

/// Counts a request that shadow mode does not cover, at an upstream where it is in force.
pub(super) fn count_closed(in_force: &InForce, metrics: &Metrics) {
    let (upstream, route) = (in_force.upstream().name(), in_force.route().name());
    metrics
        .shadow
        .request(upstream, route, Verdict::Closed, None);
}

/// Forwards a request as a plain proxy would.
pub(super) async fn serve(
    runtime: &Runtime,
    context: &RequestContext,
    in_force: InForce,
    routed: Routed<ReceivedBody>,
    record: &mut RequestRecord,
) -> Result<Response<ResponseBody>, ProxyError> {
    let (routed, body) = routed.detach_body();
    let mut head = routed.head();
    let authenticated = pin!(evaluation::authenticate(routed, context));
    let authenticated = record.timed(Stage::Authenticate, authenticated).await;
    let caller = authenticated.as_ref().ok().and_then(Authenticated::caller);
    let caller = caller.cloned();
    record.set_caller(caller.clone());
    let authorized = authenticated.and_then(Authenticated::authorize);
    let evaluation = evaluation::receive(authorized, body, context).await?;
    let (permits, over) = limits::admit_over_limits(context, &runtime.tenants, caller.as_ref())?;
    record.hold(permits);
    let evaluated = async { evaluation.enforce(over, context) };
    let evaluated = record.timed(Stage::Enforce, pin!(evaluated)).await;
    let Evaluated {
        verdict,
        confined,
        body,
    } = evaluated;

    let (upstream, route) = (in_force.upstream().name(), in_force.route().name());
    let shadow = &context.metrics.shadow;
    shadow.request(upstream, route, verdict.verdict, verdict.reason);
    let answer_header = verdict.header();
    let copy = confined.and_then(|confined| {
        ConfinedCopy::of(runtime, context, &in_force, &verdict, confined, record)
    });
    if copy.is_some() {
        request_uncompressed(&mut head.headers);
    }
    record.set_shadow(verdict, &runtime.shadow);

    let mut unmodified = enforce::unmodified(&in_force, context, caller.as_deref(), &head, body)?;
    if let Some(parent) = record.upstream_begins() {
        unmodified.set_traceparent(parent);
    }
    let sent = Instant::now();
    let on_headers = |status| record.upstream_answered(sent.elapsed(), status);
    let mut response = exchange(unmodified, context, on_headers).await.response?;
    if let Some(value) = answer_header {
        response.headers_mut().insert(HEADER, value);
    }
    Ok(match copy {
        Some(copy) => copy.sent_after(response),
        None => response,
    })
}

/// Sizes can be compared only without compression.
fn request_uncompressed(headers: &mut HeaderMap) {
    for name in [
        ACCEPT_ENCODING,
        HeaderName::from_static("grpc-accept-encoding"),
    ] {
        if headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static("identity"));
        }
    }
}
