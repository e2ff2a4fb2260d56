//! What is recorded of one request, from its headers to the end of its response.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};

use super::error::{Dialect, ProxyError};
use super::limits::Permits;
use super::query_log::QueryLog;
use super::route::Route;
use super::shadow::{ShadowState, ShadowVerdict};
use crate::auth::{Caller, Principal};
use crate::body::{BodyError, OnEnd};
use crate::reason::Reason;
use crate::server::InFlight;
use crate::telemetry::audit::{self, Record, Tenants, Trail};
use crate::telemetry::metrics::{Decision, Metrics, RouteSeries, Stage, Verdict};
use crate::telemetry::spans::{Finished, RequestSpans};
use crate::telemetry::traceparent::TraceId;
use crate::tenancy::TenantScope;

/// Dropping it ends the request: the metrics, the audit record and the log line are written, and
/// the permits are returned unless they were before. If there never were response headers, the
/// client disconnected.
pub(crate) struct RequestRecord {
    metrics: Arc<Metrics>,
    trail: Arc<Trail>,
    queries: Arc<QueryLog>,
    spans: RequestSpans,
    started: Instant,
    head: RequestHead,
    route: Arc<RouteSeries>,
    dialect: Dialect,
    upstream: Option<Arc<str>>,
    clusters: Vec<Arc<str>>,
    caller: Option<Arc<Caller>>,
    decision: Option<Decision>,
    shadow: Option<InShadow>,
    failure: Option<Failure>,
    code: u16,
    permits: Option<Permits>,
    in_flight: InFlight,
}

/// What is known of a request before anything is decided.
pub(crate) struct RequestHead {
    /// From a closed set.
    pub method: &'static str,
    /// The client's address.
    pub remote: Option<SocketAddr>,
    /// How errors are written before there is a route.
    pub dialect: Dialect,
    /// The trace that it is part of.
    pub trace_id: Option<TraceId>,
}

/// An error of ours.
struct Failure {
    status: u16,
    reason: Reason,
    text: String,
}

/// The result of shadow mode.
struct InShadow {
    verdict: ShadowVerdict,
    /// Whether it is recorded in any case, without sampling.
    is_news: bool,
}

/// What an audit record needs after the request has ended.
pub(super) struct AuditContext {
    pub(super) trail: Arc<Trail>,
    pub(super) queries: Arc<QueryLog>,
    pub(super) caller: Option<Arc<Caller>>,
    /// From a closed set.
    pub(super) method: &'static str,
    /// The trace that it was part of.
    pub(super) trace_id: Option<TraceId>,
    /// The client's address.
    pub(super) remote: Option<SocketAddr>,
}

/// The status that nginx logs when the client disconnects before the response.
const CLIENT_GONE: u16 = 499;

impl RequestRecord {
    pub(crate) fn begin(
        metrics: Arc<Metrics>,
        trail: Arc<Trail>,
        spans: RequestSpans,
        in_flight: InFlight,
        head: RequestHead,
    ) -> Box<Self> {
        metrics.requests_in_flight.inc();
        // On the heap, where it outlives the response's headers.
        Box::new(Self {
            queries: Arc::new(QueryLog::new(trail.redaction())),
            spans,
            started: Instant::now(),
            route: metrics.no_route(),
            dialect: head.dialect,
            head,
            upstream: None,
            clusters: Vec::new(),
            caller: None,
            decision: None,
            shadow: None,
            failure: None,
            code: CLIENT_GONE,
            permits: None,
            in_flight,
            metrics,
            trail,
        })
    }

    /// Sets how errors are written, if the path determines it before there is a route.
    pub(crate) fn set_dialect(&mut self, dialect: Dialect) {
        self.dialect = dialect;
    }

    pub(super) fn set_route(&mut self, route: &Route) {
        self.route = self.metrics.route(route.name());
        self.dialect = route.dialect();
        let upstream = route.upstream.as_ref();
        self.upstream = upstream.map(|upstream| Arc::clone(upstream.name()));
        self.clusters = route.cluster.iter().cloned().collect();
    }

    /// Marks it as a preflight of a web page, which has no route.
    pub(super) fn set_preflight(&mut self) {
        self.route = self.metrics.route("preflight");
        self.dialect = Dialect::Plain;
        self.decision = Some(Decision::Passed);
    }

    /// Sets the clusters that are queried instead of the route's upstream.
    pub(super) fn set_clusters(&mut self, names: Vec<Arc<str>>) {
        self.upstream = None;
        self.clusters = names;
    }

    /// Sets the caller: its connection counts as authenticated from then on.
    pub(crate) fn set_caller(&mut self, caller: Option<Arc<Caller>>) {
        if caller.is_some() {
            self.in_flight.authenticated();
        }
        self.caller = caller;
    }

    /// Sets the decision of enforcement.
    pub(super) fn set_decision(&mut self, decision: Decision) {
        self.decision = Some(decision);
    }

    /// Records that nothing was enforced, and what enforcement would have done. A denial always
    /// gets an audit record, but equal ones of the same caller only one a minute.
    pub(super) fn set_shadow(&mut self, verdict: ShadowVerdict, state: &ShadowState) {
        self.decision = Some(Decision::Shadow);
        let is_owed = matches!(verdict.verdict, Verdict::Denied | Verdict::Unknown);
        let is_news = is_owed && {
            let who = self.caller.as_deref().map(Caller::principal);
            let who = who.map(|who| (who.issuer(), who.subject()));
            let from = self.head.remote.filter(|_| who.is_none());
            let from = from.map(|from| from.ip());
            state.is_news((&self.upstream, self.route.name(), verdict.reason, who, from))
        };
        self.shadow = Some(InShadow { verdict, is_news });
    }

    /// What an audit record needs after the request has ended.
    pub(super) fn audit_context(&self) -> AuditContext {
        AuditContext {
            trail: Arc::clone(&self.trail),
            queries: Arc::clone(&self.queries),
            caller: self.caller.clone(),
            method: self.head.method,
            trace_id: self.head.trace_id,
            remote: self.head.remote,
        }
    }

    /// Sets the response's status.
    pub(crate) fn set_code(&mut self, code: u16) {
        self.code = code;
    }

    /// Records an error of ours. Before a decision, it is a refusal.
    pub(crate) fn fail(&mut self, error: &ProxyError) {
        self.metrics.refused(self.route.name(), error.reason());
        self.decision.get_or_insert(Decision::Refused);
        self.failure = Some(Failure {
            status: error.status().as_u16(),
            reason: error.reason(),
            text: error.audit_text(self.queries.redaction()),
        });
    }

    /// Holds the request's permits until its response has ended.
    pub(crate) fn hold(&mut self, permits: Permits) {
        self.permits = Some(permits);
    }

    /// Returns the permits early: what is left is a response of our own, and a client that does not
    /// read it must not block others.
    pub(crate) fn release(&mut self) {
        self.permits = None;
    }

    /// How errors are written to this client.
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Counts a refusal that came too late for the response's status.
    pub(crate) fn count_refusal(&self, reason: Reason) {
        self.metrics.refused(self.route.name(), reason);
    }

    /// Where enforcement records the request's queries.
    pub(crate) fn queries(&self) -> Arc<QueryLog> {
        Arc::clone(&self.queries)
    }

    /// Runs one stage, and records how long it took.
    pub(super) async fn timed<T>(&mut self, stage: Stage, part: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let done = part.await;
        let took = begun.elapsed();
        self.metrics.stage(stage, took);
        if stage != Stage::Upstream {
            self.spans.stage(stage, took);
        }
        done
    }

    /// Starts the span of the upstream request, and returns the `traceparent` to send; `None` if
    /// the caller's own is forwarded.
    pub(super) fn upstream_begins(&mut self) -> Option<HeaderValue> {
        self.spans.upstream_begins(self.upstream.as_deref())
    }

    /// Ends that span, and records how long the upstream's headers took.
    pub(super) fn upstream_answered(&mut self, took: Duration, status: Option<StatusCode>) {
        self.metrics.stage(Stage::Upstream, took);
        self.spans.upstream_ends(status);
    }

    /// Ends that span with the upstream's status, if it responded.
    pub(super) fn upstream_ends(&mut self, status: Option<StatusCode>) {
        self.spans.upstream_ends(status);
    }

    /// Who calls, once known.
    pub(super) fn caller(&self) -> Option<&Caller> {
        self.caller.as_deref()
    }

    fn tenants(&self) -> Option<Tenants<'_>> {
        self.caller.as_deref().and_then(tenants_of)
    }

    fn end_spans(&mut self) {
        let noted = self.queries.recorded();
        let (queries, rewritten): (&[_], &[_]) = if self.queries.redaction().is_full() {
            (&noted.queries, &noted.rewritten)
        } else {
            (&[], &[])
        };
        self.spans.end(&Finished {
            route: self.route.name(),
            method: self.head.method,
            code: self.code,
            decision: self.decision,
            reason: self.failure.as_ref().map(|failure| failure.reason.label()),
            queries,
            rewritten,
        });
    }

    /// Refusals, errors and callers with all tenants are always recorded; others are sampled as
    /// configured.
    fn audit(&self, duration: Duration) {
        let tenants = self.tenants();
        let shadow = self.shadow.as_ref();
        let is_owed = self.failure.is_some()
            || matches!(tenants, Some(Tenants::All))
            || shadow.is_some_and(|shadow| shadow.is_news);
        if !is_owed && !self.trail.samples() {
            return;
        }
        let principal = self.caller.as_deref().map(Caller::principal);
        let failure = self.failure.as_ref();
        let verdict = shadow.map(|shadow| &shadow.verdict);
        let reason = failure.map(|failure| failure.reason);
        let reason = reason.or_else(|| verdict.and_then(|verdict| verdict.reason));
        let noted = self.queries.recorded();
        self.trail.write(&Record {
            decision: self.decision,
            shadow: verdict.map(ShadowVerdict::noted),
            reason: reason.map(Reason::label),
            error: failure
                .map(|failure| failure.text.as_str())
                .or_else(|| verdict.and_then(ShadowVerdict::text)),
            status: failure.map_or(self.code, |failure| failure.status),
            issuer: principal.map(Principal::issuer),
            subject: principal.and_then(Principal::subject),
            tenants,
            route: self.route.name(),
            method: self.head.method,
            upstream: self.upstream.as_deref(),
            clusters: &self.clusters,
            queries: &noted.queries,
            rewritten: &noted.rewritten,
            trace_id: self.head.trace_id,
            duration,
            remote: self.head.remote,
        });
    }
}

impl OnEnd for RequestRecord {
    fn broken(&self, error: &BodyError) {
        if let BodyError::Exhausted(exceeded) = error {
            self.count_refusal(exceeded.reason());
        }
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        self.metrics.requests_in_flight.dec();
        let duration = self.started.elapsed();
        self.route.request_done(self.code, duration);
        if let Some(decision) = self.decision {
            self.route.decided(decision);
        }
        if let Some(Tenants::Some(tenants)) = self.tenants() {
            self.metrics.tenant_request(tenants, self.code);
        }
        self.audit(duration);
        self.end_spans();
        let caller = self.caller.as_deref();
        let subject = caller.and_then(|caller| caller.principal().subject());
        tracing::debug!(
            target: "partywall::access",
            route = self.route.name(),
            code = self.code,
            subject = subject.map(audit::shown).as_deref(),
            duration_ms = duration.as_secs_f64() * 1000.0,
            trace_id = self.head.trace_id.as_ref().map(TraceId::as_str),
            "request"
        );
    }
}

/// The tenants whose data a caller may see.
pub(super) fn tenants_of(caller: &Caller) -> Option<Tenants<'_>> {
    match caller.scope() {
        Ok(TenantScope::AllTenants) => Some(Tenants::All),
        Ok(TenantScope::Tenants(tenants)) => Some(Tenants::Some(tenants.tenants())),
        Err(_refusal) => None,
    }
}

/// A method's name, if it is a common one: a client may send any token.
pub(super) fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "other",
    }
}
