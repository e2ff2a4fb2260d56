//! How long the stages of serving a request take.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::add;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    stage: &'static str,
}

/// A stage of serving a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The token is verified, and the caller's tenants are found.
    Authenticate,
    /// The request is parsed and confined.
    Enforce,
    /// The request is sent, until the headers of the answer arrive.
    Upstream,
}

impl Stage {
    /// All stages, in their order.
    pub const ALL: [Self; 3] = [Self::Authenticate, Self::Enforce, Self::Upstream];

    pub fn name(self) -> &'static str {
        match self {
            Self::Authenticate => "authenticate",
            Self::Enforce => "enforce",
            Self::Upstream => "upstream",
        }
    }
}

/// The histograms, in the order of the stages.
pub(super) struct Stages([Histogram; Stage::ALL.len()]);

impl Stages {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let stages: Family<StageLabels, Histogram, fn() -> Histogram> = add(
            registry,
            "stage_duration_seconds",
            "Time that a stage of serving a request took (authenticate, enforce, upstream)",
            Family::new_with_constructor(stage_histogram),
        );
        Self(Stage::ALL.map(|stage| {
            let stage = stage.name();
            stages.get_or_create_owned(&StageLabels { stage })
        }))
    }

    pub(super) fn observe(&self, stage: Stage, duration: Duration) {
        if let Some(histogram) = self.0.get(stage as usize) {
            histogram.observe(duration.as_secs_f64());
        }
    }
}

/// From ten microseconds, the time to verify a cached token or to confine a cached query.
fn stage_histogram() -> Histogram {
    Histogram::new([
        0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01,
        0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
    ])
}
