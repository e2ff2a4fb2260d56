//! Shadow mode: at an upstream whose config says so, for a while, requests go up as they came, and
//! what would have become of them is found out, counted and noted.
//!
//! | file | one idea |
//! |---|---|
//! | `in_force` | the proof that it is in force, without which nothing goes up unenforced |
//! | `look` | the steps that a request would have taken |
//! | `seen` | what they came to |
//! | `compare` | the confined twin of a request, sent to compare the sizes of both answers |
//! | `ledger` | what was noted lately, and how many twins are under way |
//!
//! What protects the process holds as ever: framing, the bounds of heads and URLs, the admission of
//! paths, `limits.requests`, the time that a body may take. A path with two readings is still refused, since one of them may be
//! that of an endpoint that writes, or of another upstream.

mod compare;
mod evaluation;
mod in_force;
mod ledger;
mod verdict;

use std::pin::pin;
use std::sync::Arc;

use hyper::header::{ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, body::Incoming};

use self::compare::Twin;
pub(in crate::proxy) use self::compare::Witness;
use self::evaluation::Look;
pub(in crate::proxy) use self::evaluation::asks_while_enforcing;
pub(in crate::proxy) use self::in_force::InForce;
pub(in crate::proxy) use self::ledger::Ledger;
pub(in crate::proxy) use self::verdict::Seen;
use super::context::Exchange;
use super::error::ProxyError;
use super::forward;
use super::route::Route;
use super::route::cluster;
use super::snapshot::Snapshot;
use super::{authenticate, enforce, limits, respond};
use crate::body::ResponseBody;
use crate::telemetry::metrics::{Metrics, Stage, Verdict};

/// Tells whoever tries what would have become of the request.
const HEADER: HeaderName = HeaderName::from_static("x-partywall-shadow");

/// The proof, where the shadow mode of the route's upstream is in force. It is made here alone.
pub(super) fn in_force(route: &Route) -> Option<InForce<'_>> {
    InForce::of(route)
}

/// Counts a request that shadow mode is not for, at an upstream where it is in force.
pub(super) fn count_closed(in_force: &InForce<'_>, metrics: &Metrics) {
    let (upstream, route) = (in_force.upstream().name(), in_force.route().name());
    metrics.shadow.request(upstream, route, Verdict::Closed, "");
}

/// Answers a request as a plain proxy would.
pub(super) async fn serve(
    snapshot: &Arc<Snapshot>,
    in_force: &InForce<'_>,
    request: Request<Incoming>,
    exchange: &mut Exchange,
    metrics: &Arc<Metrics>,
) -> Result<Response<ResponseBody>, ProxyError> {
    let route = in_force.route();
    let (mut head, body) = request.into_parts();
    let caller = evaluation::who(authenticate::authenticate(
        snapshot,
        route,
        &head.headers,
        metrics,
    ));
    let caller = exchange.timed(Stage::Authenticate, pin!(caller)).await;
    let caller = caller.and_then(|caller| {
        cluster::permit(route, caller.as_deref())?;
        Ok(caller)
    });
    let known = caller.as_ref().ok().cloned().flatten();
    exchange.set_caller(known.clone());
    let journal = exchange.journal();
    let mut look = Look {
        snapshot,
        route,
        caller,
        head: &head,
        metrics,
        journal: &journal,
    };
    let received = look.receive(body).await?;
    let (admitted, over) = limits::admit_in_shadow(snapshot, known.as_ref(), metrics)?;
    exchange.admit(admitted);
    if let Some(over) = over {
        look.caller = Err(over);
    }
    let looked = look.at(received);
    let (seen, body) = exchange.timed(Stage::Enforce, pin!(looked)).await;
    let upstream = in_force.upstream().name();
    metrics
        .shadow
        .request(upstream, route.name(), seen.verdict, seen.reason);
    let answer_header = seen.header();
    let twin = Twin::of(snapshot, in_force, &seen, exchange, metrics);
    let (seen, enforced) = seen.without_enforced();
    let twin = twin.zip(enforced);
    if twin.is_some() {
        uncompressed(&mut head.headers);
    }
    exchange.set_shadow(seen, snapshot.ledger());

    let mut open = enforce::as_it_came(in_force, snapshot, known.as_deref(), &head, body)?;
    if let Some(parent) = exchange.upstream_begins() {
        open.set_traceparent(parent);
    }
    let answered = forward::forward(open, metrics);
    let answered = exchange.timed(Stage::Upstream, pin!(answered)).await;
    let status = answered.as_ref().ok();
    exchange.upstream_ends(status.map(|answered| answered.response.status()));
    let mut response = respond::respond(answered?, snapshot, metrics).await?;
    if let Some(value) = answer_header {
        response.headers_mut().insert(HEADER, value);
    }
    Ok(match twin {
        Some((twin, enforced)) => twin.after(response, enforced),
        None => response,
    })
}

/// Sizes can be compared of what is not compressed.
fn uncompressed(headers: &mut HeaderMap) {
    for name in [
        ACCEPT_ENCODING,
        HeaderName::from_static("grpc-accept-encoding"),
    ] {
        if headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static("identity"));
        }
    }
}
