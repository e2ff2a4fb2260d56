//! Metrics of TLS with clients.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{ResultLabels, add};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabels {
    listener: String,
}

/// The metrics of listeners' TLS.
pub struct TlsMetrics {
    handshakes: Family<ResultLabels, Counter>,
    certificate_expiry: Family<ListenerLabels, Gauge>,
    listeners: Mutex<HashSet<ListenerLabels>>,
}

impl TlsMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self {
            handshakes: add(
                registry,
                "tls_handshakes",
                "TLS handshakes of clients, by result",
                Family::default(),
            ),
            certificate_expiry: add(
                registry,
                "tls_certificate_expiry_timestamp_seconds",
                "When the first certificate of a listener's chain expires",
                Family::default(),
            ),
            listeners: Mutex::default(),
        }
    }

    /// Counts a handshake: `ok`, or why it failed.
    pub fn handshake(&self, result: &'static str) {
        self.handshakes
            .get_or_create(&ResultLabels { result })
            .inc();
    }

    /// Records when the certificates in force expire, in seconds since 1970.
    pub fn certificates(&self, expiries: impl Iterator<Item = (SocketAddr, i64)>) {
        let mut before = self
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut now = HashSet::new();
        for (listener, expires) in expiries {
            let listener = listener.to_string();
            let labels = ListenerLabels { listener };
            self.certificate_expiry.get_or_create(&labels).set(expires);
            now.insert(labels);
        }
        // Removed one by one, so that a scrape in between does not miss the others.
        for gone in before.difference(&now) {
            self.certificate_expiry.remove(gone);
        }
        *before = now;
    }
}
