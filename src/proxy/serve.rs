//! Serves a request: runs every step of the [pipeline](super::pipeline), sends the result, and
//! responds.

use std::pin::pin;
use std::time::Instant;

use hyper::{Request, Response, StatusCode};

use super::cache::{self, CacheOutcome};
use super::context::RequestContext;
use super::enforce::{
    ChangeOfSilence, Condition, Enforced, Enforcement, SelectorsOfEverything, TracesToVerify,
};
use super::error::ProxyError;
use super::exchange::exchange;
use super::pipeline::{Admitted, Decided, Received};
use super::record::RequestRecord;
use super::snapshot::Snapshot;
use super::{fan_out, respond, shadow};
use crate::body::{ReceivedBody, ResponseBody};
use crate::telemetry::metrics::Stage;

/// One request from its headers to the headers of its answer.
pub(super) async fn serve(
    snapshot: &Snapshot,
    context: &RequestContext,
    request: Request<ReceivedBody>,
    record: &mut RequestRecord,
) -> Result<Response<ResponseBody>, ProxyError> {
    let runtime = snapshot.runtime();
    let received = Received::new(&context.rules, request)?;
    record.set_dialect(received.dialect());
    let routed = received.route()?;
    record.set_route(routed.route());
    if let Some(in_force) = shadow::in_force(routed.route()) {
        if in_force.is_for(routed.method()) {
            let unmodified = shadow::serve(runtime, context, in_force, routed, record);
            return Box::pin(unmodified).await;
        }
        shadow::count_closed(&in_force, &context.metrics);
    }
    // In blocks, so that the steps' futures are not all alive at once.
    let authenticated = {
        let authenticated = pin!(routed.authenticate(context));
        record.timed(Stage::Authenticate, authenticated).await?
    };
    record.set_caller(authenticated.caller().cloned());
    let authorized = authenticated.authorize()?;
    let wants_fresh = cache::wants_fresh(runtime.answers.as_ref(), authorized.headers());
    let complete = authorized.receive(context).await?;
    let (admitted, permits) = complete.admit(context, &runtime.tenants)?;
    record.hold(permits);
    let decided = {
        let decided = pin!(decide(admitted, context));
        record.timed(Stage::Enforce, decided).await?
    };
    record.set_decision(decided.decision);
    match decided.enforcement {
        Enforcement::Several(all) => Ok(Box::pin(fan_out::query_all(all, context, record)).await),
        Enforcement::Answered(answer) => Ok(respond::own(answer)),
        Enforcement::Conditional(_) => Err(ProxyError::defect()),
        Enforcement::One(enforced) => {
            let (route, caller) = (&decided.route, decided.caller.as_deref());
            let answers = runtime.answers.as_ref();
            let cached =
                cache::look_up(answers, context, route, caller, &enforced, wants_fresh).await;
            send(enforced, cached, context, record).await
        }
    }
}

/// Enforces; where the decision depends on the upstream's data, sends the side requests for it.
async fn decide(admitted: Admitted, context: &RequestContext) -> Result<Decided, ProxyError> {
    let mut decided = admitted.enforce(context)?;
    // What depends on nothing, which is nearly everything, is not moved.
    if let Enforcement::Conditional(condition) = decided.enforcement {
        let enforced = Box::pin(released(*condition, context)).await?;
        decided.enforcement = Enforcement::One(enforced);
    }
    Ok(decided)
}

/// The request, once its condition was found to hold.
async fn released(condition: Condition, context: &RequestContext) -> Result<Enforced, ProxyError> {
    match condition {
        Condition::OwnTraces(traces) => verified(traces, context).await,
        Condition::OwnSilence(change) => verified_change(change, context).await,
        Condition::AcceptedSelectors(selectors) => accepted(selectors, context).await,
    }
}

async fn verified(
    mut traces: TracesToVerify,
    context: &RequestContext,
) -> Result<Enforced, ProxyError> {
    while let Some((side, format)) = traces.next_side() {
        let room = context.answer_room(side.holder());
        let trace = respond::side_request(side, format.media_type(), &room, context).await?;
        traces.check(&trace)?;
    }
    traces.into_request()
}

async fn verified_change(
    change: ChangeOfSilence,
    context: &RequestContext,
) -> Result<Enforced, ProxyError> {
    let (silence, change) = change.split();
    let room = context.answer_room(silence.holder());
    let absent = &[StatusCode::NOT_FOUND];
    let silence =
        respond::side_request_unless(absent, silence, respond::JSON, &room, context).await?;
    change.released(silence.as_deref())
}

async fn accepted(
    selectors: SelectorsOfEverything,
    context: &RequestContext,
) -> Result<Enforced, ProxyError> {
    let (example, request) = selectors.split();
    let room = context.answer_room(example.holder());
    // Prometheus' status, and that of a Thanos whose stores may not leave out anything.
    let refused = &[StatusCode::BAD_REQUEST, StatusCode::UNPROCESSABLE_ENTITY];
    let answer =
        respond::side_request_unless(refused, example, respond::JSON, &room, context).await?;
    request.released(answer.as_deref())
}

/// Sends the request, unless there is a cached response.
async fn send(
    mut enforced: Enforced,
    cached: CacheOutcome,
    context: &RequestContext,
    record: &mut RequestRecord,
) -> Result<Response<ResponseBody>, ProxyError> {
    if !matches!(cached, CacheOutcome::Cached(_))
        && let Some(parent) = record.upstream_begins()
    {
        enforced.set_traceparent(parent);
    }
    match cached {
        CacheOutcome::Cached(response) => Ok(*response),
        CacheOutcome::Fill(fill) => {
            let fetched = Box::pin(fill.fetch(context, enforced));
            let fetched = record.timed(Stage::Upstream, fetched).await;
            record.upstream_ends(fetched.upstream_status);
            fetched.response
        }
        CacheOutcome::Forward(lookup) => {
            let sent = Instant::now();
            let on_headers = |status| record.upstream_answered(sent.elapsed(), status);
            let mut response = exchange(enforced, context, on_headers).await.response?;
            cache::mark(&mut response, lookup);
            Ok(response)
        }
    }
}
