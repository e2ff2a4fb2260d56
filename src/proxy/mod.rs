//! One request's journey, in walking order.
//!
//! | step | what it makes |
//! |---|---|
//! | [`admit`] | a request whose head has one reading |
//! | [`route::cluster`] | the upstreams it can mean, and its path without their prefix |
//! | [`route`] | a [`route::Route`] from a closed table |
//! | [`authenticate`] | a caller whose token is believed |
//! | [`route::cluster::permit`] | that the caller may use the route's cluster |
//! | [`receive`] | its body, where enforcement looks at it |
//! | [`limits`] | its permit among the requests in flight |
//! | [`enforce`] | an [`enforce::Enforced`] request, confined to the caller's scope |
//! | [`cache`] | an answer that was kept, if there is one |
//! | [`forward`] | the upstream's answer: takes nothing but an `Enforced` |
//! | [`respond`] | the client's answer: streamed, scrubbed or filtered as enforcement planned |
//!
//! A query of several clusters is enforced once for all, and each answer is made as if it were
//! the only one ([`fan_out`]).
//!
//! Where an upstream's [`shadow`] mode is in force, a request goes up as it came instead, and those
//! steps only tell what would have become of it.
//!
//! [`explain`] walks the same way up to `forward`, and shows what would have been sent.

mod admit;
mod authenticate;
pub mod cache;
mod context;
mod enforce;
pub(crate) mod error;
pub mod explain;
mod fan_out;
mod forward;
mod limits;
mod location;
mod query_log;
mod receive;
mod respond;
mod rewrites;
mod route;
mod shadow;
pub mod snapshot;

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use hyper::{Request, Response, StatusCode, body::Incoming};
use tracing::{Instrument as _, Span};

use self::cache::Asked;
use self::context::{Exchange, Head, method_name};
use self::enforce::Outgoing;
use self::error::{Dialect, ErrorKind, ProxyError};
use self::route::cluster;
use self::snapshot::Snapshot;
use crate::body::ResponseBody;
use crate::server::InFlight;
use crate::telemetry::audit::Audit;
use crate::telemetry::metrics::{Metrics, Stage};
use crate::telemetry::spans::Spans;
use crate::telemetry::traceparent::{self, TraceId};

/// Serves requests by the snapshot of the moment each begins.
pub struct Proxy {
    snapshot: ArcSwap<Snapshot>,
    metrics: Arc<Metrics>,
    audit: Arc<Audit>,
    spans: Arc<Spans>,
}

impl Proxy {
    /// A proxy that begins with this snapshot.
    pub fn new(
        snapshot: Snapshot,
        metrics: Arc<Metrics>,
        audit: Arc<Audit>,
        spans: Arc<Spans>,
    ) -> Self {
        Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            metrics,
            audit,
            spans,
        }
    }

    /// The rules in force now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Puts other rules in force, for requests that begin from now on.
    pub fn replace(&self, snapshot: Snapshot) {
        let snapshot = Arc::new(snapshot);
        let old = self.snapshot.swap(Arc::clone(&snapshot));
        let names = |snapshot: &Snapshot| -> Vec<Arc<str>> {
            let all = snapshot.upstreams().iter();
            all.map(|upstream| Arc::clone(upstream.name())).collect()
        };
        self.metrics
            .upstreams_replaced(names(&old), &names(&snapshot));
    }

    /// The process's metrics.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The process's audit trail.
    pub fn audit(&self) -> &Arc<Audit> {
        &self.audit
    }

    /// Where the process's spans go.
    pub fn spans(&self) -> &Arc<Spans> {
        &self.spans
    }

    /// Answers one request. Whatever happens is an answer: a panic is a 500 and a counted defect.
    pub(crate) async fn handle(
        &self,
        mut request: Request<Incoming>,
        in_flight: InFlight,
        remote: Option<SocketAddr>,
    ) -> Response<ResponseBody> {
        let snapshot = self.snapshot();
        let trace = traceparent::accept(request.headers_mut());
        let spans = self.spans.begin(trace);
        let head = Head {
            method: method_name(request.method()),
            remote,
            dialect: Dialect::of_request(&request),
            trace_id: spans.trace_id().or(trace.map(|trace| trace.trace_id)),
        };
        let span = span_of(head.trace_id.as_ref());
        let (metrics, trail) = (Arc::clone(&self.metrics), self.audit.trail());
        let mut exchange = Exchange::begin(metrics, trail, spans, in_flight, head);
        let journey = journey(&snapshot, request, &mut exchange, &self.metrics);
        let answered = caught(pin!(journey.instrument(span)), &self.metrics).await;
        let response = answered.unwrap_or_else(|error| {
            exchange.fail(&error);
            exchange.release();
            error.render(exchange.dialect()).map(ResponseBody::whole)
        });
        exchange.set_code(response.status().as_u16());
        response.map(|body| body.on_end(exchange))
    }
}

/// Where there is a trace, what is logged on the way names it.
fn span_of(trace_id: Option<&TraceId>) -> Span {
    trace_id.map_or_else(Span::none, |trace_id| {
        tracing::error_span!("request", trace_id = trace_id.as_str())
    })
}

/// What the journey comes to, also where a defect of ours makes it panic.
async fn caught<T>(
    journey: impl Future<Output = Result<T, ProxyError>>,
    metrics: &Metrics,
) -> Result<T, ProxyError> {
    let result = AssertUnwindSafe(journey).catch_unwind().await;
    result.unwrap_or_else(|_panic| {
        metrics.panics.inc();
        Err(ProxyError::new(
            ErrorKind::Internal,
            "a defect of Partywall stopped this request; please report it",
        ))
    })
}

/// The whole journey on one screen.
async fn journey(
    snapshot: &Arc<Snapshot>,
    mut request: Request<Incoming>,
    exchange: &mut Exchange,
    metrics: &Arc<Metrics>,
) -> Result<Response<ResponseBody>, ProxyError> {
    let host = admit::admit(&request, snapshot.settings().limits.uri_bytes)?;
    let cluster = cluster::enter(snapshot, host, &mut request)?;
    exchange.set_dialect(Dialect::of_request(&request));
    let path = admit::path(&request)?;
    let route = route::route(snapshot, &cluster, &request, &path)?;
    exchange.set_route(&route);
    if let Some(in_force) = shadow::in_force(&route) {
        if in_force.is_for(request.method()) {
            return shadow::serve(snapshot, &in_force, request, exchange, metrics).await;
        }
        shadow::count_closed(&in_force, metrics);
    }
    let caller = authenticate::authenticate(snapshot, &route, request.headers(), metrics);
    let caller = exchange.timed(Stage::Authenticate, pin!(caller)).await?;
    exchange.set_caller(caller.clone());
    cluster::permit(&route, caller.as_deref())?;
    let wants_fresh = cache::wants_fresh(snapshot, request.headers());
    let request = receive::receive(snapshot, &route, caller.as_ref(), request, metrics).await?;
    exchange.admit(limits::admit(snapshot, caller.as_ref(), metrics)?);
    let journal = exchange.journal();
    let asking = caller.clone();
    let enforced = enforce::enforce(snapshot, &route, caller, request, metrics, &journal);
    let (outgoing, decision) = exchange.timed(Stage::Enforce, pin!(enforced)).await?;
    exchange.set_decision(decision);
    let mut enforced = match outgoing {
        Outgoing::One(enforced) => enforced,
        Outgoing::Several(all) => return Ok(fan_out::ask(all, snapshot, exchange, metrics).await),
        Outgoing::Here(json) => return Ok(respond::json(StatusCode::OK, vec![json.into()])),
    };
    let asking = asking.as_deref();
    let asked = cache::ask(snapshot, &route, asking, &enforced, wants_fresh, metrics).await;
    if !matches!(asked, Asked::Answer(_))
        && let Some(parent) = exchange.upstream_begins()
    {
        enforced.set_traceparent(parent);
    }
    match asked {
        Asked::Answer(response) => Ok(*response),
        Asked::Lead(lead) => {
            let fetched = lead.fetch(snapshot, enforced, metrics);
            let fetched = exchange.timed(Stage::Upstream, pin!(fetched)).await;
            exchange.upstream_ends(fetched.status);
            fetched.response
        }
        Asked::Alone(lookup) => {
            let answered = forward::forward(enforced, metrics);
            let answered = exchange.timed(Stage::Upstream, pin!(answered)).await;
            let status = answered.as_ref().ok();
            exchange.upstream_ends(status.map(|answered| answered.response.status()));
            let mut response = respond::respond(answered?, snapshot, metrics).await?;
            cache::mark(&mut response, lookup);
            Ok(response)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// O3: of the journey no part is skipped by it, and the process lives.
    #[tokio::test]
    async fn o3_a_panic_is_a_500_and_is_counted() {
        let metrics = Metrics::new();
        let journey = async {
            tokio::task::yield_now().await;
            assert!(metrics.panics.get() > 0, "with a secret");
            Ok(())
        };
        let error = caught(journey, &metrics).await.unwrap_err();
        assert_eq!(error.status(), 500);
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        assert_eq!(metrics.panics.get(), 1);
        assert!(caught(async { Ok(()) }, &metrics).await.is_ok());
        assert_eq!(metrics.panics.get(), 1);
    }
}
