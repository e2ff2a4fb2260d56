//! Keys of issuers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::add;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FetchLabels {
    issuer: Arc<str>,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuerLabels {
    issuer: Arc<str>,
}

/// The state of an issuer's keys, when metrics are rendered.
#[derive(Clone, Debug)]
pub struct IssuerState {
    pub issuer: Arc<str>,
    /// How many keys are usable.
    pub keys: usize,
    /// Successful fetches.
    pub fetches_ok: u64,
    pub fetches_failed: u64,
}

/// The metrics, as registered.
pub(super) struct IssuerMetrics {
    keys: Family<IssuerLabels, Gauge>,
    key_fetches: Family<FetchLabels, Counter>,
}

impl IssuerMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self {
            keys: add(
                registry,
                "issuer_keys",
                "Usable keys of an issuer",
                Family::default(),
            ),
            key_fetches: add(
                registry,
                "key_fetches",
                "Fetches of an issuer's signing keys, by result",
                Family::default(),
            ),
        }
    }

    /// Shows the state of these issuers. One that a reload removed must not look as if it had keys.
    pub(super) fn take(&self, issuers: &[IssuerState]) {
        self.keys.clear();
        self.key_fetches.clear();
        for state in issuers {
            self.take_one(state);
        }
    }

    fn take_one(&self, status: &IssuerState) {
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
}
