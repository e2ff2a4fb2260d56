//! The confined twin of a request: sent after the client has its answer, to tell how much smaller
//! that would have been.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use hyper::header::CONTENT_ENCODING;
use hyper::{Response, StatusCode};
use tracing::Instrument as _;

use super::{InForce, Seen};
use crate::auth::{Caller, Principal};
use crate::body::{ResponseBody, Tally};
use crate::prometheus::endpoints::Endpoint;
use crate::proxy::context::{Exchange, tenants_of};
use crate::proxy::enforce::Enforced;
use crate::proxy::query_log::Journal;
use crate::proxy::route::Target;
use crate::proxy::snapshot::Snapshot;
use crate::proxy::{forward, respond};
use crate::telemetry::audit::{Compared, Record, Shadowed, Trail};
use crate::telemetry::metrics::{Comparison, Decision, Metrics, Verdict};
use crate::telemetry::traceparent::TraceId;

/// What is known of a request after its end, for a record of its own.
pub(in crate::proxy) struct Witness {
    /// Where records go.
    pub(in crate::proxy) trail: Arc<Trail>,
    /// The queries.
    pub(in crate::proxy) journal: Arc<Journal>,
    /// Who asked.
    pub(in crate::proxy) caller: Option<Arc<Caller>>,
    /// A word of a closed set.
    pub(in crate::proxy) method: &'static str,
    /// The trace it was part of.
    pub(in crate::proxy) trace_id: Option<TraceId>,
    /// The other end of the connection.
    pub(in crate::proxy) remote: Option<SocketAddr>,
}

/// A request that is to be compared.
pub(super) struct Twin {
    snapshot: Arc<Snapshot>,
    metrics: Arc<Metrics>,
    witness: Witness,
    shadowed: Shadowed,
    upstream: Arc<str>,
    clusters: Vec<Arc<str>>,
    route: &'static str,
    counts_series: bool,
}

impl Twin {
    /// One of the configured share of those requests that would be confined or filtered.
    pub(super) fn of(
        snapshot: &Arc<Snapshot>,
        in_force: &InForce<'_>,
        seen: &Seen<Option<Enforced>>,
        exchange: &Exchange,
        metrics: &Arc<Metrics>,
    ) -> Option<Self> {
        let (route, upstream) = (in_force.route(), in_force.upstream());
        let share = upstream.settings().shadow.as_ref()?.compare();
        let differs = matches!(seen.verdict, Verdict::Rewritten | Verdict::Filtered);
        if !differs || !snapshot.ledger().is_compared(share) {
            return None;
        }
        let is_query = matches!(
            route.target,
            Target::Metrics(Endpoint::Query | Endpoint::QueryRange)
        );
        Some(Self {
            snapshot: Arc::clone(snapshot),
            metrics: Arc::clone(metrics),
            witness: exchange.witness(),
            shadowed: seen.noted(),
            upstream: Arc::clone(upstream.name()),
            clusters: route.cluster.iter().cloned().collect(),
            route: route.name(),
            counts_series: is_query,
        })
    }

    /// Waits for the end of the client's answer, if it is one that can be compared.
    pub(super) fn after(
        self,
        response: Response<ResponseBody>,
        enforced: Enforced,
    ) -> Response<ResponseBody> {
        let encoding = response.headers().get(CONTENT_ENCODING);
        let is_plain = encoding.is_none_or(|encoding| encoding == "identity");
        if response.status() != StatusCode::OK || !is_plain {
            return response;
        }
        let begin = move |open| {
            let Some(place) = self.snapshot.ledger().place() else {
                self.metrics
                    .shadow
                    .compared(&self.upstream, Comparison::Skipped);
                return;
            };
            let compared = async move {
                self.compare(&open, enforced).await;
                drop(place);
            };
            tokio::spawn(compared.in_current_span());
        };
        response.map(|body| body.tallied(Box::new(begin)))
    }

    async fn compare(self, open: &Tally, enforced: Enforced) {
        let begun = Instant::now();
        let shadow = &self.metrics.shadow;
        let Some((status, confined)) = self.ask(enforced).await else {
            return shadow.compared(&self.upstream, Comparison::Failed);
        };
        let bytes = [open.bytes(), confined.bytes()];
        let series = [open.series(), confined.series()];
        let compared = Compared {
            bytes,
            series: self.counts_series.then_some(series),
        };
        let result = match confined.bytes().cmp(&open.bytes()) {
            std::cmp::Ordering::Less => Comparison::Smaller,
            std::cmp::Ordering::Equal => Comparison::Same,
            std::cmp::Ordering::Greater => Comparison::Larger,
        };
        shadow.compared(&self.upstream, result);
        shadow.sizes(&self.upstream, bytes, compared.series);
        self.note(status, compared, begun.elapsed());
    }

    /// The size of the confined answer, as the client would have got it.
    async fn ask(&self, enforced: Enforced) -> Option<(StatusCode, Tally)> {
        let answered = forward::forward(enforced, &self.metrics).await.ok()?;
        let response = respond::respond(answered, &self.snapshot, &self.metrics).await;
        let (head, mut body) = response.ok()?.into_parts();
        if head.status != StatusCode::OK {
            return None;
        }
        let mut tally = Tally::default();
        while let Some(frame) = body.frame().await {
            if let Some(data) = frame.ok()?.data_ref() {
                tally.push(data);
            }
        }
        Some((head.status, tally))
    }

    fn note(&self, status: StatusCode, compared: Compared, duration: Duration) {
        let Witness {
            trail,
            journal,
            caller,
            method,
            trace_id,
            remote,
        } = &self.witness;
        let principal = caller.as_deref().map(Caller::principal);
        let noted = journal.noted();
        trail.write(&Record {
            decision: Some(Decision::Shadow),
            shadow: Some(Shadowed {
                compared: Some(compared),
                ..self.shadowed
            }),
            reason: None,
            error: None,
            status: status.as_u16(),
            issuer: principal.map(Principal::issuer),
            subject: principal.and_then(Principal::subject),
            tenants: caller.as_deref().and_then(tenants_of),
            route: self.route,
            method,
            upstream: Some(&self.upstream),
            clusters: &self.clusters,
            queries: &noted.queries,
            rewritten: &noted.rewritten,
            trace_id: *trace_id,
            duration,
            remote: *remote,
        });
    }
}
