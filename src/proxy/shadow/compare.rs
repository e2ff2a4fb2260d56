//! The confined copy of a request: sent after the client has its response, to measure how much
//! smaller the confined response would have been.

use std::sync::Arc;
use std::time::Instant;

use http_body_util::BodyExt as _;
use hyper::header::CONTENT_ENCODING;
use hyper::{Response, StatusCode};

use super::{InForce, ShadowState, ShadowVerdict};
use crate::auth::{Caller, Principal};
use crate::body::{ResponseBody, SizeCounter};
use crate::prometheus::endpoints::Endpoint;
use crate::proxy::context::RequestContext;
use crate::proxy::enforce::Enforced;
use crate::proxy::exchange::exchange;
use crate::proxy::record::{AuditContext, RequestRecord, tenants_of};
use crate::proxy::route::Target;
use crate::proxy::snapshot::Runtime;
use crate::telemetry::audit::{Compared, Record, Shadowed};
use crate::telemetry::log;
use crate::telemetry::metrics::{Comparison, Decision, Verdict};

/// The confined copy of a request, to be sent and measured.
pub(super) struct ConfinedCopy {
    enforced: Enforced,
    state: Arc<ShadowState>,
    context: RequestContext,
    audit: AuditContext,
    shadowed: Shadowed,
    upstream: Arc<str>,
    clusters: Vec<Arc<str>>,
    route: &'static str,
    counts_series: bool,
}

impl ConfinedCopy {
    /// Made for the configured share of the requests that would be confined or filtered.
    pub(super) fn of(
        runtime: &Runtime,
        context: &RequestContext,
        in_force: &InForce,
        verdict: &ShadowVerdict,
        enforced: Enforced,
        record: &RequestRecord,
    ) -> Option<Self> {
        let (route, upstream) = (in_force.route(), in_force.upstream());
        let share = upstream.settings().shadow.as_ref()?.compare();
        let differs = matches!(verdict.verdict, Verdict::Rewritten | Verdict::Filtered);
        if !differs || !runtime.shadow.is_compared(share) {
            return None;
        }
        let is_query = matches!(
            route.target,
            Target::Metrics(Endpoint::Query | Endpoint::QueryRange)
        );
        Some(Self {
            enforced,
            state: Arc::clone(&runtime.shadow),
            context: context.clone(),
            audit: record.audit_context(),
            shadowed: verdict.noted(),
            upstream: Arc::clone(upstream.name()),
            clusters: route.cluster.iter().cloned().collect(),
            route: route.name(),
            counts_series: is_query,
        })
    }

    /// Sends it after the end of the client's response, if that can be compared.
    pub(super) fn sent_after(self, response: Response<ResponseBody>) -> Response<ResponseBody> {
        let encoding = response.headers().get(CONTENT_ENCODING);
        let is_plain = encoding.is_none_or(|encoding| encoding == "identity");
        if response.status() != StatusCode::OK || !is_plain {
            return response;
        }
        let begin = move |open| {
            let Some(permit) = self.state.permit() else {
                let shadow = &self.context.metrics.shadow;
                shadow.compared(&self.upstream, Comparison::Skipped);
                return;
            };
            let compared = async move {
                self.compare(&open).await;
                drop(permit);
            };
            tokio::spawn(log::in_current_trace(compared));
        };
        response.map(|body| body.measured(Box::new(begin)))
    }

    async fn compare(self, open: &SizeCounter) {
        let Self {
            enforced,
            context,
            audit,
            shadowed,
            upstream,
            clusters,
            route,
            counts_series,
            state: _,
        } = self;
        let begun = Instant::now();
        let shadow = &context.metrics.shadow;
        let Some((status, confined)) = measured(enforced, &context).await else {
            return shadow.compared(&upstream, Comparison::Failed);
        };
        let bytes = [open.bytes(), confined.bytes()];
        let series = [open.series(), confined.series()];
        let compared = Compared {
            bytes,
            series: counts_series.then_some(series),
        };
        let result = match confined.bytes().cmp(&open.bytes()) {
            std::cmp::Ordering::Less => Comparison::Smaller,
            std::cmp::Ordering::Equal => Comparison::Same,
            std::cmp::Ordering::Greater => Comparison::Larger,
        };
        shadow.compared(&upstream, result);
        shadow.sizes(&upstream, bytes, compared.series);
        let AuditContext {
            trail,
            queries,
            caller,
            method,
            trace_id,
            remote,
        } = audit;
        let principal = caller.as_deref().map(Caller::principal);
        let noted = queries.recorded();
        trail.write(&Record {
            decision: Some(Decision::Shadow),
            shadow: Some(Shadowed {
                compared: Some(compared),
                ..shadowed
            }),
            reason: None,
            error: None,
            status: status.as_u16(),
            issuer: principal.map(Principal::issuer),
            subject: principal.and_then(Principal::subject),
            tenants: caller.as_deref().and_then(tenants_of),
            route,
            method,
            upstream: Some(&upstream),
            clusters: &clusters,
            queries: &noted.queries,
            rewritten: &noted.rewritten,
            trace_id,
            duration: begun.elapsed(),
            remote,
        });
    }
}

/// The size of the confined response, as the client would have got it.
async fn measured(
    enforced: Enforced,
    context: &RequestContext,
) -> Option<(StatusCode, SizeCounter)> {
    let response = exchange(enforced, context, |_| {}).await.response;
    let (head, mut body) = response.ok()?.into_parts();
    if head.status != StatusCode::OK {
        return None;
    }
    let mut counter = SizeCounter::default();
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame.ok()?.data_ref() {
            counter.push(data);
        }
    }
    Some((head.status, counter))
}
