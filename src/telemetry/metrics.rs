//! The metrics at `/metrics`. Label values come from closed sets or from the config, never from
//! a request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use crate::auth::KeyStatus;

/// A gauge of bytes that is also the account it shows.
pub type BytesGauge = Gauge<u64, AtomicU64>;

/// `route`, `code`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    route: &'static str,
    code: u16,
}

/// `route`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabels {
    route: &'static str,
}

/// `route`, `reason`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusalLabels {
    route: &'static str,
    reason: &'static str,
}

/// `result`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabels {
    result: &'static str,
}

/// `issuer`, `result`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FetchLabels {
    issuer: Arc<str>,
    result: &'static str,
}

/// `issuer`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct IssuerLabels {
    issuer: Arc<str>,
}

/// `upstream`, `result`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UpstreamLabels {
    upstream: Arc<str>,
    result: &'static str,
}

/// Every metric of the process; made once, shared by all.
pub struct Metrics {
    registry: Registry,
    /// Held while the metrics of issuers are taken over and written.
    rendering: Mutex<()>,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
    refusals: Family<RefusalLabels, Counter>,
    tokens: Family<ResultLabels, Counter>,
    keys: Family<IssuerLabels, Gauge>,
    key_fetches: Family<FetchLabels, Counter>,
    rewrites: Family<ResultLabels, Counter>,
    upstream_requests: Family<UpstreamLabels, Counter>,
    reloads: Family<ResultLabels, Counter>,
    last_reload_successful: Gauge,
    last_reload_success: Gauge<f64, AtomicU64>,
    /// Requests between their head and the end of their answer.
    pub requests_in_flight: Gauge,
    /// Bytes of bodies held in memory.
    pub buffered_bytes: BytesGauge,
    /// Open client connections.
    pub connections: Gauge,
    /// Connections closed because the limit was reached.
    pub connections_refused: Counter,
    /// Panics caught in a request; each is a defect to report.
    pub panics: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers every metric.
    #[allow(clippy::too_many_lines)] // One entry a metric.
    pub fn new() -> Self {
        // The crate appends `_total` to counters and a full stop to each help text.
        let mut registry = Registry::with_prefix("partywall");
        registry.register(
            "build",
            "The version that runs",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        let r = &mut registry;
        Self {
            requests: add(r, "http_requests", "Requests answered", Family::default()),
            durations: add(
                r,
                "http_request_duration_seconds",
                "Time from a request's head to the end of its answer",
                Family::new_with_constructor(duration_histogram),
            ),
            refusals: add(
                r,
                "refusals",
                "Requests answered by the proxy with an error, by reason",
                Family::default(),
            ),
            tokens: add(
                r,
                "token_verifications",
                "Tokens looked at, by result",
                Family::default(),
            ),
            keys: add(
                r,
                "issuer_keys",
                "Usable keys of an issuer",
                Family::default(),
            ),
            key_fetches: add(
                r,
                "key_fetches",
                "Fetches of an issuer's signing keys, by result",
                Family::default(),
            ),
            rewrites: add(
                r,
                "rewrite_cache",
                "Look-ups of confined queries, by result (hit, miss)",
                Family::default(),
            ),
            upstream_requests: add(
                r,
                "upstream_requests",
                "Requests sent to an upstream, by result",
                Family::default(),
            ),
            reloads: add(
                r,
                "config_reloads",
                "Loads of the config, by result",
                Family::default(),
            ),
            last_reload_successful: add(
                r,
                "config_last_reload_successful",
                "Whether the last load of the config succeeded",
                Gauge::default(),
            ),
            last_reload_success: add(
                r,
                "config_last_reload_success_timestamp_seconds",
                "When the config was last loaded with success",
                Gauge::default(),
            ),
            requests_in_flight: add(
                r,
                "http_requests_in_flight",
                "Requests being served",
                Gauge::default(),
            ),
            buffered_bytes: add(
                r,
                "buffered_bytes",
                "Bytes of bodies held in memory, bounded by limits.buffered_bytes",
                BytesGauge::default(),
            ),
            connections: add(
                r,
                "connections",
                "Open client connections",
                Gauge::default(),
            ),
            connections_refused: add(
                r,
                "connections_refused",
                "Connections closed at once because limits.connections was reached",
                Counter::default(),
            ),
            panics: add(
                r,
                "panics",
                "Panics caught while serving a request",
                Counter::default(),
            ),
            registry,
            rendering: Mutex::default(),
        }
    }

    /// Counts an answered request.
    pub fn request_done(&self, route: &'static str, code: u16, duration: Duration) {
        self.requests
            .get_or_create(&RequestLabels { route, code })
            .inc();
        self.durations
            .get_or_create(&RouteLabels { route })
            .observe(duration.as_secs_f64());
    }

    /// Counts an error of ours.
    pub fn refused(&self, route: &'static str, reason: &'static str) {
        self.refusals
            .get_or_create(&RefusalLabels { route, reason })
            .inc();
    }

    /// Counts a look at a token: `ok` or the reason it is not believed.
    pub fn token(&self, result: &'static str) {
        self.tokens.get_or_create(&ResultLabels { result }).inc();
    }

    /// Takes over what an issuer's key store counts.
    fn keys(&self, status: &KeyStatus) {
        let issuer = &status.issuer;
        let keys = i64::try_from(status.keys).unwrap_or(i64::MAX);
        self.keys
            .get_or_create(&IssuerLabels {
                issuer: Arc::clone(issuer),
            })
            .set(keys);
        for (result, count) in [("ok", status.fetches_ok), ("error", status.fetches_failed)] {
            let labels = FetchLabels {
                issuer: Arc::clone(issuer),
                result,
            };
            self.key_fetches
                .get_or_create(&labels)
                .inner()
                .store(count, Ordering::Relaxed);
        }
    }

    /// Counts a look-up of a confined query.
    pub fn rewrite(&self, hit: bool) {
        let result = if hit { "hit" } else { "miss" };
        self.rewrites.get_or_create(&ResultLabels { result }).inc();
    }

    /// Counts a request to an upstream.
    pub fn upstream_request(&self, upstream: &Arc<str>, result: &'static str) {
        let labels = UpstreamLabels {
            upstream: Arc::clone(upstream),
            result,
        };
        self.upstream_requests.get_or_create(&labels).inc();
    }

    /// Records a load of the config at `now` (seconds since the epoch).
    pub fn reloaded(&self, ok: bool, now: f64) {
        let result = if ok { "ok" } else { "error" };
        self.reloads.get_or_create(&ResultLabels { result }).inc();
        self.last_reload_successful.set(i64::from(ok));
        if ok {
            self.last_reload_success.set(now);
        }
    }

    /// The exposition in the `OpenMetrics` text format, with the state of these issuers' keys.
    pub fn render(&self, issuers: &[KeyStatus]) -> String {
        let _one_at_a_time = self
            .rendering
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // An issuer that a reload took away must not look as if it had keys.
        self.keys.clear();
        self.key_fetches.clear();
        for status in issuers {
            self.keys(status);
        }
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            // Writing to a string does not fail.
            Err(std::fmt::Error) => String::new(),
        }
    }
}

/// Registers a metric and keeps a handle on it.
fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

/// From half a millisecond (a cached answer) to Prometheus' own query timeout.
fn duration_histogram() -> Histogram {
    Histogram::new([
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
        60.0, 120.0,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exposition_has_conventional_names() {
        let metrics = Metrics::new();
        metrics.request_done("query", 200, Duration::from_millis(3));
        metrics.refused("query", "foreign_tenant");
        metrics.reloaded(true, 1.5);
        let text = metrics.render(&[]);
        for line in [
            r#"partywall_http_requests_total{route="query",code="200"} 1"#,
            r#"partywall_http_request_duration_seconds_bucket{le="0.005",route="query"} 1"#,
            r#"partywall_refusals_total{route="query",reason="foreign_tenant"} 1"#,
            "partywall_config_last_reload_successful 1",
            "partywall_config_last_reload_success_timestamp_seconds 1.5",
            concat!(
                r#"partywall_build_info{version=""#,
                env!("CARGO_PKG_VERSION"),
                r#""} 1"#
            ),
            "# EOF",
        ] {
            assert!(
                text.lines().any(|l| l == line),
                "{line} is missing in\n{text}"
            );
        }
    }
}
