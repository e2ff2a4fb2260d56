//! Metrics of client connections.

use std::net::SocketAddr;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::add;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AcceptLabels {
    listener: String,
    reason: &'static str,
}

/// The metrics of client connections. The admin address is included only in those with a label
/// `listener`.
pub struct ConnectionMetrics {
    /// Currently open.
    pub open: Gauge,
    /// Currently open, without a request with a valid token so far. Updated at each scrape.
    pub unauthenticated: Gauge,
    /// Closed at once because `limits.connections` was reached.
    pub refused: Counter,
    evicted: Family<ReasonLabels, Counter>,
    limit: Gauge,
    limit_configured: Gauge,
    accept_errors: Family<AcceptLabels, Counter>,
}

impl ConnectionMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            open: add(
                registry,
                "connections",
                "Open client connections",
                Gauge::default(),
            ),
            unauthenticated: add(
                registry,
                "connections_unauthenticated",
                "Open client connections without a valid token so far",
                Gauge::default(),
            ),
            refused: add(
                registry,
                "connections_refused",
                "Connections closed at once because limits.connections was reached",
                Counter::default(),
            ),
            evicted: add(
                registry,
                "connections_evicted",
                "Connections closed to make room for newer ones, by the limit that was reached",
                Family::default(),
            ),
            limit: add(
                registry,
                "connections_limit",
                "How many client connections may be open: limits.connections, or what the \
                 process's file descriptors allow where that is less",
                Gauge::default(),
            ),
            limit_configured: add(
                registry,
                "connections_limit_configured",
                "limits.connections as it is in the config",
                Gauge::default(),
            ),
            accept_errors: add(
                registry,
                "accept_errors",
                "Failed attempts to accept a connection, by listener and reason",
                Family::default(),
            ),
        };
        for reason in ["limit", "address"] {
            drop(metrics.evicted.get_or_create(&ReasonLabels { reason }));
        }
        metrics
    }

    /// Counts a connection that made room for a newer one: `limit` or `address`.
    pub fn evicted(&self, reason: &'static str) {
        self.evicted.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// Records how many connections may be open, and how many the config permits.
    pub fn limit(&self, in_force: usize, configured: usize) {
        self.limit.set(i64::try_from(in_force).unwrap_or(i64::MAX));
        self.limit_configured
            .set(i64::try_from(configured).unwrap_or(i64::MAX));
    }

    /// Makes the counters of a listener, so that its first error is an increase.
    pub fn accepts_at(&self, listener: SocketAddr) {
        for reason in [
            "process_descriptors",
            "system_descriptors",
            "memory",
            "other",
        ] {
            let listener = listener.to_string();
            drop(
                self.accept_errors
                    .get_or_create(&AcceptLabels { listener, reason }),
            );
        }
    }

    /// Counts a failed attempt to accept.
    pub fn accept_failed(&self, listener: SocketAddr, reason: &'static str) {
        let listener = listener.to_string();
        self.accept_errors
            .get_or_create(&AcceptLabels { listener, reason })
            .inc();
    }
}
