//! What the answer cache counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::{ResultLabels, UseGauge, add};

/// `store`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreLabels {
    store: &'static str,
}

/// Where the answer to a question was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// It was kept.
    Hit,
    /// The upstream gave it.
    Miss,
    /// The upstream gave it to another who asked the same at the same time.
    Collapsed,
    /// It was not looked for: the caller wants a fresh one, or the upstream sees who asks.
    Bypass,
}

impl Lookup {
    const ALL: [Self; 4] = [Self::Hit, Self::Miss, Self::Collapsed, Self::Bypass];

    /// For metrics, and for the answer's head.
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
    /// Bytes that are kept in memory.
    pub bytes: UseGauge,
    /// Commands that Redis did not do.
    pub redis_errors: Counter,
}

impl AnswerCacheMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let lookups: Family<ResultLabels, Counter> = add(
            registry,
            "answer_cache_lookups",
            "Questions that may have a kept answer, by result (hit, miss, collapsed, bypass)",
            Family::default(),
        );
        let errors: Family<StoreLabels, Counter> = add(
            registry,
            "answer_cache_errors",
            "Commands that the store of answers did not do",
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
                "Bytes of answers kept in memory, bounded by cache.memory_bytes",
                UseGauge::default(),
            ),
            redis_errors: errors.get_or_create_owned(&StoreLabels { store: "redis" }),
        }
    }

    /// Counts a question.
    pub fn looked_up(&self, lookup: Lookup) {
        if let Some(counter) = self.lookups.get(lookup as usize) {
            counter.inc();
        }
    }
}
