//! What is counted of each route, resolved once: a request's own path through the metrics is a
//! few atomic additions.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{RouteLabels, add, duration_histogram};

/// What became of a request, as far as tenants are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Sent on with the caller's tenants written into it.
    Confined,
    /// Sent on; of the answer only what is the caller's is shown.
    Filtered,
    /// Sent on as it came, for a caller with all tenants.
    Unrestricted,
    /// Sent on as it came: it knows no tenant.
    Passed,
    /// Not sent on.
    Refused,
    /// Sent on as it came, at an upstream in shadow mode.
    Shadow,
}

impl Decision {
    const ALL: [Self; 6] = [
        Self::Confined,
        Self::Filtered,
        Self::Unrestricted,
        Self::Passed,
        Self::Refused,
        Self::Shadow,
    ];

    /// For metrics, logs and the audit trail.
    pub fn name(self) -> &'static str {
        match self {
            Self::Confined => "confined",
            Self::Filtered => "filtered",
            Self::Unrestricted => "unrestricted",
            Self::Passed => "passed",
            Self::Refused => "refused",
            Self::Shadow => "shadow",
        }
    }
}

/// `route`, `code`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    route: &'static str,
    code: u16,
}

/// `route`, `decision`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DecisionLabels {
    route: &'static str,
    decision: &'static str,
}

/// The series of every route that was asked for.
pub(super) struct Routes {
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
    decisions: Family<DecisionLabels, Counter>,
    resolved: RwLock<HashMap<&'static str, Arc<RouteSeries>>>,
}

/// One route's series.
pub struct RouteSeries {
    name: &'static str,
    requests: Family<RequestLabels, Counter>,
    /// Nearly every answer's.
    ok: Counter,
    duration: Histogram,
    decisions: [Counter; Decision::ALL.len()],
}

impl Routes {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self {
            requests: add(
                registry,
                "http_requests",
                "Requests answered",
                Family::default(),
            ),
            durations: add(
                registry,
                "http_request_duration_seconds",
                "Time from a request's head to the end of its answer",
                Family::new_with_constructor(duration_histogram),
            ),
            decisions: add(
                registry,
                "decisions",
                "What enforcement decided on requests (confined, filtered, unrestricted, passed, \
                 refused, shadow)",
                Family::default(),
            ),
            resolved: RwLock::default(),
        }
    }

    /// The series of a route. Names are literals of the code, so there are few.
    pub(super) fn of(&self, route: &'static str) -> Arc<RouteSeries> {
        let resolved = self.resolved.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = resolved.get(route) {
            return Arc::clone(series);
        }
        drop(resolved);
        let mut resolved = self
            .resolved
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let series = resolved
            .entry(route)
            .or_insert_with(|| Arc::new(self.resolve(route)));
        Arc::clone(series)
    }

    fn resolve(&self, route: &'static str) -> RouteSeries {
        let decision = |decision: Decision| {
            let labels = DecisionLabels {
                route,
                decision: decision.name(),
            };
            self.decisions.get_or_create_owned(&labels)
        };
        RouteSeries {
            name: route,
            requests: self.requests.clone(),
            ok: self
                .requests
                .get_or_create_owned(&RequestLabels { route, code: 200 }),
            duration: self.durations.get_or_create_owned(&RouteLabels { route }),
            decisions: Decision::ALL.map(decision),
        }
    }
}

impl RouteSeries {
    /// The route.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Counts an answered request.
    pub fn request_done(&self, code: u16, duration: Duration) {
        if code == 200 {
            self.ok.inc();
        } else {
            let route = self.name;
            self.requests
                .get_or_create(&RequestLabels { route, code })
                .inc();
        }
        self.duration.observe(duration.as_secs_f64());
    }

    /// Counts a decision.
    pub fn decided(&self, decision: Decision) {
        if let Some(counter) = self.decisions.get(decision as usize) {
            counter.inc();
        }
    }
}
