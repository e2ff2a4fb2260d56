//! Metrics of the answer cache.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::{ResultLabels, UseGauge, add};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreLabels {
    store: &'static str,
}

/// The result of looking up a request's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// It was cached.
    Hit,
    /// It came from the upstream.
    Miss,
    /// It came from the upstream for another caller who asked the same at the same time.
    Collapsed,
    /// It was not looked up: the caller wants a fresh answer, or the upstream gets the caller's token.
    Bypass,
}

impl Lookup {
    const ALL: [Self; 4] = [Self::Hit, Self::Miss, Self::Collapsed, Self::Bypass];

    /// For metrics and for the response header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Collapsed => "collapsed",
            Self::Bypass => "bypass",
        }
    }
}

/// The metrics of the answer cache.
pub struct AnswerCacheMetrics {
    lookups: [Counter; Lookup::ALL.len()],
    /// Bytes of the answers cached in memory.
    pub bytes: UseGauge,
    /// Failed commands of Redis.
    pub redis_errors: Counter,
}

impl AnswerCacheMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let lookups: Family<ResultLabels, Counter> = add(
            registry,
            "answer_cache_lookups",
            "Requests that may have a cached answer, by result (hit, miss, collapsed, bypass)",
            Family::default(),
        );
        let errors: Family<StoreLabels, Counter> = add(
            registry,
            "answer_cache_errors",
            "Failed commands of the store of cached answers",
            Family::default(),
        );
        Self {
            lookups: Lookup::ALL.map(|lookup| {
                let result = lookup.name();
                lookups.get_or_create_owned(&ResultLabels { result })
            }),
            bytes: add(
                registry,
                "answer_cache_bytes",
                "Bytes of answers cached in memory, bounded by cache.memory_bytes",
                UseGauge::default(),
            ),
            redis_errors: errors.get_or_create_owned(&StoreLabels { store: "redis" }),
        }
    }

    pub fn looked_up(&self, lookup: Lookup) {
        if let Some(counter) = self.lookups.get(lookup as usize) {
            counter.inc();
        }
    }
}
