//! The metrics at `/metrics`. Label values come from closed sets or from the config, never from
//! a request.

mod answers;
mod config;
mod connections;
mod issuers;
mod process;
mod routes;
mod search;
mod shadow;
mod stages;
mod tenants;
mod tls;
mod upstreams;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

pub use self::answers::{AnswerCacheMetrics, Lookup};
use self::config::ConfigMetrics;
pub use self::connections::ConnectionMetrics;
use self::issuers::IssuerMetrics;
pub use self::issuers::IssuerState;
use self::process::Process;
use self::routes::Routes;
pub use self::routes::{Decision, RouteSeries};
pub use self::search::{SearchMetrics, TraceSource};
pub use self::shadow::{Comparison, ShadowMetrics, Verdict};
pub use self::stages::Stage;
use self::stages::Stages;
use self::tenants::TenantRequests;
pub use self::tls::TlsMetrics;
use self::upstreams::UpstreamMetrics;
pub use self::upstreams::UpstreamState;
use crate::reason::Reason;
use crate::shares::UseGauge;
use crate::tenancy::TenantSet;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabels {
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusalLabels {
    route: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabels {
    result: &'static str,
}

/// Counts audit records by result.
#[derive(Clone)]
pub struct AuditCounters {
    /// Written to the output.
    pub written: Counter,
    /// Dropped, since the output was too slow.
    pub dropped: Counter,
    /// Lost to an error of the output.
    pub failed: Counter,
}

/// Counts spans by result.
#[derive(Clone)]
pub struct SpanCounters {
    /// Accepted by the collector.
    pub exported: Counter,
    /// Not accepted by the collector.
    pub failed: Counter,
}

/// All metrics of the process. There is one instance, shared by all.
pub struct Metrics {
    registry: Registry,
    /// The conventional metrics `process_*`, which have no prefix.
    process: Registry,
    /// Held while the metrics of issuers are updated and rendered.
    rendering: Mutex<()>,
    routes: Routes,
    tenants: TenantRequests,
    stages: Stages,
    refusals: Family<RefusalLabels, Counter>,
    tokens: Family<ResultLabels, Counter>,
    tokens_ok: Counter,
    issuers: IssuerMetrics,
    rewrite_hits: Counter,
    rewrite_misses: Counter,
    upstreams: UpstreamMetrics,
    pub shadow: ShadowMetrics,
    pub tls: TlsMetrics,
    pub answers: AnswerCacheMetrics,
    pub search: SearchMetrics,
    audit: AuditCounters,
    spans: SpanCounters,
    config: ConfigMetrics,
    /// Requests between their headers and the end of their answer.
    pub requests_in_flight: Gauge,
    /// Requests that have a permit.
    pub admitted_requests: UseGauge,
    /// Request bodies of which not all has been received.
    pub incomplete_bodies: UseGauge,
    /// Bytes of bodies held in memory.
    pub buffered_bytes: UseGauge,
    /// Client connections.
    pub connections: ConnectionMetrics,
    slow_readers: Family<ResultLabels, Counter>,
    /// Panics caught in a request; each is a defect to report.
    pub panics: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    #[allow(clippy::too_many_lines)] // One entry a metric.
    pub fn new() -> Self {
        // prometheus-client appends `_total` to counters and a full stop to each help text.
        let mut registry = Registry::with_prefix("partywall");
        registry.register(
            "build",
            "The running version",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        let mut process = Registry::default();
        process.register_collector(Box::new(Process));
        let r = &mut registry;
        let routes = Routes::register(r);
        let tenants = TenantRequests::register(r);
        let result = |family: &Family<ResultLabels, Counter>, result| {
            family.get_or_create_owned(&ResultLabels { result })
        };
        let tokens = add(
            r,
            "token_verifications",
            "Verifications of tokens, by result (ok, or why the token is not trusted)",
            Family::default(),
        );
        let audit = add(
            r,
            "audit_records",
            "Audit records, by result (written, dropped, failed)",
            Family::default(),
        );
        let spans = add(
            r,
            "spans",
            "Spans of traces, by result (exported, failed)",
            Family::default(),
        );
        let rewrites = add(
            r,
            "rewrite_cache_lookups",
            "Look-ups in the cache of confined queries, by result (hit, miss)",
            Family::default(),
        );
        let slow_readers = add(
            r,
            "slow_readers",
            "Answers cut off because the client read them too slowly, by result (stalled, too_slow)",
            Family::default(),
        );
        // There from the start, so that the first one is an increase.
        for name in ["stalled", "too_slow"] {
            result(&slow_readers, name);
        }
        Self {
            routes,
            tenants,
            audit: AuditCounters {
                written: result(&audit, "written"),
                dropped: result(&audit, "dropped"),
                failed: result(&audit, "failed"),
            },
            spans: SpanCounters {
                exported: result(&spans, "exported"),
                failed: result(&spans, "failed"),
            },
            tokens_ok: result(&tokens, "ok"),
            tokens,
            rewrite_hits: result(&rewrites, "hit"),
            rewrite_misses: result(&rewrites, "miss"),
            refusals: add(
                r,
                "refusals",
                "Requests that Partywall itself answered with an error, by reason",
                Family::default(),
            ),
            stages: Stages::register(r),
            issuers: IssuerMetrics::register(r),
            config: ConfigMetrics::register(r),
            shadow: ShadowMetrics::register(r),
            tls: TlsMetrics::register(r),
            answers: AnswerCacheMetrics::register(r),
            search: SearchMetrics::register(r),
            upstreams: UpstreamMetrics::register(r),
            requests_in_flight: add(
                r,
                "http_requests_in_flight",
                "Requests being served",
                Gauge::default(),
            ),
            admitted_requests: add(
                r,
                "admitted_requests",
                "Requests that have a permit, bounded by limits.requests",
                UseGauge::default(),
            ),
            incomplete_bodies: add(
                r,
                "incomplete_bodies",
                "Request bodies being received, bounded by limits.incomplete_bodies",
                UseGauge::default(),
            ),
            buffered_bytes: add(
                r,
                "buffered_bytes",
                "Bytes of bodies held in memory, bounded by limits.buffered_bytes",
                UseGauge::default(),
            ),
            connections: ConnectionMetrics::register(r),
            slow_readers,
            panics: add(
                r,
                "panics",
                "Panics caught while serving a request",
                Counter::default(),
            ),
            registry,
            process,
            rendering: Mutex::default(),
        }
    }

    /// The series of a route, resolved once and then reused.
    pub fn route(&self, route: &'static str) -> Arc<RouteSeries> {
        self.routes.series(route)
    }

    /// The series of requests that have no route, or none yet.
    pub fn no_route(&self) -> Arc<RouteSeries> {
        self.routes.none()
    }

    /// Counts a request for its caller's tenants, if [`count_tenants`](Self::count_tenants) says
    /// so.
    pub fn tenant_request(&self, tenants: &TenantSet, code: u16) {
        self.tenants.count(tenants, code);
    }

    /// Counts requests of this many tenants from now on; of none where it is 0.
    pub fn count_tenants(&self, at_most: usize) {
        self.tenants.bound(at_most);
    }

    /// Observes how long a stage took.
    pub fn stage(&self, stage: Stage, duration: Duration) {
        self.stages.observe(stage, duration);
    }

    pub fn audit_counters(&self) -> AuditCounters {
        self.audit.clone()
    }

    pub fn span_counters(&self) -> SpanCounters {
        self.spans.clone()
    }

    /// Counts an answer that was cut off because the client read it too slowly: `stalled` or
    /// `too_slow`.
    pub(crate) fn answer_was_cut(&self, result: &'static str) {
        self.slow_readers
            .get_or_create(&ResultLabels { result })
            .inc();
    }

    /// Counts an error of ours.
    pub fn refused(&self, route: &'static str, reason: Reason) {
        let reason = reason.label();
        self.refusals
            .get_or_create(&RefusalLabels { route, reason })
            .inc();
    }

    /// Counts the verification of a token: `ok`, or the reason why it is not trusted.
    pub fn token(&self, refused: Option<Reason>) {
        let Some(reason) = refused else {
            self.tokens_ok.inc();
            return;
        };
        let result = reason.label();
        self.tokens.get_or_create(&ResultLabels { result }).inc();
    }

    /// Counts a look-up of a confined query.
    pub fn rewrite(&self, hit: bool) {
        if hit {
            self.rewrite_hits.inc();
        } else {
            self.rewrite_misses.inc();
        }
    }

    /// Counts a request to an upstream, with the time until its answer's headers, or the error.
    pub fn upstream_request(&self, upstream: &Arc<str>, result: &'static str, duration: Duration) {
        self.upstreams.request(upstream, result, duration);
    }

    /// Records which upstreams a reload removed, and which it added.
    pub fn upstreams_replaced(&self, old: Vec<Arc<str>>, new: &[Arc<str>]) {
        self.upstreams.replaced(old, new);
    }

    /// Records a load of the config at `now` (seconds since the epoch).
    pub fn reloaded(&self, ok: bool, now: f64) {
        self.config.reloaded(ok, now);
    }

    /// Shows how many warnings of each kind the config in force has.
    pub fn config_warned(&self, counts: impl IntoIterator<Item = (&'static str, usize)>) {
        self.config.warned(counts);
    }

    /// The exposition in the `OpenMetrics` text format, with the state of these issuers' keys and
    /// of these upstreams.
    pub fn render(&self, issuers: &[IssuerState], upstreams: &[UpstreamState]) -> String {
        let _one_at_a_time = self
            .rendering
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.issuers.take(issuers);
        self.upstreams.update(upstreams);
        self.shadow.update(upstreams);
        let mut text = String::new();
        let encoded = encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, &self.process))
            .and_then(|()| encode_eof(&mut text));
        match encoded {
            Ok(()) => text,
            // Writing to a string does not fail.
            Err(std::fmt::Error) => String::new(),
        }
    }
}

/// Registers a metric and returns a handle to it.
pub(super) fn add<M: Metric + Clone>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    metric: M,
) -> M {
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
    fn exposition_has_conventional_names() {
        let metrics = Metrics::new();
        let route = metrics.route("query");
        route.request_done(200, Duration::from_millis(3));
        route.request_done(403, Duration::from_millis(3));
        route.decided(Decision::Confined);
        metrics.stage(Stage::Enforce, Duration::from_micros(20));
        metrics.upstream_request(&"thanos".into(), "answered", Duration::from_millis(3));
        metrics.refused("query", Reason::ForeignTenant);
        metrics.reloaded(true, 1.5);
        let text = metrics.render(&[], &[]);
        for line in [
            r#"partywall_http_requests_total{route="query",code="200"} 1"#,
            r#"partywall_http_requests_total{route="query",code="403"} 1"#,
            r#"partywall_http_request_duration_seconds_bucket{le="0.005",route="query"} 2"#,
            r#"partywall_decisions_total{route="query",decision="confined"} 1"#,
            r#"partywall_decisions_total{route="query",decision="refused"} 0"#,
            r#"partywall_stage_duration_seconds_bucket{le="0.000025",stage="enforce"} 1"#,
            r#"partywall_stage_duration_seconds_count{stage="upstream"} 0"#,
            r#"partywall_upstream_request_duration_seconds_count{upstream="thanos"} 1"#,
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
