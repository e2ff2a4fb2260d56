//! One request, from its headers to the end of its response.
//!
//! The steps until it would be sent are the [`pipeline`]; the steps from there to the response are
//! [`exchange`](exchange::exchange). Three drivers run them:
//!
//! | driver | purpose |
//! |---|---|
//! | [`serve`] | responds to the client |
//! | [`shadow`] | where an upstream's shadow mode is in force: forwards the request unmodified, and reports what enforcement would have done |
//! | [`explain`] | shows what enforcement would do; nothing is sent |
//!
//! | step | result |
//! |---|---|
//! | [`route`] | a [`route::Route`] from a closed table, without the prefix of its cluster |
//! | [`authenticate`] | a caller whose token is valid |
//! | [`authorize`] | that the caller may use the route's cluster |
//! | [`receive`] | the body, if enforcement reads it |
//! | [`limits`] | the request's permits |
//! | [`enforce`] | an [`enforce::Enforced`] request, confined to the caller's scope |
//! | [`cache`] | a cached response, if there is one |
//! | [`forward`] | the upstream's response: accepts nothing but an `Enforced` |
//! | [`respond`] | the client's response: streamed, scrubbed or filtered as enforcement planned |
//! | [`deliver`] | the same, compressed if the client accepts that |
//!
//! A query of several clusters is enforced once for all, and each response is made as if it were
//! the only one ([`fan_out`]).
//!
//! What the HTTP library refuses before it is a request is answered by [`unread`].
//!
//! The steps share the [`context`]: the [`rules`] in force when the request began, and where steps
//! report. The [`record`] outlives the headers of the response; it is written when the body ends.
//! Rules and their run-time state are replaced together, as one [`snapshot`].

mod authenticate;
mod authorize;
pub mod cache;
mod context;
mod cors;
mod defect;
mod deliver;
mod enforce;
pub(crate) mod error;
mod exchange;
pub mod explain;
mod fan_out;
mod forward;
#[cfg(fuzzing)]
pub mod fuzzing;
mod limits;
mod location;
mod pipeline;
mod query_log;
mod receive;
mod record;
mod respond;
mod rewrites;
mod route;
pub mod rules;
mod serve;
mod shadow;
pub mod snapshot;
mod trace_verdicts;
mod unread;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use hyper::body::Body as _;
use hyper::header::CONTENT_LENGTH;
use hyper::{Method, Request, Response};

use self::cors::Cors;
use self::defect::caught;
use self::deliver::Delivery;
use self::error::Dialect;
use self::record::{RequestHead, RequestRecord, method_name};
use self::snapshot::Snapshot;
pub(crate) use self::unread::Unread;
use crate::body::{ReceivedBody, ResponseBody};
use crate::server::InFlight;
use crate::telemetry::audit::Audit;
use crate::telemetry::log;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::spans::Spans;
use crate::telemetry::traceparent;

/// The two ends of a client's connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    /// The listener's address, as the config has it.
    pub(crate) listener: SocketAddr,
    pub(crate) client: Option<SocketAddr>,
}

/// Serves requests, each by the snapshot that was in force when it began.
pub struct Proxy {
    snapshot: ArcSwap<Snapshot>,
    metrics: Arc<Metrics>,
    audit: Arc<Audit>,
    spans: Arc<Spans>,
}

impl Proxy {
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

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Replaces the snapshot for requests that begin from now on.
    pub fn replace(&self, snapshot: Snapshot) {
        let snapshot = Arc::new(snapshot);
        let old = self.snapshot.swap(Arc::clone(&snapshot));
        let names = |snapshot: &Snapshot| -> Vec<Arc<str>> {
            let all = snapshot.rules().upstreams().iter();
            all.map(|upstream| Arc::clone(upstream.name())).collect()
        };
        self.metrics
            .upstreams_replaced(names(&old), &names(&snapshot));
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    pub fn audit(&self) -> &Arc<Audit> {
        &self.audit
    }

    pub fn spans(&self) -> &Arc<Spans> {
        &self.spans
    }

    /// Serves one request. It never fails: a panic is a 500 and a counted defect.
    pub(crate) async fn handle(
        &self,
        mut request: Request<ReceivedBody>,
        in_flight: InFlight,
        ends: Ends,
    ) -> Response<ResponseBody> {
        let snapshot = self.snapshot();
        let cors = Cors::of(snapshot.rules(), ends.listener, request.headers());
        let trace = traceparent::accept(request.headers_mut());
        let spans = self.spans.begin(trace);
        let request_head = RequestHead {
            method: method_name(request.method()),
            remote: ends.client,
            dialect: Dialect::of_request(&request),
            trace_id: spans.trace_id().or(trace.map(|trace| trace.trace_id)),
        };
        let settings = &snapshot.settings().compression;
        let delivery = Delivery::to(settings, request.headers(), ends.client);
        let trace_id = request_head.trace_id;
        let is_head = request.method() == Method::HEAD;
        let (metrics, trail) = (Arc::clone(&self.metrics), self.audit.trail());
        let mut record = RequestRecord::begin(metrics, trail, spans, in_flight, request_head);
        let context = snapshot.context(Arc::clone(&self.metrics), record.queries());
        let preflight = cors.as_ref();
        let preflight = preflight.and_then(|cors| cors.preflight(snapshot.rules(), &request));
        let answered = if let Some(answer) = preflight {
            record.set_preflight();
            answer
        } else {
            // Pinned here, so that it is not moved into what is around it.
            let serving = pin!(serve::serve(&snapshot, &context, request, &mut record));
            caught(log::in_trace(trace_id, serving), &self.metrics).await
        };
        let response = answered.unwrap_or_else(|error| {
            record.fail(&error);
            record.release();
            error.render(record.dialect()).map(ResponseBody::whole)
        });
        let mut response = if is_head {
            without_body(response)
        } else {
            response
        };
        if let Some(cors) = cors {
            cors.apply(response.headers_mut());
        }
        record.set_code(response.status().as_u16());
        let response = delivery.deliver(response, || {
            let authenticator = snapshot.rules().authenticator();
            context.budget(authenticator.holder_of(record.caller()))
        });
        response.map(|body| body.on_end(record))
    }
}

/// The answer to a HEAD (RFC 9110 §9.3.2): HTTP/1.1 has no place for a body there, and on HTTP/2 the
/// library would send one.
fn without_body(response: Response<ResponseBody>) -> Response<ResponseBody> {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
        head.headers
            .entry(CONTENT_LENGTH)
            .or_insert_with(|| length.into());
    }
    Response::from_parts(head, ResponseBody::whole(Bytes::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<F: Future>(
        _: impl FnOnce(&'static Proxy, Request<ReceivedBody>, InFlight) -> F,
    ) -> usize {
        size_of::<F>()
    }

    /// Every request moves it several times. Branches that are rarely taken are boxed.
    #[test]
    fn future_of_a_request_is_small() {
        let ends = Ends {
            listener: SocketAddr::from(([127, 0, 0, 1], 80)),
            client: None,
        };
        let size =
            size_of_future(|proxy, request, in_flight| proxy.handle(request, in_flight, ends));
        assert!(size <= 5 * 1024, "{size} bytes");
    }
}
