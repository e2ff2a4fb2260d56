//! Metrics of the configured upstreams. Series of upstreams that a reload removed vanish.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{add, duration_histogram};

/// The state of an upstream when metrics are rendered.
#[derive(Clone, Debug)]
pub struct UpstreamState {
    pub name: Arc<str>,
    /// `None` before the first health check.
    pub is_healthy: Option<bool>,
    /// Successful health checks.
    pub checks_ok: u64,
    /// Failed health checks.
    pub checks_failed: u64,
    /// Connections open now.
    pub connections_open: i64,
    /// Connections opened since the start.
    pub connections_opened: u64,
    /// Requests that were sent a second time, since the start.
    pub repeats: u64,
    /// Whether its certificate is not verified.
    pub is_insecure: bool,
    /// Whether it ignores `X-Scope-OrgID`; `None` if nothing depends on it.
    pub ignores_org_id: Option<bool>,
    /// Whether it is in shadow mode.
    pub is_shadowed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpstreamLabels {
    upstream: Arc<str>,
    result: &'static str,
}

impl UpstreamLabels {
    fn new(upstream: &Arc<str>, result: &'static str) -> Self {
        Self {
            upstream: Arc::clone(upstream),
            result,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NameLabels {
    upstream: Arc<str>,
}

/// It was answered.
const ANSWERED: &str = "answered";

/// The results of a request to an upstream: an answer, or the reason of an error.
const RESULTS: [&str; 5] = [
    ANSWERED,
    "upstream_timeout",
    "upstream_unreachable",
    "request_timeout",
    "body",
];

/// The series of an upstream that answers, resolved once: nearly every request's.
struct Answered {
    upstream: Arc<str>,
    requests: Counter,
    duration: Histogram,
}

pub(super) struct UpstreamMetrics {
    /// Of the upstreams used so far, without those that a reload removed.
    answered: RwLock<Vec<Answered>>,
    requests: Family<UpstreamLabels, Counter>,
    durations: Family<NameLabels, Histogram, fn() -> Histogram>,
    /// Names that a reload removed. Their last requests may still be running.
    gone: Mutex<BTreeSet<Arc<str>>>,
    healthy: Family<NameLabels, Gauge>,
    checks: Family<UpstreamLabels, Counter>,
    connections: Family<NameLabels, Gauge>,
    connections_opened: Family<NameLabels, Counter>,
    repeats: Family<NameLabels, Counter>,
    insecure: Family<NameLabels, Gauge>,
    org_id_ignored: Family<NameLabels, Gauge>,
}

impl UpstreamMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self {
            answered: RwLock::default(),
            requests: add(
                registry,
                "upstream_requests",
                "Requests sent to an upstream, by result",
                Family::default(),
            ),
            durations: add(
                registry,
                "upstream_request_duration_seconds",
                "Time from sending a request to an upstream to the headers of its answer",
                Family::new_with_constructor(duration_histogram),
            ),
            gone: Mutex::default(),
            healthy: add(
                registry,
                "upstream_healthy",
                "Whether the last health check of an upstream succeeded",
                Family::default(),
            ),
            checks: add(
                registry,
                "upstream_health_checks",
                "Health checks of an upstream, by result (ok, error)",
                Family::default(),
            ),
            connections: add(
                registry,
                "upstream_connections",
                "Open connections to an upstream",
                Family::default(),
            ),
            connections_opened: add(
                registry,
                "upstream_connections_opened",
                "Connections opened to an upstream",
                Family::default(),
            ),
            repeats: add(
                registry,
                "upstream_repeats",
                "Requests sent a second time, because a reused connection ended before the answer",
                Family::default(),
            ),
            insecure: add(
                registry,
                "upstream_tls_insecure",
                "Whether an upstream's certificate is not verified (tls.insecure_skip_verify)",
                Family::default(),
            ),
            org_id_ignored: add(
                registry,
                "upstream_org_id_ignored",
                "Whether a Tempo ignores X-Scope-OrgID, by which tenancy.traces.org_id lets it \
                 keep tenants apart",
                Family::default(),
            ),
        }
    }

    /// Counts a request, with the time until its answer's headers, or the error.
    pub(super) fn request(&self, upstream: &Arc<str>, result: &'static str, duration: Duration) {
        debug_assert!(RESULTS.contains(&result), "{result}");
        if result == ANSWERED {
            return self.answered(upstream, duration.as_secs_f64());
        }
        let labels = UpstreamLabels::new(upstream, result);
        self.requests.get_or_create(&labels).inc();
        let labels = NameLabels {
            upstream: Arc::clone(upstream),
        };
        self.durations
            .get_or_create(&labels)
            .observe(duration.as_secs_f64());
    }

    fn answered(&self, upstream: &Arc<str>, seconds: f64) {
        let count = |all: &[Answered]| {
            let found = all.iter().find(|one| one.upstream == *upstream);
            found.map(|one| {
                one.requests.inc();
                one.duration.observe(seconds);
            })
        };
        let known = self.answered.read().unwrap_or_else(PoisonError::into_inner);
        if count(&known).is_some() {
            return;
        }
        drop(known);
        let mut known = self
            .answered
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let labels = NameLabels {
            upstream: Arc::clone(upstream),
        };
        let one = Answered {
            upstream: Arc::clone(upstream),
            requests: self
                .requests
                .get_or_create_owned(&UpstreamLabels::new(upstream, ANSWERED)),
            duration: self.durations.get_or_create_owned(&labels),
        };
        count(std::slice::from_ref(&one));
        known.retain(|other| other.upstream != *upstream);
        known.push(one);
    }

    /// Records which names a reload removed, and which it added again.
    pub(super) fn replaced(&self, old: Vec<Arc<str>>, new: &[Arc<str>]) {
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        gone.extend(old);
        for name in new {
            gone.remove(name);
        }
    }

    /// Records the state of these upstreams, and removes all others.
    pub(super) fn update(&self, upstreams: &[UpstreamState]) {
        self.healthy.clear();
        self.checks.clear();
        self.connections.clear();
        self.connections_opened.clear();
        self.repeats.clear();
        self.insecure.clear();
        self.org_id_ignored.clear();
        for state in upstreams {
            self.take_one(state);
        }
        let mut answered = self
            .answered
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for name in &*self.gone.lock().unwrap_or_else(PoisonError::into_inner) {
            answered.retain(|one| one.upstream != *name);
            for result in RESULTS {
                self.requests.remove(&UpstreamLabels::new(name, result));
            }
            self.durations.remove(&NameLabels {
                upstream: Arc::clone(name),
            });
        }
    }

    fn take_one(&self, state: &UpstreamState) {
        let labels = NameLabels {
            upstream: Arc::clone(&state.name),
        };
        if let Some(is_healthy) = state.is_healthy {
            self.healthy.get_or_create(&labels).set(is_healthy.into());
        }
        for (result, count) in [("ok", state.checks_ok), ("error", state.checks_failed)] {
            let labels = UpstreamLabels::new(&state.name, result);
            set(&self.checks.get_or_create(&labels), count);
        }
        self.connections
            .get_or_create(&labels)
            .set(state.connections_open);
        set(
            &self.connections_opened.get_or_create(&labels),
            state.connections_opened,
        );
        set(&self.repeats.get_or_create(&labels), state.repeats);
        self.insecure
            .get_or_create(&labels)
            .set(state.is_insecure.into());
        if let Some(ignored) = state.ignores_org_id {
            self.org_id_ignored
                .get_or_create(&labels)
                .set(ignored.into());
        }
    }
}

fn set(counter: &Counter, count: u64) {
    counter.inner().store(count, Ordering::Relaxed);
}
