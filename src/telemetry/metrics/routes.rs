//! Metrics of each route. Their series are resolved once, so that a request costs a few atomic
//! additions.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{RouteLabels, add, duration_histogram};

/// What enforcement did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Forwarded, confined to the caller's tenants.
    Confined,
    /// Forwarded, and the answer filtered.
    Filtered,
    /// Forwarded unmodified, for a caller with all tenants.
    Unrestricted,
    /// Forwarded unmodified, since the endpoint has no tenant's data.
    Passed,
    /// Not forwarded.
    Refused,
    /// Forwarded unmodified to an upstream in shadow mode.
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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    route: &'static str,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DecisionLabels {
    route: &'static str,
    decision: &'static str,
}

/// The series of all routes used so far.
pub(super) struct Routes {
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
    decisions: Family<DecisionLabels, Counter>,
    resolved: RwLock<HashMap<&'static str, Arc<RouteSeries>>>,
    /// Of requests whose route is not known yet: each begins as one of them.
    none: OnceLock<Arc<RouteSeries>>,
}

pub struct RouteSeries {
    name: &'static str,
    requests: Family<RequestLabels, Counter>,
    /// The counter of code 200, which nearly every answer has.
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
                "Requests answered, by status code",
                Family::default(),
            ),
            durations: add(
                registry,
                "http_request_duration_seconds",
                "Time from a request's headers to the end of its answer",
                Family::new_with_constructor(duration_histogram),
            ),
            decisions: add(
                registry,
                "decisions",
                "Requests by what enforcement decided (confined, filtered, unrestricted, passed, \
                 refused, shadow)",
                Family::default(),
            ),
            resolved: RwLock::default(),
            none: OnceLock::new(),
        }
    }

    /// The series of requests that have no route.
    pub(super) fn none(&self) -> Arc<RouteSeries> {
        Arc::clone(self.none.get_or_init(|| self.series("none")))
    }

    /// The series of a route. Names are literals of the code, so there are few.
    pub(super) fn series(&self, route: &'static str) -> Arc<RouteSeries> {
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
    pub fn name(&self) -> &'static str {
        self.name
    }

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

    pub fn decided(&self, decision: Decision) {
        if let Some(counter) = self.decisions.get(decision as usize) {
            counter.inc();
        }
    }
}
