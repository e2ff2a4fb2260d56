//! One request's context, from its head to the end of its answer's body.

use std::sync::Arc;
use std::time::Instant;

use super::error::{Dialect, ProxyError};
use super::quota::Admitted;
use crate::auth::{Caller, Principal};
use crate::listen::InFlight;
use crate::telemetry::metrics::Metrics;
use crate::tenancy::TenantScope;

/// Dropping it is the end of the request: the metrics and the log line are written, and its
/// places go back if they have not before. If no answer's head was ever made, the client went away.
pub(crate) struct Exchange {
    metrics: Arc<Metrics>,
    started: Instant,
    route: &'static str,
    dialect: Dialect,
    code: u16,
    caller: Option<Arc<Caller>>,
    admitted: Option<Admitted>,
    _in_flight: InFlight,
}

/// What nginx logs when the client leaves before the answer.
const CLIENT_GONE: u16 = 499;

impl Exchange {
    /// Begins with a request's head. `dialect` is for errors before there is a route.
    pub(crate) fn begin(metrics: Arc<Metrics>, in_flight: InFlight, dialect: Dialect) -> Self {
        metrics.requests_in_flight.inc();
        Self {
            metrics,
            started: Instant::now(),
            route: "none",
            dialect,
            code: CLIENT_GONE,
            caller: None,
            admitted: None,
            _in_flight: in_flight,
        }
    }

    /// Notes the route, once known.
    pub(crate) fn set_route(&mut self, route: &'static str, dialect: Dialect) {
        self.route = route;
        self.dialect = dialect;
    }

    /// Notes the caller, once known.
    pub(crate) fn set_caller(&mut self, caller: Option<Arc<Caller>>) {
        self.caller = caller;
    }

    /// Notes the answer's status.
    pub(crate) fn set_code(&mut self, code: u16) {
        self.code = code;
    }

    /// Notes the places that the request takes, to the end of its answer.
    pub(crate) fn admit(&mut self, admitted: Admitted) {
        self.admitted = Some(admitted);
    }

    /// Gives the places back: what is left is an answer of our own. Whoever does not read it
    /// keeps nobody else out.
    pub(crate) fn release(&mut self) {
        self.admitted = None;
    }

    /// The route's name for metrics and logs.
    pub(crate) fn route(&self) -> &'static str {
        self.route
    }

    /// How errors are written to this client.
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Counts a refusal that came too late to be said in the answer.
    pub(crate) fn count_refusal(&self, reason: &'static str) {
        self.metrics.refused(self.route, reason);
    }

    /// Writes the line that says who was refused what, and why.
    pub(crate) fn log_refusal(&self, error: &ProxyError) {
        let principal = self.caller.as_deref().map(Caller::principal);
        tracing::info!(
            target: "partywall::audit",
            route = self.route,
            status = error.status().as_u16(),
            reason = error.reason(),
            issuer = principal.map(Principal::issuer),
            subject = principal.and_then(Principal::subject),
            error = error.log_text(),
            "refused"
        );
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.metrics.requests_in_flight.dec();
        let duration = self.started.elapsed();
        self.metrics.request_done(self.route, self.code, duration);
        if let Some(caller) = self.caller.as_deref()
            && matches!(caller.scope(), Ok(TenantScope::AllTenants))
        {
            let principal = caller.principal();
            tracing::info!(
                target: "partywall::audit",
                route = self.route,
                status = self.code,
                issuer = principal.issuer(),
                subject = principal.subject(),
                "a caller with all tenants was served"
            );
        }
        tracing::debug!(
            target: "partywall::access",
            route = self.route,
            code = self.code,
            subject = self.caller.as_deref().and_then(|caller| caller.principal().subject()),
            duration_ms = duration.as_secs_f64() * 1000.0,
            "request"
        );
    }
}
