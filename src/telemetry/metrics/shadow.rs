//! Metrics of upstreams in shadow mode: what would have happened to requests. Counters keep their
//! values when shadow mode ends.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{UpstreamState, add};
use crate::reason::Reason;

/// What would have happened to a request with enforcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It would have been refused.
    Denied,
    /// It would have been forwarded confined.
    Rewritten,
    /// Its answer would have been filtered.
    Filtered,
    /// It would have been forwarded unmodified, as it was.
    Unchanged,
    /// It cannot be predicted without the upstream, or at this time.
    Unknown,
    /// Shadow mode does not apply, since it writes or administrates; it was treated as usual.
    Closed,
}

impl Verdict {
    /// For metrics, logs and the audit trail.
    pub fn name(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Rewritten => "rewritten",
            Self::Filtered => "filtered",
            Self::Unchanged => "unchanged",
            Self::Unknown => "unknown",
            Self::Closed => "closed",
        }
    }
}

/// How the confined answer compares with the one that was returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Of the same size.
    Same,
    /// Smaller: the caller would see less.
    Smaller,
    /// Larger, as an error's text can be.
    Larger,
    /// The confined request was answered with an error.
    Failed,
    /// Too many comparisons were running.
    Skipped,
}

impl Comparison {
    const ALL: [Self; 5] = [
        Self::Same,
        Self::Smaller,
        Self::Larger,
        Self::Failed,
        Self::Skipped,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Smaller => "smaller",
            Self::Larger => "larger",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NameLabels {
    upstream: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    upstream: Arc<str>,
    route: &'static str,
    verdict: &'static str,
    /// The reason that `partywall_refusals_total` would have, if it would be denied; else empty.
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    upstream: Arc<str>,
    answer: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ComparisonLabels {
    upstream: Arc<str>,
    result: &'static str,
}

pub struct ShadowMetrics {
    in_force: Family<NameLabels, Gauge>,
    requests: Family<RequestLabels, Counter>,
    comparisons: Family<ComparisonLabels, Counter>,
    answer_bytes: Family<AnswerLabels, Counter>,
    answer_series: Family<AnswerLabels, Counter>,
}

impl ShadowMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self {
            in_force: add(
                registry,
                "shadow",
                "Whether an upstream is in shadow mode, in which nothing is enforced",
                Family::default(),
            ),
            requests: add(
                registry,
                "shadow_requests",
                "Requests to an upstream in shadow mode, by what would have happened to them",
                Family::default(),
            ),
            comparisons: add(
                registry,
                "shadow_comparisons",
                "Confined requests sent for comparison in shadow mode, by result (same, smaller, \
                 larger, failed, skipped)",
                Family::default(),
            ),
            answer_bytes: add(
                registry,
                "shadow_answer_bytes",
                "Bytes of compared answers in shadow mode: as returned (open), as confined (enforced)",
                Family::default(),
            ),
            answer_series: add(
                registry,
                "shadow_answer_series",
                "Series in compared answers to queries in shadow mode: as returned (open), as \
                 confined (enforced)",
                Family::default(),
            ),
        }
    }

    pub fn request(
        &self,
        upstream: &Arc<str>,
        route: &'static str,
        verdict: Verdict,
        reason: Option<Reason>,
    ) {
        let labels = RequestLabels {
            upstream: Arc::clone(upstream),
            route,
            verdict: verdict.name(),
            reason: reason.map_or("", Reason::label),
        };
        self.requests.get_or_create(&labels).inc();
    }

    pub fn compared(&self, upstream: &Arc<str>, result: Comparison) {
        let labels = ComparisonLabels {
            upstream: Arc::clone(upstream),
            result: result.name(),
        };
        self.comparisons.get_or_create(&labels).inc();
    }

    /// Counts the sizes of two answers: as returned, and as confined.
    pub fn sizes(&self, upstream: &Arc<str>, bytes: [u64; 2], series: Option<[u64; 2]>) {
        let families = [
            (&self.answer_bytes, Some(bytes)),
            (&self.answer_series, series),
        ];
        for (family, sizes) in families {
            for (answer, size) in ["open", "enforced"]
                .into_iter()
                .zip(sizes.into_iter().flatten())
            {
                let labels = AnswerLabels {
                    upstream: Arc::clone(upstream),
                    answer,
                };
                family.get_or_create(&labels).inc_by(size);
            }
        }
    }

    /// Records which of these upstreams are in shadow mode now, and removes all others.
    pub(super) fn update(&self, upstreams: &[UpstreamState]) {
        self.in_force.clear();
        for state in upstreams {
            let labels = NameLabels {
                upstream: Arc::clone(&state.name),
            };
            self.in_force
                .get_or_create(&labels)
                .set(state.is_shadowed.into());
            if state.is_shadowed {
                for result in Comparison::ALL {
                    let labels = ComparisonLabels {
                        upstream: Arc::clone(&state.name),
                        result: result.name(),
                    };
                    drop(self.comparisons.get_or_create(&labels));
                }
                self.sizes(&state.name, [0, 0], Some([0, 0]));
            }
        }
    }
}
