//! Metrics of search results of traces.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::{ResultLabels, add};

/// Where what a search result says of a trace as a whole comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceSource {
    /// Tempo: a second search has shown that the trace has only the caller's spans.
    Verified,
    /// The caller's spans of the trace, which were searched for.
    Computed,
    /// The caller's spans of the trace, which was fetched since the searches did not describe it.
    Fetched,
    /// It was verified or computed lately.
    Cached,
    /// Nowhere: masked, as the config says, or because none of its spans is surely the caller's.
    Masked,
    /// Nowhere: masked, since so many traces of the response were fetched already.
    OverLimit,
    /// Nowhere: masked, since fetching it took too long.
    TimedOut,
    /// Nowhere: masked, since a side search failed, or fetching the trace.
    Failed,
}

impl TraceSource {
    const ALL: [Self; 8] = [
        Self::Verified,
        Self::Computed,
        Self::Fetched,
        Self::Cached,
        Self::Masked,
        Self::OverLimit,
        Self::TimedOut,
        Self::Failed,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Computed => "computed",
            Self::Fetched => "fetched",
            Self::Cached => "cached",
            Self::Masked => "masked",
            Self::OverLimit => "over_limit",
            Self::TimedOut => "timed_out",
            Self::Failed => "failed",
        }
    }
}

/// The metrics of search results.
pub struct SearchMetrics([Counter; TraceSource::ALL.len()]);

impl SearchMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let traces: Family<ResultLabels, Counter> = add(
            registry,
            "search_traces",
            "Traces in search results, by how what describes the whole trace was found (verified, \
             computed, fetched, cached) or why it is masked (masked, over_limit, timed_out, failed)",
            Family::default(),
        );
        Self(TraceSource::ALL.map(|source| {
            let result = source.name();
            traces.get_or_create_owned(&ResultLabels { result })
        }))
    }

    /// Counts a trace of a search result.
    pub fn shown(&self, source: TraceSource) {
        if let Some(counter) = self.0.get(source as usize) {
            counter.inc();
        }
    }
}
